//! A decision allocates nothing. Alone in its program, so that no other test's
//! allocations are counted.
#![expect(clippy::unwrap_used, reason = "helpers of tests stand outside test functions")]

use std::alloc::System;

use exchequer_flag_eval::{
    Attribute, Condition, Context, Flag, Kind, Limits, Outcome, Reason, Rule, Scalar, Snapshot,
    Split, Test, Value, Variant, compile,
};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

fn snapshot() -> Snapshot {
    let leaf = |name: &str, test| Condition::Attribute { name: name.to_owned(), test };
    let condition = Condition::All(vec![
        leaf("user.country", Test::In(["VN", "TH"].map(|it| Scalar::Text(it.to_owned())).to_vec())),
        leaf("user.age", Test::AtLeast(18.into())),
        Condition::Not(Box::new(leaf("user.email", Test::EndsWith(vec!["@test".to_owned()])))),
    ]);
    let split =
        |by: &str| Outcome::Split(Split::weighted("s", by, [("on", 50_000), ("off", 50_000)]));
    let variant = |key: &str, value| Variant { key: key.to_owned(), value: Value::Boolean(value) };
    let rule =
        |id: &str, by| Rule { id: id.to_owned(), condition: condition.clone(), outcome: split(by) };
    let flag = Flag {
        key: "checkout".to_owned(),
        kind: Kind::Boolean,
        variants: vec![variant("on", true), variant("off", false)],
        enabled: true,
        off_variant: "off".to_owned(),
        gate: None,
        targets: Vec::new(),
        rules: vec![rule("first", "not.there"), rule("second", "user.age")],
        fallthrough: split("targeting_key"),
    };
    compile(&[flag], &Limits::default()).unwrap()
}

// REQ: FLG-04
#[test]
fn a_decision_allocates_nothing() {
    let snapshot = snapshot();
    let attributes = [
        ("user.country", Attribute::Text("VN")),
        ("user.age", Attribute::Number("41.5".parse().unwrap())),
        ("user.email", Attribute::Text("ann@example.com")),
    ];
    let context = Context::new(Some("u-1"), Some("acme"), attributes).unwrap();
    let region = Region::new(ALLOCATOR);
    let mut split = 0;
    for _ in 0..1_000 {
        split += usize::from(snapshot.evaluate("checkout", &context, None).reason == Reason::Split);
        split += usize::from(snapshot.evaluate("nothing", &context, None).reason == Reason::Split);
    }
    let change = region.change();
    assert_eq!((change.allocations, change.reallocations), (0, 0));
    assert_eq!(split, 1_000);
    // The checker itself notices one.
    let region = Region::new(ALLOCATOR);
    drop(std::hint::black_box(Box::new(split)));
    assert_eq!(region.change().allocations, 1);
}
