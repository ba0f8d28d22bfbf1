//! The subscriptions domain on the wire: its commands, events, replies and state.

mod charge;
mod message;
#[cfg(test)]
mod tests;
mod values;

use exchequer_domain_subscriptions::{
    Activate, Cancel, ClearedTimer, Command as C, DropEntry, Event as E, Pause, Reactivate, Reply,
    Reschedule, Resume, ScheduleAt, SetZone, Timer, When,
};
use exchequer_proto::subscriptions::v1 as pb;
use exchequer_tenant::{AmendChange, ChangeSubscription, Command, Subscribe};
use exchequer_types::{Selection, SelectionChange, Timestamp};
use prost::Message as _;

use super::Encoded;
use crate::DecodeError;
use crate::convert::{optional_timestamp, slug, timestamp};
use values::{
    at_from_proto, at_to_proto, currency, drop_reason_from_proto, drop_reason_to_proto,
    end_reason_from_proto, end_reason_to_proto, held_from_proto, held_to_proto, holding_from_proto,
    holding_to_proto, optional_plan, packs_from_proto, packs_to_proto, period_from_proto,
    period_to_proto, plan_to_proto, zone,
};

pub use charge::{charge_from_proto, charge_to_proto};
pub use message::{charge_message, scheduled_changes, subscription_message};
pub(crate) use values::{state_from_proto, state_to_proto};
pub use values::{subscription_from_proto, subscription_to_proto};

const SUBSCRIBE: &str = "subscriptions.subscribe.v1";
const ACTIVATE: &str = "subscriptions.activate.v1";
const CHANGE: &str = "subscriptions.change.v1";
const CANCEL: &str = "subscriptions.cancel.v1";
const REACTIVATE: &str = "subscriptions.reactivate.v1";
const PAUSE: &str = "subscriptions.pause.v1";
const RESUME: &str = "subscriptions.resume.v1";
const SET_ZONE: &str = "subscriptions.set-zone.v1";
const AMEND_CHANGE: &str = "subscriptions.amend-change.v1";
const RESCHEDULE_CHANGE: &str = "subscriptions.reschedule-change.v1";
const DROP_CHANGE: &str = "subscriptions.drop-change.v1";

/// Every command type and version of the domain that was ever sent.
pub(crate) const COMMANDS: &[&str] = &[
    SUBSCRIBE,
    ACTIVATE,
    CHANGE,
    CANCEL,
    REACTIVATE,
    PAUSE,
    RESUME,
    SET_ZONE,
    AMEND_CHANGE,
    RESCHEDULE_CHANGE,
    DROP_CHANGE,
];

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
    RESUMED,
    RENEWED,
    ZONE_CHANGED,
    ENDED,
    CHARGE_RECORDED,
    HELD_CHANGED,
    DUE_MOVED,
];

/// None for what is never sent: a timer's own command, and those that the tenant root
/// makes when it has looked a selection up.
pub(crate) fn encode_command(command: &C) -> Option<Encoded> {
    Some(match command {
        C::Activate(_) => (ACTIVATE, pb::Activate {}.encode_to_vec()),
        C::Cancel(it) => {
            let cancel = pb::Cancel { later: later(it.when), reason: it.reason.clone() };
            (CANCEL, cancel.encode_to_vec())
        }
        C::Reactivate(_) => (REACTIVATE, pb::Reactivate {}.encode_to_vec()),
        C::Pause(it) => {
            let resume_at = it.resume_at.map(Timestamp::micros);
            (PAUSE, pb::Pause { resume_at }.encode_to_vec())
        }
        C::Resume(_) => (RESUME, pb::Resume {}.encode_to_vec()),
        C::SetZone(it) => {
            (SET_ZONE, pb::SetZone { zone: it.zone.name().to_owned() }.encode_to_vec())
        }
        C::Reschedule(it) => {
            let (id, at) = (it.id.clone(), Some(at_to_proto(it.at)));
            (RESCHEDULE_CHANGE, pb::RescheduleChange { id, at }.encode_to_vec())
        }
        C::Drop(it) => (DROP_CHANGE, pb::DropChange { id: it.id.clone() }.encode_to_vec()),
        C::Subscribe(_) | C::Change(_) | C::Amend(_) | C::FireTimer(_) => return None,
    })
}

/// A beginning, whose selection the tenant root looks up.
pub(crate) fn encode_subscribe(it: &Subscribe) -> Encoded {
    let selection = &it.selection;
    let subscribe = pb::Subscribe {
        catalog: selection.catalog.to_string(),
        version: selection.version,
        plan: selection.plan.to_string(),
        price: selection.price.to_string(),
        currency: selection.currency.code().to_owned(),
        seats: selection.seats,
        add_ons: packs_to_proto(&selection.add_ons),
        trial_days: it.trial_days,
        zone: it.zone.clone().unwrap_or_default(),
    };
    (SUBSCRIBE, subscribe.encode_to_vec())
}

/// A change, whose selection the tenant root looks up.
pub(crate) fn encode_change(it: &ChangeSubscription) -> Encoded {
    let change = pb::Change { to: Some(selection_change(&it.to)), later: later(it.when) };
    (CHANGE, change.encode_to_vec())
}

/// An amendment, whose selection the tenant root looks up.
pub(crate) fn encode_amend(it: &AmendChange) -> Encoded {
    let amend = pb::AmendChange { id: it.id.clone(), to: Some(selection_change(&it.to)) };
    (AMEND_CHANGE, amend.encode_to_vec())
}

/// The command of a type name and payload.
pub(crate) fn decode_command(kind: &str, payload: &[u8]) -> Result<Command, DecodeError> {
    Ok(Command::Subscriptions(match kind {
        SUBSCRIBE => return subscribe_from_proto(pb::Subscribe::decode(payload)?),
        CHANGE => {
            let it = pb::Change::decode(payload)?;
            let to = selection_change_from_proto(it.to)?;
            let when = when_from_proto(it.later)?;
            return Ok(Command::ChangeSubscription(ChangeSubscription { to, when }));
        }
        AMEND_CHANGE => {
            let it = pb::AmendChange::decode(payload)?;
            let to = selection_change_from_proto(it.to)?;
            return Ok(Command::AmendChange(AmendChange { id: it.id, to }));
        }
        ACTIVATE => {
            pb::Activate::decode(payload)?;
            C::Activate(Activate)
        }
        CANCEL => {
            let it = pb::Cancel::decode(payload)?;
            C::Cancel(Cancel { when: when_from_proto(it.later)?, reason: it.reason })
        }
        REACTIVATE => {
            pb::Reactivate::decode(payload)?;
            C::Reactivate(Reactivate)
        }
        PAUSE => {
            let it = pb::Pause::decode(payload)?;
            C::Pause(Pause { resume_at: optional_timestamp(it.resume_at, "resume_at")? })
        }
        RESUME => {
            pb::Resume::decode(payload)?;
            C::Resume(Resume)
        }
        SET_ZONE => C::SetZone(SetZone { zone: zone(&pb::SetZone::decode(payload)?.zone)? }),
        RESCHEDULE_CHANGE => {
            let it = pb::RescheduleChange::decode(payload)?;
            C::Reschedule(Reschedule { id: it.id, at: at_from_proto(it.at)? })
        }
        DROP_CHANGE => C::Drop(DropEntry { id: pb::DropChange::decode(payload)?.id }),
        _ => return Err(DecodeError::UnknownType(kind.to_owned())),
    }))
}

fn subscribe_from_proto(it: pb::Subscribe) -> Result<Command, DecodeError> {
    let selection = Selection {
        catalog: slug(it.catalog, "catalog")?,
        version: it.version,
        plan: slug(it.plan, "plan")?,
        price: slug(it.price, "price")?,
        currency: currency(&it.currency)?,
        seats: it.seats,
        add_ons: packs_from_proto(it.add_ons)?,
    };
    let zone = Some(it.zone).filter(|zone| !zone.is_empty());
    Ok(Command::Subscribe(Subscribe { selection, trial_days: it.trial_days, zone }))
}

fn selection_change(it: &SelectionChange) -> pb::SelectionChange {
    pb::SelectionChange {
        catalog: it.catalog.as_ref().map(ToString::to_string),
        version: it.version,
        plan: it.plan.as_ref().map(ToString::to_string),
        price: it.price.as_ref().map(ToString::to_string),
        seats: it.seats,
        add_ons: it
            .add_ons
            .as_ref()
            .map(|packs| pb::AddOnQuantities { add_ons: packs_to_proto(packs) }),
    }
}

fn selection_change_from_proto(
    it: Option<pb::SelectionChange>,
) -> Result<SelectionChange, DecodeError> {
    let it = it.ok_or(DecodeError::Field { field: "to" })?;
    Ok(SelectionChange {
        catalog: it.catalog.map(|text| slug(text, "to.catalog")).transpose()?,
        version: it.version,
        plan: it.plan.map(|text| slug(text, "to.plan")).transpose()?,
        price: it.price.map(|text| slug(text, "to.price")).transpose()?,
        seats: it.seats,
        add_ons: it.add_ons.map(|packs| packs_from_proto(packs.add_ons)).transpose()?,
    })
}

/// None: now.
fn later(when: When) -> Option<pb::ScheduleAt> {
    match when {
        When::Now => None,
        When::PeriodEnd => Some(at_to_proto(ScheduleAt::PeriodEnd)),
        When::At(at) => Some(at_to_proto(ScheduleAt::Instant(at))),
    }
}

fn when_from_proto(later: Option<pb::ScheduleAt>) -> Result<When, DecodeError> {
    if later.is_none() {
        return Ok(When::Now);
    }
    Ok(match at_from_proto(later)? {
        ScheduleAt::PeriodEnd => When::PeriodEnd,
        ScheduleAt::Instant(at) => When::At(at),
    })
}

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
        E::ChangeScheduled { id, at, holding } => {
            let scheduled = pb::ChangeScheduled {
                id: id.clone(),
                at: Some(at_to_proto(*at)),
                holding: Some(holding_to_proto(holding)),
            };
            (CHANGE_SCHEDULED, scheduled.encode_to_vec())
        }
        E::ScheduleAmended { id, holding } => {
            let (id, holding) = (id.clone(), Some(holding_to_proto(holding)));
            (SCHEDULE_AMENDED, pb::ScheduleAmended { id, holding }.encode_to_vec())
        }
        E::ScheduleMoved { id, at } => {
            let (id, at) = (id.clone(), Some(at_to_proto(*at)));
            (SCHEDULE_MOVED, pb::ScheduleMoved { id, at }.encode_to_vec())
        }
        E::ScheduleDropped { id, why } => {
            let (id, reason) = (id.clone(), drop_reason_to_proto(*why).into());
            (SCHEDULE_DROPPED, pb::ScheduleDropped { id, reason }.encode_to_vec())
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
            E::ChangeScheduled { id: it.id, at: at_from_proto(it.at)?, holding }
        }
        SCHEDULE_AMENDED => {
            let it = pb::ScheduleAmended::decode(payload)?;
            E::ScheduleAmended { id: it.id, holding: holding_from_proto(it.holding)?.into() }
        }
        SCHEDULE_MOVED => {
            let it = pb::ScheduleMoved::decode(payload)?;
            E::ScheduleMoved { id: it.id, at: at_from_proto(it.at)? }
        }
        SCHEDULE_DROPPED => {
            let it = pb::ScheduleDropped::decode(payload)?;
            E::ScheduleDropped { why: drop_reason_from_proto(it.reason)?, id: it.id }
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
