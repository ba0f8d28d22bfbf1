//! The audit domain on the wire.

use std::collections::BTreeMap;

use exchequer_domain_audit::{self as audit, Command as C, Event as E};
use exchequer_proto::audit::v1 as pb;
use exchequer_tenant::Command;
use exchequer_types::Protected;
use prost::Message as _;

use super::Encoded;
use crate::DecodeError;
use crate::convert::{protected_from_proto, protected_to_proto, timestamp};

const APPEND: &str = "audit.append.v1";

pub(crate) const COMMANDS: &[&str] = &[APPEND];

const APPENDED: &str = "audit.appended.v1";

pub(crate) const EVENTS: &[&str] = &[APPENDED];

pub(crate) fn encode_command(command: &C) -> Encoded {
    let C::Append(append) = command;
    let entries = append.entries.iter().map(draft_to_proto).collect();
    (APPEND, pb::Append { entries }.encode_to_vec())
}

pub(crate) fn decode_command(kind: &str, payload: &[u8]) -> Result<Command, DecodeError> {
    if kind != APPEND {
        return Err(DecodeError::UnknownType(kind.to_owned()));
    }
    let it = pb::Append::decode(payload)?;
    let entries = it.entries.into_iter().map(draft_from_proto).collect::<Result<_, _>>()?;
    Ok(Command::Audit(C::Append(audit::Append { entries })))
}

pub(crate) fn encode_event(event: &E) -> Encoded {
    let E::Appended { count } = event;
    (APPENDED, pb::Appended { count: *count }.encode_to_vec())
}

pub(crate) fn decode_event(kind: &str, payload: &[u8]) -> Result<E, DecodeError> {
    if kind != APPENDED {
        return Err(DecodeError::UnknownType(kind.to_owned()));
    }
    Ok(E::Appended { count: pb::Appended::decode(payload)?.count })
}

/// The reply to `command` that appended `count` entries from `first_seq`.
pub(crate) fn encode_reply(command: &Command, first_seq: u64, count: u32) -> Vec<u8> {
    let many = matches!(command, Command::Audit(C::Append(it)) if it.entries.len() != 1);
    if many {
        pb::BatchAppendEntriesResponse { first_seq, count }.encode_to_vec()
    } else {
        pb::AppendEntryResponse { seq: first_seq }.encode_to_vec()
    }
}

fn draft_to_proto(draft: &audit::Draft) -> pb::Draft {
    pb::Draft {
        action: draft.action.clone(),
        actor: draft.actor.clone(),
        resource_type: draft.resource_type.clone(),
        resource_id: draft.resource_id.clone(),
        before: draft.before.clone(),
        after: draft.after.clone(),
        context: draft.context.clone(),
        occurred_at: draft.occurred_at.map_or(0, exchequer_types::Timestamp::micros),
        personal: draft.personal.iter().map(field_to_proto).collect(),
        origin: draft.origin.as_ref().map(protected_to_proto),
    }
}

fn draft_from_proto(draft: pb::Draft) -> Result<audit::Draft, DecodeError> {
    let occurred_at = match draft.occurred_at {
        0 => None,
        micros => Some(timestamp(micros, "occurred_at")?),
    };
    let count = draft.personal.len();
    let personal = draft.personal.into_iter().map(field_from_proto);
    let personal = personal.collect::<Result<BTreeMap<_, _>, _>>()?;
    if personal.len() != count {
        return Err(DecodeError::Field { field: "personal" });
    }
    Ok(audit::Draft {
        action: draft.action,
        actor: draft.actor,
        resource_type: draft.resource_type,
        resource_id: draft.resource_id,
        before: draft.before,
        after: draft.after,
        context: draft.context,
        personal,
        origin: protected_from_proto(draft.origin, "origin")?,
        occurred_at,
    })
}

fn field_to_proto((name, text): (&String, &Protected)) -> pb::ProtectedField {
    pb::ProtectedField { name: name.clone(), text: Some(protected_to_proto(text)) }
}

fn field_from_proto(field: pb::ProtectedField) -> Result<(String, Protected), DecodeError> {
    let text = protected_from_proto(field.text, "personal.text")?;
    Ok((field.name, text.ok_or(DecodeError::Field { field: "personal.text" })?))
}
