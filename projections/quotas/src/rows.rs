//! Tables, keys and rows of the view. Columns are for those who read the store; the whole
//! stands in `record`.

use bytes::Bytes;
use exchequer_codec::{quota_from_proto, quota_to_proto};
use exchequer_domain_quotas::{Quota, State};
use exchequer_proto::quotas::v1 as pb;
use exchequer_readstore::{Column, Fault, Key, Kind, Table, Value};
use exchequer_types::{PartitionId, Slug, Timestamp};
use prost::Message as _;

/// By tenant, then by feature.
pub static QUOTAS: Table = Table {
    name: "quotas",
    partition_key: &[text("tenant")],
    clustering: &[text("feature")],
    // In the order of `values_of`.
    columns: &[
        // Units; below 0 when there is no limit.
        int("limit_units"),
        // refuse, allow or bill.
        text("beyond"),
        int("used"),
        int("reserved"),
        // Used and reserved.
        int("held"),
        // minute, day, month or 3 months; empty when counting never begins anew.
        text("per"),
        // Microseconds since the Unix epoch; below 0 when counting never begins anew.
        int("window_start"),
        int("resets_at"),
        text("meter"),
        // Percentages, with commas between.
        text("thresholds"),
        text("reached"),
        // exchequer.quotas.v1.QuotaState
        Column { name: "record", kind: Kind::Bytes },
    ],
};

/// All of a tenant's quotas in one row, which snapshots are loaded from.
pub static QUOTA_TENANTS: Table = Table {
    name: "quota_tenants",
    partition_key: &[text("tenant")],
    clustering: &[],
    columns: &[
        int("quotas"),
        // exchequer.quotas.v1.State, without reservations.
        Column { name: "record", kind: Kind::Bytes },
    ],
};

/// Soft limits whose use is measured, by source partition: what whoever watches the meters
/// goes through.
pub static METERED: Table = Table {
    name: "quotas_metered",
    partition_key: &[int("source_partition")],
    clustering: &[text("tenant"), text("feature")],
    columns: &[text("meter")],
};

const fn text(name: &'static str) -> Column {
    Column { name, kind: Kind::Text }
}

const fn int(name: &'static str) -> Column {
    Column { name, kind: Kind::Int }
}

/// Instead of a number, or of an instant, that there is not.
const NONE: i64 = -1;

/// Key of `quotas`.
pub(crate) fn key(tenant: &str, feature: &Slug) -> Key {
    Key { partition: vec![Value::text(tenant)], clustering: vec![Value::text(feature.as_str())] }
}

/// Key of `quota_tenants`.
pub(crate) fn tenant_key(tenant: &str) -> Key {
    Key { partition: vec![Value::text(tenant)], clustering: Vec::new() }
}

/// Key of `quotas_metered`.
pub(crate) fn metered_key(source: PartitionId, tenant: &str, feature: &Slug) -> Key {
    Key {
        partition: vec![partition(source)],
        clustering: vec![Value::text(tenant), Value::text(feature.as_str())],
    }
}

pub(crate) fn partition(source: PartitionId) -> Value {
    Value::Int(i64::from(source.0))
}

/// The row of a quota.
pub(crate) fn values_of(quota: &Quota) -> Vec<Value> {
    let terms = &quota.terms;
    let instant = |at: Option<Timestamp>| Value::Int(at.map_or(NONE, Timestamp::micros));
    let per = terms.counting.map(|it| it.word()).unwrap_or_default();
    vec![
        terms.limit.map_or(Value::Int(NONE), Value::uint),
        Value::text(terms.beyond.word()),
        Value::uint(quota.used),
        Value::uint(quota.reserved),
        Value::uint(quota.held()),
        Value::text(per),
        instant(quota.window.map(|it| it.start)),
        instant(quota.resets_at()),
        Value::text(terms.meter.as_ref().map_or("", Slug::as_str)),
        Value::text(percents(&terms.thresholds)),
        Value::text(percents(&quota.noted)),
        Value::Bytes(Bytes::from(quota_to_proto(quota).encode_to_vec())),
    ]
}

/// The quota that a row holds. A fault when it cannot be what was written.
pub(crate) fn quota_of(tenant: &str, values: &[Value]) -> Result<Quota, Fault> {
    let record = values.last().ok_or_else(|| damaged(tenant, "number of columns"))?;
    let record =
        pb::QuotaState::decode(record.as_bytes()).map_err(|_| damaged(tenant, "record"))?;
    quota_from_proto(record).map_err(|_| damaged(tenant, "record"))
}

/// The row of a tenant.
pub(crate) fn tenant_values_of(state: &State) -> Vec<Value> {
    let record =
        pb::State { quotas: state.quotas().map(quota_to_proto).collect(), ..pb::State::default() };
    let count = u64::try_from(state.quotas().len()).unwrap_or(u64::MAX);
    vec![Value::uint(count), Value::Bytes(Bytes::from(record.encode_to_vec()))]
}

/// What a tenant's row holds: quotas, and nothing of reservations and timers.
pub(crate) fn tenant_of(tenant: &str, values: &[Value]) -> Result<State, Fault> {
    let record = values.last().ok_or_else(|| damaged(tenant, "number of columns"))?;
    let record = pb::State::decode(record.as_bytes()).map_err(|_| damaged(tenant, "record"))?;
    let mut state = State::default();
    for quota in record.quotas {
        state.put(quota_from_proto(quota).map_err(|_| damaged(tenant, "record"))?);
    }
    Ok(state)
}

pub(crate) fn damaged(tenant: &str, column: &str) -> Fault {
    Fault::lasting(format!("quotas of {tenant:?}: the row's {column} is damaged: rebuild the view"))
}

fn percents(percents: &[u32]) -> String {
    let words: Vec<String> = percents.iter().map(u32::to_string).collect();
    words.join(",")
}
