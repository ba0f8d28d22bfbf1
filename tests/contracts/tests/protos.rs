//! The protos keep what `schemas/proto.lock.json` says, and the comparison
//! catches each way of breaking it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use exchequer_contracts::{Comparison, Statements, compare, statements};
use protox::file::{ChainFileResolver, File, FileResolver, GoogleFileResolver};

const LOCK: &str = "schemas/proto.lock.json";

// REQ: KER-10
#[test]
fn the_protos_keep_what_is_locked() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut files = Vec::new();
    protos_below(&root.join("proto"), &mut files).unwrap();
    assert!(!files.is_empty(), "no protos");
    let today = statements(&protox::compile(&files, [root.join("proto")]).unwrap());
    let lock = root.join(LOCK);
    let locked = match fs::read_to_string(&lock) {
        Ok(text) => serde_json::from_str(&text).unwrap(),
        Err(_) => Statements::new(),
    };
    let Comparison { broken, pending } = compare(&locked, &today);
    assert!(broken.is_empty(), "the protos break what was agreed:\n  {}", first_of(&broken));
    if std::env::var_os("EXCHEQUER_ACCEPT_PROTOS").is_some() {
        fs::write(&lock, serde_json::to_string_pretty(&today).unwrap() + "\n").unwrap();
    } else {
        assert!(
            pending.is_empty(),
            "lock these with `./x protos --accept`:\n  {}",
            first_of(&pending)
        );
    }
}

/// Enough to see what happened.
fn first_of(lines: &[String]) -> String {
    const SHOWN_MAX: usize = 20;
    let mut shown: Vec<String> = lines.iter().take(SHOWN_MAX).cloned().collect();
    if lines.len() > SHOWN_MAX {
        shown.push(format!("and {} more", lines.len() - SHOWN_MAX));
    }
    shown.join("\n  ")
}

fn protos_below(folder: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            protos_below(&path, files)?;
        } else if path.extension().is_some_and(|extension| extension == "proto") {
            files.push(path);
        }
    }
    files.sort();
    Ok(())
}

const AGREED: &str = r#"
    message Tenant {
      string id = 1;
      repeated string tags = 2;
      oneof choice { int64 count = 3; Tenant parent = 4; }
            reserved 6, 8 to 9;
      reserved "old";
    }
    enum Status { STATUS_UNSPECIFIED = 0; STATUS_ACTIVE = 1; }
    service Tenants {
      rpc Get(Tenant) returns (Tenant);
      rpc Watch(Tenant) returns (stream Tenant);
    }
"#;

#[test]
fn the_same_protos_compare_equal_whatever_their_order() {
    compares(
        "string id = 1;\n      repeated string tags = 2;",
        "repeated string tags = 2; string id = 1;",
        &[],
        &[],
    );
    compares("reserved 6, 8 to 9;", "reserved 8, 9; reserved 6;", &[], &[]);
}

#[test]
fn additions_are_pending_and_do_not_break() {
    compares(
        "string id = 1;",
        "string id = 1; bytes key = 7;",
        &[],
        &["field exchequer.t.v1.Tenant 7: `bytes key` is new"],
    );
}

#[test]
fn a_changed_number_breaks() {
    compares(
        "string id = 1;",
        "string id = 7;",
        &["field exchequer.t.v1.Tenant 1: `string id` is gone; reserve 1 and \"id\""],
        &["field exchequer.t.v1.Tenant 7: `string id` is new"],
    );
}

#[test]
fn a_changed_type_name_label_or_choice_breaks() {
    for (from, to, was, is) in [
        ("string id = 1;", "bytes id = 1;", "string id", "bytes id"),
        ("string id = 1;", "string key = 1;", "string id", "string key"),
        ("string id = 1;", "optional string id = 1;", "string id", "optional string id"),
        ("string id = 1;", "oneof o { string id = 1; }", "string id", "string id in o"),
        ("string id = 1;", "repeated string id = 1;", "string id", "repeated string id"),
    ] {
        compares(
            from,
            to,
            &[&format!("field exchequer.t.v1.Tenant 1: was `{was}`, is `{is}`")],
            &[],
        );
    }
}

#[test]
fn a_removed_field_breaks_unless_number_and_name_are_reserved() {
    let gone = "field exchequer.t.v1.Tenant 1: `string id` is gone; reserve 1 and \"id\"";
    compares("string id = 1;", "", &[gone], &[]);
    compares(
        "string id = 1;",
        "reserved 1;",
        &[gone],
        &["reserved exchequer.t.v1.Tenant 1 is new"],
    );
    compares(
        "string id = 1;",
        "reserved 1; reserved \"id\";",
        &[],
        &[
            "field exchequer.t.v1.Tenant 1: reserved",
            "reserved exchequer.t.v1.Tenant 1 is new",
            "reserved exchequer.t.v1.Tenant id is new",
        ],
    );
}

#[test]
fn what_was_reserved_stays_so() {
    compares(
        "reserved 6, 8 to 9;",
        "reserved 6, 9;",
        &["reserved exchequer.t.v1.Tenant 8 is gone"],
        &[],
    );
    compares("reserved \"old\";", "", &["reserved exchequer.t.v1.Tenant old is gone"], &[]);
}

#[test]
fn enum_values_methods_and_whole_types_are_kept() {
    compares(
        "STATUS_ACTIVE = 1;",
        "STATUS_OPEN = 1;",
        &["value exchequer.t.v1.Status 1: was `STATUS_ACTIVE`, is `STATUS_OPEN`"],
        &[],
    );
    compares(
        "rpc Get(Tenant) returns (Tenant);",
        "",
        &["rpc exchequer.t.v1.Tenants.Get is gone"],
        &[],
    );
    compares(
        "returns (stream Tenant)",
        "returns (Tenant)",
        &[
            "rpc exchequer.t.v1.Tenants.Watch: was `exchequer.t.v1.Tenant -> stream exchequer.t.v1.Tenant`, \
           is `exchequer.t.v1.Tenant -> exchequer.t.v1.Tenant`",
        ],
        &[],
    );
}

#[test]
fn a_type_that_is_gone_is_said_once() {
    compares(
        "enum Status { STATUS_UNSPECIFIED = 0; STATUS_ACTIVE = 1; }",
        "enum State { STATUS_UNSPECIFIED = 0; STATUS_ACTIVE = 1; }",
        &["enum exchequer.t.v1.Status is gone"],
        &[
            "enum exchequer.t.v1.State is new",
            "value exchequer.t.v1.State 0: `STATUS_UNSPECIFIED` is new",
            "value exchequer.t.v1.State 1: `STATUS_ACTIVE` is new",
        ],
    );
}

/// Compares the agreed proto with itself after one replacement.
#[expect(
    clippy::unwrap_used,
    reason = "a proto of this file that does not compile is a failed test"
)]
fn compares(from: &str, to: &str, broken: &[&str], pending: &[&str]) {
    assert!(AGREED.contains(from), "{from}");
    let comparison =
        compare(&stated(AGREED).unwrap(), &stated(&AGREED.replacen(from, to, 1)).unwrap());
    assert_eq!(comparison.broken, broken);
    assert_eq!(comparison.pending, pending);
}

fn stated(body: &str) -> Result<Statements, protox::Error> {
    struct One(String);
    impl FileResolver for One {
        fn open_file(&self, name: &str) -> Result<File, protox::Error> {
            if name != "t.proto" {
                return Err(protox::Error::file_not_found(name));
            }
            File::from_source(name, &self.0)
        }
    }
    let source = format!("syntax = \"proto3\"; package exchequer.t.v1; {body}");
    let mut resolver = ChainFileResolver::new();
    resolver.add(One(source));
    resolver.add(GoogleFileResolver::new());
    let mut compiler = protox::Compiler::with_file_resolver(resolver);
    compiler.open_file("t.proto")?;
    Ok(statements(&compiler.file_descriptor_set()))
}
