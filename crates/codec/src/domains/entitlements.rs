//! The entitlements domain on the wire: its commands, events and replies. What they
//! share is in `values.rs`, what the API shows in `message.rs`.

mod message;
mod values;

pub use message::{entitlement_message, grant_message};
pub use values::{
    amount_from_proto, entitlements_from_proto, entitlements_to_proto, grant_kind_from_proto,
};
pub(crate) use values::{
    entitlements_from_proto as state_from_proto, entitlements_to_proto as state_to_proto,
};

use exchequer_domain_entitlements::{
    Command as C, Event as E, GrantFeature, Reply, ReportUse, Revoke,
};
use exchequer_proto::entitlements::v1 as pb;
use exchequer_tenant::Command;
use exchequer_types::Timestamp;
use prost::Message as _;

use self::values::{
    amount_to_proto, content_from_proto, content_to_proto, expiry_from_proto, expiry_to_proto,
    grant_kind_to_proto, held_from_proto, held_to_proto,
};
use super::Encoded;
use crate::DecodeError;
use crate::convert::{optional_timestamp, slug};

const GRANT: &str = "entitlements.grant.v1";
const REVOKE: &str = "entitlements.revoke.v1";
const REPORT_USE: &str = "entitlements.report-use.v1";

pub(crate) const COMMANDS: &[&str] = &[GRANT, REVOKE, REPORT_USE];

const PLAN_GIVEN: &str = "entitlements.plan-given.v1";
const PLAN_WITHDRAWN: &str = "entitlements.plan-withdrawn.v1";
const GRANTED: &str = "entitlements.granted.v1";
const GRANT_REVOKED: &str = "entitlements.grant-revoked.v1";
const GRANT_EXPIRED: &str = "entitlements.grant-expired.v1";
const USE_REPORTED: &str = "entitlements.use-reported.v1";
const CLOSED: &str = "entitlements.closed.v1";

pub(crate) const EVENTS: &[&str] =
    &[PLAN_GIVEN, PLAN_WITHDRAWN, GRANTED, GRANT_REVOKED, GRANT_EXPIRED, USE_REPORTED, CLOSED];

/// None for what is never sent: a timer's own command.
pub(crate) fn encode_command(command: &C) -> Option<Encoded> {
    Some(match command {
        C::Grant(it) => {
            let grant = pb::GrantFeature {
                feature: it.feature.to_string(),
                amount: Some(amount_to_proto(it.amount)),
                kind: grant_kind_to_proto(it.kind).into(),
                reason: it.reason.clone(),
                expires_at: it.expires_at.map(Timestamp::micros),
            };
            (GRANT, grant.encode_to_vec())
        }
        C::Revoke(it) => {
            let revoke = pb::Revoke { id: it.id.clone(), reason: it.reason.clone() };
            (REVOKE, revoke.encode_to_vec())
        }
        C::ReportUse(it) => {
            let report = pb::ReportUse { feature: it.feature.to_string(), used: it.used };
            (REPORT_USE, report.encode_to_vec())
        }
        C::FireTimer(_) => return None,
    })
}

pub(crate) fn decode_command(kind: &str, payload: &[u8]) -> Result<Command, DecodeError> {
    Ok(Command::Entitlements(match kind {
        GRANT => {
            let it = pb::GrantFeature::decode(payload)?;
            C::Grant(GrantFeature {
                feature: slug(it.feature, "feature")?,
                amount: amount_from_proto(it.amount)?,
                kind: grant_kind_from_proto(it.kind).ok_or(DecodeError::Field { field: "kind" })?,
                reason: it.reason,
                expires_at: optional_timestamp(it.expires_at, "expires_at")?,
            })
        }
        REVOKE => {
            let it = pb::Revoke::decode(payload)?;
            C::Revoke(Revoke { id: it.id, reason: it.reason })
        }
        REPORT_USE => {
            let it = pb::ReportUse::decode(payload)?;
            C::ReportUse(ReportUse { feature: slug(it.feature, "feature")?, used: it.used })
        }
        _ => return Err(DecodeError::UnknownType(kind.to_owned())),
    }))
}

pub(crate) fn encode_event(event: &E) -> Encoded {
    match event {
        E::PlanGiven { held, content } => {
            let (held, content) = (Some(held_to_proto(held)), Some(content_to_proto(content)));
            (PLAN_GIVEN, pb::PlanGiven { held, content }.encode_to_vec())
        }
        E::PlanWithdrawn => (PLAN_WITHDRAWN, pb::PlanWithdrawn {}.encode_to_vec()),
        E::Granted { id, feature, amount, kind, reason, expiry } => {
            let granted = pb::Granted {
                id: id.clone(),
                feature: feature.to_string(),
                amount: Some(amount_to_proto(*amount)),
                kind: grant_kind_to_proto(*kind).into(),
                reason: reason.clone(),
                expiry: expiry.as_ref().map(expiry_to_proto),
            };
            (GRANTED, granted.encode_to_vec())
        }
        E::GrantRevoked { id, reason, timer } => {
            let revoked = pb::GrantRevoked {
                id: id.clone(),
                reason: reason.clone(),
                timer: timer.clone().unwrap_or_default(),
            };
            (GRANT_REVOKED, revoked.encode_to_vec())
        }
        E::GrantExpired { id, timer } => {
            let expired = pb::GrantExpired { id: id.clone(), timer: timer.clone() };
            (GRANT_EXPIRED, expired.encode_to_vec())
        }
        E::UseReported { feature, used } => {
            let reported = pb::UseReported { feature: feature.to_string(), used: *used };
            (USE_REPORTED, reported.encode_to_vec())
        }
        E::Closed { timers } => (CLOSED, pb::Closed { timers: timers.clone() }.encode_to_vec()),
    }
}

pub(crate) fn decode_event(_: &str, kind: &str, payload: &[u8]) -> Result<E, DecodeError> {
    Ok(match kind {
        PLAN_GIVEN => {
            let it = pb::PlanGiven::decode(payload)?;
            E::PlanGiven {
                held: held_from_proto(it.held)?,
                content: content_from_proto(it.content)?,
            }
        }
        PLAN_WITHDRAWN => {
            pb::PlanWithdrawn::decode(payload)?;
            E::PlanWithdrawn
        }
        GRANTED => {
            let it = pb::Granted::decode(payload)?;
            E::Granted {
                id: it.id,
                feature: slug(it.feature, "feature")?,
                amount: amount_from_proto(it.amount)?,
                kind: grant_kind_from_proto(it.kind).ok_or(DecodeError::Field { field: "kind" })?,
                reason: it.reason,
                expiry: it.expiry.map(expiry_from_proto).transpose()?,
            }
        }
        GRANT_REVOKED => {
            let it = pb::GrantRevoked::decode(payload)?;
            let timer = (!it.timer.is_empty()).then_some(it.timer);
            E::GrantRevoked { id: it.id, reason: it.reason, timer }
        }
        GRANT_EXPIRED => {
            let it = pb::GrantExpired::decode(payload)?;
            E::GrantExpired { id: it.id, timer: it.timer }
        }
        USE_REPORTED => {
            let it = pb::UseReported::decode(payload)?;
            E::UseReported { feature: slug(it.feature, "feature")?, used: it.used }
        }
        CLOSED => E::Closed { timers: pb::Closed::decode(payload)?.timers },
        _ => return Err(DecodeError::UnknownType(kind.to_owned())),
    })
}

pub(crate) fn encode_reply(reply: &Reply) -> Vec<u8> {
    match reply {
        Reply::Nothing => Vec::new(),
        Reply::Grant(grant) => grant_message(grant).encode_to_vec(),
        Reply::Decision(decision) => {
            let (feature, decision) = decision.as_ref();
            entitlement_message(feature, decision, 1).encode_to_vec()
        }
    }
}

#[cfg(test)]
mod tests;
