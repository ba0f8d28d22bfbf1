//! A stream's state as it is written behind. `FOLD_VERSION` of the engine leads
//! the cell's key: a changed fold refolds beside the old.

use std::sync::Arc;

use bytes::Bytes;
use exchequer_domain_tenants::{self as tenants, Closing, Tenant};
use exchequer_kernel::Timers;
use exchequer_proto::journal::v1 as pb;
use exchequer_tenant::{AuditHead, Stream};
use exchequer_types::Hash;
use prost::Message;

use crate::DecodeError;
use crate::convert::{
    optional_tenant_id, profile_from_proto, profile_to_proto, settings_from_proto,
    settings_to_proto, status_from_proto, status_to_proto, tenant_id, timestamp,
};

/// The stream's state as bytes.
pub fn encode_stream(stream: &Stream) -> Bytes {
    let timers = stream.timers.iter();
    let state = pb::StreamState {
        version: stream.version,
        audit_seq: stream.audit.seq,
        audit_prev: Bytes::copy_from_slice(&stream.audit.prev.0),
        timers: timers
            .map(|(due, id)| pb::TimerSet { id: id.to_owned(), due: due.micros() })
            .collect(),
        parked: stream.parked.as_ref().map(ToString::to_string),
        tenant: stream.tenants.tenant.as_ref().map(tenant_to_proto),
        adopted: stream.tenants.adopted.iter().map(profile_to_proto).collect(),
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
    let mut tenants = tenants::State {
        tenant: state.tenant.map(tenant_from_proto).transpose()?,
        ..tenants::State::default()
    };
    for profile in state.adopted {
        tenants.adopted.adopt(profile_from_proto(Some(profile))?);
    }
    let prev = Hash::from_slice(&state.audit_prev);
    Ok(Stream {
        version: state.version,
        audit: AuditHead {
            seq: state.audit_seq,
            prev: prev.ok_or(DecodeError::Field { field: "audit_prev" })?,
        },
        timers: Arc::new(timers),
        parked: state.parked.map(Arc::from),
        tenants: Arc::new(tenants),
    })
}

fn tenant_to_proto(tenant: &Tenant) -> pb::TenantState {
    let closing = tenant.closing.as_ref();
    pb::TenantState {
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
    }
}

fn tenant_from_proto(it: pb::TenantState) -> Result<Tenant, DecodeError> {
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
        reason: it.reason,
    })
}
