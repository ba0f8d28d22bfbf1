//! Examples of the quotas domain's types.

use std::sync::Arc;

use exchequer_domain_quotas::{
    AdjustHeld, Beyond, ClearedTimer, Command as C, Counting, Event as E, Figures, Finalise,
    NoteThreshold, Release, Reserve, Terms, Timer,
};
use exchequer_tenant::{Command, Event};
use exchequer_types::{Anchor, CycleUnit, Period, Quantity, Slug, Timestamp, Zone};

use crate::tenants::at;

const RESERVATION: &str = "req-2026-11-21/0042";
const TIMER: &str = "tmq_abcdefghijklmnopqrstuvwxyz";

fn feature() -> Slug {
    Slug::parse("ai-queries").unwrap()
}

fn later(seconds: i64) -> Timestamp {
    Timestamp::saturating_from_micros(at().micros() + seconds * 1_000_000)
}

fn window() -> Period {
    Period { start: at(), end: later(86_400) }
}

fn figures() -> Figures {
    Figures { used: 70, reserved: 12, over_since: None }
}

fn terms() -> Terms {
    let zone = Zone::parse("Asia/Ho_Chi_Minh").unwrap();
    Terms {
        limit: Some(100),
        beyond: Beyond::Bill,
        counting: Some(Counting::from(CycleUnit::Month, Anchor::of(at(), zone))),
        meter: Some(Slug::parse("queries").unwrap()),
        thresholds: vec![50, 80, 100],
        ..Terms::default()
    }
}

/// One event of each type, every field filled.
pub(crate) fn events() -> Vec<Event> {
    let (id, feature) = (RESERVATION.to_owned(), feature());
    let events = [
        E::Limited {
            feature: feature.clone(),
            terms: Arc::new(terms()),
            window: Some(window()),
            figures: figures(),
            noted: vec![50, 80],
        },
        E::Lifted { feature: feature.clone() },
        E::Reserved {
            id: id.clone(),
            feature: feature.clone(),
            amount: 12,
            expires_at: later(60),
            figures: figures(),
        },
        E::Finalised { id: id.clone(), feature: feature.clone(), amount: 9, figures: figures() },
        E::Released { id: id.clone(), feature: feature.clone(), figures: figures() },
        E::Expired { ids: vec![id, "r2".to_owned()], figures: vec![(feature.clone(), figures())] },
        E::Adjusted {
            feature: feature.clone(),
            units: 3,
            reason: "files deleted".to_owned(),
            figures: figures(),
            noted: vec![50],
        },
        E::Reset { feature: feature.clone(), window: window(), figures: figures() },
        E::ThresholdReached {
            feature: feature.clone(),
            percent: 80,
            window: Some(window()),
            limit: 100,
            held: Quantity::parse("80.000000000001").unwrap(),
        },
        E::TimerMoved {
            cleared: Some(ClearedTimer { id: TIMER.to_owned(), fired: true }),
            timer: Some(Timer { id: TIMER.to_owned(), due: later(60) }),
        },
        E::Closed { features: vec![feature], timer: Some(TIMER.to_owned()) },
    ];
    events.map(Event::Quotas).into()
}

/// One command of each type, every field filled.
pub(crate) fn commands() -> Vec<Command> {
    let id = RESERVATION.to_owned();
    let commands = [
        C::Reserve(Reserve { id: id.clone(), feature: feature(), amount: 12, ttl_seconds: 60 }),
        C::Finalise(Finalise { id: id.clone(), amount: Some(9) }),
        C::Release(Release { id }),
        C::AdjustHeld(AdjustHeld {
            feature: feature(),
            units: 3,
            reason: "files deleted".to_owned(),
        }),
        C::NoteThreshold(NoteThreshold {
            feature: feature(),
            window_start: Some(at()),
            percent: 80,
            used: Quantity::parse("80.000000000001").unwrap(),
        }),
    ];
    commands.map(Command::Quotas).into()
}
