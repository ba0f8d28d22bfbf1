//! Table, key and rows of the view. Columns are for those who read the store; the whole
//! stands in `record`.

use bytes::Bytes;
use exchequer_codec::{entitlements_from_proto, entitlements_to_proto};
use exchequer_proto::entitlements::v1 as pb;
use exchequer_readstore::{Column, Fault, Key, Kind, Table, Value};
use exchequer_types::{HeldBy, TenantId, TenantStatus, Timestamp};
use prost::Message as _;

use crate::snapshot::Snapshot;
use crate::sources::Marks;

/// By tenant.
pub static ENTITLEMENTS: Table = Table {
    name: "entitlements",
    partition_key: &[text("tenant")],
    clustering: &[],
    // In the order of `values_of`.
    columns: &[
        // The own time of a sandbox, in microseconds since the Unix epoch as all instants;
        // below 0 when the tenant lives in real time.
        int("clock"),
        int("version"),
        int("updated_at"),
        // The tenant's provider, whose plan it has; empty for the root.
        text("provider"),
        // active, suspended or closed.
        text("status"),
        // Empty, and 0, without a plan.
        text("catalog"),
        int("catalog_version"),
        text("plan"),
        // trial, subscription or fallback.
        text("held_by"),
        int("seats"),
        int("held_since"),
        // exchequer.entitlements.v1.ViewRecord
        Column { name: "record", kind: Kind::Bytes },
    ],
};

const fn text(name: &'static str) -> Column {
    Column { name, kind: Kind::Text }
}

const fn int(name: &'static str) -> Column {
    Column { name, kind: Kind::Int }
}

/// Instead of a clock.
const REAL_TIME: i64 = -1;

/// Key of `entitlements`.
pub(crate) fn key(tenant: &str) -> Key {
    Key { partition: vec![Value::text(tenant)], clustering: Vec::new() }
}

/// The row of a tenant that exists.
pub(crate) fn values_of(snapshot: &Snapshot, marks: &Marks) -> Vec<Value> {
    let state = &snapshot.state;
    let held = state.plan.as_ref().map(|given| &given.held);
    let plan = held.map(|held| &held.plan);
    let record =
        pb::ViewRecord { state: Some(entitlements_to_proto(state)), marks: marks.to_proto() };
    vec![
        Value::Int(snapshot.clock.map_or(REAL_TIME, Timestamp::micros)),
        Value::uint(state.version),
        Value::Int(state.updated_at.micros()),
        Value::text(snapshot.provider.as_ref().map_or("", TenantId::as_str)),
        Value::text(status_word(snapshot.status)),
        Value::text(plan.map_or("", |plan| plan.catalog.as_str())),
        Value::Int(plan.map_or(0, |plan| i64::from(plan.version))),
        Value::text(plan.map_or("", |plan| plan.plan.as_str())),
        Value::text(held.map_or("", |held| held_by_word(held.by))),
        Value::uint(held.map_or(0, |held| held.seats)),
        Value::Int(held.map_or(0, |held| held.since.micros())),
        Value::Bytes(Bytes::from(record.encode_to_vec())),
    ]
}

/// The snapshot that a row of `tenant` holds, and where the rows of its features stand. A
/// fault when it cannot be what was written.
pub(crate) fn row_of(tenant: &str, values: &[Value]) -> Result<(Snapshot, Marks), Fault> {
    let damaged = |column: &str| {
        Fault::lasting(format!(
            "entitlements of {tenant:?}: the row's {column} is damaged: rebuild the view"
        ))
    };
    let [clock, _, _, provider, status, .., record] = values else {
        return Err(damaged("number of columns"));
    };
    let provider = match provider.as_text() {
        "" => None,
        id => Some(TenantId::parse(id).map_err(|_| damaged("provider"))?),
    };
    let word = status.as_text();
    let status = STATUSES.into_iter().find(|it| status_word(*it) == word);
    let status = status.ok_or_else(|| damaged("status"))?;
    let record = pb::ViewRecord::decode(record.as_bytes()).map_err(|_| damaged("record"))?;
    let state = entitlements_from_proto(record.state.unwrap_or_default());
    let state = state.map_err(|_| damaged("record"))?;
    let clock = Some(clock.as_int()).filter(|clock| *clock >= 0);
    let clock = clock.map(Timestamp::saturating_from_micros);
    let snapshot = Snapshot { exists: true, provider, clock, status, state };
    Ok((snapshot, Marks::from_proto(record.marks)))
}

const STATUSES: [TenantStatus; 3] =
    [TenantStatus::Active, TenantStatus::Suspended, TenantStatus::Closed];

fn status_word(status: TenantStatus) -> &'static str {
    match status {
        TenantStatus::Active => "active",
        TenantStatus::Suspended => "suspended",
        TenantStatus::Closed => "closed",
    }
}

fn held_by_word(by: HeldBy) -> &'static str {
    match by {
        HeldBy::Trial => "trial",
        HeldBy::Subscription => "subscription",
        HeldBy::Fallback => "fallback",
    }
}
