//! A commit's audit entries into rows. The fields come from the entry's own
//! bytes, which are read without building what lists do not filter by.

use std::borrow::Cow;
use std::str::Utf8Error;

use exchequer_codec::Entry;
use exchequer_proto::journal::v1 as pb;
use exchequer_readstore::RowSet;
use exchequer_types::{Timestamp, TimestampError};
use serde::Deserialize;

use crate::rows::{AUDIT_ENTRIES, AuditEntry};

/// The form of entries that this version reads.
const FORM: u32 = 1;

/// Why an entry cannot be folded.
#[derive(Debug, thiserror::Error)]
enum Unfoldable {
    #[error("not UTF-8: {0}")]
    Utf8(#[from] Utf8Error),
    #[error("not an audit entry: {0}")]
    Json(#[from] serde_json::Error),
    #[error("form {0} is not known to this version: upgrade before going on")]
    Form(u32),
    #[error("its time {0}")]
    Time(#[from] TimestampError),
}

/// An entry's bytes, but for `before`, `after` and `context`.
#[derive(Deserialize)]
struct Leaf<'a> {
    #[serde(borrow)]
    action: Cow<'a, str>,
    #[serde(borrow)]
    actor: Cow<'a, str>,
    #[serde(borrow)]
    command: Command<'a>,
    #[serde(borrow)]
    prev: Cow<'a, str>,
    #[serde(borrow)]
    resource: Resource<'a>,
    #[serde(borrow)]
    time: Time<'a>,
    v: u32,
}

#[derive(Deserialize)]
struct Command<'a> {
    #[serde(borrow)]
    id: Cow<'a, str>,
    #[serde(borrow)]
    issuer: Cow<'a, str>,
}

#[derive(Deserialize)]
struct Resource<'a> {
    #[serde(borrow)]
    id: Cow<'a, str>,
    #[serde(borrow)]
    r#type: Cow<'a, str>,
}

#[derive(Deserialize)]
struct Time<'a> {
    #[serde(borrow)]
    claimed: Cow<'a, str>,
    #[serde(borrow)]
    recorded: Cow<'a, str>,
}

pub(crate) fn fold(entry: &Entry, rows: &mut RowSet) {
    for (index, audit) in entry.commit.audit.iter().enumerate() {
        match read(audit, entry.now()) {
            Ok(row) => {
                let (key, values) = row.into_row();
                rows.put(&AUDIT_ENTRIES, key, values, entry.timestamp(index));
            }
            Err(error) => {
                let (partition, offset, seq) = (entry.partition, entry.offset, audit.seq);
                rows.fail(format!(
                    "partition {partition}, offset {offset}, audit entry {seq} of tenant {:?}: {error}",
                    audit.tenant
                ));
                return;
            }
        }
    }
}

fn read(audit: &pb::AuditEntry, committed_at: Timestamp) -> Result<AuditEntry, Unfoldable> {
    let json = str::from_utf8(&audit.leaf)?;
    let leaf: Leaf<'_> = serde_json::from_str(json)?;
    if leaf.v != FORM {
        return Err(Unfoldable::Form(leaf.v));
    }
    Ok(AuditEntry {
        tenant: audit.tenant.clone(),
        seq: audit.seq,
        recorded_at: Timestamp::parse(&leaf.time.recorded)?,
        claimed_at: Timestamp::parse(&leaf.time.claimed)?,
        committed_at,
        actor: leaf.actor.into_owned(),
        action: leaf.action.into_owned(),
        resource_type: leaf.resource.r#type.into_owned(),
        resource_id: leaf.resource.id.into_owned(),
        command_id: leaf.command.id.into_owned(),
        issuer: leaf.command.issuer.into_owned(),
        prev: leaf.prev.into_owned(),
        json: json.to_owned(),
    })
}
