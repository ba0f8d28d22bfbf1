//! Commands about subscriptions, as they are sent.

use exchequer_domain_subscriptions::{
    Activate, Cancel, Command as C, DropEntry, Pause, Reactivate, Reschedule, Resume, ScheduleAt,
    SetZone, When,
};
use exchequer_proto::subscriptions::v1 as pb;
use exchequer_tenant::{AmendChange, ChangeSubscription, Command, Subscribe};
use exchequer_types::{Selection, SelectionChange, Timestamp};
use prost::Message as _;

use super::values::{at_from_proto, at_to_proto, currency, packs_from_proto, packs_to_proto, zone};
use crate::DecodeError;
use crate::convert::{optional_timestamp, slug};
use crate::domains::Encoded;

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
