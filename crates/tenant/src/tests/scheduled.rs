//! Changes that are planned: what is used when they fall due, and what comes before.

use exchequer_domain_catalog as catalog;
use exchequer_domain_entitlements as entitlements;
use exchequer_domain_subscriptions as subscriptions;
use exchequer_types::{
    Allowance, Component, ComponentKind, Currency, Cycle, Downgrade, Proration, Selection,
    SelectionChange, Slug,
};

use super::*;

fn slug(text: &str) -> Slug {
    Slug::parse(text).unwrap()
}

fn usd() -> Currency {
    Currency::parse("USD").unwrap()
}

fn plan(id: &str, storage: u64, amount: i64) -> catalog::Plan {
    let components = vec![Component { kind: ComponentKind::Flat, amount }];
    let price = |id: &str, cycle| catalog::Price {
        id: slug(id),
        cycle,
        proration: None,
        currencies: vec![catalog::PriceIn { currency: usd(), components: components.clone() }],
    };
    let prices = vec![
        price("monthly", Cycle::MONTH),
        price("yearly", Cycle::YEAR),
        price("weekly", Cycle::parse("week").unwrap()),
    ];
    let storage = catalog::PlanFeature {
        feature: slug("storage"),
        allowance: Some(Allowance::Limit(storage)),
        beyond: catalog::Beyond::Refuse,
    };
    catalog::Plan {
        id: slug(id),
        name: id.to_owned(),
        description: String::new(),
        product: None,
        extends: None,
        rank: 0,
        features: vec![storage],
        prices,
        trial_days_max: 0,
        seats_min: 1,
        seats_max: None,
        downgrade: Downgrade::Refuse,
        proration: Proration::BySecond,
        grace_days: None,
        per_owner_max: None,
    }
}

fn pack_price(cycle: Cycle, amount: i64) -> catalog::AddOnPrice {
    let amounts = vec![catalog::Amount { currency: usd(), amount }];
    catalog::AddOnPrice { cycle, amounts }
}

/// 50 GB more, for `pro` alone.
fn pack() -> catalog::AddOn {
    let allowance = Allowance::Limit(50);
    catalog::AddOn {
        id: slug("pack"),
        name: "Pack".to_owned(),
        description: String::new(),
        plans: vec![slug("pro")],
        features: vec![catalog::AddOnFeature { feature: slug("storage"), allowance }],
        quantity_max: None,
        prices: vec![pack_price(Cycle::MONTH, 500), pack_price(Cycle::YEAR, 5_000)],
    }
}

/// The partition with a catalog of the plans `pro`, 100 GB, and `basic`, 10 GB.
fn with_catalog() -> Reference {
    let document = catalog::Document {
        currencies: vec![usd()],
        plans: vec![plan("pro", 100, 2_000), plan("basic", 10, 1_000)],
        add_ons: vec![pack()],
        ..catalog::Document::default()
    };
    let content = catalog::Content::of(document);
    let mut state = catalog::State::default();
    state.adopted.adopt(catalog::Adoption {
        provider: TenantId::platform(),
        catalog: slug("main"),
        version: 1,
        status: catalog::VersionStatus::Published,
        hash: content.hash(),
        content: Some(content),
    });
    Reference { catalog: Arc::new(state), ..reference() }
}

fn decided(stream: &Stream, id: &str, command: Command, now: i64) -> Decision {
    let decision = step(stream, &request(id, command), &with_catalog(), at(now)).unwrap();
    assert_eq!(decision.status, Status::Accepted, "{:?}", decision.rejection);
    decision
}

fn use_storage(used: u64) -> Command {
    let feature = slug("storage");
    let report = entitlements::ReportUse { feature, used };
    Command::Entitlements(entitlements::Command::ReportUse(report))
}

/// A customer of `pro` that goes down to `basic` at the end of the period, `due`.
fn scheduled() -> (Stream, i64) {
    let created = decided(&Stream::default(), "c-1", create(), 10);
    let selection = Selection {
        catalog: slug("main"),
        version: None,
        plan: slug("pro"),
        price: slug("monthly"),
        currency: usd(),
        seats: 1,
        add_ons: BTreeMap::new(),
    };
    let subscribe = Subscribe { selection, trial_days: None, zone: None };
    let subscribed = decided(&created.stream, "c-2", Command::Subscribe(subscribe), 20);
    let to = SelectionChange { plan: Some(slug("basic")), ..SelectionChange::default() };
    let change = ChangeSubscription { to, when: subscriptions::When::PeriodEnd };
    let stream = decided(&subscribed.stream, "c-3", Command::ChangeSubscription(change), 30).stream;
    let due = stream.subscriptions.current.as_ref().unwrap().next_due().unwrap();
    (stream, due.micros() / 1_000_000)
}

fn plan_of(stream: &Stream) -> &str {
    stream.entitlements.plan.as_ref().unwrap().held.plan.plan.as_str()
}

// REQ: BIL-04, ENT-01
#[test]
fn a_downgrade_that_falls_due_is_compared_with_what_is_used_then() {
    let (stream, due) = scheduled();
    let within = decided(&stream, "c-4", use_storage(10), due - 1).stream;
    let changed = decided(&within, "w-1", Command::Wake, due);
    assert_eq!(plan_of(&changed.stream), "basic");

    let over = decided(&stream, "c-4", use_storage(11), due - 1).stream;
    let woken = decided(&over, "w-1", Command::Wake, due + 5);
    let why = woken.events.iter().find_map(|it| match &it.event {
        Event::Subscriptions(subscriptions::Event::ScheduleDropped { why, .. }) => Some(*why),
        _ => None,
    });
    assert_eq!(why, Some(subscriptions::DropReason::Exceeded));
    assert_eq!(plan_of(&woken.stream), "pro");
    assert!(woken.events.iter().all(|it| it.at == at(due)), "decided at its due instant");
    let told = &woken.leaves[0].json;
    assert!(told.contains("\"feature\":\"storage\",\"limit\":10,\"used\":11"), "{told}");
    // Use that is reported too late changes nothing: the timer comes first.
    let late = decided(&stream, "c-4", use_storage(11), due);
    assert_eq!(plan_of(&late.stream), "basic");
}

// REQ: BIL-04
#[test]
fn what_a_planned_change_could_not_hold_is_refused_before_it() {
    let (stream, _) = scheduled();
    let packs = |when| {
        let add_ons = Some(BTreeMap::from([(slug("pack"), 1)]));
        let to = SelectionChange { add_ons, ..SelectionChange::default() };
        Command::ChangeSubscription(ChangeSubscription { to, when })
    };
    let now = packs(subscriptions::When::Now);
    let told = step(&stream, &request("c-4", now.clone()), &with_catalog(), at(40)).unwrap();
    let no = told.rejection.unwrap();
    assert_eq!(no.code, "PLANNED_CHANGE_IMPOSSIBLE");
    assert!(no.message.contains("ADD_ON_NOT_OFFERED"), "{}", no.message);
    assert!(told.events.is_empty());

    let entry = stream.subscriptions.current.as_ref().unwrap().schedule[0].id.clone();
    let drop = subscriptions::Command::Drop(subscriptions::DropEntry { id: entry });
    let without = decided(&stream, "c-5", Command::Subscriptions(drop), 50).stream;
    let held = decided(&without, "c-6", now, 60).stream;
    assert_eq!(held.subscriptions.current.as_ref().unwrap().holding.add_ons.len(), 1);
}

// REQ: BIL-03 BIL-04
#[test]
fn packs_go_on_at_the_price_of_the_planned_cycle() {
    let (stream, due) = scheduled();
    let entry = stream.subscriptions.current.as_ref().unwrap().schedule[0].id.clone();
    let drop = subscriptions::Command::Drop(subscriptions::DropEntry { id: entry });
    let stream = decided(&stream, "c-4", Command::Subscriptions(drop), 40).stream;
    let to_price = |price: &str| {
        let to = SelectionChange { price: Some(slug(price)), ..SelectionChange::default() };
        Command::ChangeSubscription(ChangeSubscription { to, when: subscriptions::When::PeriodEnd })
    };
    let packs = |quantity| {
        let add_ons = Some(BTreeMap::from([(slug("pack"), quantity)]));
        let to = SelectionChange { add_ons, ..SelectionChange::default() };
        Command::ChangeSubscription(ChangeSubscription { to, when: subscriptions::When::Now })
    };
    let planned = decided(&stream, "c-5", to_price("yearly"), 50).stream;
    let bought = decided(&planned, "c-6", packs(2), 60);
    let current = bought.stream.subscriptions.current.as_ref().unwrap();
    let entry = &current.schedule[0].holding;
    assert_eq!((entry.add_ons[0].quantity, entry.add_ons[0].offer.amount), (2, 5_000));
    assert!(current.planned()[0].is_looked_up());
    let renewed = decided(&bought.stream, "w-1", Command::Wake, due);
    let held = &renewed.stream.subscriptions.current.as_ref().unwrap().holding;
    assert_eq!((held.offer.price.as_str(), held.add_ons[0].quantity), ("yearly", 2));
    assert!(renewed.stream.subscriptions.current.as_ref().unwrap().dropped.is_empty());

    // What has no price in that cycle is refused before it is lost.
    let planned = decided(&stream, "c-5", to_price("weekly"), 50).stream;
    let told = step(&planned, &request("c-6", packs(2)), &with_catalog(), at(60)).unwrap();
    let no = told.rejection.unwrap();
    assert_eq!(no.code, "PLANNED_CHANGE_IMPOSSIBLE");
    assert!(no.message.contains("ADD_ON_NOT_OFFERED"), "{}", no.message);
}
