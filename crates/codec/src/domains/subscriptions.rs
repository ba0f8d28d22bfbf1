//! The subscriptions domain on the wire: its commands, events, replies and state.

mod charge;
mod command;
mod message;
#[cfg(test)]
mod tests;
mod values;

use exchequer_domain_subscriptions::{ClearedTimer, Event as E, Reply, Timer};
use exchequer_proto::subscriptions::v1 as pb;
use exchequer_types::Timestamp;
use prost::Message as _;

use super::Encoded;
use crate::DecodeError;
use crate::convert::{optional_timestamp, timestamp};
use values::{
    asked_from_proto, asked_to_proto, at_from_proto, at_to_proto, drop_reason_from_proto,
    drop_reason_to_proto, end_reason_from_proto, end_reason_to_proto, held_from_proto,
    held_to_proto, holding_from_proto, holding_to_proto, optional_plan, period_from_proto,
    period_to_proto, plan_to_proto, refusal_from_proto, refusal_to_proto, zone,
};

pub use charge::{charge_from_proto, charge_to_proto};
pub(crate) use command::{
    COMMANDS, decode_command, encode_amend, encode_change, encode_command, encode_subscribe,
};
pub use message::{charge_message, dropped_changes, scheduled_changes, subscription_message};
pub(crate) use values::{state_from_proto, state_to_proto};
pub use values::{subscription_from_proto, subscription_to_proto};

const SUBSCRIBED: &str = "subscriptions.subscribed.v1";
const ACTIVATED: &str = "subscriptions.activated.v1";
const CHANGED: &str = "subscriptions.changed.v1";
const CHANGE_SCHEDULED: &str = "subscriptions.change-scheduled.v1";
const SCHEDULE_AMENDED: &str = "subscriptions.schedule-amended.v1";
const SCHEDULE_MOVED: &str = "subscriptions.schedule-moved.v1";
const SCHEDULE_DROPPED: &str = "subscriptions.schedule-dropped.v1";
const CANCELLATION_SCHEDULED: &str = "subscriptions.cancellation-scheduled.v1";
const REACTIVATED: &str = "subscriptions.reactivated.v1";
const PAUSED: &str = "subscriptions.paused.v1";
const PAUSE_MOVED: &str = "subscriptions.pause-moved.v1";
const RESUMED: &str = "subscriptions.resumed.v1";
const RENEWED: &str = "subscriptions.renewed.v1";
const ZONE_CHANGED: &str = "subscriptions.zone-changed.v1";
const ENDED: &str = "subscriptions.ended.v1";
const CHARGE_RECORDED: &str = "subscriptions.charge-recorded.v1";
const HELD_CHANGED: &str = "subscriptions.held-changed.v1";
const DUE_MOVED: &str = "subscriptions.due-moved.v1";

/// Every event type and version of the domain that was ever written.
pub(crate) const EVENTS: &[&str] = &[
    SUBSCRIBED,
    ACTIVATED,
    CHANGED,
    CHANGE_SCHEDULED,
    SCHEDULE_AMENDED,
    SCHEDULE_MOVED,
    SCHEDULE_DROPPED,
    CANCELLATION_SCHEDULED,
    REACTIVATED,
    PAUSED,
    PAUSE_MOVED,
    RESUMED,
    RENEWED,
    ZONE_CHANGED,
    ENDED,
    CHARGE_RECORDED,
    HELD_CHANGED,
    DUE_MOVED,
];

/// The event's type name and payload.
pub(crate) fn encode_event(event: &E) -> Encoded {
    let micros = |at: &Option<Timestamp>| at.map(Timestamp::micros);
    match event {
        E::Subscribed { id, holding, zone, trial_days, period } => {
            let subscribed = pb::Subscribed {
                id: id.clone(),
                holding: Some(holding_to_proto(holding)),
                zone: zone.name().to_owned(),
                trial_days: *trial_days,
                period: Some(period_to_proto(period)),
            };
            (SUBSCRIBED, subscribed.encode_to_vec())
        }
        E::Activated { period, cut } => {
            let (period, cut) = (Some(period_to_proto(period)), micros(cut));
            (ACTIVATED, pb::Activated { period, cut }.encode_to_vec())
        }
        E::Changed { entry, holding, period } => {
            let changed = pb::Changed {
                entry: entry.clone().unwrap_or_default(),
                holding: Some(holding_to_proto(holding)),
                period: period.as_ref().map(period_to_proto),
            };
            (CHANGED, changed.encode_to_vec())
        }
        E::Paused { period, cut } => {
            let (period, cut) = (Some(period_to_proto(period)), micros(cut));
            (PAUSED, pb::Paused { period, cut }.encode_to_vec())
        }
        E::Resumed { period, cut } => {
            let (period, cut) = (Some(period_to_proto(period)), micros(cut));
            (RESUMED, pb::Resumed { period, cut }.encode_to_vec())
        }
        E::Renewed { period } => {
            (RENEWED, pb::Renewed { period: Some(period_to_proto(period)) }.encode_to_vec())
        }
        E::Ended { reason, cut, fallback } => {
            let ended = pb::Ended {
                reason: Some(end_reason_to_proto(reason)),
                cut: micros(cut),
                fallback: fallback.as_ref().map(plan_to_proto),
            };
            (ENDED, ended.encode_to_vec())
        }
        E::ChargeRecorded(charge) => (CHARGE_RECORDED, charge_to_proto(charge).encode_to_vec()),
        E::HeldChanged { held } => {
            let held = held.as_ref().map(held_to_proto);
            (HELD_CHANGED, pb::HeldChanged { held }.encode_to_vec())
        }
        E::DueMoved { cleared, timer } => {
            let cleared =
                cleared.as_ref().map(|it| pb::ClearedTimer { id: it.id.clone(), fired: it.fired });
            let timer =
                timer.as_ref().map(|it| pb::Timer { id: it.id.clone(), due: it.due.micros() });
            (DUE_MOVED, pb::DueMoved { cleared, timer }.encode_to_vec())
        }
        _ => encode_planned(event),
    }
}

/// Of what is to come.
fn encode_planned(event: &E) -> Encoded {
    match event {
        E::ChangeScheduled { id, at, asked, holding } => {
            let scheduled = pb::ChangeScheduled {
                id: id.clone(),
                at: Some(at_to_proto(*at)),
                holding: Some(holding_to_proto(holding)),
                asked: Some(asked_to_proto(*asked)),
            };
            (CHANGE_SCHEDULED, scheduled.encode_to_vec())
        }
        E::ScheduleAmended { id, asked, holding } => {
            let (id, holding) = (id.clone(), Some(holding_to_proto(holding)));
            let asked = Some(asked_to_proto(*asked));
            (SCHEDULE_AMENDED, pb::ScheduleAmended { id, holding, asked }.encode_to_vec())
        }
        E::ScheduleMoved { id, at } => {
            let (id, at) = (id.clone(), Some(at_to_proto(*at)));
            (SCHEDULE_MOVED, pb::ScheduleMoved { id, at }.encode_to_vec())
        }
        E::ScheduleDropped { id, why, refusal } => {
            let (id, reason) = (id.clone(), drop_reason_to_proto(*why).into());
            let refusal = refusal.as_ref().map(refusal_to_proto);
            (SCHEDULE_DROPPED, pb::ScheduleDropped { id, reason, refusal }.encode_to_vec())
        }
        E::PauseMoved { resume_at } => {
            let resume_at = resume_at.map(Timestamp::micros);
            (PAUSE_MOVED, pb::PauseMoved { resume_at }.encode_to_vec())
        }
        E::CancellationScheduled { at, reason } => {
            let (at, reason) = (Some(at_to_proto(*at)), reason.clone());
            (CANCELLATION_SCHEDULED, pb::CancellationScheduled { at, reason }.encode_to_vec())
        }
        E::ZoneChanged { zone } => {
            (ZONE_CHANGED, pb::ZoneChanged { zone: zone.name().to_owned() }.encode_to_vec())
        }
        // The others are encoded by the caller.
        _ => (REACTIVATED, pb::Reactivated {}.encode_to_vec()),
    }
}

/// The event with this type name and payload.
pub(crate) fn decode_event(_: &str, kind: &str, payload: &[u8]) -> Result<E, DecodeError> {
    let cut = |micros| optional_timestamp(micros, "cut");
    Ok(match kind {
        SUBSCRIBED => {
            let it = pb::Subscribed::decode(payload)?;
            E::Subscribed {
                id: it.id,
                holding: holding_from_proto(it.holding)?.into(),
                zone: zone(&it.zone)?,
                trial_days: it.trial_days,
                period: period_from_proto(it.period)?,
            }
        }
        ACTIVATED => {
            let it = pb::Activated::decode(payload)?;
            E::Activated { period: period_from_proto(it.period)?, cut: cut(it.cut)? }
        }
        CHANGED => {
            let it = pb::Changed::decode(payload)?;
            E::Changed {
                entry: Some(it.entry).filter(|entry| !entry.is_empty()),
                holding: holding_from_proto(it.holding)?.into(),
                period: it.period.map(|it| period_from_proto(Some(it))).transpose()?,
            }
        }
        PAUSED => {
            let it = pb::Paused::decode(payload)?;
            E::Paused { period: period_from_proto(it.period)?, cut: cut(it.cut)? }
        }
        RESUMED => {
            let it = pb::Resumed::decode(payload)?;
            E::Resumed { period: period_from_proto(it.period)?, cut: cut(it.cut)? }
        }
        RENEWED => E::Renewed { period: period_from_proto(pb::Renewed::decode(payload)?.period)? },
        ENDED => {
            let it = pb::Ended::decode(payload)?;
            E::Ended {
                reason: end_reason_from_proto(it.reason)?,
                cut: cut(it.cut)?,
                fallback: optional_plan(it.fallback)?,
            }
        }
        CHARGE_RECORDED => {
            E::ChargeRecorded(charge_from_proto(pb::ChargeRecorded::decode(payload)?)?)
        }
        HELD_CHANGED => {
            let held = pb::HeldChanged::decode(payload)?.held;
            E::HeldChanged { held: held.map(held_from_proto).transpose()? }
        }
        DUE_MOVED => {
            let it = pb::DueMoved::decode(payload)?;
            let cleared = it.cleared.map(|it| ClearedTimer { id: it.id, fired: it.fired });
            let timer = it.timer.map(|it| {
                Ok::<_, DecodeError>(Timer { id: it.id, due: timestamp(it.due, "due")? })
            });
            E::DueMoved { cleared, timer: timer.transpose()? }
        }
        _ => decode_planned(kind, payload)?,
    })
}

fn decode_planned(kind: &str, payload: &[u8]) -> Result<E, DecodeError> {
    Ok(match kind {
        CHANGE_SCHEDULED => {
            let it = pb::ChangeScheduled::decode(payload)?;
            let holding = holding_from_proto(it.holding)?.into();
            let (at, asked) = (at_from_proto(it.at)?, asked_from_proto(it.asked));
            E::ChangeScheduled { id: it.id, at, asked, holding }
        }
        SCHEDULE_AMENDED => {
            let it = pb::ScheduleAmended::decode(payload)?;
            let (asked, holding) = (asked_from_proto(it.asked), holding_from_proto(it.holding)?);
            E::ScheduleAmended { id: it.id, asked, holding: holding.into() }
        }
        SCHEDULE_MOVED => {
            let it = pb::ScheduleMoved::decode(payload)?;
            E::ScheduleMoved { id: it.id, at: at_from_proto(it.at)? }
        }
        SCHEDULE_DROPPED => {
            let it = pb::ScheduleDropped::decode(payload)?;
            let (why, refusal) = (drop_reason_from_proto(it.reason)?, it.refusal);
            E::ScheduleDropped { id: it.id, why, refusal: refusal.map(refusal_from_proto) }
        }
        PAUSE_MOVED => {
            let resume_at = pb::PauseMoved::decode(payload)?.resume_at;
            E::PauseMoved { resume_at: optional_timestamp(resume_at, "resume_at")? }
        }
        CANCELLATION_SCHEDULED => {
            let it = pb::CancellationScheduled::decode(payload)?;
            E::CancellationScheduled { at: at_from_proto(it.at)?, reason: it.reason }
        }
        REACTIVATED => {
            pb::Reactivated::decode(payload)?;
            E::Reactivated
        }
        ZONE_CHANGED => E::ZoneChanged { zone: zone(&pb::ZoneChanged::decode(payload)?.zone)? },
        _ => return Err(DecodeError::UnknownType(kind.to_owned())),
    })
}

/// A reply's bytes.
pub(crate) fn encode_reply(reply: &Reply) -> Vec<u8> {
    message::reply_message(reply).encode_to_vec()
}
