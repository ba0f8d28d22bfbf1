//! State and messages: what goes in comes out, and what cannot have gone in is refused.

use std::collections::BTreeMap;

use exchequer_domain_entitlements::{
    Amount, Entitlements, Event, Expiry, GrantKind, Rule, State, check,
};
use exchequer_kernel::Decider as _;
use exchequer_proto::entitlements::v1 as pb;
use exchequer_types::{
    Allowance, HeldBy, HeldPlan, PlanContent, PlanRef, Slug, TenantId, Timestamp,
};

use super::*;

fn slug(text: &str) -> Slug {
    Slug::parse(text).unwrap()
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::saturating_from_micros(seconds * 1_000_000)
}

fn granted(id: &str, kind: GrantKind, amount: Amount, until: Option<i64>) -> Event {
    Event::Granted {
        id: id.to_owned(),
        feature: slug("audit"),
        amount,
        kind,
        reason: "as agreed".to_owned(),
        expiry: until.map(|until| Expiry { at: at(until), timer: format!("tme_{id}") }),
    }
}

fn plan_given() -> Event {
    let held = HeldPlan {
        plan: PlanRef {
            provider: TenantId::platform(),
            catalog: slug("saas"),
            version: 2,
            plan: slug("pro"),
        },
        by: HeldBy::Fallback,
        seats: 3,
        add_ons: BTreeMap::from([(slug("more"), 2)]),
        since: at(1),
    };
    let features = [
        ("reports", Allowance::Limit(u64::MAX)),
        ("seats", Allowance::Seats),
        ("sso", Allowance::On),
        ("storage", Allowance::Unlimited),
    ];
    let features = features.map(|(feature, allowance)| (slug(feature), allowance));
    let content = PlanContent {
        plan: features.into(),
        add_ons: BTreeMap::from([(
            slug("more"),
            BTreeMap::from([(slug("exports"), Allowance::Limit(5))]),
        )]),
    };
    Event::PlanGiven { held, content }
}

/// One of everything: grants of each kind, live and ended in each way.
fn state() -> State {
    let mut state = State::default();
    let revoked =
        Event::GrantRevoked { id: "g2".to_owned(), reason: "by mistake".to_owned(), timer: None };
    let expired = Event::GrantExpired { id: "g3".to_owned(), timer: "tme_g3".to_owned() };
    let events = [
        granted("g1", GrantKind::Trial, Amount::On, Some(90)),
        Event::Closed { timers: vec!["tme_g1".to_owned()] },
        granted("g2", GrantKind::Beta, Amount::Unlimited, None),
        revoked,
        granted("g3", GrantKind::Manual, Amount::Units(4), Some(7)),
        expired,
        granted("g4", GrantKind::AddOn, Amount::Units(9), Some(80)),
        granted("g5", GrantKind::Promotional, Amount::On, None),
        plan_given(),
        Event::UseReported { feature: slug("reports"), used: 8 },
    ];
    for (event, second) in events.iter().zip(2..) {
        Entitlements::evolve(&mut state, event, at(second));
    }
    state
}

// REQ: KER-14
#[test]
fn a_state_is_read_as_it_was_written() {
    for state in [State::default(), state()] {
        let bytes = state_to_proto(&state).encode_to_vec();
        let again = state_from_proto(pb::State::decode(&*bytes).unwrap());
        assert_eq!(again, Ok(state));
    }
}

#[test]
fn a_state_that_nobody_wrote_is_refused() {
    let damage: [fn(&mut pb::State); 6] = [
        |state| state.grants[0].kind = 0,
        |state| state.grants[0].amount = None,
        |state| state.grants[0].feature = "A B".to_owned(),
        |state| state.used[0].feature = String::new(),
        |state| state.updated_at = -1,
        |state| state.plan = Some(pb::GivenPlan::default()),
    ];
    for damage in damage {
        let mut message = state_to_proto(&state());
        damage(&mut message);
        assert!(state_from_proto(message).is_err());
    }
}

// REQ: ENT-01
#[test]
fn an_answer_is_shown_with_its_reason_and_rule() {
    use pb::rule::Rule as R;
    let state = state();
    let shown = |feature: &str, units: u64, now: Timestamp| {
        let feature = slug(feature);
        let message = entitlement_message(&feature, &check(&state, &feature, now), units);
        assert_eq!(message.allowed, message.reason() == pb::Reason::Included);
        (message.reason(), message.remaining, message.rule.unwrap().rule.unwrap())
    };
    assert!(matches!(shown("exports", 10, at(20)), (pb::Reason::Included, Some(10), R::AddOn(_))));
    let over = shown("exports", 11, at(20));
    assert!(matches!(over, (pb::Reason::LimitReached, Some(10), R::AddOn(_))));
    assert!(matches!(shown("sso", 1, at(20)), (pb::Reason::Included, None, R::Plan(_))));
    let (reason, remaining, rule) = shown("audit", 1, at(20));
    assert_eq!((reason, remaining), (pb::Reason::Included, None));
    assert!(matches!(rule, R::Grant(it) if it.id == "g5"));
    let (reason, _, rule) = shown("nothing", 1, at(20));
    assert_eq!(reason, pb::Reason::NotIncluded);
    assert!(matches!(rule, R::NotIncluded(it) if it.plan == "pro"));
    let none = check(&State::default(), &slug("sso"), at(20));
    assert_eq!(none.rule, Rule::NoPlan);
    assert_eq!(entitlement_message(&slug("sso"), &none, 1).reason(), pb::Reason::NoPlan);
}
