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

/// All timers by stream, then by id.
pub static TIMERS_BY_STREAM: Table = Table {
    name: "timers_by_stream",
    partition_key: &[text("stream")],
    clustering: &[text("timer")],
    columns: &[
        int("due"),
        // 1, or 0 once it is cleared.
        int("pending"),
        // Other instants that this id was set to, oldest first, with commas between.
        text("earlier"),
    ],
};

/// Instants that a row remembers. An id is used again only when its command's id
/// is, after days, so that a replay never meets as many.
pub(crate) const EARLIER_MAX: usize = 8;

const fn text(name: &'static str) -> Column {
    Column { name, kind: Kind::Text }
}

const fn int(name: &'static str) -> Column {
    Column { name, kind: Kind::Int }
}

/// Row of `timers_by_stream`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TimerRow {
    pub(crate) due: Timestamp,
    pub(crate) pending: bool,
    pub(crate) earlier: Vec<Timestamp>,
}

impl TimerRow {
    pub(crate) fn to_values(&self) -> Vec<Value> {
        let earlier: Vec<_> = self.earlier.iter().map(|due| due.micros().to_string()).collect();
        vec![
            Value::Int(self.due.micros()),
            Value::Int(i64::from(self.pending)),
            Value::Text(earlier.join(",")),
        ]
    }

    /// None when the values cannot be what was written.
    pub(crate) fn from_values(values: &[Value]) -> Option<Self> {
        let [due, pending, earlier] = values else { return None };
        let instants = earlier.as_text().split_terminator(',');
        let earlier = instants.map(|micros| micros.parse().ok().map(instant));
        Some(Self {
            due: instant(due.as_int()),
            pending: pending.as_int() != 0,
            earlier: earlier.collect::<Option<_>>()?,
        })
    }
}

/// Key of `timers_by_due`.
pub(crate) fn due_key(source: PartitionId, due: Timestamp, stream: &str, timer: &str) -> Key {
    Key {
        partition: vec![partition(source)],
        clustering: vec![Value::Int(due.micros()), Value::text(stream), Value::text(timer)],
    }
}

/// Key of `timers_by_stream`.
pub(crate) fn stream_key(stream: &str, timer: &str) -> Key {
    Key { partition: vec![Value::text(stream)], clustering: vec![Value::text(timer)] }
}

pub(crate) fn partition(source: PartitionId) -> Value {
    Value::Int(i64::from(source.0))
}

pub(crate) fn instant(micros: i64) -> Timestamp {
    Timestamp::saturating_from_micros(micros)
}
