//! What filters mean, and each way of getting one wrong.

use exchequer_proto::tenants::v1 as pb;

use proptest::prelude::*;

use super::*;

#[derive(Debug, Default, Clone)]
struct Row {
    id: &'static str,
    status: i32,
    depth: Option<u32>,
    provider: bool,
    closes: Option<prost_types::Timestamp>,
    tags: Vec<String>,
}

const FIELDS: &[Field<Row>] = &[
    Field { path: "id", get: Get::Text(|it| it.id) },
    Field {
        path: "status",
        get: Get::Name {
            of: |it| it.status,
            name: |it| pb::TenantStatus::try_from(it).ok().map(|it| it.as_str_name()),
            prefix: "TENANT_STATUS_",
        },
    },
    Field { path: "place.depth", get: Get::Int(|it| it.depth.map(i128::from)) },
    Field { path: "provider", get: Get::Bool(|it| it.provider) },
    Field { path: "closes_at", get: Get::Time(|it| it.closes) },
    Field { path: "tags", get: Get::Texts(|it| &it.tags) },
];

fn rows() -> Vec<Row> {
    let at = |seconds| Some(prost_types::Timestamp { seconds, nanos: 0 });
    vec![
        Row { id: "acme", status: 1, depth: Some(1), closes: at(1_000), ..Row::default() },
        Row { id: "beta", status: 2, provider: true, ..Row::default() },
        Row {
            id: "core \"x\"",
            depth: Some(18),
            tags: vec!["eu".to_owned(), "us-1".to_owned()],
            ..Row::default()
        },
    ]
}

/// The first letters of the rows that `text` lets through.
fn found(text: &str) -> String {
    let filter = Filter::parse(text, FIELDS).unwrap_or_else(|error| panic!("{text}: {error:?}"));
    let rows = rows();
    let found = rows.iter().filter(|it| filter.holds(it));
    found.filter_map(|it| it.id.chars().next()).collect()
}

fn refused(text: &str) -> (usize, String) {
    let error = Filter::parse(text, FIELDS).unwrap_err();
    (error.at, error.message)
}

// REQ: EDG-05
#[test]
fn each_operator_compares_as_its_type_does() {
    for (text, expected) in [
        ("", "abc"),
        ("  \n", "abc"),
        ("id = acme", "a"),
        ("id=\"acme\"", "a"),
        ("id = 'core \"x\"'", "c"),
        ("id = \"core \\\"x\\\"\"", "c"),
        ("id != acme", "bc"),
        ("id < beta", "a"),
        ("id <= beta", "ab"),
        ("id > beta", "c"),
        ("id:e", "abc"),
        ("id:\"e \"", "c"),
        ("status = ACTIVE", "a"),
        ("status = TENANT_STATUS_SUSPENDED", "b"),
        ("status != ACTIVE", "b"),
        ("place.depth >= 1", "ac"),
        ("place.depth > 2", "c"),
        ("provider = true", "b"),
        ("provider != true", "ac"),
        ("closes_at < \"1970-01-01T00:16:41Z\"", "a"),
        ("closes_at <= \"1970-01-01T01:16:40+01:00\"", "a"),
        ("closes_at:*", "a"),
        ("tags:eu", "c"),
        ("tags:e", ""),
        ("tags:*", "c"),
    ] {
        assert_eq!(found(text), expected, "{text}");
    }
}

// REQ: EDG-05
#[test]
fn absent_values_satisfy_no_comparison() {
    assert_eq!(found("place.depth != 1"), "c");
    assert_eq!(found("NOT place.depth = 1"), "bc");
    assert_eq!(found("NOT closes_at:*"), "bc");
    assert_eq!(found("status = CLOSED"), "");
}

// REQ: EDG-05
#[test]
fn terms_are_joined() {
    for (text, expected) in [
        ("id = acme OR id = beta", "ab"),
        ("id >= acme AND id <= beta", "ab"),
        ("(id = acme OR id = beta) AND provider = true", "b"),
        ("NOT (id = acme OR provider = true)", "c"),
        ("NOT NOT id = acme", "a"),
        ("id = acme OR (provider = true AND NOT id = beta)", "a"),
        ("((id = acme))", "a"),
    ] {
        assert_eq!(found(text), expected, "{text}");
    }
}

// REQ: EDG-05
#[test]
fn what_is_no_filter_is_told_with_its_place() {
    for (text, at, message) in [
        ("name = x", 1, "no field \"name\": there are id, status, place.depth, provider"),
        ("id = a AND nope:*", 12, "no field \"nope\""),
        ("id", 3, "expected one of ="),
        ("id =", 5, "expected a value"),
        ("id = *", 6, "expected a value"),
        ("= a", 1, "expected a field"),
        ("id = a id = b", 8, "expected AND or OR"),
        ("id = a AND id = b OR id = c", 19, "put parentheses"),
        ("(id = a", 1, "does not close"),
        ("id = a)", 7, "expected AND or OR"),
        ("id = \"a", 6, "no closing"),
        ("id = \"a\\n\"", 9, "backslash"),
        ("id = a; drop", 7, "is not expected"),
        ("status = OPEN", 10, "status must be one of ACTIVE, SUSPENDED, CLOSED"),
        ("status < ACTIVE", 10, "status goes with = and !="),
        ("place.depth = one", 15, "must be a whole number"),
        ("place.depth:1", 13, "place.depth goes with"),
        ("provider = yes", 12, "must be true or false"),
        ("closes_at > 2026", 13, "RFC 3339"),
        ("tags = eu", 8, "tags goes with :"),
    ] {
        let (found_at, found) = refused(text);
        assert!(found.contains(message), "{text}: {found}");
        assert_eq!(found_at, at, "{text}: {found}");
    }
}

// REQ: EDG-04, EDG-05
#[test]
fn filters_have_bounds() {
    let deep = |levels| format!("{}id = a{}", "(".repeat(levels), ")".repeat(levels));
    assert!(Filter::parse(&deep(FILTER_DEPTH_MAX), FIELDS).is_ok());
    assert!(refused(&deep(FILTER_DEPTH_MAX + 1)).1.contains("16 deep"));
    assert!(refused(&format!("{}id = a", "NOT ".repeat(17))).1.contains("16 deep"));
    let many = |terms| vec!["id = a"; terms].join(" OR ");
    assert!(Filter::parse(&many(FILTER_TERMS_MAX), FIELDS).is_ok());
    assert!(refused(&many(FILTER_TERMS_MAX + 1)).1.contains("50 comparisons"));
    assert!(refused(&" ".repeat(FILTER_BYTES_MAX + 1)).1.contains("2000 bytes"));
    for hostile in ["\u{0}", "é = 1", "((((", "\"", "\\", "id : : a", "🦀", "NOT", "AND", ")("] {
        refused(hostile);
    }
}

proptest! {
    // REQ: EDG-04
    #[test]
    fn any_text_is_read_or_refused(text in ".{0,300}") {
        if let Ok(filter) = Filter::parse(&text, FIELDS) {
            let _ = rows().iter().filter(|row| filter.holds(row)).count();
        }
    }

    // REQ: EDG-04
    #[test]
    fn any_words_are_read_or_refused(words in proptest::collection::vec(
        prop_oneof![
            Just("id"), Just("status"), Just("provider"), Just("tags"), Just("AND"), Just("OR"),
            Just("NOT"), Just("("), Just(")"), Just("="), Just("!="), Just(":"), Just("*"),
            Just("acme"), Just("ACTIVE"), Just("true"), Just("\"a\""), Just("'"), Just("\\"),
        ],
        0..40,
    )) {
        let text = words.join(" ");
        if let Ok(filter) = Filter::parse(&text, FIELDS) {
            // What is read holds for a row or does not, and its negation the other way round.
            let not = Filter::parse(&format!("NOT ({text})"), FIELDS);
            if let (false, Ok(not)) = (filter.is_all(), not) {
                for row in rows() {
                    prop_assert_ne!(filter.holds(&row), not.holds(&row), "{}", text);
                }
            }
        }
    }
}
