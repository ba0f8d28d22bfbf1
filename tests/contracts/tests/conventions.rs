//! The protos keep to the conventions, and each way of leaving them is noticed.

use std::path::{Path, PathBuf};
use std::{fs, io};

use exchequer_contracts::deviations;
use protox::file::{ChainFileResolver, File, FileResolver, GoogleFileResolver};

const SHOWN_MAX: usize = 40;

// REQ: EDG-05
#[test]
fn every_method_keeps_to_the_conventions() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../proto");
    let mut files = Vec::new();
    protos_below(&root, &mut files).unwrap();
    let set = protox::compile(&files, [root]).unwrap();
    let found = deviations(&set);
    let shown: Vec<&str> = found.iter().map(String::as_str).take(SHOWN_MAX).collect();
    assert!(found.is_empty(), "{} deviations:\n  {}", found.len(), shown.join("\n  "));
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
    Ok(())
}

const GOOD: &str = r"
    // Things.
    service ThingService {
      // Makes one.
      rpc CreateThing(CreateThingRequest) returns (Thing);
      // Makes some.
      rpc BatchCreateThings(BatchCreateThingsRequest) returns (BatchCreateThingsResponse);
      // Changes one.
      rpc UpdateThing(UpdateThingRequest) returns (Thing);
      // Gives one.
      rpc GetThing(GetThingRequest) returns (Thing);
      // By id.
      rpc ListThings(ListThingsRequest) returns (ListThingsResponse);
    }
    // A thing.
    message Thing {
      // Its id.
      string id = 1;
      // Its color.
      Color color = 2;
      // When it was made.
      google.protobuf.Timestamp made_at = 3;
    }
    // How it looks.
    enum Color {
      COLOR_UNSPECIFIED = 0;
      // As blood.
      COLOR_RED = 1;
    }
    message CreateThingRequest {
      // Its id.
      string id = 1;
      exchequer.common.v1.WriteOptions write = 15;
    }
    message BatchCreateThingsRequest {
      // Each by itself.
      repeated CreateThingRequest requests = 1;
      exchequer.common.v1.WriteOptions write = 15;
    }
    message BatchCreateThingsResponse {
      // In order.
      repeated ThingResult results = 1;
    }
    // One.
    message ThingResult {
      oneof result {
        // When made.
        Thing thing = 1;
        // When not.
        exchequer.common.v1.Error error = 2;
      }
    }
    message UpdateThingRequest {
      // What is to be.
      Thing thing = 1;
      // Which fields.
      google.protobuf.FieldMask update_mask = 14;
      exchequer.common.v1.WriteOptions write = 15;
    }
    message GetThingRequest {
      // Its id.
      string id = 1;
      // Which fields.
      google.protobuf.FieldMask read_mask = 14;
    }
    message ListThingsRequest {
      // 1-1000.
      uint32 page_size = 1;
      // Of the page.
      string page_token = 2;
      // Which.
      string filter = 13;
      // Which fields.
      google.protobuf.FieldMask read_mask = 14;
    }
    message ListThingsResponse {
      // By id.
      repeated Thing things = 1;
      // Of the next page.
      string next_page_token = 2;
    }
";

const COMMON: &str = r#"
    syntax = "proto3";
    package exchequer.common.v1;
    // Options.
    message WriteOptions {}
    // Why not.
    message Error {}
"#;

// REQ: EDG-05
#[test]
fn what_keeps_to_them_is_let_through() {
    assert_eq!(deviating("", ""), [""; 0]);
}

// REQ: EDG-05
#[test]
fn each_deviation_is_noticed() {
    for (from, to, expected) in [
        ("CreateThing(CreateThingRequest)", "CreateThing(GetThingRequest)", "must take"),
        (
            "string id = 1;\n      exchequer.common.v1.WriteOptions write = 15;",
            "string id = 1;",
            "must have `write`",
        ),
        (
            "WriteOptions write = 15;\n    }\n    message BatchCreateThingsResponse",
            "WriteOptions write = 9;\n    }\n    message BatchCreateThingsResponse",
            "must have the number 15",
        ),
        (
            "// Its id.\n      string id = 1;\n      // Which fields.\n      google.protobuf.FieldMask read_mask = 14;",
            "// Its id.\n      string id = 1;",
            "must have `read_mask`",
        ),
        ("uint32 page_size", "int32 page_size", "must have `page_size`"),
        ("string page_token", "bytes page_token", "must have `page_token`"),
        ("string filter = 13;", "", "must have `filter`"),
        ("string filter = 13;", "string filter = 3;", "must have the number 13"),
        (
            "// Its id.\n      string id = 1;\n      exch",
            "// Its id.\n      string id = 14;\n      exch",
            "must not have the number 14",
        ),
        ("repeated Thing things = 1;", "Thing things = 1;", "as field 1"),
        ("string next_page_token = 2;", "", "must give `next_page_token`"),
        ("google.protobuf.FieldMask update_mask = 14;", "", "must leave what is not given"),
        ("repeated CreateThingRequest requests", "repeated Thing requests", "one by one"),
        ("exchequer.common.v1.Error error", "Thing error", "or an `error`"),
        (
            "string id = 1;\n      // Its color.",
            "string theId = 1;\n      // Its color.",
            "lower snake case",
        ),
        ("google.protobuf.Timestamp made_at", "string made_at", "must be a Timestamp"),
        ("COLOR_RED", "RED", "must begin with COLOR_"),
        ("COLOR_UNSPECIFIED", "COLOR_BLUE", "0 be UNSPECIFIED"),
        ("// Things.", "", "ThingService: has no comment"),
        ("// By id.\n      rpc", "rpc", "ListThings: has no comment"),
        ("// A thing.", "", "Thing: has no comment"),
        ("// Its color.", "", "Thing.color: has no comment"),
        ("// How it looks.", "", "Color: has no comment"),
        ("// As blood.", "", "COLOR_RED: has no comment"),
    ] {
        let found = deviating(from, to);
        assert!(found.iter().any(|it| it.contains(expected)), "{from} to {to}: {found:?}");
    }
}

/// What deviates in the good proto after one replacement.
#[expect(
    clippy::unwrap_used,
    reason = "a proto of this file that does not compile is a failed test"
)]
fn deviating(from: &str, to: &str) -> Vec<String> {
    struct Given(String);
    impl FileResolver for Given {
        fn open_file(&self, name: &str) -> Result<File, protox::Error> {
            match name {
                "t.proto" => File::from_source(name, &self.0),
                "common.proto" => File::from_source(name, COMMON),
                _ => Err(protox::Error::file_not_found(name)),
            }
        }
    }
    assert!(GOOD.contains(from), "{from}");
    let body = if from.is_empty() { GOOD.to_owned() } else { GOOD.replacen(from, to, 1) };
    let head = "syntax = \"proto3\"; package exchequer.t.v1; import \"common.proto\"; \
                import \"google/protobuf/timestamp.proto\"; import \"google/protobuf/field_mask.proto\";\n";
    let mut resolver = ChainFileResolver::new();
    resolver.add(Given(format!("{head}{body}")));
    resolver.add(GoogleFileResolver::new());
    let mut compiler = protox::Compiler::with_file_resolver(resolver);
    compiler.include_source_info(true).include_imports(true).open_file("t.proto").unwrap();
    deviations(&compiler.file_descriptor_set())
}
