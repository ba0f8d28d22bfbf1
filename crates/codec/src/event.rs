//! Events by type name and version. A stored example of each lies under
//! `schemas/events/`.

use bytes::Bytes;
use exchequer_domain_audit as audit;
use exchequer_domain_tenants as tenants;
use exchequer_proto::{audit::v1 as pba, journal::v1 as pbk, tenants::v1 as pb};
use exchequer_tenant::Event;
use exchequer_types::StreamId;
use prost::Message;
use tenants::Event as T;

use crate::DecodeError;
use crate::convert::{
    optional_tenant_id, profile_from_proto, profile_to_proto, settings_from_proto,
    settings_to_proto, timestamp,
};

const TIMER_SET: &str = "kernel.timer-set.v1";
const TIMER_CLEARED: &str = "kernel.timer-cleared.v1";
const PARKED: &str = "kernel.parked.v1";
const RELEASED: &str = "kernel.released.v1";
const CREATED: &str = "tenants.created.v1";
const RENAMED: &str = "tenants.renamed.v1";
const SETTINGS_CHANGED: &str = "tenants.settings-changed.v1";
const PROMOTED: &str = "tenants.promoted.v1";
const SUSPENDED: &str = "tenants.suspended.v1";
const REINSTATED: &str = "tenants.reinstated.v1";
const CLOSED: &str = "tenants.closed.v1";
const CLOSING_SCHEDULED: &str = "tenants.closing-scheduled.v1";
const CLOSING_CANCELLED: &str = "tenants.closing-cancelled.v1";
const PROVIDER_PROFILED: &str = "tenants.provider-profiled.v1";
const PROVIDER_ADOPTED: &str = "tenants.provider-adopted.v1";
const APPENDED: &str = "audit.appended.v1";

/// Every event type and version that was ever written.
pub const EVENT_TYPES: &[&str] = &[
    TIMER_SET,
    TIMER_CLEARED,
    PARKED,
    RELEASED,
    CREATED,
    RENAMED,
    SETTINGS_CHANGED,
    PROMOTED,
    SUSPENDED,
    REINSTATED,
    CLOSED,
    CLOSING_SCHEDULED,
    CLOSING_CANCELLED,
    PROVIDER_PROFILED,
    PROVIDER_ADOPTED,
    APPENDED,
];

/// The event's type name and payload.
pub fn encode_event(event: &Event) -> (&'static str, Bytes) {
    let (kind, payload) = match event {
        Event::TimerSet { id, due } => {
            (TIMER_SET, pbk::TimerSet { id: id.clone(), due: due.micros() }.encode_to_vec())
        }
        Event::TimerCleared { id, due, fired } => {
            let (id, due, fired) = (id.clone(), due.micros(), *fired);
            (TIMER_CLEARED, pbk::TimerCleared { id, fired, due }.encode_to_vec())
        }
        Event::Parked { reason } => {
            (PARKED, pbk::Parked { reason: reason.clone() }.encode_to_vec())
        }
        Event::Released { reason } => {
            (RELEASED, pbk::Released { reason: reason.clone() }.encode_to_vec())
        }
        Event::Audit(audit::Event::Appended { count }) => {
            (APPENDED, pba::Appended { count: *count }.encode_to_vec())
        }
        Event::Tenants(event) => encode_tenants(event),
    };
    (kind, Bytes::from(payload))
}

fn encode_tenants(event: &T) -> (&'static str, Vec<u8>) {
    match event {
        T::Created { id: _, parent, parent_version, depth, name, settings, provider } => {
            let created = pb::Created {
                parent: parent.as_ref().map(ToString::to_string).unwrap_or_default(),
                parent_version: *parent_version,
                depth: *depth,
                name: name.clone(),
                settings: settings_to_proto(settings),
                provider: *provider,
            };
            (CREATED, created.encode_to_vec())
        }
        T::Renamed { name } => (RENAMED, pb::Renamed { name: name.clone() }.encode_to_vec()),
        T::SettingsChanged { set, unset } => {
            let changed = pb::SettingsChanged { set: settings_to_proto(set), unset: unset.clone() };
            (SETTINGS_CHANGED, changed.encode_to_vec())
        }
        T::Promoted => (PROMOTED, pb::Promoted {}.encode_to_vec()),
        T::Suspended { reason } => {
            (SUSPENDED, pb::Suspended { reason: reason.clone() }.encode_to_vec())
        }
        T::Reinstated => (REINSTATED, pb::Reinstated {}.encode_to_vec()),
        T::Closed { reason, timer, by_timer } => {
            let closed = pb::Closed {
                reason: reason.clone(),
                timer: timer.clone().unwrap_or_default(),
                by_timer: *by_timer,
            };
            (CLOSED, closed.encode_to_vec())
        }
        T::ClosingScheduled { timer, at } => {
            let scheduled = pb::ClosingScheduled { timer: timer.clone(), at: at.micros() };
            (CLOSING_SCHEDULED, scheduled.encode_to_vec())
        }
        T::ClosingCancelled { timer } => {
            (CLOSING_CANCELLED, pb::ClosingCancelled { timer: timer.clone() }.encode_to_vec())
        }
        T::ProviderProfiled(profile) => {
            let profiled = pb::ProviderProfiled { profile: Some(profile_to_proto(profile)) };
            (PROVIDER_PROFILED, profiled.encode_to_vec())
        }
        T::ProviderAdopted(profile) => {
            let adopted = pb::ProviderAdopted { profile: Some(profile_to_proto(profile)) };
            (PROVIDER_ADOPTED, adopted.encode_to_vec())
        }
    }
}

/// The event of `stream` with this type name and payload.
pub fn decode_event(stream: &str, kind: &str, payload: &[u8]) -> Result<Event, DecodeError> {
    Ok(match kind {
        TIMER_SET => {
            let it = pbk::TimerSet::decode(payload)?;
            Event::TimerSet { id: it.id, due: timestamp(it.due, "due")? }
        }
        TIMER_CLEARED => {
            let it = pbk::TimerCleared::decode(payload)?;
            Event::TimerCleared { id: it.id, due: timestamp(it.due, "due")?, fired: it.fired }
        }
        PARKED => Event::Parked { reason: pbk::Parked::decode(payload)?.reason },
        RELEASED => Event::Released { reason: pbk::Released::decode(payload)?.reason },
        APPENDED => {
            let count = pba::Appended::decode(payload)?.count;
            Event::Audit(audit::Event::Appended { count })
        }
        _ => Event::Tenants(decode_tenants(stream, kind, payload)?),
    })
}

fn decode_tenants(stream: &str, kind: &str, payload: &[u8]) -> Result<T, DecodeError> {
    Ok(match kind {
        CREATED => {
            let it = pb::Created::decode(payload)?;
            let stream = StreamId::parse(stream).ok();
            T::Created {
                id: stream
                    .and_then(|stream| stream.tenant().cloned())
                    .ok_or(DecodeError::Field { field: "stream" })?,
                parent: optional_tenant_id(it.parent, "parent")?,
                parent_version: it.parent_version,
                depth: it.depth,
                name: it.name,
                settings: settings_from_proto(it.settings)?,
                provider: it.provider,
            }
        }
        RENAMED => T::Renamed { name: pb::Renamed::decode(payload)?.name },
        SETTINGS_CHANGED => {
            let it = pb::SettingsChanged::decode(payload)?;
            T::SettingsChanged { set: settings_from_proto(it.set)?, unset: it.unset }
        }
        PROMOTED => {
            pb::Promoted::decode(payload)?;
            T::Promoted
        }
        SUSPENDED => T::Suspended { reason: pb::Suspended::decode(payload)?.reason },
        REINSTATED => {
            pb::Reinstated::decode(payload)?;
            T::Reinstated
        }
        CLOSED => {
            let it = pb::Closed::decode(payload)?;
            let timer = (!it.timer.is_empty()).then_some(it.timer);
            T::Closed { reason: it.reason, timer, by_timer: it.by_timer }
        }
        CLOSING_SCHEDULED => {
            let it = pb::ClosingScheduled::decode(payload)?;
            T::ClosingScheduled { timer: it.timer, at: timestamp(it.at, "at")? }
        }
        CLOSING_CANCELLED => {
            T::ClosingCancelled { timer: pb::ClosingCancelled::decode(payload)?.timer }
        }
        PROVIDER_PROFILED => {
            let it = pb::ProviderProfiled::decode(payload)?;
            T::ProviderProfiled(profile_from_proto(it.profile)?)
        }
        PROVIDER_ADOPTED => {
            let it = pb::ProviderAdopted::decode(payload)?;
            T::ProviderAdopted(profile_from_proto(it.profile)?)
        }
        _ => return Err(DecodeError::UnknownType(kind.to_owned())),
    })
}
