//! What belongs to persons is encrypted, or the contract does not compile: every way
//! to forget it is refused, with the field's name.

#![expect(clippy::unwrap_used, reason = "a test's own checks")]

#[path = "../build/personal.rs"]
#[expect(dead_code, reason = "the table is the build script's")]
mod personal;

use protox::file::{ChainFileResolver, File, FileResolver, GoogleFileResolver};

struct Files(String, String);

impl FileResolver for Files {
    fn open_file(&self, name: &str) -> Result<File, protox::Error> {
        let options = include_str!("../../../proto/exchequer/options/v1/options.proto");
        let common = r#"syntax = "proto3"; package exchequer.common.v1;
            message Protected { bytes key = 1; bytes text = 2; }"#;
        match name {
            "exchequer/options/v1/options.proto" => File::from_source(name, options),
            "exchequer/common/v1/common.proto" => File::from_source(name, common),
            "exchequer/test/v1/events.proto" => File::from_source(name, &self.0),
            "exchequer/test/v1/test.proto" => File::from_source(name, &self.1),
            _ => Err(protox::Error::file_not_found(name)),
        }
    }
}

/// An event with this field, and a request with that one.
fn checked(kept: &str, asked: &str, encrypted: &[&str]) -> Result<(), Vec<String>> {
    let head = r#"syntax = "proto3"; package exchequer.test.v1;
        import "exchequer/options/v1/options.proto";
        import "exchequer/common/v1/common.proto";"#;
    let events = format!("{head} message Happened {{ {kept} }}");
    let service = format!(
        "{head} service Tests {{ rpc Do(Ask) returns (Answer); }}
        message Ask {{ string who = 1; Inner inner = 2; }}
        message Inner {{ string who = 1; {asked} }}
        message Answer {{ string name = 1 [(exchequer.options.v1.data) = DATA_CLASS_PERSONAL]; }}"
    );
    let mut resolver = ChainFileResolver::new();
    resolver.add(Files(events, service));
    resolver.add(GoogleFileResolver::new());
    let mut compiler = protox::Compiler::with_file_resolver(resolver);
    let files = ["exchequer/test/v1/events.proto", "exchequer/test/v1/test.proto"];
    compiler.include_imports(true).open_files(files).unwrap();
    personal::check(&compiler.descriptor_pool(), encrypted)
}

const KEPT: &str = "exchequer.common.v1.Protected name = 1 \
                    [(exchequer.options.v1.data) = DATA_CLASS_PERSONAL];";
const ASKED: &str = "string name = 2 [(exchequer.options.v1.data) = DATA_CLASS_PERSONAL, \
                     (exchequer.options.v1.subject) = \"who\"];";
const NAME: &str = "exchequer.test.v1.Inner.name";

// REQ: EDG-06
#[test]
fn what_is_marked_and_encrypted_compiles() {
    assert_eq!(checked(KEPT, ASKED, &[NAME]), Ok(()));
    assert_eq!(checked("", "", &[]), Ok(()), "replies may show what was read");
    let secret = "string name = 2 [(exchequer.options.v1.data) = DATA_CLASS_SECRET];";
    assert_eq!(checked(KEPT, secret, &[NAME]), Ok(()), "a secret is the tenant's");
}

// REQ: EDG-06
#[test]
fn what_is_forgotten_is_named() {
    let clear = "string name = 1 [(exchequer.options.v1.data) = DATA_CLASS_PERSONAL];";
    let unmarked = "exchequer.common.v1.Protected name = 1;";
    let nobody = "string name = 2 [(exchequer.options.v1.data) = DATA_CLASS_PERSONAL];";
    let cases = [
        (clear, ASKED, &[NAME][..], "Happened.name: is kept for ever"),
        (unmarked, ASKED, &[NAME], "Happened.name: has no option"),
        (KEPT, ASKED, &[], "Inner.name: is not in the table"),
        (KEPT, "", &[NAME], "Inner.name: is encrypted, and no request"),
        (KEPT, nobody, &[NAME], "Inner.name: its subject ``"),
    ];
    for (kept, asked, encrypted, expected) in cases {
        let wrong = checked(kept, asked, encrypted).unwrap_err();
        assert!(wrong.len() == 1 && wrong[0].contains(expected), "{expected}: {wrong:?}");
    }
}
