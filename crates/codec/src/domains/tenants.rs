//! The tenants domain on the wire: its commands, events, replies and state. Every
//! module of this folder has these functions.

use exchequer_domain_tenants::{self as tenants, Closing, Command as C, Event as E, State, Tenant};
use exchequer_proto::journal::v1 as pbk;
use exchequer_proto::tenants::v1 as pb;
use exchequer_tenant::{Command, Create};
use exchequer_types::{StreamId, Timestamp};
use prost::Message as _;

use super::Encoded;
use crate::DecodeError;
use crate::convert::{
    instant, optional_tenant_id, optional_timestamp, profile_from_proto, profile_to_proto,
    settings_from_proto, settings_to_proto, status_from_proto, status_to_proto, tenant_id,
    timestamp,
};

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
const ADVANCE_CLOCK: &str = "tenants.advance-clock.v1";
const ADOPT_PROVIDER: &str = "tenants.adopt-provider.v1";

/// Every command type and version of the domain that was ever sent.
pub(crate) const COMMANDS: &[&str] = &[
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
    ADVANCE_CLOCK,
    ADOPT_PROVIDER,
];

const CREATED: &str = "tenants.created.v1";
const RENAMED: &str = "tenants.renamed.v1";
const SETTINGS_CHANGED: &str = "tenants.settings-changed.v1";
const PROMOTED: &str = "tenants.promoted.v1";
const SUSPENDED: &str = "tenants.suspended.v1";
const REINSTATED: &str = "tenants.reinstated.v1";
const CLOSED: &str = "tenants.closed.v1";
const CLOSING_SCHEDULED: &str = "tenants.closing-scheduled.v1";
const CLOSING_CANCELLED: &str = "tenants.closing-cancelled.v1";
const CLOCK_ADVANCED: &str = "tenants.clock-advanced.v1";
const PROVIDER_PROFILED: &str = "tenants.provider-profiled.v1";
const PROVIDER_ADOPTED: &str = "tenants.provider-adopted.v1";

/// Every event type and version of the domain that was ever written.
pub(crate) const EVENTS: &[&str] = &[
    CREATED,
    RENAMED,
    SETTINGS_CHANGED,
    PROMOTED,
    SUSPENDED,
    REINSTATED,
    CLOSED,
    CLOSING_SCHEDULED,
    CLOSING_CANCELLED,
    CLOCK_ADVANCED,
    PROVIDER_PROFILED,
    PROVIDER_ADOPTED,
];

/// The command's type name and payload. None for what is never sent.
pub(crate) fn encode_command(command: &C) -> Option<Encoded> {
    Some(match command {
        C::Bootstrap(it) => (BOOTSTRAP, pb::Bootstrap { name: it.name.clone() }.encode_to_vec()),
        C::Rename(it) => (RENAME, pb::Rename { name: it.name.clone() }.encode_to_vec()),
        C::UpdateSettings(it) => {
            let update =
                pb::UpdateSettings { set: settings_to_proto(&it.set), unset: it.unset.clone() };
            (UPDATE_SETTINGS, update.encode_to_vec())
        }
        C::Promote(_) => (PROMOTE, pb::Promote {}.encode_to_vec()),
        C::Suspend(it) => (SUSPEND, pb::Suspend { reason: it.reason.clone() }.encode_to_vec()),
        C::Reinstate(_) => (REINSTATE, pb::Reinstate {}.encode_to_vec()),
        C::Close(it) => (CLOSE, pb::Close { reason: it.reason.clone() }.encode_to_vec()),
        C::ScheduleClosing(it) => {
            (SCHEDULE_CLOSING, pb::ScheduleClosing { at: it.at.micros() }.encode_to_vec())
        }
        C::CancelClosing(_) => (CANCEL_CLOSING, pb::CancelClosing {}.encode_to_vec()),
        C::AdvanceClock(it) => {
            (ADVANCE_CLOCK, pb::AdvanceClock { to: it.to.micros() }.encode_to_vec())
        }
        C::AdoptProvider(it) => {
            let adopt = pb::AdoptProvider { profile: Some(profile_to_proto(&it.profile)) };
            (ADOPT_PROVIDER, adopt.encode_to_vec())
        }
        C::Create(_) | C::FireClosing(_) => return None,
    })
}

/// Creation, whose provider the tenant root looks up.
pub(crate) fn encode_create(it: &Create) -> Encoded {
    let create = pb::Create {
        parent: it.parent.to_string(),
        name: it.name.clone(),
        settings: settings_to_proto(&it.settings),
        test_clock: it.test_clock.map(Timestamp::micros),
    };
    (CREATE, create.encode_to_vec())
}

/// The command of a type name and payload.
pub(crate) fn decode_command(kind: &str, payload: &[u8]) -> Result<Command, DecodeError> {
    Ok(Command::Tenants(match kind {
        CREATE => return create_from_proto(pb::Create::decode(payload)?),
        BOOTSTRAP => {
            C::Bootstrap(tenants::Bootstrap { name: pb::Bootstrap::decode(payload)?.name })
        }
        RENAME => C::Rename(tenants::Rename { name: pb::Rename::decode(payload)?.name }),
        UPDATE_SETTINGS => {
            let it = pb::UpdateSettings::decode(payload)?;
            C::UpdateSettings(tenants::UpdateSettings {
                set: settings_from_proto(it.set)?,
                unset: it.unset,
            })
        }
        PROMOTE => {
            pb::Promote::decode(payload)?;
            C::Promote(tenants::Promote)
        }
        SUSPEND => C::Suspend(tenants::Suspend { reason: pb::Suspend::decode(payload)?.reason }),
        REINSTATE => {
            pb::Reinstate::decode(payload)?;
            C::Reinstate(tenants::Reinstate)
        }
        CLOSE => C::Close(tenants::Close { reason: pb::Close::decode(payload)?.reason }),
        SCHEDULE_CLOSING => {
            let at = timestamp(pb::ScheduleClosing::decode(payload)?.at, "at")?;
            C::ScheduleClosing(tenants::ScheduleClosing { at })
        }
        CANCEL_CLOSING => {
            pb::CancelClosing::decode(payload)?;
            C::CancelClosing(tenants::CancelClosing)
        }
        ADVANCE_CLOCK => {
            let to = timestamp(pb::AdvanceClock::decode(payload)?.to, "to")?;
            C::AdvanceClock(tenants::AdvanceClock { to })
        }
        ADOPT_PROVIDER => {
            let profile = profile_from_proto(pb::AdoptProvider::decode(payload)?.profile)?;
            C::AdoptProvider(tenants::AdoptProvider { profile })
        }
        _ => return Err(DecodeError::UnknownType(kind.to_owned())),
    }))
}

fn create_from_proto(it: pb::Create) -> Result<Command, DecodeError> {
    Ok(Command::Create(Create {
        parent: tenant_id(it.parent, "parent")?,
        name: it.name,
        settings: settings_from_proto(it.settings)?,
        test_clock: optional_timestamp(it.test_clock, "test_clock")?,
    }))
}

/// The event's type name and payload.
pub(crate) fn encode_event(event: &E) -> Encoded {
    match event {
        E::Created {
            id: _,
            parent,
            parent_version,
            depth,
            name,
            settings,
            provider,
            test_clock,
        } => {
            let created = pb::Created {
                parent: parent.as_ref().map(ToString::to_string).unwrap_or_default(),
                parent_version: *parent_version,
                depth: *depth,
                name: name.clone(),
                settings: settings_to_proto(settings),
                provider: *provider,
                test_clock: test_clock.map(Timestamp::micros),
            };
            (CREATED, created.encode_to_vec())
        }
        E::Renamed { name } => (RENAMED, pb::Renamed { name: name.clone() }.encode_to_vec()),
        E::SettingsChanged { set, unset } => {
            let changed = pb::SettingsChanged { set: settings_to_proto(set), unset: unset.clone() };
            (SETTINGS_CHANGED, changed.encode_to_vec())
        }
        E::Promoted => (PROMOTED, pb::Promoted {}.encode_to_vec()),
        E::Suspended { reason } => {
            (SUSPENDED, pb::Suspended { reason: reason.clone() }.encode_to_vec())
        }
        E::Reinstated => (REINSTATED, pb::Reinstated {}.encode_to_vec()),
        E::Closed { reason, timer, by_timer } => {
            let closed = pb::Closed {
                reason: reason.clone(),
                timer: timer.clone().unwrap_or_default(),
                by_timer: *by_timer,
            };
            (CLOSED, closed.encode_to_vec())
        }
        E::ClosingScheduled { timer, at } => {
            let scheduled = pb::ClosingScheduled { timer: timer.clone(), at: at.micros() };
            (CLOSING_SCHEDULED, scheduled.encode_to_vec())
        }
        E::ClosingCancelled { timer } => {
            (CLOSING_CANCELLED, pb::ClosingCancelled { timer: timer.clone() }.encode_to_vec())
        }
        E::ClockAdvanced { to } => {
            (CLOCK_ADVANCED, pb::ClockAdvanced { to: to.micros() }.encode_to_vec())
        }
        E::ProviderProfiled(profile) => {
            let profiled = pb::ProviderProfiled { profile: Some(profile_to_proto(profile)) };
            (PROVIDER_PROFILED, profiled.encode_to_vec())
        }
        E::ProviderAdopted(profile) => {
            let adopted = pb::ProviderAdopted { profile: Some(profile_to_proto(profile)) };
            (PROVIDER_ADOPTED, adopted.encode_to_vec())
        }
    }
}

/// The event of `stream` with this type name and payload.
pub(crate) fn decode_event(stream: &str, kind: &str, payload: &[u8]) -> Result<E, DecodeError> {
    Ok(match kind {
        CREATED => {
            let it = pb::Created::decode(payload)?;
            let stream = StreamId::parse(stream).ok();
            E::Created {
                id: stream
                    .and_then(|stream| stream.tenant().cloned())
                    .ok_or(DecodeError::Field { field: "stream" })?,
                parent: optional_tenant_id(it.parent, "parent")?,
                parent_version: it.parent_version,
                depth: it.depth,
                name: it.name,
                settings: settings_from_proto(it.settings)?,
                provider: it.provider,
                test_clock: optional_timestamp(it.test_clock, "test_clock")?,
            }
        }
        RENAMED => E::Renamed { name: pb::Renamed::decode(payload)?.name },
        SETTINGS_CHANGED => {
            let it = pb::SettingsChanged::decode(payload)?;
            E::SettingsChanged { set: settings_from_proto(it.set)?, unset: it.unset }
        }
        PROMOTED => {
            pb::Promoted::decode(payload)?;
            E::Promoted
        }
        SUSPENDED => E::Suspended { reason: pb::Suspended::decode(payload)?.reason },
        REINSTATED => {
            pb::Reinstated::decode(payload)?;
            E::Reinstated
        }
        CLOSED => {
            let it = pb::Closed::decode(payload)?;
            let timer = (!it.timer.is_empty()).then_some(it.timer);
            E::Closed { reason: it.reason, timer, by_timer: it.by_timer }
        }
        CLOSING_SCHEDULED => {
            let it = pb::ClosingScheduled::decode(payload)?;
            E::ClosingScheduled { timer: it.timer, at: timestamp(it.at, "at")? }
        }
        CLOSING_CANCELLED => {
            E::ClosingCancelled { timer: pb::ClosingCancelled::decode(payload)?.timer }
        }
        CLOCK_ADVANCED => {
            E::ClockAdvanced { to: timestamp(pb::ClockAdvanced::decode(payload)?.to, "to")? }
        }
        PROVIDER_PROFILED => {
            let it = pb::ProviderProfiled::decode(payload)?;
            E::ProviderProfiled(profile_from_proto(it.profile)?)
        }
        PROVIDER_ADOPTED => {
            let it = pb::ProviderAdopted::decode(payload)?;
            E::ProviderAdopted(profile_from_proto(it.profile)?)
        }
        _ => return Err(DecodeError::UnknownType(kind.to_owned())),
    })
}

/// A reply's bytes.
pub(crate) fn encode_reply(tenant: &Tenant) -> Vec<u8> {
    tenant_message(tenant).encode_to_vec()
}

/// The tenant as the API shows it, without what only views know.
pub fn tenant_message(tenant: &Tenant) -> pb::Tenant {
    pb::Tenant {
        id: tenant.id.to_string(),
        parent: tenant.parent.as_ref().map(ToString::to_string).unwrap_or_default(),
        name: tenant.name.clone(),
        status: status_to_proto(tenant.status).into(),
        depth: tenant.depth,
        provider: tenant.provider,
        settings: settings_to_proto(&tenant.settings),
        version: tenant.version,
        created_at: Some(instant(tenant.created_at)),
        updated_at: Some(instant(tenant.updated_at)),
        closes_at: tenant.closing.as_ref().map(|closing| instant(closing.at)),
        reason: tenant.reason.clone(),
        children: None,
        test_clock: tenant.clock.map(instant),
    }
}

/// The state as the decider's cell keeps it.
pub(crate) fn state_to_proto(
    state: &State,
) -> (Option<pbk::TenantState>, Vec<pb::ProviderProfile>) {
    let adopted = state.adopted.iter().map(profile_to_proto).collect();
    (state.tenant.as_ref().map(tenant_to_proto), adopted)
}

pub(crate) fn state_from_proto(
    tenant: Option<pbk::TenantState>,
    adopted: Vec<pb::ProviderProfile>,
) -> Result<State, DecodeError> {
    let tenant = tenant.map(tenant_from_proto).transpose()?;
    let mut state = State { tenant, ..State::default() };
    for profile in adopted {
        state.adopted.adopt(profile_from_proto(Some(profile))?);
    }
    Ok(state)
}

fn tenant_to_proto(tenant: &Tenant) -> pbk::TenantState {
    let closing = tenant.closing.as_ref();
    pbk::TenantState {
        id: tenant.id.to_string(),
        parent: tenant.parent.as_ref().map(ToString::to_string).unwrap_or_default(),
        name: tenant.name.clone(),
        status: status_to_proto(tenant.status).into(),
        depth: tenant.depth,
        provider: tenant.provider,
        settings: settings_to_proto(&tenant.settings),
        version: tenant.version,
        created_at: tenant.created_at.micros(),
        updated_at: tenant.updated_at.micros(),
        closing_timer: closing.map(|closing| closing.timer.clone()).unwrap_or_default(),
        closing_at: closing.map_or(0, |closing| closing.at.micros()),
        reason: tenant.reason.clone(),
        clock: tenant.clock.map(Timestamp::micros),
    }
}

fn tenant_from_proto(it: pbk::TenantState) -> Result<Tenant, DecodeError> {
    let closing = if it.closing_timer.is_empty() {
        None
    } else {
        Some(Closing { timer: it.closing_timer, at: timestamp(it.closing_at, "closing_at")? })
    };
    Ok(Tenant {
        id: tenant_id(it.id, "id")?,
        parent: optional_tenant_id(it.parent, "parent")?,
        name: it.name,
        status: status_from_proto(it.status).ok_or(DecodeError::Field { field: "status" })?,
        depth: it.depth,
        provider: it.provider,
        settings: settings_from_proto(it.settings)?,
        version: it.version,
        created_at: timestamp(it.created_at, "created_at")?,
        updated_at: timestamp(it.updated_at, "updated_at")?,
        closing,
        clock: optional_timestamp(it.clock, "clock")?,
        reason: it.reason,
    })
}
