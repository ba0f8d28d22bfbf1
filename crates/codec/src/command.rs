//! Commands by type name and version. A stored example of each lies under
//! `schemas/commands/`.

use bytes::Bytes;
use exchequer_domain_audit as audit;
use exchequer_domain_tenants as tenants;
use exchequer_proto::{audit::v1 as pba, journal::v1 as pbk, tenants::v1 as pb};
use exchequer_tenant::Command;
use prost::Message;
use tenants::Command as T;

use crate::DecodeError;
use crate::convert::{
    profile_from_proto, profile_to_proto, settings_from_proto, settings_to_proto, tenant_id,
    timestamp,
};

/// Type name of a wake, which decides what is due and keeps no identity.
pub const WAKE: &str = "kernel.wake.v1";
const LOOKUP: &str = "kernel.lookup.v1";
const RELEASE: &str = "kernel.release.v1";
const BOOTSTRAP: &str = "tenants.bootstrap.v1";
const CREATE: &str = "tenants.create.v1";
const RENAME: &str = "tenants.rename.v1";
const UPDATE_SETTINGS: &str = "tenants.update-settings.v1";
const PROMOTE: &str = "tenants.promote.v1";
const SUSPEND: &str = "tenants.suspend.v1";
const REINSTATE: &str = "tenants.reinstate.v1";
const CLOSE: &str = "tenants.close.v1";
const SCHEDULE_CLOSING: &str = "tenants.schedule-closing.v1";
const CANCEL_CLOSING: &str = "tenants.cancel-closing.v1";
const ADOPT_PROVIDER: &str = "tenants.adopt-provider.v1";
const APPEND: &str = "audit.append.v1";

/// Every command type and version that was ever sent.
pub const COMMAND_TYPES: &[&str] = &[
    WAKE,
    LOOKUP,
    RELEASE,
    BOOTSTRAP,
    CREATE,
    RENAME,
    UPDATE_SETTINGS,
    PROMOTE,
    SUSPEND,
    REINSTATE,
    CLOSE,
    SCHEDULE_CLOSING,
    CANCEL_CLOSING,
    ADOPT_PROVIDER,
    APPEND,
];

/// The command's type name and payload. None for what is never sent: a timer's
/// own command, and creation with its provider resolved.
pub fn encode_command(command: &Command) -> Option<(&'static str, Bytes)> {
    let message: (&'static str, Vec<u8>) = match command {
        Command::Wake => (WAKE, pbk::Wake {}.encode_to_vec()),
        Command::Lookup { issuer, id } => {
            (LOOKUP, pbk::Lookup { issuer: issuer.clone(), id: id.clone() }.encode_to_vec())
        }
        Command::Release { reason } => {
            (RELEASE, pbk::Release { reason: reason.clone() }.encode_to_vec())
        }
        Command::Create { parent, name, settings } => {
            let create = pb::Create {
                parent: parent.to_string(),
                name: name.clone(),
                settings: settings_to_proto(settings),
            };
            (CREATE, create.encode_to_vec())
        }
        Command::Audit(audit::Command::Append(append)) => {
            let entries = append.entries.iter().map(draft_to_proto).collect();
            (APPEND, pba::Append { entries }.encode_to_vec())
        }
        Command::Tenants(command) => encode_tenants(command)?,
    };
    Some((message.0, Bytes::from(message.1)))
}

fn encode_tenants(command: &T) -> Option<(&'static str, Vec<u8>)> {
    Some(match command {
        T::Bootstrap(it) => (BOOTSTRAP, pb::Bootstrap { name: it.name.clone() }.encode_to_vec()),
        T::Rename(it) => (RENAME, pb::Rename { name: it.name.clone() }.encode_to_vec()),
        T::UpdateSettings(it) => {
            let update =
                pb::UpdateSettings { set: settings_to_proto(&it.set), unset: it.unset.clone() };
            (UPDATE_SETTINGS, update.encode_to_vec())
        }
        T::Promote(_) => (PROMOTE, pb::Promote {}.encode_to_vec()),
        T::Suspend(it) => (SUSPEND, pb::Suspend { reason: it.reason.clone() }.encode_to_vec()),
        T::Reinstate(_) => (REINSTATE, pb::Reinstate {}.encode_to_vec()),
        T::Close(it) => (CLOSE, pb::Close { reason: it.reason.clone() }.encode_to_vec()),
        T::ScheduleClosing(it) => {
            (SCHEDULE_CLOSING, pb::ScheduleClosing { at: it.at.micros() }.encode_to_vec())
        }
        T::CancelClosing(_) => (CANCEL_CLOSING, pb::CancelClosing {}.encode_to_vec()),
        T::AdoptProvider(it) => {
            let adopt = pb::AdoptProvider { profile: Some(profile_to_proto(&it.profile)) };
            (ADOPT_PROVIDER, adopt.encode_to_vec())
        }
        T::Create(_) | T::FireClosing(_) => return None,
    })
}

/// The command of a type name and payload.
pub fn decode_command(kind: &str, payload: &[u8]) -> Result<Command, DecodeError> {
    Ok(match kind {
        WAKE => {
            pbk::Wake::decode(payload)?;
            Command::Wake
        }
        LOOKUP => {
            let it = pbk::Lookup::decode(payload)?;
            Command::Lookup { issuer: it.issuer, id: it.id }
        }
        RELEASE => Command::Release { reason: pbk::Release::decode(payload)?.reason },
        CREATE => {
            let it = pb::Create::decode(payload)?;
            Command::Create {
                parent: tenant_id(it.parent, "parent")?,
                name: it.name,
                settings: settings_from_proto(it.settings)?,
            }
        }
        APPEND => {
            let it = pba::Append::decode(payload)?;
            let entries = it.entries.into_iter().map(draft_from_proto).collect::<Result<_, _>>()?;
            Command::Audit(audit::Command::Append(audit::Append { entries }))
        }
        _ => Command::Tenants(decode_tenants(kind, payload)?),
    })
}

fn decode_tenants(kind: &str, payload: &[u8]) -> Result<T, DecodeError> {
    Ok(match kind {
        BOOTSTRAP => {
            T::Bootstrap(tenants::Bootstrap { name: pb::Bootstrap::decode(payload)?.name })
        }
        RENAME => T::Rename(tenants::Rename { name: pb::Rename::decode(payload)?.name }),
        UPDATE_SETTINGS => {
            let it = pb::UpdateSettings::decode(payload)?;
            T::UpdateSettings(tenants::UpdateSettings {
                set: settings_from_proto(it.set)?,
                unset: it.unset,
            })
        }
        PROMOTE => {
            pb::Promote::decode(payload)?;
            T::Promote(tenants::Promote)
        }
        SUSPEND => T::Suspend(tenants::Suspend { reason: pb::Suspend::decode(payload)?.reason }),
        REINSTATE => {
            pb::Reinstate::decode(payload)?;
            T::Reinstate(tenants::Reinstate)
        }
        CLOSE => T::Close(tenants::Close { reason: pb::Close::decode(payload)?.reason }),
        SCHEDULE_CLOSING => {
            let at = timestamp(pb::ScheduleClosing::decode(payload)?.at, "at")?;
            T::ScheduleClosing(tenants::ScheduleClosing { at })
        }
        CANCEL_CLOSING => {
            pb::CancelClosing::decode(payload)?;
            T::CancelClosing(tenants::CancelClosing)
        }
        ADOPT_PROVIDER => {
            let profile = profile_from_proto(pb::AdoptProvider::decode(payload)?.profile)?;
            T::AdoptProvider(tenants::AdoptProvider { profile })
        }
        _ => return Err(DecodeError::UnknownType(kind.to_owned())),
    })
}

fn draft_to_proto(draft: &audit::Draft) -> pba::Draft {
    pba::Draft {
        action: draft.action.clone(),
        actor: draft.actor.clone(),
        resource_type: draft.resource_type.clone(),
        resource_id: draft.resource_id.clone(),
        before: draft.before.clone(),
        after: draft.after.clone(),
        context: draft.context.clone(),
        occurred_at: draft.occurred_at.map_or(0, exchequer_types::Timestamp::micros),
    }
}

fn draft_from_proto(draft: pba::Draft) -> Result<audit::Draft, DecodeError> {
    let occurred_at = match draft.occurred_at {
        0 => None,
        micros => Some(timestamp(micros, "occurred_at")?),
    };
    Ok(audit::Draft {
        action: draft.action,
        actor: draft.actor,
        resource_type: draft.resource_type,
        resource_id: draft.resource_id,
        before: draft.before,
        after: draft.after,
        context: draft.context,
        occurred_at,
    })
}
