//! What a flag answers, reason by reason, and what is refused with its place.
#![expect(clippy::unwrap_used, reason = "helpers of tests stand outside test functions")]

use exchequer_flag_eval::{
    Attribute, Compiled, Condition, Context, DecidedBy, ErrorCode, Flag, Gate, Kind, Limits,
    Outcome, Plan, Reason, Rule, SLOTS, Scalar, SlotRange, Split, Target, Test, Value, Variant,
    Violation, codes, compile, slot,
};

/// A customer's plan and features.
#[derive(Debug)]
struct Customer(Option<&'static str>, &'static [&'static str]);

impl Plan for Customer {
    fn plan(&self) -> Option<&str> {
        self.0
    }

    fn entitled(&self, feature: &str) -> bool {
        self.1.contains(&feature)
    }
}

fn flag() -> Flag {
    let variant = |key: &str, value| Variant { key: key.to_owned(), value: Value::Boolean(value) };
    Flag {
        key: "checkout".to_owned(),
        kind: Kind::Boolean,
        variants: vec![variant("on", true), variant("off", false)],
        enabled: true,
        off_variant: "off".to_owned(),
        gate: None,
        targets: Vec::new(),
        rules: Vec::new(),
        fallthrough: Outcome::Variant("off".to_owned()),
    }
}

fn attribute(name: &str, test: Test) -> Condition {
    Condition::Attribute { name: name.to_owned(), test }
}

fn is(name: &str, text: &str) -> Condition {
    attribute(name, Test::Is(Scalar::Text(text.to_owned())))
}

fn texts(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|it| (*it).to_owned()).collect()
}

fn not(condition: Condition) -> Condition {
    Condition::Not(Box::new(condition))
}

fn ruled(condition: Condition, outcome: Outcome) -> Flag {
    let rule = Rule { id: "r-1".to_owned(), condition, outcome };
    Flag { rules: vec![rule], ..flag() }
}

fn on_when(condition: Condition) -> Flag {
    ruled(condition, Outcome::Variant("on".to_owned()))
}

fn decide(
    flag: &Flag,
    context: &Context<'_>,
    plan: Option<&dyn Plan>,
) -> (Option<String>, Reason, String) {
    let compiled = Compiled::of(flag, &Limits::default()).unwrap();
    let it = compiled.evaluate(context, plan);
    (it.variant.map(str::to_owned), it.reason, format!("{:?}", it.by))
}

fn matches(condition: Condition, context: &Context<'_>, plan: Option<&dyn Plan>) -> bool {
    decide(&on_when(condition), context, plan).1 == Reason::TargetingMatch
}

fn context<'a>(attributes: &[(&'a str, Attribute<'a>)]) -> Context<'a> {
    Context::new(Some("u-1"), Some("acme"), attributes.iter().cloned()).unwrap()
}

// REQ: FLG-01
#[test]
fn each_answer_says_why() {
    let anyone = context(&[]);
    let on = || Some("on".to_owned());
    let off = || Some("off".to_owned());
    let nothing = || "Nothing".to_owned();
    assert_eq!(decide(&flag(), &anyone, None), (off(), Reason::Static, "Fallthrough".into()));
    let disabled = Flag { enabled: false, ..on_when(is("tenant", "acme")) };
    assert_eq!(decide(&disabled, &anyone, None), (off(), Reason::Disabled, nothing()));
    let (variant, reason, by) = decide(&on_when(is("tenant", "acme")), &anyone, None);
    assert_eq!((variant, reason), (on(), Reason::TargetingMatch));
    assert_eq!(by, "Rule { index: 0, id: \"r-1\" }");
    let (variant, reason, by) = decide(&on_when(is("tenant", "other")), &anyone, None);
    assert_eq!((variant, reason, by.as_str()), (off(), Reason::Default, "Fallthrough"));
    let snapshot = compile(&[flag()], &Limits::default()).unwrap();
    let missing = snapshot.evaluate("cart", &anyone, None);
    assert_eq!(missing.reason, Reason::Error(ErrorCode::FlagNotFound));
    assert_eq!(missing.value, None);
    let wrong = snapshot.evaluate_as("checkout", Kind::Text, &anyone, None);
    assert_eq!(wrong.reason, Reason::Error(ErrorCode::TypeMismatch));
    let right = snapshot.evaluate_as("checkout", Kind::Boolean, &anyone, None);
    assert_eq!(right.value, Some(&Value::Boolean(false)));
}

// REQ: FLG-04
#[test]
fn targets_come_before_rules_and_the_first_of_them_counts() {
    let target = |variant: &str, attribute: &str, values: &[&str]| Target {
        variant: variant.to_owned(),
        attribute: attribute.to_owned(),
        values: texts(values),
    };
    let targets = vec![
        target("off", "tenant", &["acme", "beta"]),
        target("on", "targeting_key", &["u-1", "u-2"]),
        target("on", "device.id", &["d-9"]),
    ];
    let flag = Flag { targets, ..on_when(attribute("tenant", Test::Exists)) };
    let compiled = Compiled::of(&flag, &Limits::default()).unwrap();
    let by = |user, tenant, attributes: &[(&'static str, Attribute<'static>)]| {
        let context = Context::new(user, tenant, attributes.iter().cloned()).unwrap();
        let it = compiled.evaluate(&context, None);
        (it.variant.unwrap().to_owned(), it.by == DecidedBy::Target { index: 0 })
    };
    assert_eq!(by(Some("u-1"), Some("acme"), &[]), ("off".to_owned(), true));
    assert_eq!(by(Some("u-1"), Some("other"), &[]), ("on".to_owned(), false));
    let device = [("device.id", Attribute::Text("d-9"))];
    assert_eq!(by(None, None, &device), ("on".to_owned(), false));
    assert_eq!(by(None, None, &[]), ("off".to_owned(), false));
}

// REQ: FLG-04
#[test]
fn a_missing_attribute_never_matches_not_even_under_a_negation() {
    let nobody = Context::new(None, None, []).unwrap();
    let tests = || {
        [
            Test::Is(Scalar::Text("x".to_owned())),
            Test::Is(Scalar::Boolean(true)),
            Test::In(vec![Scalar::Number(5.into())]),
            Test::Below(5.into()),
            Test::AtLeast(5.into()),
            Test::StartsWith(texts(&["x"])),
            Test::Contains(texts(&["x"])),
        ]
    };
    for test in tests() {
        let leaf = attribute("country", test);
        assert!(!matches(leaf.clone(), &nobody, None), "{leaf:?}");
        assert!(!matches(not(leaf.clone()), &nobody, None), "not {leaf:?}");
        assert!(!matches(not(not(leaf.clone())), &nobody, None));
        let known = attribute("country", Test::Exists);
        assert!(matches(not(known.clone()), &nobody, None));
        // What is known decides by itself; what is unknown never does.
        let either = Condition::Any(vec![leaf.clone(), not(known.clone())]);
        assert!(matches(either.clone(), &nobody, None));
        assert!(!matches(not(either), &nobody, None));
        let both = Condition::All(vec![not(leaf.clone()), not(known.clone())]);
        assert!(!matches(both.clone(), &nobody, None) && !matches(not(both), &nobody, None));
        let impossible = Condition::All(vec![leaf, known]);
        assert!(matches(not(impossible), &nobody, None));
    }
    for leaf in [Condition::Plan(texts(&["pro"])), Condition::Entitled("sso".to_owned())] {
        assert!(!matches(leaf.clone(), &nobody, None) && !matches(not(leaf), &nobody, None));
    }
}

// REQ: FLG-04
#[test]
fn an_attribute_of_another_type_is_as_good_as_missing() {
    let context = context(&[
        ("age", Attribute::Text("17")),
        ("beta", Attribute::Boolean(false)),
        ("roles", Attribute::List(vec!["admin", "ops"])),
        ("none", Attribute::List(vec![])),
    ]);
    let below = attribute("age", Test::Below(18.into()));
    assert!(!matches(below.clone(), &context, None) && !matches(not(below), &context, None));
    let beta = |value| attribute("beta", Test::Is(Scalar::Boolean(value)));
    assert!(matches(beta(false), &context, None) && matches(not(beta(true)), &context, None));
    let text = is("beta", "false");
    assert!(!matches(text.clone(), &context, None) && !matches(not(text), &context, None));
    // A list is tested item by item; an empty one is known to have none.
    assert!(matches(is("roles", "ops"), &context, None));
    assert!(matches(not(is("roles", "dev")), &context, None));
    assert!(matches(attribute("roles", Test::StartsWith(texts(&["adm"]))), &context, None));
    assert!(matches(not(is("none", "ops")), &context, None));
    let number = attribute("roles", Test::In(vec![Scalar::Number(1.into())]));
    assert!(!matches(number.clone(), &context, None) && !matches(not(number), &context, None));
}

// REQ: FLG-04
#[test]
fn operators() {
    let number = |text: &str| text.parse().unwrap();
    let context = context(&[
        ("price", Attribute::Number(number("0.3"))),
        ("user.email", Attribute::Text("ann@example.com")),
    ]);
    let price = |test| matches(attribute("price", test), &context, None);
    assert!(price(Test::Is(Scalar::Number(number("3e-1")))));
    assert!(price(Test::AtMost(number("0.3"))) && price(Test::AtLeast(number("0.30"))));
    assert!(!price(Test::Below(number("0.3"))) && !price(Test::Above(number("0.3"))));
    assert!(price(Test::Below(number("0.30000000000000004"))));
    assert!(price(Test::In(vec![Scalar::Text("0.3".into()), Scalar::Number(number("0.3"))])));
    let email = |test| matches(attribute("user.email", test), &context, None);
    assert!(email(Test::EndsWith(texts(&["@example.org", "@example.com"]))));
    assert!(!email(Test::EndsWith(texts(&["@Example.com"]))));
    assert!(email(Test::Contains(texts(&["n@e"]))) && email(Test::Exists));
    let many: Vec<String> = (0..500).map(|it| format!("user-{it}@example.com")).collect();
    let with = |extra: &str| {
        many.iter().cloned().chain([extra.to_owned()]).map(Scalar::Text).collect::<Vec<_>>()
    };
    assert!(email(Test::In(with("ann@example.com"))) && !email(Test::In(with("bob@example.com"))));
}

// REQ: FLG-09
#[test]
fn what_the_plan_lacks_is_a_plan_restriction() {
    let gate = |features: &[&str], plans: &[&str]| Flag {
        gate: Some(Gate { features: texts(features), plans: texts(plans) }),
        ..on_when(attribute("tenant", Test::Exists))
    };
    let anyone = context(&[]);
    let pro = Customer(Some("pro"), &["sso", "api"]);
    let reason = |flag: &Flag, plan: Option<&dyn Plan>| decide(flag, &anyone, plan).1;
    let restricted = Reason::PlanRestriction;
    assert_eq!(reason(&gate(&["sso"], &[]), Some(&pro)), Reason::TargetingMatch);
    assert_eq!(reason(&gate(&["sso", "audit"], &[]), Some(&pro)), restricted);
    assert_eq!(reason(&gate(&[], &["pro", "enterprise"]), Some(&pro)), Reason::TargetingMatch);
    assert_eq!(reason(&gate(&["sso"], &["enterprise"]), Some(&pro)), restricted);
    assert_eq!(reason(&gate(&["sso"], &[]), None), restricted);
    assert_eq!(reason(&gate(&[], &["pro"]), Some(&Customer(None, &[]))), restricted);
    assert_eq!(reason(&gate(&[], &[]), None), Reason::TargetingMatch);
    let refused = decide(&gate(&["audit"], &[]), &anyone, Some(&pro));
    assert_eq!((refused.0.as_deref(), refused.2.as_str()), (Some("off"), "Gate"));
}

// REQ: FLG-09
#[test]
fn rules_ask_for_plan_and_entitlement() {
    let anyone = context(&[]);
    let plan = || Condition::Plan(texts(&["free", "pro"]));
    let sso = || Condition::Entitled("sso".to_owned());
    let pro = Customer(Some("pro"), &["sso"]);
    assert!(matches(plan(), &anyone, Some(&pro)) && matches(sso(), &anyone, Some(&pro)));
    let planless = Customer(None, &[]);
    // No plan is missing; no entitlement is known.
    assert!(!matches(plan(), &anyone, Some(&planless)));
    assert!(!matches(not(plan()), &anyone, Some(&planless)));
    assert!(matches(not(sso()), &anyone, Some(&planless)));
}

// REQ: FLG-05
#[test]
fn a_split_is_sticky_and_follows_its_unit() {
    let split = |by: &str, on: u32| {
        let weights = [("on", on), ("off", SLOTS - on)];
        Outcome::Split(Split::weighted("env.checkout", by, weights))
    };
    let flag = Flag { fallthrough: split("targeting_key", 30_000), ..flag() };
    let compiled = Compiled::of(&flag, &Limits::default()).unwrap();
    let mut on = 0;
    for user in 0..20_000 {
        let user = format!("user-{user}");
        let context = Context::new(Some(&user), None, []).unwrap();
        let it = compiled.evaluate(&context, None);
        assert_eq!(it.reason, Reason::Split);
        let expected = slot("env.checkout", &user) < 30_000;
        assert_eq!(it.value, Some(&Value::Boolean(expected)));
        on += u32::from(expected);
    }
    assert!((5_700..6_300).contains(&on), "{on} of 20,000 at 30 %");
    let nobody = Context::new(None, Some("acme"), []).unwrap();
    let it = compiled.evaluate(&nobody, None);
    assert_eq!(it.reason, Reason::Error(ErrorCode::TargetingKeyMissing));
    // In a rule, a split without its unit does not match.
    let ruled = ruled(attribute("tenant", Test::Exists), split("account", SLOTS));
    assert_eq!(decide(&ruled, &nobody, None).1, Reason::Default);
    let number = |text: &str| {
        let number = Attribute::Number(text.parse().unwrap());
        let context = Context::new(None, Some("acme"), [("account", number)]).unwrap();
        decide(&ruled, &context, None)
    };
    assert_eq!(number("42").1, Reason::Split);
    assert_eq!(number("42.0"), number("42"));
}

fn violations(flag: &Flag) -> Vec<(String, &'static str)> {
    let found = Compiled::of(flag, &Limits::default()).err().unwrap_or_default();
    found.into_iter().map(|Violation { path, code, .. }| (path, code)).collect()
}

fn nested(depth: usize) -> Condition {
    (1..depth).fold(is("a", "b"), |it, level| match level % 3 {
        0 => Condition::All(vec![it]),
        1 => Condition::Any(vec![is("c", "d"), it]),
        _ => not(it),
    })
}

// REQ: FLG-04
#[test]
fn depth_is_bounded_and_never_exhausts_the_stack() {
    assert_eq!(violations(&on_when(nested(16))), []);
    for depth in [17, 100, 2_000] {
        let found = violations(&on_when(nested(depth)));
        assert!(!found.is_empty());
        for (path, code) in found {
            assert_eq!(code, codes::FLAG_CONDITION_TOO_DEEP);
            assert!(path.starts_with("rules[0].condition."), "{path}");
        }
    }
    let wide = Condition::Any(vec![is("a", "b"); 250]);
    let found = violations(&on_when(wide));
    assert_eq!(found, [("rules[0].condition".to_owned(), codes::FLAG_CONDITIONS_TOO_MANY)]);
}

// REQ: FLG-01
#[test]
fn all_that_is_wrong_is_told_with_its_place() {
    let mut bad = flag();
    bad.key = "No".to_owned();
    bad.variants.push(Variant { key: "on".to_owned(), value: Value::Text("x".to_owned()) });
    bad.off_variant = "none".to_owned();
    bad.targets = vec![Target {
        variant: "on".to_owned(),
        attribute: String::new(),
        values: texts(&["a", "a"]),
    }];
    let outcome = Outcome::Variant("gone".to_owned());
    let rule = |condition| Rule { id: "r".to_owned(), condition, outcome: outcome.clone() };
    bad.rules = vec![
        rule(Condition::All(vec![])),
        rule(Condition::Not(Box::new(attribute("a", Test::In(vec![]))))),
    ];
    let weights = [("on", 60_000), ("off", 50_000), ("on", 0)];
    bad.fallthrough = Outcome::Split(Split::weighted("", "targeting_key", weights));
    let expected = [
        ("key", codes::FLAG_KEY_INVALID),
        ("variants[2].key", codes::FLAG_KEY_REPEATED),
        ("variants[2].value", codes::FLAG_VALUE_INVALID),
        ("off_variant", codes::FLAG_VARIANT_UNKNOWN),
        ("targets[0].attribute", codes::FLAG_ATTRIBUTE_INVALID),
        ("targets[0].values[1]", codes::FLAG_TARGET_REPEATED),
        ("rules[0].condition.all", codes::FLAG_LIST_INVALID),
        ("rules[0].outcome.variant", codes::FLAG_VARIANT_UNKNOWN),
        ("rules[1].id", codes::FLAG_KEY_REPEATED),
        ("rules[1].condition.not.attribute.in", codes::FLAG_LIST_INVALID),
        ("rules[1].outcome.variant", codes::FLAG_VARIANT_UNKNOWN),
        ("fallthrough.split.salt", codes::FLAG_SALT_INVALID),
        ("fallthrough.split.shares", codes::FLAG_WEIGHTS_INVALID),
    ];
    let expected: Vec<_> = expected.map(|(path, code)| (path.to_owned(), code)).to_vec();
    assert_eq!(violations(&bad), expected);
    let twice = compile(&[flag(), flag()], &Limits::default()).unwrap_err();
    assert_eq!((twice[0].path.as_str(), twice[0].code), ("flags[1].key", "FLAG_KEY_REPEATED"));
    let limits = Limits { flags_max: 1, ..Limits::default() };
    assert_eq!(compile(&[flag(), flag()], &limits).unwrap_err()[0].code, codes::FLAGS_TOO_MANY);
}

#[test]
fn slots_that_do_not_fit_the_weights_are_refused() {
    let split = |ranges: [&[(u32, u32)]; 2]| {
        let mut split = Split::weighted("s", "tenant", [("on", 50_000), ("off", 50_000)]);
        for (share, ranges) in split.shares.iter_mut().zip(ranges) {
            share.slots =
                ranges.iter().map(|(start, end)| SlotRange { start: *start, end: *end }).collect();
        }
        violations(&Flag { fallthrough: Outcome::Split(split), ..flag() })
    };
    assert_eq!(split([&[(0, 20_000), (70_000, 100_000)], &[(20_000, 70_000)]]), []);
    let bad: [[&[(u32, u32)]; 2]; 4] = [
        [&[(0, 50_000)], &[(40_000, 90_000)]],
        [&[(0, 50_000)], &[(50_000, 90_000)]],
        [&[(0, 50_000)], &[(50_001, 100_001)]],
        [&[(0, 60_000)], &[(60_000, 100_000)]],
    ];
    for ranges in bad {
        let found = split(ranges);
        assert!(found.iter().all(|it| it.1 == codes::FLAG_SLOTS_INVALID) && !found.is_empty());
    }
}
