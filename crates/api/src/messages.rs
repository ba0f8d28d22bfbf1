//! Rows and values of the platform as messages of the API.

use exchequer_codec::tenant_message;
use exchequer_projection_audit::AuditEntry;
use exchequer_projection_tenants::Listed;
use exchequer_proto::{audit::v1 as pba, tenants::v1 as pb};
use exchequer_types::Timestamp;

/// The tenant, with its children counted.
pub(crate) fn listed(listed: &Listed) -> pb::Tenant {
    let children = listed.children;
    pb::Tenant {
        children: Some(pb::ChildCounts {
            active: children.active,
            suspended: children.suspended,
            closed: children.closed,
        }),
        ..tenant_message(&listed.tenant)
    }
}

pub(crate) fn entry(entry: AuditEntry) -> pba::Entry {
    pba::Entry {
        tenant: entry.tenant,
        seq: entry.seq,
        action: entry.action,
        actor: entry.actor,
        resource: Some(pba::Resource { r#type: entry.resource_type, id: entry.resource_id }),
        occurred_at: Some(instant(entry.claimed_at)),
        recorded_at: Some(instant(entry.recorded_at)),
        command_id: entry.command_id,
        json: entry.json,
        prev: entry.prev,
        // Read from the entry's bytes, for whoever may see them.
        personal: Vec::new(),
        origin: None,
        appended_by: String::new(),
    }
}

pub(crate) fn instant(at: Timestamp) -> prost_types::Timestamp {
    prost_types::Timestamp {
        seconds: at.micros().div_euclid(1_000_000),
        nanos: (at.micros().rem_euclid(1_000_000) * 1_000) as i32,
    }
}
