//! Events by type name and version. A stored example of each lies under
//! `schemas/events/`.

use bytes::Bytes;
use exchequer_proto::journal::v1 as pbk;
use exchequer_tenant::Event;
use prost::Message;

use crate::DecodeError;
use crate::convert::timestamp;
use crate::domains::{
    access, audit, catalog, domain_of, entitlements, flags, quotas, subscriptions, tenants, usage,
};

pub const TIMER_SET: &str = "kernel.timer-set.v1";
const TIMER_CLEARED: &str = "kernel.timer-cleared.v1";
const PARKED: &str = "kernel.parked.v1";
const RELEASED: &str = "kernel.released.v1";

/// Every event type and version that was ever written.
pub fn event_types() -> Vec<&'static str> {
    let domains = [
        &[TIMER_SET, TIMER_CLEARED, PARKED, RELEASED],
        tenants::EVENTS,
        access::EVENTS,
        audit::EVENTS,
        catalog::EVENTS,
        subscriptions::EVENTS,
        entitlements::EVENTS,
        flags::EVENTS,
        quotas::EVENTS,
        usage::EVENTS,
    ];
    domains.concat()
}

/// The event's type name and payload.
pub fn encode_event(event: &Event) -> (&'static str, Bytes) {
    let (kind, payload) = match event {
        Event::TimerSet { id, due, own_time } => {
            let set = pbk::TimerSet { id: id.clone(), due: due.micros(), own_time: *own_time };
            (TIMER_SET, set.encode_to_vec())
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
        Event::Tenants(event) => tenants::encode_event(event),
        Event::Access(event) => access::encode_event(event),
        Event::Audit(event) => audit::encode_event(event),
        Event::Catalog(event) => catalog::encode_event(event),
        Event::Subscriptions(event) => subscriptions::encode_event(event),
        Event::Entitlements(event) => entitlements::encode_event(event),
        Event::Flags(event) => flags::encode_event(event),
        Event::Quotas(event) => quotas::encode_event(event),
        Event::Usage(event) => usage::encode_event(event),
    };
    (kind, Bytes::from(payload))
}

/// The event of `stream` with this type name and payload.
pub fn decode_event(stream: &str, kind: &str, payload: &[u8]) -> Result<Event, DecodeError> {
    Ok(match domain_of(kind) {
        "kernel" => decode_kernel(kind, payload)?,
        "tenants" => Event::Tenants(tenants::decode_event(stream, kind, payload)?),
        "access" => Event::Access(access::decode_event(stream, kind, payload)?),
        "audit" => Event::Audit(audit::decode_event(kind, payload)?),
        "catalog" => Event::Catalog(catalog::decode_event(stream, kind, payload)?),
        "subscriptions" => {
            Event::Subscriptions(subscriptions::decode_event(stream, kind, payload)?)
        }
        "entitlements" => Event::Entitlements(entitlements::decode_event(stream, kind, payload)?),
        "flags" => Event::Flags(flags::decode_event(stream, kind, payload)?),
        "quotas" => Event::Quotas(quotas::decode_event(stream, kind, payload)?),
        "usage" => Event::Usage(usage::decode_event(stream, kind, payload)?),
        _ => return Err(DecodeError::UnknownType(kind.to_owned())),
    })
}

fn decode_kernel(kind: &str, payload: &[u8]) -> Result<Event, DecodeError> {
    Ok(match kind {
        TIMER_SET => {
            let it = pbk::TimerSet::decode(payload)?;
            Event::TimerSet { id: it.id, due: timestamp(it.due, "due")?, own_time: it.own_time }
        }
        TIMER_CLEARED => {
            let it = pbk::TimerCleared::decode(payload)?;
            Event::TimerCleared { id: it.id, due: timestamp(it.due, "due")?, fired: it.fired }
        }
        PARKED => Event::Parked { reason: pbk::Parked::decode(payload)?.reason },
        RELEASED => Event::Released { reason: pbk::Released::decode(payload)?.reason },
        _ => return Err(DecodeError::UnknownType(kind.to_owned())),
    })
}
