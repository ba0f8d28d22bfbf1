//! What the messages of the domain share: terms, windows, figures, and the state as a
//! decider's cell keeps it.

use std::sync::Arc;

use exchequer_domain_quotas::{
    Beyond, Counting, End, Ended, Figures, Quota, Refusal, Reservation, State, Terms, Timer,
};
use exchequer_proto::quotas::v1 as pb;
use exchequer_types::{Anchor, Cycle, CycleUnit, Per, Period, Quantity, Slug, Timestamp, Zone};

use crate::DecodeError;
use crate::convert::{slug, timestamp};

/// The state as the decider's cell keeps it.
pub(crate) fn state_to_proto(state: &State) -> pb::State {
    pb::State {
        version: state.version,
        updated_at: state.updated_at.micros(),
        quotas: state.quotas().map(quota_to_proto).collect(),
        reservations: state.reservations.iter().map(reservation_to_proto).collect(),
        timer: state.timer.as_ref().map(timer_to_proto),
    }
}

pub(crate) fn state_from_proto(it: pb::State) -> Result<State, DecodeError> {
    let mut state = State::default();
    state.version = it.version;
    state.updated_at = timestamp(it.updated_at, "updated_at")?;
    state.timer = it.timer.map(timer_from_proto).transpose()?;
    for quota in it.quotas {
        state.put(quota_from_proto(quota)?);
    }
    for reservation in it.reservations {
        state.reservations.insert(reservation_from_proto(reservation)?);
    }
    Ok(state)
}

/// A quota as cells, events and views keep it.
pub fn quota_to_proto(it: &Quota) -> pb::QuotaState {
    let figures = Figures { used: it.used, reserved: it.reserved, over_since: it.over_since };
    let before = it.before.as_deref().map(|it| pb::EndedWindow {
        window: Some(window_to_proto(it.window)),
        noted: it.noted.clone(),
    });
    let parts = parts_to_proto(&it.feature, &it.terms, it.window, figures, &it.noted);
    pb::QuotaState { before, ..parts }
}

pub(super) fn parts_to_proto(
    feature: &Slug,
    terms: &Terms,
    window: Option<Period>,
    figures: Figures,
    noted: &[u32],
) -> pb::QuotaState {
    pb::QuotaState {
        feature: feature.to_string(),
        terms: Some(terms_to_proto(terms)),
        window: window.map(window_to_proto),
        figures: Some(figures_to_proto(figures)),
        noted: noted.to_vec(),
        before: None,
    }
}

/// An error when it cannot be what was written.
pub fn quota_from_proto(it: pb::QuotaState) -> Result<Quota, DecodeError> {
    let figures = figures_from_proto(it.figures)?;
    Ok(Quota {
        feature: slug(it.feature, "quota.feature")?,
        terms: Arc::new(terms_from_proto(it.terms)?),
        window: it.window.map(window_from_proto).transpose()?,
        used: figures.used,
        reserved: figures.reserved,
        over_since: figures.over_since,
        noted: it.noted,
        before: it.before.map(ended_from_proto).transpose()?,
    })
}

fn ended_from_proto(it: pb::EndedWindow) -> Result<Box<Ended>, DecodeError> {
    let window = it.window.ok_or(DecodeError::Field { field: "quota.before.window" })?;
    Ok(Box::new(Ended { window: window_from_proto(window)?, noted: it.noted }))
}

pub(super) fn beyond_to_proto(beyond: Beyond) -> pb::Beyond {
    match beyond {
        Beyond::Refuse => pb::Beyond::Refuse,
        Beyond::Allow => pb::Beyond::Allow,
        Beyond::Bill => pb::Beyond::Bill,
    }
}

fn terms_to_proto(terms: &Terms) -> pb::Terms {
    pb::Terms {
        limit: terms.limit,
        beyond: beyond_to_proto(terms.beyond).into(),
        counting: terms.counting.as_ref().map(counting_to_proto),
        meter: terms.meter.as_ref().map(ToString::to_string).unwrap_or_default(),
        thresholds: terms.thresholds.clone(),
        burst_percent: terms.burst_percent,
        grace_seconds: terms.grace_seconds,
        refusal: match terms.refusal {
            Refusal::Wait => pb::Refusal::Unspecified,
            Refusal::Upgrade => pb::Refusal::Upgrade,
            Refusal::Forbid => pb::Refusal::Forbid,
        }
        .into(),
    }
}

fn counting_to_proto(it: &Counting) -> pb::Counting {
    let of = |per: Per| pb::Counting { unit: per.as_str().to_owned(), ..pb::Counting::default() };
    match it {
        Counting::Minute => of(Per::Minute),
        Counting::Hour => of(Per::Hour),
        Counting::Calendar { cycle, anchor } => pb::Counting {
            unit: cycle.unit().as_str().to_owned(),
            anchor_local: anchor.local_micros(),
            zone: anchor.zone.name().to_owned(),
            count: if cycle.count() == 1 { 0 } else { cycle.count() },
        },
    }
}

fn terms_from_proto(it: Option<pb::Terms>) -> Result<Terms, DecodeError> {
    let it = it.ok_or(DecodeError::Field { field: "terms" })?;
    let beyond = match pb::Beyond::try_from(it.beyond) {
        Ok(pb::Beyond::Refuse) => Beyond::Refuse,
        Ok(pb::Beyond::Allow) => Beyond::Allow,
        Ok(pb::Beyond::Bill) => Beyond::Bill,
        Ok(pb::Beyond::Unspecified) | Err(_) => {
            return Err(DecodeError::Field { field: "terms.beyond" });
        }
    };
    let refusal = match pb::Refusal::try_from(it.refusal) {
        Ok(pb::Refusal::Unspecified) => Refusal::Wait,
        Ok(pb::Refusal::Upgrade) => Refusal::Upgrade,
        Ok(pb::Refusal::Forbid) => Refusal::Forbid,
        Err(_) => return Err(DecodeError::Field { field: "terms.refusal" }),
    };
    let meter = Some(it.meter).filter(|meter| !meter.is_empty());
    Ok(Terms {
        burst_percent: it.burst_percent,
        grace_seconds: it.grace_seconds,
        refusal,
        limit: it.limit,
        beyond,
        counting: it.counting.map(counting_from_proto).transpose()?,
        meter: meter.map(|meter| slug(meter, "terms.meter")).transpose()?,
        thresholds: it.thresholds,
    })
}

fn counting_from_proto(it: pb::Counting) -> Result<Counting, DecodeError> {
    let of = |field: &'static str| DecodeError::Field { field };
    match Per::parse(&it.unit) {
        Some(Per::Minute) => return Ok(Counting::Minute),
        Some(Per::Hour) => return Ok(Counting::Hour),
        _ => {}
    }
    let unit = CycleUnit::parse(&it.unit).ok_or_else(|| of("counting.unit"))?;
    let cycle = Cycle::new(unit, it.count.max(1)).map_err(|_| of("counting.count"))?;
    let zone = Zone::parse(&it.zone).ok_or_else(|| of("counting.zone"))?;
    let anchor = Anchor::from_local_micros(it.anchor_local, zone);
    let anchor = anchor.ok_or_else(|| of("counting.anchor_local"))?;
    Ok(Counting::Calendar { cycle, anchor })
}

pub(super) fn window_to_proto(window: Period) -> pb::Window {
    pb::Window { start: window.start.micros(), end: window.end.micros() }
}

pub(super) fn window_from_proto(it: pb::Window) -> Result<Period, DecodeError> {
    let (start, end) = (timestamp(it.start, "window.start")?, timestamp(it.end, "window.end")?);
    Ok(Period { start, end })
}

pub(super) fn figures_to_proto(it: Figures) -> pb::Figures {
    let over_since = it.over_since.map(Timestamp::micros);
    pb::Figures { used: it.used, reserved: it.reserved, over_since }
}

pub(super) fn figures_from_proto(it: Option<pb::Figures>) -> Result<Figures, DecodeError> {
    let it = it.ok_or(DecodeError::Field { field: "figures" })?;
    let over_since = it.over_since.map(|at| timestamp(at, "figures.over_since")).transpose()?;
    Ok(Figures { used: it.used, reserved: it.reserved, over_since })
}

pub(super) fn timer_to_proto(timer: &Timer) -> pb::Timer {
    pb::Timer { id: timer.id.clone(), due: timer.due.micros() }
}

pub(super) fn timer_from_proto(it: pb::Timer) -> Result<Timer, DecodeError> {
    Ok(Timer { id: it.id, due: timestamp(it.due, "timer.due")? })
}

pub(super) fn status_to_proto(end: Option<End>) -> pb::ReservationStatus {
    match end {
        None => pb::ReservationStatus::Open,
        Some(End::Finalised { .. }) => pb::ReservationStatus::Finalised,
        Some(End::Released) => pb::ReservationStatus::Released,
        Some(End::Expired) => pb::ReservationStatus::Expired,
    }
}

fn reservation_to_proto(it: &Reservation) -> pb::ReservationState {
    pb::ReservationState {
        id: it.id.clone(),
        feature: it.feature.to_string(),
        amount: it.amount,
        reserved_at: it.reserved_at.micros(),
        expires_at: it.expires_at.micros(),
        status: status_to_proto(it.end).into(),
        used: match it.end {
            Some(End::Finalised { amount }) => amount,
            _ => 0,
        },
    }
}

fn reservation_from_proto(it: pb::ReservationState) -> Result<Reservation, DecodeError> {
    let end = match pb::ReservationStatus::try_from(it.status) {
        Ok(pb::ReservationStatus::Open) => None,
        Ok(pb::ReservationStatus::Finalised) => Some(End::Finalised { amount: it.used }),
        Ok(pb::ReservationStatus::Released) => Some(End::Released),
        Ok(pb::ReservationStatus::Expired) => Some(End::Expired),
        Ok(pb::ReservationStatus::Unspecified) | Err(_) => {
            return Err(DecodeError::Field { field: "reservations.status" });
        }
    };
    Ok(Reservation {
        id: it.id,
        feature: slug(it.feature, "reservations.feature")?,
        amount: it.amount,
        reserved_at: timestamp(it.reserved_at, "reservations.reserved_at")?,
        expires_at: timestamp(it.expires_at, "reservations.expires_at")?,
        end,
    })
}

pub(super) fn quantity(text: &str, field: &'static str) -> Result<Quantity, DecodeError> {
    Quantity::parse(text).map_err(|_| DecodeError::Field { field })
}
