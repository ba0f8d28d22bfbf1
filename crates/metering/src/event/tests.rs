//! What is read as an event, what is refused and how, and that one bad event of a list
//! harms no other.

use proptest::prelude::*;

use super::*;
use crate::normal::{BodyDigest, DEPTH_MAX, normal_form};

const GOOD: &str = r#"{"specversion":"1.0","id":"e-1","source":"/api","type":"tokens",
    "time":"2026-11-21T08:30:00.25Z","subject":"u1","tenant":"acme","dataschema":"v1",
    "datacontenttype":"application/json; charset=utf-8","traceparent":"00-ab","n":7,
    "data":{"model":"large","tokens":1.50}}"#;

/// GOOD with a member replaced, or taken out.
fn with(name: &str, value: Option<&str>) -> String {
    let mut event: serde_json::Map<String, serde_json::Value> = serde_json::from_str(GOOD).unwrap();
    event.remove(name);
    let mut text = serde_json::to_string(&event).unwrap();
    if let Some(value) = value {
        text.pop();
        text = format!("{text},\"{name}\":{value}}}");
    }
    text
}

fn refused(text: &str) -> (&'static str, &'static str, String) {
    let refused = structured(text.as_bytes()).unwrap_err().rejection;
    assert_eq!(structured(text.as_bytes()).unwrap_err().rejection, refused, "decided twice");
    (refused.code(), refused.field(), refused.to_string())
}

// REQ: USE-02
#[test]
fn an_event_in_json_is_read() {
    let event = structured(GOOD.as_bytes()).unwrap();
    assert_eq!(event.tenant, "acme");
    let body = event.body();
    assert_eq!((body.kind, body.schema, body.subject), ("tokens", "v1", "u1"));
    assert_eq!(body.time.unwrap().to_string(), "2026-11-21T08:30:00.250Z");
    assert_eq!(body.data, r#"{"model":"large","tokens":1.50}"#);
    assert_eq!((&*event.source, &*event.id), ("/api", "e-1"));
    let escaped = with("id", Some(r#""a\u00e9\ud83d\ude00\"""#));
    assert_eq!(structured(escaped.as_bytes()).unwrap().id, "aé😀\"");
    for (name, value) in [("data", None), ("data", Some("null")), ("subject", Some("null"))] {
        assert!(structured(with(name, value).as_bytes()).is_ok(), "{name} {value:?}");
    }
    assert_eq!(structured(with("data", None).as_bytes()).unwrap().data, "null");
    assert_eq!(structured(with("time", None).as_bytes()).unwrap().time, None);
}

// REQ: USE-02
#[test]
fn one_event_is_the_same_in_both_modes() {
    let one = structured(GOOD.as_bytes()).unwrap();
    let headers: [(&str, &[u8]); 7] = [
        ("specversion", b"1.0"),
        ("id", b"e-1"),
        ("source", b"/%61pi"),
        ("type", b"\"tokens\""),
        ("time", b"2026-11-21T09:30:00.250000+01:00"),
        ("subject", b"u1"),
        ("dataschema", b"v1"),
    ];
    let headers = headers.into_iter().chain([("tenant", b"acme".as_slice())]);
    let body = br#" { "tokens": 15e-1, "model": "large" } "#;
    let other = binary(headers, Some(b"application/cloud+json"), body).unwrap();
    assert_eq!(one.identity(), other.identity());
    assert_eq!(BodyDigest::of(&one.body()), BodyDigest::of(&other.body()));
}

// REQ: USE-02
#[test]
fn each_refusal_names_its_field_and_what_to_do() {
    use codes::*;
    let long = |bytes: usize| format!("\"{}\"", "a".repeat(bytes));
    let deep = format!("{}{}", "[".repeat(DEPTH_MAX + 1), "]".repeat(DEPTH_MAX + 1));
    let cases: [(&str, Option<&str>, &str, &str, &str); 31] = [
        ("specversion", None, EVENT_ATTRIBUTE_MISSING, "specversion", "specversion is missing"),
        ("specversion", Some("\"0.3\""), EVENT_SPECVERSION_UNKNOWN, "specversion", "must be 1.0"),
        ("specversion", Some("1.0"), EVENT_ATTRIBUTE_INVALID, "specversion", "not a number"),
        ("id", None, EVENT_ATTRIBUTE_MISSING, "id", "id is missing"),
        ("id", Some("\"\""), EVENT_ATTRIBUTE_MISSING, "id", "id is missing"),
        ("id", Some("7"), EVENT_ATTRIBUTE_INVALID, "id", "must be a text, not a number"),
        ("id", Some(&long(257)), EVENT_ATTRIBUTE_INVALID, "id", "at most 256 bytes"),
        ("id", Some("\"a\\n\""), EVENT_ATTRIBUTE_INVALID, "id", "control characters"),
        ("id", Some("\"\\ud800\""), EVENT_ATTRIBUTE_INVALID, "id", "stands for no character"),
        ("source", None, EVENT_ATTRIBUTE_MISSING, "source", "source is missing"),
        ("source", Some(&long(513)), EVENT_ATTRIBUTE_INVALID, "source", "at most 512 bytes"),
        ("type", None, EVENT_ATTRIBUTE_MISSING, "type", "type is missing"),
        ("type", Some(&long(256)), EVENT_ATTRIBUTE_INVALID, "type", "at most 255 bytes"),
        ("subject", Some(&long(257)), EVENT_ATTRIBUTE_INVALID, "subject", "at most 256 bytes"),
        ("subject", Some("{}"), EVENT_ATTRIBUTE_INVALID, "subject", "not an object"),
        ("tenant", None, EVENT_ATTRIBUTE_MISSING, "tenant", "extension attribute"),
        ("tenant", Some("\"Acme Ltd\""), EVENT_ATTRIBUTE_INVALID, "tenant", "must match"),
        ("tenant", Some("[\"acme\"]"), EVENT_ATTRIBUTE_INVALID, "tenant", "not a list"),
        ("time", Some("\"yesterday\""), EVENT_ATTRIBUTE_INVALID, "time", "2026-01-31T12:00:00Z"),
        ("time", Some("1763713800"), EVENT_ATTRIBUTE_INVALID, "time", "not a number"),
        ("time", Some("\"1969-12-31T23:59:59Z\""), EVENT_ATTRIBUTE_INVALID, "time", "1970-01-01"),
        ("data_base64", Some("\"AA==\""), EVENT_DATA_INVALID, "data", "send one"),
        ("datacontenttype", Some("\"text/xml\""), EVENT_DATA_INVALID, "datacontenttype", "+json"),
        ("data", Some("{\"n\":NaN}"), EVENT_DATA_INVALID, "data", "has 'N' where a value"),
        ("data", Some("{\"n\":01}"), EVENT_DATA_INVALID, "data", "(byte 7)"),
        ("data", Some("Infinity"), EVENT_DATA_INVALID, "data", "where a value"),
        ("data", Some("{\"n\":1,\"n\":2}"), EVENT_DATA_INVALID, "data", "the member \"n\" twice"),
        ("data", Some("{\"n\":1e9999999999999999999}"), EVENT_DATA_INVALID, "data", "smaller"),
        ("data", Some(&deep), EVENT_DATA_INVALID, "data", "more than 32 levels deep"),
        ("data", Some("01"), EVENT_DATA_INVALID, "data", "must be JSON"),
        ("data", Some("{\"a\":\"\\x\"}"), EVENT_DATA_INVALID, "data", "must be JSON"),
    ];
    for (name, value, code, field, message) in cases {
        let found = refused(&with(name, value));
        assert_eq!((found.0, found.1), (code, field), "{name} {value:?}: {}", found.2);
        assert!(found.2.contains(message), "{name} {value:?}: {}", found.2);
        assert!(found.2.starts_with(field), "{}", found.2);
    }
    let found = refused(&with("data", None).replace("\"n\":7", "\"data_base64\":\"AA==\""));
    assert_eq!((found.0, found.1), (EVENT_DATA_INVALID, "data_base64"));
    let found = refused(&GOOD.replace("\"n\":7", "\"id\":\"e-2\""));
    assert_eq!((found.0, found.1), (EVENT_ATTRIBUTE_REPEATED, "id"));
    let found = refused(&GOOD.replace("\"n\":7", "\"data\":{}"));
    assert_eq!((found.0, found.1), (EVENT_DATA_INVALID, "data"));
    let large = format!("{{\"x\":\"{}\"}}", "y".repeat(EVENT_BYTES_MAX));
    let found = refused(&with("data", Some(&large)));
    assert_eq!(found.0, EVENT_TOO_LARGE);
    for text in ["", "7", "[]", "{", "{}x", "{\"id\"}", "{\"id\":1,}", &GOOD[..GOOD.len() - 1]] {
        let found = refused(text).0;
        assert!([EVENT_MALFORMED, EVENT_ATTRIBUTE_MISSING].contains(&found), "{text}: {found}");
    }
    assert_eq!(structured(b"{\"id\":\"\xff\"}").unwrap_err().rejection.code(), EVENT_MALFORMED);
}

// REQ: USE-02
#[test]
fn a_refusal_tells_what_could_be_read() {
    let text = with("data", Some("{\"n\":NaN}"));
    let Refused { told, bytes, .. } = structured(text.as_bytes()).unwrap_err();
    assert_eq!(told.tenant.unwrap().as_str(), "acme");
    assert_eq!((&*told.source, &*told.id, &*told.kind), ("/api", "e-1", "tokens"));
    assert_eq!(bytes, text.len());
    // Also when what is broken stands before it, and when the event is too large.
    let broken = GOOD.replacen('{', "{\"data\":{\"n\":NaN,\"o\":[1,{}]},", 1);
    let broken = broken.replace(",\n    \"data\":{\"model\":\"large\",\"tokens\":1.50}", "");
    let found = structured(broken.as_bytes()).unwrap_err();
    assert_eq!(found.rejection.field(), "data");
    assert_eq!(found.told.id, "e-1");
    let large = with("id", Some(&format!("\"{}\"", "é".repeat(EVENT_BYTES_MAX))));
    let found = structured(large.as_bytes()).unwrap_err();
    assert_eq!(found.rejection.code(), codes::EVENT_TOO_LARGE);
    assert_eq!(found.told.id.len(), 256);
}

fn verdicts(text: &str) -> Vec<String> {
    let told = batch(text.as_bytes()).map(|it| match it {
        Ok(event) => event.id.into_owned(),
        Err(refused) => refused.rejection.code().to_owned(),
    });
    told.collect()
}

// REQ: USE-02
#[test]
fn one_bad_event_harms_no_other() {
    let one = with("id", Some("\"a\""));
    let other = with("id", Some("\"b ] } , [ {\""));
    let second = "b ] } , [ {";
    for bad in
        ["{\"id\":NaN}", "7", "", "{\"a\":1 \"b\":2}", "{} {}", "[1,2]", "\"x\"", "{\"a\":[}}"]
    {
        let found = verdicts(&format!(" [{one} , {bad},\n{other}] "));
        assert_eq!(found.len(), 3, "{bad}: {found:?}");
        assert_eq!((&*found[0], &*found[2]), ("a", second), "{bad}");
        assert!(found[1].starts_with("EVENT_"), "{bad}: {found:?}");
    }
    let mut bytes = format!("[{one},{{\"id\":\"?\"}},{other}]").into_bytes();
    let at = bytes.iter().position(|it| *it == b'?').unwrap();
    bytes[at] = 0xff;
    let found: Vec<_> = batch(&bytes).map(|it| it.is_ok()).collect();
    assert_eq!(found, [true, false, true]);
    assert_eq!(verdicts("[]"), Vec::<String>::new());
    assert_eq!(verdicts(" [ ] "), Vec::<String>::new());
}

/// Values of an attribute, as they may be written.
const WRITTEN: [&str; 16] = [
    r#""acme""#,
    r#""1.0""#,
    r#""""#,
    "null",
    "7",
    "true",
    r#"{"a":[1,{"b":2}]}"#,
    r#"{"a":1,"a":2}"#,
    r#""a\u00e9""#,
    r#""a\x""#,
    "\"caf\u{e9} \u{85}\"",
    "\"\u{7f}\"",
    "\"tab\there\"",
    r#""2026-11-21T08:30:00.25Z""#,
    r#""application/json""#,
    r#""un"finished"#,
];
const NAMED: [&str; 12] = [
    "specversion",
    "id",
    "source",
    "type",
    "time",
    "subject",
    "dataschema",
    "datacontenttype",
    "tenant",
    "data",
    "data_base64",
    "other",
];

// REQ: USE-02
#[test]
fn an_event_of_a_list_is_judged_as_alone() {
    let long = format!("\"{}\"", "x".repeat(600));
    let huge = format!("\"{}\"", "x".repeat(EVENT_BYTES_MAX));
    for name in NAMED {
        for value in WRITTEN.into_iter().chain([long.as_str(), huge.as_str()]) {
            // As most have it, lest none is read in the quick way.
            let once = with(name, Some(value)).replace("; charset=utf-8", "");
            let twice = once.replacen('{', &format!("{{\n \"{name}\" : {value} ,"), 1);
            for text in [once, twice, with(name, None), with(name, Some(value))] {
                let alone = structured(text.as_bytes());
                let listed = format!("[ {text},{text} ]");
                let listed: Vec<_> = batch(listed.as_bytes()).collect();
                assert_eq!(listed, [alone.clone(), alone], "{text}");
            }
        }
    }
}

// REQ: USE-02
#[test]
fn of_a_list_that_is_cut_off_the_beginning_counts() {
    let one = with("id", Some("\"a\""));
    let list = format!("[{one},{one},{one}]");
    for end in 0..list.len() {
        let found = verdicts(&list[..end]);
        let whole = if end > one.len() * 3 + 2 {
            3
        } else if end > one.len() * 2 + 1 {
            2
        } else {
            usize::from(end > one.len())
        };
        let accepted = found.iter().take_while(|it| *it == "a").count();
        assert_eq!(accepted, whole, "{end}: {found:?}");
        assert_eq!(found.len(), whole + 1, "{end}: {found:?}");
        let end_of_it = found.last().unwrap();
        assert_eq!(
            *end_of_it,
            if end == 0 { codes::EVENT_MALFORMED } else { codes::EVENTS_CUT_OFF }
        );
    }
    assert_eq!(verdicts(&format!("[{one}]]")), ["a", codes::EVENTS_CUT_OFF]);
    assert_eq!(verdicts(&format!("[{one}}}")), ["a", codes::EVENTS_CUT_OFF]);
    assert_eq!(verdicts("[] []"), [codes::EVENTS_CUT_OFF]);
    assert_eq!(verdicts(&one), [codes::EVENT_MALFORMED]);
}

// REQ: USE-02
#[test]
fn headers_that_cannot_be_read_are_named() {
    let of = |name: &'static str, value: &'static [u8], body: &'static [u8]| {
        let good: [(&str, &[u8]); 5] = [
            ("specversion", b"1.0"),
            ("id", b"1"),
            ("source", b"/"),
            ("type", b"t"),
            ("tenant", b"acme"),
        ];
        let headers = good.into_iter().filter(|it| it.0 != name).chain([(name, value)]);
        let found = binary(headers, None, body);
        found.map(|it| it.data.to_owned()).map_err(|it| (it.rejection.code(), it.rejection.field()))
    };
    let invalid = |field| Err((codes::EVENT_ATTRIBUTE_INVALID, field));
    assert_eq!(of("id", b"%", b""), invalid("id"));
    assert_eq!(of("id", b"%+1", b""), invalid("id"));
    assert_eq!(of("id", b"%ff", b""), invalid("id"));
    assert_eq!(of("id", b"\xff", b""), invalid("id"));
    assert_eq!(of("id", b"%00", b""), invalid("id"));
    let data = Err((codes::EVENT_DATA_INVALID, "data"));
    assert_eq!(of("id", b"1", b"\xff"), data);
    assert_eq!(of("id", b"1", b"{}{}"), data);
    assert_eq!(of("id", b"1", b"{} "), Ok("{}".to_owned()));
    assert_eq!(of("id", b"1", b""), Ok("null".to_owned()));
    assert_eq!(of("id", b"1", b"\xef\xbb\xbf7"), Ok("7".to_owned()));
}

/// JSON, and what is nearly JSON.
fn texts() -> impl Strategy<Value = String> {
    let token = prop_oneof![
        Just("{".to_owned()),
        Just("}".to_owned()),
        Just("[".to_owned()),
        Just("]".to_owned()),
        Just(":".to_owned()),
        Just(",".to_owned()),
        Just("\"a\"".to_owned()),
        Just("\"b\"".to_owned()),
        Just(" ".to_owned()),
        Just("true".to_owned()),
        Just("null".to_owned()),
        "-?[0-9]{1,3}(\\.[0-9]{1,2})?([eE][+-]?[0-9]{1,2})?",
        "\"(\\\\(u[0-9a-fA-F]{4}|[\"\\\\nrtbfx/])|[ -~é]){0,4}\"",
    ];
    let json = any::<i32>().prop_map(serde_json::Value::from).boxed();
    let json = json.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(serde_json::Value::from),
            prop::collection::btree_map("[a-c\"é]{1,2}", inner, 0..4)
                .prop_map(serde_json::Value::from_iter),
        ]
    });
    prop_oneof![
        prop::collection::vec(token, 0..12).prop_map(|it| it.concat()),
        json.prop_map(|it| it.to_string()),
        json_with_a_change(),
    ]
}

fn json_with_a_change() -> impl Strategy<Value = String> {
    (r#"[\{\}\[\],:"a-c0-9 .eE+-]{0,24}"#, any::<prop::sample::Index>()).prop_map(|(text, at)| {
        let good = r#"{"a":[1,2.5e3,{"b":"c"}],"d":"\u00e9"}"#;
        let at = at.index(good.len());
        format!("{}{text}{}", good.get(..at).unwrap_or(""), good.get(at..).unwrap_or(""))
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    /// What the gate lets in, the meter can read; what it refuses as JSON, is none.
    // REQ: USE-02
    #[test]
    fn the_gate_and_the_meter_agree_on_json(text in texts()) {
        let event = with("data", None);
        let body = format!("{},\"data\":{text}}}", &event[..event.len() - 1]);
        let found = structured(body.as_bytes());
        let form = normal_form(&text);
        if let Ok(event) = &found {
            prop_assert!(BodyDigest::of(&event.body()).is_ok(), "{text}");
        }
        // An object could be closed and opened again by the text itself.
        if form.is_ok() && !text.trim().is_empty() {
            prop_assert!(found.is_ok(), "{text}: {found:?}");
        }
    }

    // REQ: USE-02
    #[test]
    fn any_bytes_have_an_answer(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        drop(structured(&bytes));
        prop_assert!(batch(&bytes).count() <= bytes.len() + 1);
        drop(binary([("id", bytes.as_slice())], Some(&bytes), &bytes));
    }
}
