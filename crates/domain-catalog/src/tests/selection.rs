//! What a selection comes to in what is adopted.

use std::collections::BTreeMap;

use exchequer_types::{Holding, PlanRef, Selection};

use super::*;

fn adopted(versions: &[(u32, VersionStatus)]) -> Adopted {
    let mut adopted = Adopted::default();
    for (version, status) in versions {
        let content = Content::of(named(&format!("Version {version}")));
        adopted.adopt(adoption(*version, *status, Some(content)));
    }
    adopted
}

fn both() -> Adopted {
    adopted(&[(1, VersionStatus::Retired), (2, VersionStatus::Published)])
}

fn selection() -> Selection {
    Selection {
        catalog: slug("main"),
        version: None,
        plan: slug("pro"),
        price: slug("monthly"),
        currency: currency("USD"),
        seats: 3,
        add_ons: BTreeMap::from([(slug("storage-10"), 2)]),
    }
}

fn rejected(adopted: &Adopted, selection: &Selection, held: Option<&Holding>) -> &'static str {
    match adopted.resolve(&provider(), selection, held) {
        Err(Unresolved::Rejected(no)) => no.code(),
        Err(Unresolved::NotAdopted { what }) => {
            assert!(!what.is_empty());
            "not adopted"
        }
        Ok(_) => "resolved",
    }
}

// REQ: BIL-01
#[test]
fn the_newest_published_version_is_sold() {
    let held = both().resolve(&provider(), &selection(), None).unwrap();
    assert_eq!((held.offer.plan.version, held.seats), (2, 3));
    assert_eq!(held.offer.components.len(), 2);
    assert_eq!(held.offer.cycle, Cycle::MONTH);
    assert_eq!(held.offer.proration, Proration::ByDay);
    assert_eq!((held.offer.seats_min, held.offer.seats_max), (1, Some(25)));
    assert_eq!((held.offer.trial_days_max, held.offer.fallback), (14, Some(slug("free"))));
    assert_eq!((held.add_ons[0].offer.amount, held.add_ons[0].quantity), (200, 2));
}

#[test]
fn what_is_not_known_may_come_yet() {
    let nothing = Adopted::default();
    assert_eq!(rejected(&nothing, &selection(), None), "not adopted");
    let third = Selection { version: Some(3), ..selection() };
    assert_eq!(rejected(&both(), &third, None), "not adopted");
    // Retired before its content came, and nothing else is known.
    let mut early = Adopted::default();
    early.adopt(adoption(1, VersionStatus::Published, None));
    assert_eq!(rejected(&early, &selection(), None), "not adopted");
}

// REQ: BIL-01
#[test]
fn a_retired_version_is_kept_by_who_holds_it() {
    let first = Selection { version: Some(1), ..selection() };
    let code = codes::CATALOG_VERSION_RETIRED;
    assert_eq!(rejected(&both(), &first, None), code);
    let before = adopted(&[(1, VersionStatus::Published)]);
    let held = before.resolve(&provider(), &first, None).unwrap();
    let more_seats = Selection { seats: 9, add_ons: BTreeMap::new(), ..first.clone() };
    assert_eq!(both().resolve(&provider(), &more_seats, Some(&held)).unwrap().seats, 9);
    let other_plan = Selection { plan: slug("free"), ..more_seats.clone() };
    assert_eq!(rejected(&both(), &other_plan, Some(&held)), code);
    let other_price = Selection { price: slug("yearly"), ..more_seats };
    assert_eq!(rejected(&both(), &other_price, Some(&held)), code);
    let all_retired = adopted(&[(1, VersionStatus::Retired)]);
    assert_eq!(rejected(&all_retired, &selection(), None), code);
}

#[test]
fn what_the_version_does_not_offer_is_refused_in_order() {
    let adopted = both();
    let mut wanted = Selection {
        plan: slug("gold"),
        price: slug("hourly"),
        currency: currency("JOD"),
        add_ons: BTreeMap::from([(slug("none"), 0)]),
        ..selection()
    };
    assert_eq!(rejected(&adopted, &wanted, None), codes::PLAN_UNKNOWN);
    wanted.plan = slug("free");
    assert_eq!(rejected(&adopted, &wanted, None), codes::PRICE_UNKNOWN);
    wanted.price = slug("monthly");
    assert_eq!(rejected(&adopted, &wanted, None), codes::CURRENCY_NOT_OFFERED);
    wanted.currency = currency("VND");
    assert_eq!(rejected(&adopted, &wanted, None), codes::ADD_ON_UNKNOWN);
    wanted.add_ons = BTreeMap::from([(slug("storage-10"), 0)]);
    assert_eq!(rejected(&adopted, &wanted, None), codes::ADD_ON_NOT_OFFERED);
    wanted.plan = slug("pro");
    assert_eq!(rejected(&adopted, &wanted, None), codes::ADD_ON_QUANTITY_INVALID);
    wanted.add_ons = BTreeMap::from([(slug("storage-10"), 6)]);
    assert_eq!(rejected(&adopted, &wanted, None), codes::ADD_ON_QUANTITY_INVALID);
    wanted.add_ons = BTreeMap::from([(slug("storage-10"), 5)]);
    assert_eq!(rejected(&adopted, &wanted, None), "resolved");
}

#[test]
fn an_add_on_is_offered_for_its_cycles_alone() {
    let mut document = document();
    let plan = document.plans.iter_mut().find(|it| it.id == slug("pro")).unwrap();
    plan.prices.push(price("yearly", Cycle::YEAR, 9_000, 0));
    let content = Content::of(document);
    let mut adopted = Adopted::default();
    let status = VersionStatus::Published;
    adopted.adopt(Adoption { hash: content.hash(), ..adoption(1, status, Some(content)) });
    let yearly = Selection { price: slug("yearly"), ..selection() };
    assert_eq!(rejected(&adopted, &yearly, None), codes::ADD_ON_NOT_OFFERED);
}

// REQ: ENT-01
#[test]
fn a_plan_includes_what_it_extends_unless_it_says_otherwise() {
    let plan = |plan: &str, version| PlanRef {
        provider: provider(),
        catalog: slug("main"),
        version,
        plan: slug(plan),
    };
    let packs = BTreeMap::from([(slug("storage-10"), 2), (slug("gone"), 1)]);
    let content = both().content(&plan("pro", 2), &packs).unwrap();
    let expected = [(slug("seats"), Allowance::Seats), (slug("storage"), Allowance::Limit(10))];
    assert_eq!(content.plan, BTreeMap::from(expected));
    let adds = BTreeMap::from([(slug("storage"), Allowance::Limit(10))]);
    assert_eq!(content.add_ons, BTreeMap::from([(slug("storage-10"), adds)]));
    // Who holds a retired version keeps what it includes.
    assert!(both().content(&plan("free", 1), &BTreeMap::new()).is_some());
    assert_eq!(both().content(&plan("gold", 2), &packs), None);
    assert_eq!(both().content(&plan("pro", 3), &packs), None);
}
