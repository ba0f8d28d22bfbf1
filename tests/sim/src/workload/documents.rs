//! Small catalogs with odd prices: several currencies, cycles and policies. Their ids
//! are always the same, so that a selection fits most versions of most catalogs.

use exchequer_domain_catalog as catalog;
use exchequer_domain_catalog::{
    AddOn, AddOnFeature, AddOnPrice, Amount, Beyond, Document, Feature, FeatureKind, Plan,
    PlanFeature, Price, PriceIn,
};
use exchequer_types::{
    Allowance, Component, ComponentKind, Currency, Cycle, CycleUnit, Downgrade, Proration, Slug,
};

use super::word;
use crate::rng::Rng;

pub(super) const CATALOGS: [&str; 2] = ["main", "odd"];
pub(super) const PLANS: [&str; 4] = ["basic", "pro", "max", "free"];
pub(super) const PRICES: [&str; 4] = ["month", "days", "weeks", "year"];
pub(super) const ADD_ONS: [&str; 2] = ["pack", "boost"];
pub(super) const CURRENCIES: [&str; 3] = ["USD", "VND", "KWD"];
const SWITCHES: [&str; 2] = ["sso", "export"];
const LIMITS: [&str; 2] = ["storage", "calls"];
/// What people ask about; the last one is in no catalog.
pub(super) const FEATURES: [&str; 5] = ["sso", "export", "storage", "calls", "gone"];

pub(super) fn slug(text: &str) -> Slug {
    word(Slug::parse(text))
}

pub(super) fn currency(code: &str) -> Currency {
    match Currency::parse(code) {
        Some(it) => it,
        None => unreachable!("{code} is a currency"),
    }
}

/// A catalog, right in most cases.
pub(super) fn document(rng: &mut Rng) -> Document {
    let cycles = [
        cycle(CycleUnit::Month, if rng.chance(700) { 1 } else { rng.within(2, 4) }),
        cycle(CycleUnit::Day, if rng.chance(300) { 1 } else { rng.within(2, 40) }),
        cycle(CycleUnit::Week, rng.within(1, 4)),
        cycle(CycleUnit::Year, 1),
    ];
    let switch = |id: &&str| feature(id, FeatureKind::Switch);
    let limit = |id: &&str| feature(id, FeatureKind::Limit);
    let mut document = Document {
        name: format!("Catalog {}", rng.below(1_000)),
        currencies: CURRENCIES.iter().map(|code| currency(code)).collect(),
        fallback: rng.chance(700).then(|| slug("free")),
        features: SWITCHES.iter().map(switch).chain(LIMITS.iter().map(limit)).collect(),
        plans: (0..).zip(PLANS).map(|(rank, id)| plan(rng, id, rank, &cycles)).collect(),
        add_ons: ADD_ONS.iter().map(|id| add_on(rng, id, &cycles)).collect(),
        ..Document::default()
    };
    if rng.chance(300) {
        // The plan that others fall to extends nothing.
        document.plans[2].extends = Some(slug("basic"));
    }
    if rng.chance(120) {
        spoil(rng, &mut document);
    }
    document
}

fn cycle(unit: CycleUnit, count: u64) -> Cycle {
    word(Cycle::new(unit, count as u32))
}

fn feature(id: &str, kind: FeatureKind) -> Feature {
    Feature {
        id: slug(id),
        name: id.to_owned(),
        kind,
        unit: String::new(),
        per: None,
        meter: None,
        thresholds: Vec::new(),
        burst: 0,
        grace_hours: 0,
        refusal: <_>::default(),
        description: String::new(),
    }
}

fn plan(rng: &mut Rng, id: &str, rank: u32, cycles: &[Cycle]) -> Plan {
    let proration = proration(rng);
    let seats_min = if rng.chance(800) { 1 } else { rng.within(2, 4) };
    let prices = PRICES.iter().zip(cycles).filter(|_| id != "free" || rng.chance(500));
    let prices: Vec<_> = prices.collect();
    Plan {
        id: slug(id),
        name: id.to_owned(),
        description: String::new(),
        product: None,
        extends: None,
        rank,
        features: features(rng),
        prices: prices.into_iter().map(|(id, cycle)| price(rng, id, *cycle)).collect(),
        trial_days_max: if rng.chance(600) { rng.within(1, 31) as u32 } else { 0 },
        seats_min,
        seats_max: rng.chance(300).then(|| rng.within(seats_min, 60)),
        downgrade: if rng.chance(500) { Downgrade::Refuse } else { Downgrade::Accept },
        proration,
        grace_days: None,
        per_owner_max: None,
    }
}

fn proration(rng: &mut Rng) -> Proration {
    match rng.below(10) {
        0..5 => Proration::BySecond,
        5..8 => Proration::ByDay,
        8 => Proration::None,
        _ => Proration::Full,
    }
}

fn features(rng: &mut Rng) -> Vec<PlanFeature> {
    let mut features = Vec::new();
    for id in SWITCHES {
        if rng.chance(500) {
            let allowance = rng.chance(850).then_some(Allowance::On);
            features.push(PlanFeature { feature: slug(id), allowance, beyond: Beyond::Refuse });
        }
    }
    for id in LIMITS {
        if rng.chance(700) {
            let allowance = match rng.below(6) {
                0 => None,
                1 => Some(Allowance::Unlimited),
                2 => Some(Allowance::Seats),
                _ => Some(Allowance::Limit(rng.below(50))),
            };
            features.push(PlanFeature { feature: slug(id), allowance, beyond: Beyond::Refuse });
        }
    }
    features
}

fn amount(rng: &mut Rng) -> i64 {
    let odd = [0, 1, 7, 99, 333, 1_999, 10_001, 99_999_999, 123_456_789_012];
    if rng.chance(500) { *rng.pick(&odd) } else { rng.below(50_000) as i64 }
}

fn price(rng: &mut Rng, id: &str, cycle: Cycle) -> Price {
    let currencies = CURRENCIES.iter().map(|code| {
        let kinds = match rng.below(4) {
            0 => &[ComponentKind::Flat, ComponentKind::PerSeat][..],
            1 | 2 => &[ComponentKind::PerSeat],
            _ => &[ComponentKind::Flat],
        };
        let components = kinds.iter().map(|kind| Component { kind: *kind, amount: amount(rng) });
        PriceIn { currency: currency(code), components: components.collect() }
    });
    let currencies = currencies.collect();
    Price { id: slug(id), cycle, proration: rng.chance(150).then(|| proration(rng)), currencies }
}

fn add_on(rng: &mut Rng, id: &str, cycles: &[Cycle]) -> AddOn {
    // Of two prices with one cycle an add-on has one.
    let mut distinct = cycles.to_vec();
    distinct.sort_unstable();
    distinct.dedup();
    let price = |cycle: Cycle| AddOnPrice {
        cycle,
        amounts: CURRENCIES
            .iter()
            .map(|code| Amount { currency: currency(code), amount: amount(rng) })
            .collect(),
    };
    let prices = distinct.into_iter().map(price).collect();
    AddOn {
        id: slug(id),
        name: id.to_owned(),
        description: String::new(),
        plans: if rng.chance(200) { vec![slug("pro")] } else { Vec::new() },
        features: vec![AddOnFeature {
            feature: slug(if id == "pack" { "storage" } else { "calls" }),
            allowance: if rng.chance(900) {
                Allowance::Limit(rng.below(20))
            } else {
                Allowance::Unlimited
            },
        }],
        quantity_max: rng.chance(300).then(|| rng.within(1, 8)),
        prices,
    }
}

fn spoil(rng: &mut Rng, document: &mut Document) {
    match rng.below(5) {
        0 => document.fallback = Some(slug("gone")),
        1 => document.plans.push(document.plans[0].clone()),
        2 => document.add_ons[0].prices[0].amounts[0].amount = -catalog::AMOUNT_MAX,
        3 => document.add_ons[0].prices[0].amounts.truncate(1),
        _ => document.plans[0].extends = Some(slug("basic")),
    }
}
