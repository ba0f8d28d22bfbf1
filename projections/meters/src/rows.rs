//! Tables, keys and rows of the view. Columns are for those who read the store; the whole
//! stands in `record`.

use bytes::Bytes;
use exchequer_codec::{
    event_schema_from_proto, event_schema_state_from_proto, event_schema_state_to_proto,
    event_schema_to_proto, meter_definition_from_proto, meter_definition_to_proto,
    meter_state_from_proto, meter_state_to_proto,
};
use exchequer_domain_usage::State;
use exchequer_metering::Meter as Rules;
use exchequer_proto::tenants::v1::Setting;
use exchequer_proto::usage::v1 as pb;
use exchequer_readstore::{Column, Fault, Key, Kind, Table, Value};
use exchequer_types::{Period, TenantId, Timestamp};
use prost::Message;
use std::sync::Arc;

use crate::definitions::Definitions;
use crate::terms::{Part, TenantTerms};

/// By tenant.
pub static USAGE_DEFINITIONS: Table = Table {
    name: "usage_definitions",
    partition_key: &[text("tenant")],
    clustering: &[],
    columns: &[
        int("version"),
        // In force.
        int("meters"),
        int("schemas"),
        // exchequer.usage.v1.DefinitionsRecord
        RECORD,
    ],
};

/// By tenant, then by meter and version.
pub static METER_VERSIONS: Table = Table {
    name: "meter_versions",
    partition_key: &[text("tenant")],
    clustering: &[text("meter"), int("version")],
    columns: &[
        text("event_type"),
        // count, sum, min, max, average, last or unique_count.
        text("aggregation"),
        text("unit"),
        // Microseconds since the Unix epoch, as all instants.
        int("set_at"),
        // exchequer.usage.v1.MeterVersionRecord
        RECORD,
    ],
};

/// By tenant, then by type of events and version.
pub static EVENT_SCHEMA_VERSIONS: Table = Table {
    name: "event_schema_versions",
    partition_key: &[text("tenant")],
    clustering: &[text("type"), int("version")],
    columns: &[
        int("set_at"),
        // exchequer.usage.v1.EventSchemaVersionRecord
        RECORD,
    ],
};

/// By tenant.
pub static USAGE_TENANTS: Table = Table {
    name: "usage_tenants",
    partition_key: &[text("tenant")],
    clustering: &[],
    columns: &[
        // Empty for the root.
        text("provider"),
        // Of the current billing period; below 0 when there is none.
        int("period_start"),
        int("period_end"),
        // exchequer.usage.v1.TenantTermsRecord
        RECORD,
    ],
};

const RECORD: Column = Column { name: "record", kind: Kind::Bytes };
/// Instead of an instant that there is not.
const NONE: i64 = -1;

const fn text(name: &'static str) -> Column {
    Column { name, kind: Kind::Text }
}

const fn int(name: &'static str) -> Column {
    Column { name, kind: Kind::Int }
}

/// Key of `usage_definitions` and `usage_tenants`.
pub(crate) fn key(tenant: &str) -> Key {
    Key { partition: vec![Value::text(tenant)], clustering: Vec::new() }
}

/// Key of `meter_versions` and `event_schema_versions`.
pub(crate) fn version_key(tenant: &str, name: &str, version: u32) -> Key {
    Key {
        partition: vec![Value::text(tenant)],
        clustering: vec![Value::text(name), Value::Int(i64::from(version))],
    }
}

pub(crate) fn definitions_values(it: &Definitions) -> Vec<Value> {
    let setting =
        |(key, value): (&String, &String)| Setting { key: key.clone(), value: value.clone() };
    let record = pb::DefinitionsRecord {
        state: Some(pb::State {
            version: it.state.version,
            meters: it.state.meters.values().map(|it| meter_state_to_proto(it)).collect(),
            schemas: it.state.schemas.values().map(|it| event_schema_state_to_proto(it)).collect(),
            ..pb::State::default()
        }),
        settings: it.settings.iter().map(setting).collect(),
        settings_version: it.settings_version,
    };
    vec![
        Value::uint(it.version()),
        Value::uint(it.meters().count() as u64),
        Value::uint(it.schemas().count() as u64),
        bytes(&record),
    ]
}

/// A fault when the row cannot be what was written.
pub(crate) fn definitions_from(tenant: &str, values: &[Value]) -> Result<Definitions, Fault> {
    let damaged = || damaged("definitions", tenant);
    let record: pb::DefinitionsRecord = record(values).ok_or_else(damaged)?;
    let state = record.state.unwrap_or_default();
    let meters = state.meters.into_iter().map(meter_state_from_proto);
    let schemas = state.schemas.into_iter().map(event_schema_state_from_proto);
    Ok(Definitions {
        state: State {
            version: state.version,
            meters: meters
                .map(|it| it.map(|it| (it.rules.key.clone(), Arc::new(it))))
                .collect::<Result<_, _>>()
                .map_err(|_| damaged())?,
            schemas: schemas
                .map(|it| it.map(|it| (it.kind.clone(), Arc::new(it))))
                .collect::<Result<_, _>>()
                .map_err(|_| damaged())?,
            ..State::default()
        },
        settings: record.settings.into_iter().map(|it| (it.key, it.value)).collect(),
        settings_version: record.settings_version,
    })
}

pub(crate) fn meter_version_values(rules: &Rules, set_at: Timestamp) -> Vec<Value> {
    let record = pb::MeterVersionRecord {
        meter: Some(meter_definition_to_proto(rules)),
        set_at: set_at.micros(),
    };
    vec![
        Value::text(&rules.event_type),
        Value::text(rules.aggregation.as_str()),
        Value::text(&rules.unit),
        Value::Int(set_at.micros()),
        bytes(&record),
    ]
}

/// The rules, and when they were set.
pub(crate) fn meter_version_from(
    tenant: &str,
    values: &[Value],
) -> Result<(Rules, Timestamp), Fault> {
    let damaged = || damaged("meters", tenant);
    let record: pb::MeterVersionRecord = record(values).ok_or_else(damaged)?;
    let rules = meter_definition_from_proto(record.meter).map_err(|_| damaged())?;
    Ok((rules, Timestamp::saturating_from_micros(record.set_at)))
}

pub(crate) fn schema_version_values(
    kind: &str,
    version: u32,
    text: &str,
    set_at: Timestamp,
) -> Vec<Value> {
    let record = pb::EventSchemaVersionRecord {
        schema: Some(event_schema_to_proto(kind, version, text)),
        set_at: set_at.micros(),
    };
    vec![Value::Int(set_at.micros()), bytes(&record)]
}

/// The schema's text, and when it was set.
pub(crate) fn schema_version_from(
    tenant: &str,
    values: &[Value],
) -> Result<(String, Timestamp), Fault> {
    let damaged = || damaged("schemas", tenant);
    let record: pb::EventSchemaVersionRecord = record(values).ok_or_else(damaged)?;
    let (_, _, text) = event_schema_from_proto(record.schema).map_err(|_| damaged())?;
    Ok((text, Timestamp::saturating_from_micros(record.set_at)))
}

/// The row of a tenant that exists.
pub(crate) fn terms_values(it: &TenantTerms) -> Vec<Value> {
    let part = |it: &Part| pb::BillingPeriod {
        start: it.start.micros(),
        end: it.end.map(Timestamp::micros),
    };
    let next = it.next.map(|it| Part { start: it.start, end: Some(it.end) });
    let provider = it.provider.as_ref().map_or("", TenantId::as_str);
    let record = pb::TenantTermsRecord {
        provider: provider.to_owned(),
        periods: it.parts.iter().map(part).collect(),
        next: next.as_ref().map(part),
    };
    let current = it.parts.last();
    vec![
        Value::text(provider),
        Value::Int(current.map_or(NONE, |it| it.start.micros())),
        Value::Int(current.and_then(|it| it.end).map_or(NONE, Timestamp::micros)),
        bytes(&record),
    ]
}

/// A fault when the row cannot be what was written.
pub(crate) fn terms_from(tenant: &str, values: &[Value]) -> Result<TenantTerms, Fault> {
    let damaged = || damaged("terms", tenant);
    let record: pb::TenantTermsRecord = record(values).ok_or_else(damaged)?;
    let instant = Timestamp::saturating_from_micros;
    let part = |it: &pb::BillingPeriod| Part { start: instant(it.start), end: it.end.map(instant) };
    let next = record.next.as_ref().map(part);
    let provider = match record.provider.as_str() {
        "" => None,
        id => Some(TenantId::parse(id).map_err(|_| damaged())?),
    };
    Ok(TenantTerms {
        exists: true,
        provider,
        parts: record.periods.iter().map(part).collect(),
        next: next.and_then(|it| Some(Period { start: it.start, end: it.end? })),
    })
}

fn bytes(record: &impl Message) -> Value {
    Value::Bytes(Bytes::from(record.encode_to_vec()))
}

fn record<M: Message + Default>(values: &[Value]) -> Option<M> {
    M::decode(values.last()?.as_bytes()).ok()
}

fn damaged(what: &str, tenant: &str) -> Fault {
    Fault::lasting(format!("usage {what} of {tenant:?}: the row is damaged: rebuild the view"))
}
