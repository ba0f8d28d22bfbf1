//! Replies of accepted commands: the bytes that the log keeps are the bytes that
//! the caller gets.

use bytes::Bytes;
use exchequer_domain_tenants::Tenant;
use exchequer_proto::{audit::v1 as pba, tenants::v1 as pb};
use exchequer_tenant::{Command, Reply};
use exchequer_types::Timestamp;
use prost::Message;

use crate::convert::{settings_to_proto, status_to_proto};

/// The serialized reply message of `command`.
pub fn encode_reply(command: &Command, reply: &Reply) -> Bytes {
    let bytes = match reply {
        Reply::Nothing => Vec::new(),
        Reply::Tenant(tenant) => tenant_message(tenant).encode_to_vec(),
        Reply::Appended { first_seq, count } => {
            let many = matches!(
                command,
                Command::Audit(exchequer_domain_audit::Command::Append(it)) if it.entries.len() != 1
            );
            if many {
                let (first_seq, count) = (*first_seq, *count);
                pba::BatchAppendEntriesResponse { first_seq, count }.encode_to_vec()
            } else {
                pba::AppendEntryResponse { seq: *first_seq }.encode_to_vec()
            }
        }
    };
    Bytes::from(bytes)
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
    }
}

fn instant(at: Timestamp) -> prost_types::Timestamp {
    prost_types::Timestamp {
        seconds: at.micros().div_euclid(1_000_000),
        nanos: i32::try_from(at.micros().rem_euclid(1_000_000) * 1_000).unwrap_or(0),
    }
}
