//! What callers send and cannot be read is told with its place.

use super::*;

fn condition(kind: pb::condition::Kind) -> pb::Condition {
    pb::Condition { kind: Some(kind) }
}

fn targeting(inner: pb::Condition) -> pb::Targeting {
    use pb::condition::Kind;
    let inner = condition(Kind::Not(Box::new(inner)));
    let all = condition(Kind::All(pb::Conditions { conditions: vec![inner] }));
    let outcome = pb::Outcome { kind: Some(pb::outcome::Kind::Variant("on".to_owned())) };
    let rule = pb::Rule { id: "r".to_owned(), condition: Some(all), outcome: Some(outcome) };
    pb::Targeting { rules: vec![rule], ..pb::Targeting::default() }
}

// REQ: FLG-04
#[test]
fn what_cannot_be_read_is_told_with_its_path() {
    use pb::attribute_test::Test;
    let test = |test| {
        let name = "user.age".to_owned();
        condition(pb::condition::Kind::Attribute(pb::AttributeTest { name, test }))
    };
    let number = |text: &str| pb::Scalar { kind: Some(pb::scalar::Kind::Number(text.to_owned())) };
    let cases = [
        (pb::Condition { kind: None }, ""),
        (test(None), ".attribute"),
        (test(Some(Test::Below("NaN".to_owned()))), ".attribute.below"),
        (test(Some(Test::AtLeast("1e999".to_owned()))), ".attribute.at_least"),
        (test(Some(Test::Exists(false))), ".attribute.exists"),
        (test(Some(Test::Is(pb::Scalar { kind: None }))), ".attribute.is"),
        (
            test(Some(Test::In(pb::Scalars { values: vec![number("1"), number("one")] }))),
            ".attribute.in[1].number",
        ),
    ];
    for (inner, path) in cases {
        let misfit = targeting_from_proto(Some(targeting(inner))).unwrap_err();
        assert_eq!(misfit.path, format!("rules[0].condition.all[0].not{path}"));
        assert!(misfit.message.starts_with("must"));
    }
    let good = test(Some(Test::Below("18".to_owned())));
    assert!(targeting_from_proto(Some(targeting(good))).is_ok());
    assert_eq!(targeting_from_proto(None).unwrap_err().message, "must be given");
}

// REQ: FLG-01
#[test]
fn a_definition_that_cannot_be_read_is_told_with_its_path() {
    let variant = |value| pb::Variant { key: "on".to_owned(), value };
    let text = pb::value::Kind::Text("x".to_owned());
    let mut it = pb::Definition {
        kind: pb::Kind::String.into(),
        variants: vec![
            variant(Some(pb::Value { kind: Some(text) })),
            variant(Some(pb::Value { kind: None })),
        ],
        ..pb::Definition::default()
    };
    let misfit = definition_from_proto(Some(it.clone())).unwrap_err();
    assert_eq!((misfit.path.as_str(), misfit.kind), ("variants[1].value", MisfitKind::Value));
    it.kind = 99;
    let misfit = definition_from_proto(Some(it)).unwrap_err();
    assert_eq!((misfit.path.as_str(), misfit.kind), ("kind", MisfitKind::Enum));
}
