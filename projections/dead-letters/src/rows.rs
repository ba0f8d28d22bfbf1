//! Tables, keys and rows of the view.

use core::fmt;
use core::str::FromStr;

use bytes::Bytes;
use exchequer_readstore::{Column, Fault, Key, Kind, Row, Table, Value};
use exchequer_types::{Offset, PartitionId, Timestamp};

/// By source partition, then by place.
pub static DEAD_LETTERS: Table = Table {
    name: "dead_letters",
    partition_key: &[int("source_partition")],
    clustering: &[int("offset"), int("input")],
    // In the order of `DeadLetter::to_values`.
    columns: &[
        // Microseconds since the Unix epoch, as all instants.
        int("recorded_at"),
        text("reason"),
        text("message"),
        text("stream"),
        text("type"),
        Column { name: "record", kind: Kind::Bytes },
        // BLAKE3 of a record that was too large to be carried, hexadecimal.
        text("record_hash"),
        // The input log's id, hexadecimal, and the record's offset in it.
        text("log"),
        int("log_offset"),
    ],
};

/// By the partition that says of a record that it is a dead letter, then by its place there.
/// A dead letter becomes a command of one stream, so that a row has one source too.
pub static DEAD_LETTER_REPLAYS: Table = Table {
    name: "dead_letter_replays",
    partition_key: &[int("letter_partition")],
    clustering: &[int("offset"), int("input")],
    // In the order of `Replay::to_values`.
    columns: &[int("replayed_at"), text("command_id"), text("status")],
};

/// By source partition, then by stream.
pub static PARKED_STREAMS: Table = Table {
    name: "parked_streams",
    partition_key: &[int("source_partition")],
    clustering: &[text("stream")],
    columns: &[text("reason"), int("parked_at")],
};

const fn text(name: &'static str) -> Column {
    Column { name, kind: Kind::Text }
}

const fn int(name: &'static str) -> Column {
    Column { name, kind: Kind::Int }
}

/// Names a dead letter: the commit that says so, and which of its inputs. As
/// text `<partition>-<offset>-<input>`. Sorts as dead letters are listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LetterId {
    pub partition: PartitionId,
    pub offset: Offset,
    pub input: u32,
}

/// Not the id of a dead letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be of the form <partition>-<offset>-<index>")]
pub struct LetterIdError;

impl fmt::Display for LetterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}-{}", self.partition, self.offset, self.input)
    }
}

impl FromStr for LetterId {
    type Err = LetterIdError;

    fn from_str(text: &str) -> Result<Self, LetterIdError> {
        let mut parts = text.split('-');
        let (Some(partition), Some(offset), Some(input), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(LetterIdError);
        };
        let id = Self {
            partition: PartitionId(partition.parse().map_err(|_| LetterIdError)?),
            offset: offset.parse().map_err(|_| LetterIdError)?,
            input: input.parse().map_err(|_| LetterIdError)?,
        };
        // One text for one letter: no signs, no leading zeros.
        if id.to_string() == text { Ok(id) } else { Err(LetterIdError) }
    }
}

/// A record that was not decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    pub id: LetterId,
    pub recorded_at: Timestamp,
    /// Stable code, upper snake case.
    pub reason: String,
    /// For people.
    pub message: String,
    /// As far as the record can be read; nobody vouches for it.
    pub stream: String,
    /// As far as the record can be read; nobody vouches for it.
    pub kind: String,
    /// The record's exact bytes; empty when it was too large to be carried.
    pub record: Bytes,
    /// BLAKE3 of a record that was too large, hexadecimal; else empty.
    pub record_hash: String,
    /// The input log's id, hexadecimal.
    pub log: String,
    /// Place in the input log.
    pub log_offset: Offset,
    /// The last time that it was submitted again.
    pub replay: Option<Replay>,
}

/// A dead letter was submitted again, and decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replay {
    pub at: Timestamp,
    /// Of the command that it became.
    pub command_id: String,
    /// What became of that command, in a word.
    pub status: String,
}

impl Replay {
    pub(crate) fn to_values(&self) -> Vec<Value> {
        vec![Value::Int(self.at.micros()), Value::text(&self.command_id), Value::text(&self.status)]
    }

    pub(crate) fn from_row(row: &Row) -> Result<Self, Fault> {
        let [at, command_id, status] = &row.values[..] else {
            return Err(damaged(&DEAD_LETTER_REPLAYS, &row.key));
        };
        Ok(Self {
            at: Timestamp::saturating_from_micros(at.as_int()),
            command_id: command_id.as_text().to_owned(),
            status: status.as_text().to_owned(),
        })
    }
}

impl DeadLetter {
    pub(crate) fn to_values(&self) -> Vec<Value> {
        vec![
            Value::Int(self.recorded_at.micros()),
            Value::text(&self.reason),
            Value::text(&self.message),
            Value::text(&self.stream),
            Value::text(&self.kind),
            Value::Bytes(self.record.clone()),
            Value::text(&self.record_hash),
            Value::text(&self.log),
            Value::uint(self.log_offset),
        ]
    }

    pub(crate) fn from_row(row: &Row) -> Result<Self, Fault> {
        let (
            [partition],
            [offset, input],
            [recorded_at, reason, message, stream, kind, record, record_hash, log, log_offset],
        ) = (&row.key.partition[..], &row.key.clustering[..], &row.values[..])
        else {
            return Err(damaged(&DEAD_LETTERS, &row.key));
        };
        let text = |value: &Value| value.as_text().to_owned();
        Ok(Self {
            id: LetterId {
                partition: partition_of(partition),
                offset: offset.as_uint(),
                input: u32::try_from(input.as_int())
                    .map_err(|_| damaged(&DEAD_LETTERS, &row.key))?,
            },
            recorded_at: Timestamp::saturating_from_micros(recorded_at.as_int()),
            reason: text(reason),
            message: text(message),
            stream: text(stream),
            kind: text(kind),
            record: record.as_bytes(),
            record_hash: text(record_hash),
            log: text(log),
            log_offset: log_offset.as_uint(),
            replay: None,
        })
    }
}

/// A stream of which no command is decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParkedStream {
    pub partition: PartitionId,
    pub stream: String,
    pub reason: String,
    pub parked_at: Timestamp,
}

impl ParkedStream {
    pub(crate) fn to_values(&self) -> Vec<Value> {
        vec![Value::text(&self.reason), Value::Int(self.parked_at.micros())]
    }

    pub(crate) fn from_row(row: &Row) -> Result<Self, Fault> {
        let ([partition], [stream], [reason, parked_at]) =
            (&row.key.partition[..], &row.key.clustering[..], &row.values[..])
        else {
            return Err(damaged(&PARKED_STREAMS, &row.key));
        };
        Ok(Self {
            partition: partition_of(partition),
            stream: stream.as_text().to_owned(),
            reason: reason.as_text().to_owned(),
            parked_at: Timestamp::saturating_from_micros(parked_at.as_int()),
        })
    }
}

/// Key of `dead_letters`, and of `dead_letter_replays`.
pub(crate) fn letter_key(id: LetterId) -> Key {
    let clustering = vec![Value::uint(id.offset), Value::Int(i64::from(id.input))];
    Key { partition: vec![partition_value(id.partition)], clustering }
}

/// Key of `parked_streams`.
pub(crate) fn parked_key(partition: PartitionId, stream: &str) -> Key {
    Key { partition: vec![partition_value(partition)], clustering: vec![Value::text(stream)] }
}

pub(crate) fn partition_value(partition: PartitionId) -> Value {
    Value::Int(i64::from(partition.0))
}

fn partition_of(value: &Value) -> PartitionId {
    PartitionId(u32::try_from(value.as_int()).unwrap_or(u32::MAX))
}

fn damaged(table: &Table, key: &Key) -> Fault {
    Fault::lasting(format!("table {}: the row {key:?} is damaged: rebuild the view", table.name))
}
