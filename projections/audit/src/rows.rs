//! Table, key and row of the view.

use exchequer_readstore::{Column, Fault, Key, Kind, Row, Table, Value};
use exchequer_types::Timestamp;

/// By tenant, then by sequence number.
pub static AUDIT_ENTRIES: Table = Table {
    name: "audit_entries",
    partition_key: &[text("tenant")],
    clustering: &[int("seq")],
    // In the order of `AuditEntry::into_row`.
    columns: &[
        // Microseconds since the Unix epoch, as all instants.
        int("recorded_at"),
        int("claimed_at"),
        int("committed_at"),
        text("actor"),
        text("action"),
        text("resource_type"),
        text("resource_id"),
        text("command_id"),
        text("issuer"),
        // SHA-256 of the entry before, hexadecimal.
        text("prev"),
        // The entry's exact bytes.
        text("json"),
    ],
};

const fn text(name: &'static str) -> Column {
    Column { name, kind: Kind::Text }
}

const fn int(name: &'static str) -> Column {
    Column { name, kind: Kind::Int }
}

/// One entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditEntry {
    pub tenant: String,
    /// 1 for the tenant's first entry, then one more each.
    pub seq: u64,
    /// When it was decided: the commit's time, or a timer's due time.
    pub recorded_at: Timestamp,
    /// When it happened, by the word of who told.
    pub claimed_at: Timestamp,
    /// The commit's time: never before `recorded_at`, and never before that of
    /// the entry before.
    pub committed_at: Timestamp,
    pub actor: String,
    pub action: String,
    pub resource_type: String,
    pub resource_id: String,
    pub command_id: String,
    pub issuer: String,
    /// SHA-256 of the entry before, hexadecimal.
    pub prev: String,
    /// The entry's exact bytes: canonical JSON.
    pub json: String,
}

impl AuditEntry {
    /// As it is written.
    pub(crate) fn into_row(self) -> (Key, Vec<Value>) {
        let clustering = vec![Value::uint(self.seq)];
        let key = Key { partition: vec![Value::Text(self.tenant)], clustering };
        let values = vec![
            Value::Int(self.recorded_at.micros()),
            Value::Int(self.claimed_at.micros()),
            Value::Int(self.committed_at.micros()),
            Value::Text(self.actor),
            Value::Text(self.action),
            Value::Text(self.resource_type),
            Value::Text(self.resource_id),
            Value::Text(self.command_id),
            Value::Text(self.issuer),
            Value::Text(self.prev),
            Value::Text(self.json),
        ];
        (key, values)
    }

    /// A fault when the row cannot be what was written.
    pub(crate) fn from_row(row: Row) -> Result<Self, Fault> {
        let Row { key: Key { partition, clustering }, values, timestamp: _ } = row;
        let values: Result<[Value; 11], _> = values.try_into();
        let ([tenant], [seq], Ok(values)) = (&partition[..], &clustering[..], values) else {
            let message =
                format!("the audit row {partition:?} {clustering:?} is damaged: rebuild the view");
            return Err(Fault::lasting(message));
        };
        let [
            recorded_at,
            claimed_at,
            committed_at,
            actor,
            action,
            resource_type,
            resource_id,
            command_id,
            issuer,
            prev,
            json,
        ] = values;
        Ok(Self {
            tenant: tenant.as_text().to_owned(),
            seq: seq.as_uint(),
            recorded_at: instant(&recorded_at),
            claimed_at: instant(&claimed_at),
            committed_at: instant(&committed_at),
            actor: into_text(actor),
            action: into_text(action),
            resource_type: into_text(resource_type),
            resource_id: into_text(resource_id),
            command_id: into_text(command_id),
            issuer: into_text(issuer),
            prev: into_text(prev),
            json: into_text(json),
        })
    }
}

fn instant(value: &Value) -> Timestamp {
    Timestamp::saturating_from_micros(value.as_int())
}

fn into_text(value: Value) -> String {
    match value {
        Value::Text(text) => text,
        Value::Int(_) | Value::Bytes(_) => String::new(),
    }
}
