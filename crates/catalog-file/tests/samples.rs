//! Every figure of the sample catalogs that a document gives, asserted one by one.

#![expect(clippy::unwrap_used, reason = "tests")]

use exchequer_catalog_file::{SAMPLES, parse};
use exchequer_domain_catalog::{AddOn, Beyond, Document, FeatureKind, Plan};
use exchequer_types::{Allowance, ComponentKind, Currency, Cycle, Per, Slug};

fn slug(text: &str) -> Slug {
    Slug::parse(text).unwrap()
}

fn sample(name: &str) -> Document {
    let sample = SAMPLES.iter().find(|sample| sample.name == name).unwrap();
    parse(sample.text).unwrap_or_else(|problems| panic!("{name}: {}", problems[0]))
}

fn plan<'a>(document: &'a Document, id: &str) -> &'a Plan {
    document.plan(&slug(id)).unwrap()
}

/// What the plan includes of the feature, inherited or not.
fn included(document: &Document, id: &str, feature: &str) -> Option<Allowance> {
    assert!(document.feature(&slug(feature)).is_some(), "{feature}");
    document.included(plan(document, id)).get(&slug(feature)).copied()
}

fn limits<const N: usize>(
    document: &Document,
    feature: &str,
    plans: [&str; N],
    expected: [Option<u64>; N],
) {
    for (plan, expected) in plans.into_iter().zip(expected) {
        let expected = expected.map_or(Allowance::Unlimited, Allowance::Limit);
        assert_eq!(included(document, plan, feature), Some(expected), "{feature} of {plan}");
    }
}

fn switches<const N: usize>(
    document: &Document,
    feature: &str,
    plans: [&str; N],
    expected: [bool; N],
) {
    for (plan, expected) in plans.into_iter().zip(expected) {
        let expected = expected.then_some(Allowance::On);
        assert_eq!(included(document, plan, feature), expected, "{feature} of {plan}");
    }
}

fn per(document: &Document, feature: &str) -> Option<Per> {
    document.feature(&slug(feature)).unwrap().per
}

fn ids(document: &Document) -> Vec<&str> {
    document.plans.iter().map(|plan| plan.id.as_str()).collect()
}

/// The flat amount of a monthly price, in minor units.
fn monthly(plan: &Plan, currency: &str) -> i64 {
    let monthly = plan.prices.iter().find(|price| price.cycle == Cycle::MONTH).unwrap();
    let components = monthly.in_currency(Currency::parse(currency).unwrap()).unwrap();
    components.iter().find(|it| it.kind == ComponentKind::Flat).unwrap().amount
}

fn add_on<'a>(document: &'a Document, id: &str) -> &'a AddOn {
    document.add_on(&slug(id)).unwrap()
}

const SAAS: [&str; 4] = ["free", "starter", "pro", "enterprise"];

// REQ: BIL-22
#[test]
fn saas_limits() {
    let it = sample("saas");
    assert_eq!(ids(&it), SAAS);
    assert_eq!(it.fallback, Some(slug("free")));
    limits(&it, "seats", SAAS, [Some(2), Some(5), Some(25), None]);
    limits(&it, "reports", SAAS, [Some(1), Some(10), Some(100), None]);
    limits(&it, "ai-tokens", SAAS, [Some(10_000), Some(100_000), Some(1_000_000), None]);
    limits(&it, "storage", SAAS, [Some(1), Some(10), Some(100), None]);
    assert_eq!(per(&it, "reports"), Some(Per::Month));
    assert_eq!(per(&it, "ai-tokens"), Some(Per::Month));
    assert_eq!(per(&it, "storage"), None);
    assert_eq!(it.feature(&slug("storage")).unwrap().unit, "GB");
    let seats_max = SAAS.map(|id| plan(&it, id).seats_max);
    assert_eq!(seats_max, [Some(2), Some(5), Some(25), None]);
}

// REQ: BIL-22
#[test]
fn saas_features() {
    let it = sample("saas");
    let of = |id: &str| {
        let included = it.included(plan(&it, id));
        let on = included.iter().filter(|(_, allowance)| **allowance == Allowance::On);
        let mut names: Vec<&str> =
            on.map(|(id, _)| it.feature(id).unwrap().name.as_str()).collect();
        names.sort_unstable();
        names
    };
    let mut expected = vec!["API_ACCESS"];
    assert_eq!(of("free"), expected);
    expected.extend(["EXPORT_PDF", "REPORT_BUILDER"]);
    assert_eq!(of("starter"), expected);
    assert_eq!(expected.len(), 3);
    expected.extend(["BOARDROOM_LIVE", "FORECAST", "BENCHMARKING", "NLQ"]);
    expected.extend(["GEN_AI_REPORTS", "CUSTOM_BRANDING"]);
    expected.sort_unstable();
    assert_eq!(of("pro"), expected);
    assert_eq!(expected.len(), 9);
    expected.extend(["SSO", "PRIORITY_SUPPORT", "AUDIT_EXPORT", "DEDICATED_SUPPORT"]);
    expected.sort_unstable();
    assert_eq!(of("enterprise"), expected);
    assert_eq!(expected.len(), 13);
}

// REQ: BIL-22
#[test]
fn saas_actions_routes_and_meters() {
    let it = sample("saas");
    let mut actions: Vec<&str> = it.actions.iter().map(String::as_str).collect();
    actions.sort_unstable();
    assert_eq!(actions, ["CONFIGURE", "CREATE", "DELETE", "EXPORT", "QUERY", "UPDATE", "VIEW"]);
    let methods: Vec<_> = it.methods.iter().map(|it| (&*it.method, &*it.action)).collect();
    let expected = [
        ("GET", "VIEW"),
        ("POST", "CREATE"),
        ("PUT", "UPDATE"),
        ("PATCH", "UPDATE"),
        ("DELETE", "DELETE"),
    ];
    assert_eq!(methods, expected);
    let name = |id: &Slug| it.feature(id).unwrap().name.as_str();
    let routes: Vec<_> = it.routes.iter().map(|it| (&*it.path, name(&it.feature))).collect();
    let expected = [
        ("/v1/reports/generate", "REPORT_BUILDER"),
        ("/v1/reports/export/pdf", "EXPORT_PDF"),
        ("/v1/boardroom", "BOARDROOM_LIVE"),
        ("/v1/forecast", "FORECAST"),
        ("/v1/nlq", "NLQ"),
        ("/v1/gen-ai", "GEN_AI_REPORTS"),
    ];
    assert_eq!(routes, expected);
    let meters: Vec<&str> = it.meters.iter().map(|it| it.name.as_str()).collect();
    let eight = [
        "q2q_tokens",
        "reports_generated",
        "active_seats",
        "nlq_queries",
        "ai_tokens_input",
        "ai_tokens_output",
        "storage_gb",
        "compute_hours",
    ];
    assert_eq!(meters, eight);
}

const FLAGS: [&str; 4] = ["free", "developer", "business", "enterprise"];

// REQ: BIL-22
#[test]
fn flags_limits_and_prices() {
    let it = sample("flags");
    assert_eq!(ids(&it), FLAGS);
    limits(&it, "projects", FLAGS, [None; 4]);
    limits(&it, "environments", FLAGS, [Some(3), None, None, None]);
    limits(&it, "members", FLAGS, [Some(5), Some(15), None, None]);
    limits(&it, "contexts", FLAGS, [Some(1_000), Some(10_000), Some(100_000), None]);
    limits(&it, "audit-retention", FLAGS, [Some(90), Some(365), Some(365), None]);
    assert_eq!(it.feature(&slug("audit-retention")).unwrap().unit, "days");
    assert_eq!(per(&it, "contexts"), Some(Per::Month));
    assert_eq!(monthly(plan(&it, "free"), "USD"), 0);
    assert!((1_000..=5_000).contains(&monthly(plan(&it, "developer"), "USD")));
    assert!((5_000..=20_000).contains(&monthly(plan(&it, "business"), "USD")));
    assert!(plan(&it, "enterprise").prices.is_empty());
    assert_eq!(plan(&it, "free").per_owner_max, Some(1));
}

// REQ: BIL-22
#[test]
fn flags_features() {
    let it = sample("flags");
    for (feature, expected) in [
        ("custom-roles", [false, false, true, true]),
        ("approvals", [false, false, true, true]),
        ("sso", [false, false, true, true]),
        ("scim", [false, false, false, true]),
        ("sla", [false, false, false, true]),
        ("contract", [false, false, false, true]),
        ("self-hosting", [false, false, false, true]),
        ("dedicated-support", [false, false, false, true]),
        ("community-support", [true, false, false, false]),
        ("email-support", [false, true, false, false]),
        ("priority-support", [false, false, true, false]),
        ("custom-branding", [false, true, true, true]),
        ("ip-allow-list", [false, false, false, true]),
    ] {
        switches(&it, feature, FLAGS, expected);
    }
    limits(&it, "roles", ["free", "developer"], [Some(5), Some(5)]);
    let sso = add_on(&it, "sso");
    assert_eq!(sso.plans, [slug("developer")]);
    assert_eq!((sso.features.len(), sso.features[0].allowance), (1, Allowance::On));
    assert!(sso.amount(Cycle::MONTH, Currency::parse("USD").unwrap()).unwrap() > 0);
}

// REQ: BIL-22
#[test]
fn flags_flat() {
    let it = sample("flags-flat");
    let plans = ["free", "team", "scale"];
    assert_eq!(ids(&it), plans);
    limits(&it, "seats", plans, [None; 3]);
    limits(&it, "contexts", plans, [Some(10_000), None, None]);
    switches(&it, "experiments", plans, [true; 3]);
    assert!(it.plans.iter().all(|plan| plan.seats_max.is_none()));
    for (id, feature) in [("project", "projects"), ("environment", "environments")] {
        let more = add_on(&it, id);
        assert_eq!(more.features[0].feature, slug(feature));
        assert_eq!(more.features[0].allowance, Allowance::Limit(1));
        assert!(more.amount(Cycle::MONTH, Currency::parse("USD").unwrap()).unwrap() > 0);
    }
}

// REQ: BIL-22
#[test]
fn workspace() {
    let it = sample("workspace");
    assert_eq!(ids(&it), ["hobby", "pro", "enterprise"]);
    let codes: Vec<&str> = it.currencies.iter().map(Currency::code).collect();
    assert_eq!(codes, ["USD", "VND"]);
    let hobby = plan(&it, "hobby");
    limits(&it, "members", ["hobby"], [Some(5)]);
    assert_eq!((hobby.seats_max, hobby.grace_days), (Some(5), Some(3)));
    assert_eq!(it.beyond(hobby, &slug("storage")), Beyond::Refuse);
    assert_eq!(it.beyond(hobby, &slug("ai-queries")), Beyond::Bill);
    let ai_queries = it.feature(&slug("ai-queries")).unwrap();
    assert_eq!((ai_queries.kind, ai_queries.meter.is_some()), (FeatureKind::Limit, true));
    assert_eq!(included(&it, "pro", "members"), Some(Allowance::Seats));
    assert!(plan(&it, "pro").seats_max.is_none_or(|seats| seats > 5));
    let pack = add_on(&it, "storage-10");
    assert_eq!(pack.features[0].feature, slug("storage"));
    assert_eq!(pack.features[0].allowance, Allowance::Limit(10));
    assert_eq!(it.feature(&slug("storage")).unwrap().unit, "GB");
}

// REQ: BIL-22
#[test]
fn components() {
    let it = sample("components");
    let plans = ["free", "basic", "pro", "enterprise"];
    assert_eq!(ids(&it), plans);
    limits(&it, "api-calls", ["pro"], [Some(10_000)]);
    assert_eq!(per(&it, "api-calls"), Some(Per::Month));
    assert_eq!(it.beyond(plan(&it, "pro"), &slug("api-calls")), Beyond::Bill);
    switches(&it, "advanced-analytics", plans, [false, false, true, true]);
    limits(&it, "storage", ["basic"], [Some(10)]);
    for feature in ["api-calls", "storage"] {
        assert_eq!(it.feature(&slug(feature)).unwrap().thresholds, [80]);
    }
    for id in ["basic", "pro"] {
        let cycles: Vec<Cycle> = plan(&it, id).prices.iter().map(|price| price.cycle).collect();
        assert_eq!(cycles, [Cycle::MONTH, Cycle::YEAR]);
    }
}
