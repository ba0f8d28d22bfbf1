//! What a schema may be, that its check is bounded, and what it says of data.

use super::*;

const TOKENS: &str = r##"{
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "$id": "https://example.com/tokens",
    "type": "object",
    "required": ["tokens"],
    "properties": {
        "tokens": { "type": "integer", "minimum": 0 },
        "model": { "enum": ["small", "large"] },
        "parts": { "type": "array", "items": { "$ref": "#/$defs/part" } },
        "code": { "type": "string", "pattern": "^[A-Z]{2}$" }
    },
    "$defs": { "part": { "type": "object", "properties": { "a b": { "type": "number" } } } }
}"##;

fn told(schema: &str, data: &str) -> Vec<String> {
    let schema = Schema::compile(schema).unwrap();
    let found = schema.check(data);
    assert_eq!(found, schema.check(data), "decided twice");
    found.iter().map(ToString::to_string).collect()
}

// REQ: USE-02
#[test]
fn data_are_checked_and_what_is_wrong_is_named() {
    assert!(told(TOKENS, r#"{"tokens":3,"model":"large","parts":[{"a b":1}]}"#).is_empty());
    for (data, field) in [
        (r#"{"tokens":-1}"#, "$.tokens:"),
        (r#"{"tokens":"secret"}"#, "$.tokens:"),
        (r#"{"tokens":1.5}"#, "$.tokens:"),
        ("{}", "$:"),
        ("null", "$:"),
        (r#"{"tokens":1,"model":"huge"}"#, "$.model:"),
        (r#"{"tokens":1,"parts":[{},{"a b":"x"}]}"#, "$.parts[1]['a b']:"),
        (r#"{"tokens":1,"code":"abc"}"#, "$.code:"),
        (r#"{"tokens":1e400}"#, "$:"),
    ] {
        let found = told(TOKENS, data);
        assert_eq!(found.len(), 1, "{data}: {found:?}");
        assert!(found[0].starts_with(field), "{data}: {found:?}");
        assert!(!found[0].contains("secret"), "{found:?}");
    }
    let many = format!("[{}]", vec!["1"; 100].join(","));
    assert_eq!(told(r#"{"items":{"type":"string"}}"#, &many).len(), VIOLATIONS_MAX);
}

fn refused(schema: &str) -> (&'static str, String) {
    let rejection = Schema::compile(schema).unwrap_err();
    assert_eq!(Schema::compile(schema).unwrap_err(), rejection, "decided twice");
    (rejection.code(), rejection.to_string())
}

// REQ: USE-02
#[test]
fn what_cannot_be_a_schema_is_refused() {
    use codes::*;
    let large = format!(r#"{{"title":"{}"}}"#, "x".repeat(SCHEMA_BYTES_MAX));
    let deep = format!("{}true{}", r#"{"not":"#.repeat(DEPTH_MAX + 1), "}".repeat(DEPTH_MAX + 1));
    let many = format!(r#"{{"enum":[{}]}}"#, vec!["1"; NODES_MAX].join(","));
    for (schema, code, said) in [
        (&*large, SCHEMA_TOO_LARGE, "bytes"),
        (&*deep, SCHEMA_TOO_LARGE, "levels"),
        (&*many, SCHEMA_TOO_LARGE, "parts"),
        ("{", SCHEMA_INVALID, "EOF"),
        ("7", SCHEMA_INVALID, "object"),
        (r#"{"type":"text"}"#, SCHEMA_INVALID, "type"),
        (r#"{"$schema":"https://example.com/own"}"#, SCHEMA_INVALID, "2020-12"),
        (r#"{"pattern":"("}"#, SCHEMA_INVALID, ""),
        (r#"{"pattern":"(a)\\1"}"#, SCHEMA_INVALID, ""),
        (r#"{"pattern":"(?=a)b"}"#, SCHEMA_INVALID, ""),
        (r#"{"pattern":"((a{99}){99}){99}"}"#, SCHEMA_INVALID, ""),
        (r#"{"$ref":"https://example.com/a"}"#, SCHEMA_REFERENCE_INVALID, "within the schema"),
        (r#"{"$ref":"file:///etc/passwd"}"#, SCHEMA_REFERENCE_INVALID, "/$ref"),
        (r#"{"not":{"$dynamicRef":"/a"}}"#, SCHEMA_REFERENCE_INVALID, "/not/$dynamicRef"),
        (r#"{"not":{"$id":"http://a"}}"#, SCHEMA_REFERENCE_INVALID, "root"),
        (r##"{"$ref":"#/$defs/a"}"##, SCHEMA_REFERENCE_INVALID, "leads to nothing"),
    ] {
        let found = refused(schema);
        assert_eq!(found.0, code, "{schema}: {}", found.1);
        assert!(found.1.contains(said), "{schema}: {}", found.1);
    }
}

// REQ: USE-02
#[test]
fn a_schema_that_would_take_for_ever_is_refused() {
    for circle in [
        r##"{"$ref":"#"}"##,
        r##"{"allOf":[{"$ref":"#"}]}"##,
        r##"{"$ref":"#/$defs/a","$defs":{"a":{"not":{"$ref":"#/$defs/b"}},"b":{"$ref":"#/$defs/a"}}}"##,
    ] {
        assert!(refused(circle).1.contains("circle"), "{circle}");
    }
    // Each level doubles the work.
    let steps = (0..30).map(|at| {
        let next = at + 1;
        format!(r##""{at}":{{"allOf":[{{"$ref":"#/$defs/{next}"}},{{"$ref":"#/$defs/{next}"}}]}}"##)
    });
    let steps: Vec<String> = steps.collect();
    let doubling = format!(r##"{{"$ref":"#/$defs/0","$defs":{{{},"30":true}}}}"##, steps.join(","));
    assert_eq!(refused(&doubling).0, codes::SCHEMA_TOO_LARGE);
    let below = r##"{"properties":{"a":{"allOf":[{"$ref":"#"},{"$ref":"#"}]}}}"##;
    assert_eq!(refused(below).0, codes::SCHEMA_TOO_LARGE);
    // A tree of any depth is fine.
    let tree = r##"{"type":"object","properties":{"left":{"$ref":"#"},"right":{"$ref":"#"}}}"##;
    assert!(told(tree, r#"{"left":{"left":{}},"right":{}}"#).is_empty());
    assert_eq!(told(tree, r#"{"left":{"left":7}}"#).len(), 1);
    // A pattern is matched in time that is linear in the text.
    let pattern = r#"{"pattern":"^(a+)+$"}"#;
    assert_eq!(told(pattern, &format!("\"{}b\"", "a".repeat(60_000))).len(), 1);
}

// REQ: USE-02
#[test]
fn a_schema_is_compiled_once_and_their_number_is_bounded() {
    let cache = Cache::default();
    let first = cache.schema(TOKENS).unwrap();
    for at in 0..2 * SCHEMAS_MAX {
        cache.schema(&format!(r#"{{"maximum":{at}}}"#)).unwrap();
        assert!(std::sync::Arc::ptr_eq(&first, &cache.schema(TOKENS).unwrap()), "{at}");
    }
    assert!(cache.schema("{").is_err());
}
