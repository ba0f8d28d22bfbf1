//! Event schemas and their versions.

use super::{Story, create, put, rules};
use crate::*;

const SCHEMA: &str = r#"{"type": "object", "maxProperties": 10}"#;

fn retire(kind: &str) -> Command {
    Command::RetireEventSchema(RetireEventSchema { kind: kind.to_owned() })
}

// REQ: USE-02
#[test]
fn a_schema_is_set_replaced_retired_and_set_again() {
    let mut story = Story::default().when(put("request", SCHEMA));
    let schema = |story: &Story| Schema::clone(&story.state.schemas["request"]);
    assert_eq!((schema(&story).version, schema(&story).text.as_str()), (1, SCHEMA));
    // The same in another form is the same.
    let other = r#" {"maxProperties":1e1,"type":"object"} "#;
    assert_eq!(story.refuses(put("request", other)), codes::EVENT_SCHEMA_UNCHANGED);
    let story = story.when(put("request", "{}"));
    assert_eq!(schema(&story).version, 2);
    let mut story = story.when(retire("request"));
    assert!(schema(&story).retired);
    assert_eq!(story.refuses(retire("request")), codes::EVENT_SCHEMA_RETIRED);
    assert_eq!(story.refuses(retire("other")), codes::EVENT_SCHEMA_NOT_FOUND);
    let story = story.when(put("request", "{}"));
    assert_eq!((schema(&story).version, schema(&story).retired), (3, false));
    assert_eq!(schema(&story).changes, 4);
}

// REQ: USE-02
#[test]
fn what_cannot_be_a_schema_is_refused() {
    let mut story = Story::default();
    let long = "t".repeat(256);
    for kind in ["", " a", "a\n", &long] {
        assert_eq!(story.refuses(put(kind, "{}")), codes::EVENT_TYPE_INVALID, "{kind:?}");
    }
    let large = format!("{{\"title\":\"{}\"}}", "x".repeat(SCHEMA_BYTES_MAX));
    for text in ["", "{", "[]", "true", "{\"a\":1,\"a\":2}", &large] {
        assert_eq!(story.refuses(put("request", text)), codes::EVENT_SCHEMA_INVALID);
    }
}

// REQ: USE-02
#[test]
fn schemas_are_bounded() {
    let mut story = Story::default();
    for at in 0..SCHEMAS_MAX {
        story = story.when(put(&format!("t{at}"), "{}"));
    }
    assert_eq!(story.refuses(put("more", "{}")), codes::EVENT_SCHEMAS_TOO_MANY);
    // Schemas and meters share their room.
    let large = format!("{{\"title\":\"{}\"}}", "x".repeat(SCHEMA_BYTES_MAX - 12));
    let mut last = 0;
    while story.decide(&put(&format!("t{last}"), &large)).is_ok() {
        last += 1;
    }
    let refused = story.refuses(put(&format!("t{last}"), &large));
    assert_eq!((refused, last > 10), (codes::DEFINITIONS_TOO_LARGE, true));
    let story = story.when(retire("t0"));
    let _ = story.when(create(rules("tokens")));
}
