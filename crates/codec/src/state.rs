//! A stream's state as it is written behind. `FOLD_VERSION` of the engine leads
//! the cell's key: a changed fold refolds beside the old.

use std::sync::Arc;

use bytes::Bytes;
use exchequer_kernel::Timers;
use exchequer_proto::journal::v1 as pb;
use exchequer_tenant::{AuditHead, Stream};
use exchequer_types::Hash;
use prost::Message;

use crate::DecodeError;
use crate::convert::timestamp;
use crate::domains::{access, catalog, entitlements, flags, quotas, subscriptions, tenants, usage};

/// The stream's state as bytes. A domain that has none leaves nothing.
pub fn encode_stream(stream: &Stream) -> Bytes {
    let timers = stream.timers.iter();
    let none = Stream::default();
    let (tenant, adopted) = tenants::state_to_proto(&stream.tenants);
    let state = pb::StreamState {
        version: stream.version,
        audit_seq: stream.audit.seq,
        audit_prev: Bytes::copy_from_slice(&stream.audit.prev.0),
        timers: timers
            .map(|(due, id)| pb::TimerSet { id: id.to_owned(), due: due.micros(), own_time: false })
            .collect(),
        parked: stream.parked.as_ref().map(ToString::to_string),
        tenant,
        adopted,
        access: unless_same(&stream.access, &none.access, access::state_to_proto),
        catalog: unless_same(&stream.catalog, &none.catalog, catalog::state_to_proto),
        subscriptions: unless_same(
            &stream.subscriptions,
            &none.subscriptions,
            subscriptions::state_to_proto,
        ),
        entitlements: unless_same(
            &stream.entitlements,
            &none.entitlements,
            entitlements::state_to_proto,
        ),
        flags: unless_same(&stream.flags, &none.flags, flags::state_to_proto),
        quotas: unless_same(&stream.quotas, &none.quotas, quotas::state_to_proto),
        usage: unless_same(&stream.usage, &none.usage, usage::state_to_proto),
    };
    Bytes::from(state.encode_to_vec())
}

/// The stream's state from its bytes.
pub fn decode_stream(bytes: &[u8]) -> Result<Stream, DecodeError> {
    let state = pb::StreamState::decode(bytes)?;
    let mut timers = Timers::default();
    for timer in state.timers {
        timers.set(&timer.id, timestamp(timer.due, "timers.due")?);
    }
    let prev = Hash::from_slice(&state.audit_prev);
    let none = Stream::default();
    Ok(Stream {
        version: state.version,
        audit: AuditHead {
            seq: state.audit_seq,
            prev: prev.ok_or(DecodeError::Field { field: "audit_prev" })?,
        },
        timers: Arc::new(timers),
        parked: state.parked.map(Arc::from),
        tenants: Arc::new(tenants::state_from_proto(state.tenant, state.adopted)?),
        access: or(none.access, state.access, access::state_from_proto)?,
        catalog: or(none.catalog, state.catalog, catalog::state_from_proto)?,
        subscriptions: or(
            none.subscriptions,
            state.subscriptions,
            subscriptions::state_from_proto,
        )?,
        entitlements: or(none.entitlements, state.entitlements, entitlements::state_from_proto)?,
        flags: or(none.flags, state.flags, flags::state_from_proto)?,
        quotas: or(none.quotas, state.quotas, quotas::state_from_proto)?,
        usage: or(none.usage, state.usage, usage::state_from_proto)?,
    })
}

fn unless_same<S: PartialEq, P>(state: &Arc<S>, none: &Arc<S>, encode: fn(&S) -> P) -> Option<P> {
    (!Arc::ptr_eq(state, none) && state != none).then(|| encode(state))
}

/// What is not there is shared by all streams.
fn or<S, P>(
    none: Arc<S>,
    state: Option<P>,
    decode: fn(P) -> Result<S, DecodeError>,
) -> Result<Arc<S>, DecodeError> {
    state.map_or(Ok(none), |state| decode(state).map(Arc::new))
}
