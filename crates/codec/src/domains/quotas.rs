//! The quotas domain on the wire: its commands, events and replies. What they share is in
//! `values.rs`, what the API shows in `message.rs`.

mod message;
#[cfg(test)]
mod tests;
mod values;

pub use message::{quota_message, reservation_message};
pub use values::{quota_from_proto, quota_to_proto};
pub(crate) use values::{state_from_proto, state_to_proto};

use exchequer_domain_quotas::{
    AdjustHeld, ClearedTimer, Command as C, Event as E, Figures, Finalise, NoteThreshold, Quota,
    Release, Reply, Reserve,
};
use exchequer_proto::quotas::v1 as pb;
use exchequer_tenant::Command;
use exchequer_types::{Slug, Timestamp};
use prost::Message as _;

use self::values::{
    figures_from_proto, figures_to_proto, quantity, timer_from_proto, timer_to_proto,
    window_from_proto, window_to_proto,
};
use super::Encoded;
use crate::DecodeError;
use crate::convert::{optional_timestamp, slug, timestamp};

const RESERVE: &str = "quotas.reserve.v1";
const FINALISE: &str = "quotas.finalise.v1";
const RELEASE: &str = "quotas.release.v1";
const ADJUST_HELD: &str = "quotas.adjust-held.v1";
const NOTE_THRESHOLD: &str = "quotas.note-threshold.v1";

pub(crate) const COMMANDS: &[&str] = &[RESERVE, FINALISE, RELEASE, ADJUST_HELD, NOTE_THRESHOLD];

const LIMITED: &str = "quotas.limited.v1";
const LIFTED: &str = "quotas.lifted.v1";
const RESERVED: &str = "quotas.reserved.v1";
const FINALISED: &str = "quotas.finalised.v1";
const RELEASED: &str = "quotas.released.v1";
const EXPIRED: &str = "quotas.expired.v1";
const ADJUSTED: &str = "quotas.adjusted.v1";
const RESET: &str = "quotas.reset.v1";
const THRESHOLD_REACHED: &str = "quotas.threshold-reached.v1";
const TIMER_MOVED: &str = "quotas.timer-moved.v1";
const CLOSED: &str = "quotas.closed.v1";

pub(crate) const EVENTS: &[&str] = &[
    LIMITED,
    LIFTED,
    RESERVED,
    FINALISED,
    RELEASED,
    EXPIRED,
    ADJUSTED,
    RESET,
    THRESHOLD_REACHED,
    TIMER_MOVED,
    CLOSED,
];

/// None for what is never sent: a timer's own command.
pub(crate) fn encode_command(command: &C) -> Option<Encoded> {
    Some(match command {
        C::Reserve(it) => {
            let reserve = pb::ReserveUnits {
                id: it.id.clone(),
                feature: it.feature.to_string(),
                amount: it.amount,
                ttl_seconds: it.ttl_seconds,
            };
            (RESERVE, reserve.encode_to_vec())
        }
        C::Finalise(it) => {
            let finalise = pb::FinaliseUnits { id: it.id.clone(), amount: it.amount };
            (FINALISE, finalise.encode_to_vec())
        }
        C::Release(it) => (RELEASE, pb::ReleaseUnits { id: it.id.clone() }.encode_to_vec()),
        C::AdjustHeld(it) => {
            let (feature, reason) = (it.feature.to_string(), it.reason.clone());
            (ADJUST_HELD, pb::AdjustHeld { feature, units: it.units, reason }.encode_to_vec())
        }
        C::NoteThreshold(it) => {
            let note = pb::NoteThreshold {
                feature: it.feature.to_string(),
                window_start: it.window_start.map(Timestamp::micros),
                percent: it.percent,
                used: it.used.to_string(),
            };
            (NOTE_THRESHOLD, note.encode_to_vec())
        }
        C::FireTimer(_) => return None,
    })
}

pub(crate) fn decode_command(kind: &str, payload: &[u8]) -> Result<Command, DecodeError> {
    Ok(Command::Quotas(match kind {
        RESERVE => {
            let it = pb::ReserveUnits::decode(payload)?;
            C::Reserve(Reserve {
                id: it.id,
                feature: slug(it.feature, "feature")?,
                amount: it.amount,
                ttl_seconds: it.ttl_seconds,
            })
        }
        FINALISE => {
            let it = pb::FinaliseUnits::decode(payload)?;
            C::Finalise(Finalise { id: it.id, amount: it.amount })
        }
        RELEASE => C::Release(Release { id: pb::ReleaseUnits::decode(payload)?.id }),
        ADJUST_HELD => {
            let it = pb::AdjustHeld::decode(payload)?;
            let feature = slug(it.feature, "feature")?;
            C::AdjustHeld(AdjustHeld { feature, units: it.units, reason: it.reason })
        }
        NOTE_THRESHOLD => {
            let it = pb::NoteThreshold::decode(payload)?;
            C::NoteThreshold(NoteThreshold {
                feature: slug(it.feature, "feature")?,
                window_start: optional_timestamp(it.window_start, "window_start")?,
                percent: it.percent,
                used: quantity(&it.used, "used")?,
            })
        }
        _ => return Err(DecodeError::UnknownType(kind.to_owned())),
    }))
}

pub(crate) fn encode_event(event: &E) -> Encoded {
    match event {
        E::Limited { feature, terms, window, figures, noted } => {
            let quota = values::parts_to_proto(feature, terms, *window, *figures, noted);
            (LIMITED, pb::Limited { quota: Some(quota) }.encode_to_vec())
        }
        E::Lifted { feature } => {
            (LIFTED, pb::Lifted { feature: feature.to_string() }.encode_to_vec())
        }
        E::Reserved { id, feature, amount, expires_at, figures } => {
            let reserved = pb::Reserved {
                id: id.clone(),
                feature: feature.to_string(),
                amount: *amount,
                expires_at: expires_at.micros(),
                figures: Some(figures_to_proto(*figures)),
            };
            (RESERVED, reserved.encode_to_vec())
        }
        E::Finalised { id, feature, amount, figures } => {
            let (id, feature) = (id.clone(), feature.to_string());
            let figures = Some(figures_to_proto(*figures));
            (FINALISED, pb::Finalised { id, feature, amount: *amount, figures }.encode_to_vec())
        }
        E::Released { id, feature, figures } => {
            let (id, feature) = (id.clone(), feature.to_string());
            let figures = Some(figures_to_proto(*figures));
            (RELEASED, pb::Released { id, feature, figures }.encode_to_vec())
        }
        E::Expired { ids, figures } => {
            let features = figures.iter().map(|(feature, figures)| pb::FeatureFigures {
                feature: feature.to_string(),
                figures: Some(figures_to_proto(*figures)),
            });
            let expired = pb::Expired { ids: ids.clone(), features: features.collect() };
            (EXPIRED, expired.encode_to_vec())
        }
        E::Adjusted { .. }
        | E::Reset { .. }
        | E::ThresholdReached { .. }
        | E::TimerMoved { .. }
        | E::Closed { .. } => encode_change(event),
    }
}

/// Of the events that are not of reservations.
fn encode_change(event: &E) -> Encoded {
    match event {
        E::Adjusted { feature, units, reason, figures, noted } => {
            let adjusted = pb::Adjusted {
                feature: feature.to_string(),
                units: *units,
                reason: reason.clone(),
                figures: Some(figures_to_proto(*figures)),
                noted: noted.clone(),
            };
            (ADJUSTED, adjusted.encode_to_vec())
        }
        E::Reset { feature, window, figures } => {
            let reset = pb::Reset {
                feature: feature.to_string(),
                window: Some(window_to_proto(*window)),
                figures: Some(figures_to_proto(*figures)),
            };
            (RESET, reset.encode_to_vec())
        }
        E::ThresholdReached { feature, percent, window, limit, held } => {
            let reached = pb::ThresholdReached {
                feature: feature.to_string(),
                percent: *percent,
                window: window.map(window_to_proto),
                limit: *limit,
                held: held.to_string(),
            };
            (THRESHOLD_REACHED, reached.encode_to_vec())
        }
        E::TimerMoved { cleared, timer } => {
            let moved = pb::TimerMoved {
                cleared: cleared.as_ref().map(|it| it.id.clone()).unwrap_or_default(),
                fired: cleared.as_ref().is_some_and(|it| it.fired),
                timer: timer.as_ref().map(timer_to_proto),
            };
            (TIMER_MOVED, moved.encode_to_vec())
        }
        E::Closed { features, timer } => {
            let features = features.iter().map(Slug::to_string).collect();
            let timer = timer.clone().unwrap_or_default();
            (CLOSED, pb::Closed { features, timer }.encode_to_vec())
        }
        E::Limited { .. }
        | E::Lifted { .. }
        | E::Reserved { .. }
        | E::Finalised { .. }
        | E::Released { .. }
        | E::Expired { .. } => unreachable!("encoded by encode_event"),
    }
}

pub(crate) fn decode_event(_: &str, kind: &str, payload: &[u8]) -> Result<E, DecodeError> {
    Ok(match kind {
        LIMITED => {
            let it = quota_from_proto(pb::Limited::decode(payload)?.quota.unwrap_or_default())?;
            let Quota { feature, terms, used, reserved, over_since, .. } = it;
            let figures = Figures { used, reserved, over_since };
            E::Limited { feature, terms, window: it.window, figures, noted: it.noted }
        }
        LIFTED => E::Lifted { feature: slug(pb::Lifted::decode(payload)?.feature, "feature")? },
        RESERVED => {
            let it = pb::Reserved::decode(payload)?;
            E::Reserved {
                id: it.id,
                feature: slug(it.feature, "feature")?,
                amount: it.amount,
                expires_at: timestamp(it.expires_at, "expires_at")?,
                figures: figures_from_proto(it.figures)?,
            }
        }
        FINALISED => {
            let it = pb::Finalised::decode(payload)?;
            let (feature, figures) =
                (slug(it.feature, "feature")?, figures_from_proto(it.figures)?);
            E::Finalised { id: it.id, feature, amount: it.amount, figures }
        }
        RELEASED => {
            let it = pb::Released::decode(payload)?;
            let (feature, figures) =
                (slug(it.feature, "feature")?, figures_from_proto(it.figures)?);
            E::Released { id: it.id, feature, figures }
        }
        EXPIRED => {
            let it = pb::Expired::decode(payload)?;
            let figures = it.features.into_iter().map(|it| {
                Ok((slug(it.feature, "features.feature")?, figures_from_proto(it.figures)?))
            });
            E::Expired { ids: it.ids, figures: figures.collect::<Result<_, DecodeError>>()? }
        }
        other => return decode_change(other, payload),
    })
}

fn decode_change(kind: &str, payload: &[u8]) -> Result<E, DecodeError> {
    Ok(match kind {
        ADJUSTED => {
            let it = pb::Adjusted::decode(payload)?;
            E::Adjusted {
                feature: slug(it.feature, "feature")?,
                units: it.units,
                reason: it.reason,
                figures: figures_from_proto(it.figures)?,
                noted: it.noted,
            }
        }
        RESET => {
            let it = pb::Reset::decode(payload)?;
            let window = it.window.ok_or(DecodeError::Field { field: "window" })?;
            E::Reset {
                feature: slug(it.feature, "feature")?,
                window: window_from_proto(window)?,
                figures: figures_from_proto(it.figures)?,
            }
        }
        THRESHOLD_REACHED => {
            let it = pb::ThresholdReached::decode(payload)?;
            E::ThresholdReached {
                feature: slug(it.feature, "feature")?,
                percent: it.percent,
                window: it.window.map(window_from_proto).transpose()?,
                limit: it.limit,
                held: quantity(&it.held, "held")?,
            }
        }
        TIMER_MOVED => {
            let it = pb::TimerMoved::decode(payload)?;
            let (id, fired) = (it.cleared, it.fired);
            let cleared = (!id.is_empty()).then_some(ClearedTimer { id, fired });
            E::TimerMoved { cleared, timer: it.timer.map(timer_from_proto).transpose()? }
        }
        CLOSED => {
            let it = pb::Closed::decode(payload)?;
            let features = it.features.into_iter().map(|it| slug(it, "features"));
            let timer = (!it.timer.is_empty()).then_some(it.timer);
            E::Closed { features: features.collect::<Result<_, DecodeError>>()?, timer }
        }
        _ => return Err(DecodeError::UnknownType(kind.to_owned())),
    })
}

pub(crate) fn encode_reply(reply: &Reply) -> Vec<u8> {
    match reply {
        Reply::Nothing => Vec::new(),
        Reply::Reservation(it) => reservation_message(&it.0, &it.1).encode_to_vec(),
        Reply::Quota(quota) => quota_message(quota, None).encode_to_vec(),
    }
}
