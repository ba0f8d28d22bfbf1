//! Tables, keys and rows of the view.

use exchequer_readstore::{Column, Key, Kind, Table, Value};
use exchequer_types::{PartitionId, Timestamp};

/// Pending timers by source partition, then by due instant.
pub static TIMERS_BY_DUE: Table = Table {
    name: "timers_by_due",
    partition_key: &[int("source_partition")],
    // Microseconds since the Unix epoch, as all instants.
    clustering: &[int("due"), text("stream"), text("timer")],
    columns: &[],
};

const fn text(name: &'static str) -> Column {
    Column { name, kind: Kind::Text }
}

const fn int(name: &'static str) -> Column {
    Column { name, kind: Kind::Int }
}

/// Key of `timers_by_due`.
pub(crate) fn due_key(source: PartitionId, due: Timestamp, stream: &str, timer: &str) -> Key {
    Key {
        partition: vec![partition(source)],
        clustering: vec![Value::Int(due.micros()), Value::text(stream), Value::text(timer)],
    }
}

pub(crate) fn partition(source: PartitionId) -> Value {
    Value::Int(i64::from(source.0))
}

pub(crate) fn instant(micros: i64) -> Timestamp {
    Timestamp::saturating_from_micros(micros)
}
