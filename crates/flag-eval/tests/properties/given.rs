//! Flags, persons and customers at random, from few names and values, so that
//! they meet.

use std::collections::{BTreeMap, BTreeSet};

use exchequer_flag_eval::{
    Condition, Flag, Gate, Kind, Number, Outcome, Rule, SLOTS, Scalar, Split, Target, Test, Value,
    Variant,
};
use proptest::prelude::*;
use proptest::sample::select;

pub(crate) const VARIANTS: [&str; 3] = ["on", "off", "other"];
const NAMES: [&str; 6] = ["targeting_key", "tenant", "country", "age", "roles", "beta"];
const TEXTS: [&str; 7] = ["", "vn", "v", "n", "acme", "u-1", "true"];
const NUMBERS: [&str; 6] = ["0", "-1", "17.9", "18", "18.000000000000001", "1e30"];
const PLANS: [&str; 2] = ["free", "pro"];
const FEATURES: [&str; 2] = ["sso", "api"];

#[derive(Debug, Default)]
pub(crate) struct Person {
    pub(crate) key: Option<String>,
    pub(crate) tenant: Option<String>,
    pub(crate) facts: BTreeMap<String, Fact>,
}

#[derive(Debug)]
pub(crate) enum Fact {
    Boolean(bool),
    Number(Number),
    Text(String),
    List(Vec<String>),
}

#[derive(Debug)]
pub(crate) struct Customer {
    pub(crate) plan: Option<String>,
    pub(crate) features: BTreeSet<String>,
}

fn text() -> impl Strategy<Value = String> {
    select(&TEXTS[..]).prop_map(str::to_owned)
}

fn texts() -> impl Strategy<Value = Vec<String>> {
    prop_oneof![
        4 => prop::collection::vec(text(), 1..4),
        // Long enough for the other form of a set.
        1 => prop::collection::vec(text(), 1..3)
            .prop_map(|them| (0..20).map(|it| format!("x-{it}")).chain(them).collect()),
    ]
}

fn number() -> impl Strategy<Value = Number> {
    select(&NUMBERS[..]).prop_map(|it| it.parse().unwrap())
}

fn scalar() -> impl Strategy<Value = Scalar> {
    prop_oneof![
        3 => text().prop_map(Scalar::Text),
        2 => number().prop_map(Scalar::Number),
        1 => any::<bool>().prop_map(Scalar::Boolean),
    ]
}

fn test() -> impl Strategy<Value = Test> {
    prop_oneof![
        Just(Test::Exists),
        scalar().prop_map(Test::Is),
        prop::collection::vec(scalar(), 1..5).prop_map(Test::In),
        texts().prop_map(|it| Test::In(it.into_iter().map(Scalar::Text).collect())),
        number().prop_map(Test::Below),
        number().prop_map(Test::AtMost),
        number().prop_map(Test::Above),
        number().prop_map(Test::AtLeast),
        texts().prop_map(Test::StartsWith),
        texts().prop_map(Test::EndsWith),
        texts().prop_map(Test::Contains),
    ]
}

fn list(of: &'static [&'static str], least: usize) -> impl Strategy<Value = Vec<String>> {
    prop::collection::vec(select(of).prop_map(str::to_owned), least..3)
}

fn name() -> impl Strategy<Value = String> {
    select(&NAMES[..]).prop_map(str::to_owned)
}

fn condition() -> impl Strategy<Value = Condition> {
    let leaf = prop_oneof![
        6 => (name(), test()).prop_map(|(name, test)| Condition::Attribute { name, test }),
        1 => list(&PLANS, 1).prop_map(Condition::Plan),
        1 => select(&FEATURES[..]).prop_map(|it| Condition::Entitled(it.to_owned())),
    ];
    leaf.prop_recursive(5, 24, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 1..4).prop_map(Condition::All),
            prop::collection::vec(inner.clone(), 1..4).prop_map(Condition::Any),
            inner.prop_map(|it| Condition::Not(Box::new(it))),
        ]
    })
}

/// Of the variants, each once or not at all.
pub(crate) fn weights() -> impl Strategy<Value = Vec<(&'static str, u32)>> {
    (0..=SLOTS, 0..=SLOTS, any::<bool>()).prop_map(|(one, two, swap)| {
        let (low, high) = (one.min(two), one.max(two));
        let weights = [low, high - low, SLOTS - high];
        let mut shares: Vec<_> = VARIANTS.into_iter().zip(weights).collect();
        shares.retain(|(_, weight)| *weight > 0);
        if swap {
            shares.reverse();
        }
        shares
    })
}

fn outcome() -> impl Strategy<Value = Outcome> {
    let split = (name(), select(&["s", "longer.salt"][..]), weights(), weights());
    prop_oneof![
        select(&VARIANTS[..]).prop_map(|it| Outcome::Variant(it.to_owned())),
        split.prop_map(|(by, salt, before, after)| {
            let before = Split::weighted(salt, by.clone(), before).lay_out(None).unwrap();
            Outcome::Split(Split::weighted(salt, by, after).lay_out(Some(&before)).unwrap())
        }),
    ]
}

/// Individuals, each named once for an attribute.
fn targets() -> impl Strategy<Value = Vec<Target>> {
    let one = (select(&VARIANTS[..]), select(&["targeting_key", "tenant", "country"][..]), texts());
    prop::collection::vec(one, 0..3).prop_map(|targets| {
        let mut named = BTreeSet::new();
        let targets = targets.into_iter().map(|(variant, attribute, mut values)| {
            values.retain(|it| named.insert((attribute, it.clone())));
            Target { variant: variant.to_owned(), attribute: attribute.to_owned(), values }
        });
        targets.filter(|it| !it.values.is_empty()).collect()
    })
}

pub(crate) fn flag() -> impl Strategy<Value = Flag> {
    let rules = prop::collection::vec((condition(), outcome()), 0..4);
    let gate = (list(&FEATURES, 0), list(&PLANS, 0));
    let gate = prop::option::weighted(0.2, gate);
    let enabled = prop::bool::weighted(0.9);
    (enabled, gate, targets(), rules, outcome()).prop_map(
        |(enabled, gate, targets, rules, last)| {
            let rule = |(index, (condition, outcome))| Rule {
                id: format!("r-{index}"),
                condition,
                outcome,
            };
            Flag {
                key: "flag".to_owned(),
                kind: Kind::Text,
                variants: VARIANTS.map(variant).to_vec(),
                enabled,
                off_variant: "off".to_owned(),
                gate: gate.map(|(features, plans)| Gate { features, plans }),
                targets,
                rules: rules.into_iter().enumerate().map(rule).collect(),
                fallthrough: last,
            }
        },
    )
}

fn variant(key: &str) -> Variant {
    Variant { key: key.to_owned(), value: Value::Text(key.to_uppercase()) }
}

pub(crate) fn constant(key: &str, value: bool) -> Flag {
    Flag {
        key: key.to_owned(),
        kind: Kind::Boolean,
        variants: vec![Variant { key: "it".to_owned(), value: Value::Boolean(value) }],
        enabled: true,
        off_variant: "it".to_owned(),
        gate: None,
        targets: Vec::new(),
        rules: Vec::new(),
        fallthrough: Outcome::Variant("it".to_owned()),
    }
}

pub(crate) fn person() -> impl Strategy<Value = Person> {
    let fact = prop_oneof![
        any::<bool>().prop_map(Fact::Boolean),
        number().prop_map(Fact::Number),
        text().prop_map(Fact::Text),
        prop::collection::vec(text(), 0..3).prop_map(Fact::List),
    ];
    let facts =
        prop::collection::btree_map(select(&NAMES[2..]).prop_map(str::to_owned), fact, 0..4);
    let own = || prop::option::weighted(0.7, text());
    (own(), own(), facts).prop_map(|(key, tenant, facts)| Person { key, tenant, facts })
}

pub(crate) fn customer() -> impl Strategy<Value = Customer> {
    let features = prop::collection::btree_set(select(&FEATURES[..]).prop_map(str::to_owned), 0..3);
    let plan = prop::option::weighted(0.8, select(&PLANS[..]).prop_map(str::to_owned));
    (plan, features).prop_map(|(plan, features)| Customer { plan, features })
}

/// The variant that owns each slot. Panics unless each has exactly one.
pub(crate) fn owners(split: &Split) -> Vec<&str> {
    let mut owners = vec![""; SLOTS as usize];
    for share in &split.shares {
        let mut count = 0;
        for range in &share.slots {
            for owner in &mut owners[range.start as usize..range.end as usize] {
                assert_eq!(*owner, "");
                *owner = &share.variant;
                count += 1;
            }
        }
        assert_eq!(count, share.weight);
    }
    assert!(owners.iter().all(|it| !it.is_empty()));
    owners
}
