//! State and messages: what goes in comes out, and what cannot have gone in is refused.

use std::sync::Arc;

use exchequer_domain_quotas::{
    Beyond, Counting, Figures, Quota, Quotas, Refusal, State, Terms, Timer,
};
use exchequer_kernel::Decider as _;
use exchequer_types::{CycleUnit, Period, Quantity};

use super::*;

fn slug(text: &str) -> Slug {
    Slug::parse(text).unwrap()
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::saturating_from_micros(seconds * 1_000_000)
}

fn terms(limit: Option<u64>) -> Terms {
    Terms {
        limit,
        beyond: Beyond::Allow,
        counting: Some(Counting::calendar(CycleUnit::Week)),
        meter: Some(slug("queries")),
        thresholds: vec![80],
        burst_percent: 20,
        grace_seconds: 7_200,
        refusal: Refusal::Upgrade,
    }
}

fn limited(feature: &str, terms: Terms) -> E {
    E::Limited {
        feature: slug(feature),
        window: terms.counting.and_then(|it| it.window_at(at(100))),
        terms: Arc::new(terms),
        figures: Figures { used: 7, ..Figures::default() },
        noted: vec![],
    }
}

/// Quotas of each kind, reservations open and ended in each way.
fn state() -> State {
    let feature = slug("queries");
    let mut events = vec![
        limited("queries", terms(Some(10))),
        limited("storage", Terms { counting: None, meter: None, ..terms(None) }),
        E::TimerMoved {
            cleared: None,
            timer: Some(Timer { id: "tmq_1".to_owned(), due: at(160) }),
        },
    ];
    for id in ["open", "finalised", "released", "expired"] {
        let figures = Figures { used: 7, reserved: 1, over_since: Some(at(90)) };
        let (id, feature) = (id.to_owned(), feature.clone());
        events.push(E::Reserved { id, feature, amount: 1, expires_at: at(160), figures });
    }
    let figures = Figures { used: 8, reserved: 1, over_since: None };
    let id = |id: &str| id.to_owned();
    events.push(E::Finalised { id: id("finalised"), feature: feature.clone(), amount: 1, figures });
    events.push(E::Released { id: id("released"), feature: feature.clone(), figures });
    events.push(E::Expired { ids: vec![id("expired")], figures: vec![(feature, figures)] });
    let mut state = State::default();
    for event in &events {
        Quotas::evolve(&mut state, event, at(100));
    }
    state
}

// REQ: KER-14
#[test]
fn a_state_comes_back_as_it_was() {
    let state = state();
    assert_eq!(state_from_proto(state_to_proto(&state)), Ok(state));
}

#[test]
fn what_was_never_written_is_refused() {
    let whole = state_to_proto(&state());
    let broken: [(&str, fn(&mut pb::State)); 9] = [
        ("terms", |it| it.quotas[0].terms = None),
        ("figures", |it| it.quotas[0].figures = None),
        ("quota.feature", |it| it.quotas[0].feature = "?".to_owned()),
        ("terms.beyond", |it| it.quotas[0].terms.as_mut().unwrap().beyond = 99),
        ("terms.meter", |it| it.quotas[0].terms.as_mut().unwrap().meter = "?".to_owned()),
        ("counting.unit", |it| counting(it).unit = "decade".to_owned()),
        ("counting.zone", |it| counting(it).zone = "Moon/Sea".to_owned()),
        ("reservations.status", |it| it.reservations[0].status = 99),
        ("timer.due", |it| it.timer.as_mut().unwrap().due = i64::MAX),
    ];
    for (field, spoil) in broken {
        let mut spoilt = whole.clone();
        spoil(&mut spoilt);
        assert_eq!(state_from_proto(spoilt), Err(DecodeError::Field { field }));
    }
}

fn counting(it: &mut pb::State) -> &mut pb::Counting {
    it.quotas[0].terms.as_mut().unwrap().counting.as_mut().unwrap()
}

// REQ: USE-05
#[test]
fn what_was_measured_counts_when_it_is_more() {
    let window = Some(Period { start: at(0), end: at(86_400) });
    let figures = Figures { used: 3, reserved: 1, over_since: None };
    let quota = Quota::new(slug("queries"), Arc::new(terms(Some(10))), window, figures);
    let shown = |measured: Option<&str>| {
        let measured = measured.map(|it| Quantity::parse(it).unwrap());
        let it = quota_message(&quota, measured);
        (it.held, it.remaining, it.measured)
    };
    assert_eq!(shown(None), (4, Some(6), String::new()));
    assert_eq!(shown(Some("3.5")), (4, Some(6), "3.5".to_owned()));
    assert_eq!(shown(Some("8.000000000001")), (9, Some(1), "8.000000000001".to_owned()));
    assert_eq!(shown(Some("-2")), (4, Some(6), "-2".to_owned()));
    assert_eq!(shown(Some("99")).1, Some(0));
}
