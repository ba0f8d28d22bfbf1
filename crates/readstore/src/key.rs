//! Keys and rows as bytes, for stores that sort by them. Keys sort as their
//! values do: generation first, then partition key, then clustering key; each
//! value ends by itself, so that no key begins with another whole key.

use std::cmp::max;
use std::cmp::min;

use bytes::Bytes;

use crate::Generation;
use crate::table::{Column, Key, Kind, Scan, Table, Value};

/// Within a text: a zero byte of its own.
const ESCAPED_ZERO: [u8; 2] = [0x00, 0xff];
/// Behind a text. Less than any byte that could follow.
const END: [u8; 2] = [0x00, 0x01];
const DELETED: u8 = 0;
const PRESENT: u8 = 1;

/// Stored bytes are not what this table's rows are made of.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    #[error("table {table}: the bytes end within {column}")]
    Truncated { table: &'static str, column: &'static str },
    #[error("table {table}: {column} is not UTF-8")]
    NotText { table: &'static str, column: &'static str },
    #[error("table {table}: {column} has a malformed escape or length")]
    Malformed { table: &'static str, column: &'static str },
    #[error("table {table}: {bytes} bytes are left behind the last column")]
    Trailing { table: &'static str, bytes: usize },
}

/// Appends the key to `out`.
pub fn encode_key(out: &mut Vec<u8>, generation: Generation, key: &Key) {
    encode_prefix(out, generation, &key.partition, &key.clustering);
}

/// Appends what every key begins with that has this partition key, and a
/// clustering key that begins with `clustering`.
pub fn encode_prefix(
    out: &mut Vec<u8>,
    generation: Generation,
    partition: &[Value],
    clustering: &[Value],
) {
    out.extend_from_slice(&generation.to_be_bytes());
    for value in partition.iter().chain(clustering) {
        match value {
            Value::Int(int) => out.extend_from_slice(&sortable(*int)),
            Value::Text(text) => escape(out, text.as_bytes()),
            Value::Bytes(bytes) => escape(out, bytes),
        }
    }
}

/// The keys that `scan` selects, from the first (included) to the second
/// (excluded), each behind `head`. `head` must have a byte below 0xff.
pub fn encode_range(head: &[u8], scan: &Scan) -> (Vec<u8>, Vec<u8>) {
    let bound = |clustering: &[Value]| {
        let mut out = head.to_vec();
        encode_prefix(&mut out, scan.generation, &scan.partition, clustering);
        out
    };
    let mut start = bound(scan.from.as_deref().unwrap_or_default());
    let mut end = match scan.to.as_deref() {
        Some(to) => bound(to),
        None => successor(bound(&[])),
    };
    if let Some(after) = scan.after.as_deref() {
        let mut after = bound(after);
        if scan.reverse {
            end = min(end, after);
        } else {
            after.push(0);
            start = max(start, after);
        }
    }
    (start, end)
}

/// The least byte string above all that begin with `bytes`; empty if none is.
pub fn successor(mut bytes: Vec<u8>) -> Vec<u8> {
    while let Some(last) = bytes.pop() {
        if last < 0xff {
            bytes.push(last + 1);
            break;
        }
    }
    bytes
}

/// The generation and key in `bytes`.
pub fn decode_key(table: &'static Table, bytes: &[u8]) -> Result<(Generation, Key), DecodeError> {
    let mut input = Input { table: table.name, column: "generation", rest: bytes };
    let generation = u64::from_be_bytes(input.array()?);
    let mut values = |columns: &'static [Column]| {
        columns.iter().map(|column| input.key_value(column)).collect::<Result<Vec<_>, _>>()
    };
    let partition = values(table.partition_key)?;
    let clustering = values(table.clustering)?;
    input.finish()?;
    Ok((generation, Key { partition, clustering }))
}

/// Appends a row without its key to `out`; `None` for a deleted one. A store may
/// append bytes of its own to a deleted one.
pub fn encode_values(out: &mut Vec<u8>, timestamp: u64, values: Option<&[Value]>) {
    out.extend_from_slice(&timestamp.to_be_bytes());
    let Some(values) = values else {
        out.push(DELETED);
        return;
    };
    out.push(PRESENT);
    for value in values {
        match value {
            Value::Int(int) => varint(out, zigzag(*int)),
            Value::Text(text) => sized(out, text.as_bytes()),
            Value::Bytes(bytes) => sized(out, bytes),
        }
    }
}

/// The timestamp and values in `bytes`; `None` for a deleted row. A column that was added after
/// the row was written reads as empty.
pub fn decode_values(
    table: &'static Table,
    bytes: &[u8],
) -> Result<(u64, Option<Vec<Value>>), DecodeError> {
    let mut input = Input { table: table.name, column: "timestamp", rest: bytes };
    let timestamp = u64::from_be_bytes(input.array()?);
    let [state] = input.array()?;
    match state {
        DELETED => return Ok((timestamp, None)),
        PRESENT => {}
        _ => return Err(input.malformed()),
    }
    let value = |column: &'static Column| match column.kind {
        _ if !input.rest.is_empty() => input.value(column),
        Kind::Int => Ok(Value::Int(0)),
        Kind::Text => Ok(Value::Text(String::new())),
        Kind::Bytes => Ok(Value::Bytes(Bytes::new())),
    };
    let values = table.columns.iter().map(value).collect::<Result<Vec<_>, _>>()?;
    input.finish()?;
    Ok((timestamp, Some(values)))
}

/// The timestamp of an encoded row, deleted or not.
pub fn decode_timestamp(table: &'static Table, bytes: &[u8]) -> Result<u64, DecodeError> {
    Input { table: table.name, column: "timestamp", rest: bytes }.array().map(u64::from_be_bytes)
}

/// What follows the mark of deletion in an encoded row; `None` if it is not deleted.
pub fn deletion_trailer(bytes: &[u8]) -> Option<&[u8]> {
    bytes.get(8..)?.strip_prefix(&[DELETED])
}

/// Big-endian with the sign flipped: sorts by value.
fn sortable(int: i64) -> [u8; 8] {
    (int ^ i64::MIN).to_be_bytes()
}

fn escape(out: &mut Vec<u8>, bytes: &[u8]) {
    out.reserve(bytes.len() + END.len());
    for (index, run) in bytes.split(|byte| *byte == 0).enumerate() {
        if index > 0 {
            out.extend_from_slice(&ESCAPED_ZERO);
        }
        out.extend_from_slice(run);
    }
    out.extend_from_slice(&END);
}

fn sized(out: &mut Vec<u8>, bytes: &[u8]) {
    varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn zigzag(int: i64) -> u64 {
    ((int << 1) ^ (int >> 63)).cast_unsigned()
}

/// Bytes being decoded, and what is expected next.
struct Input<'a> {
    table: &'static str,
    column: &'static str,
    rest: &'a [u8],
}

impl<'a> Input<'a> {
    fn truncated(&self) -> DecodeError {
        DecodeError::Truncated { table: self.table, column: self.column }
    }

    fn malformed(&self) -> DecodeError {
        DecodeError::Malformed { table: self.table, column: self.column }
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let (array, rest) = self.rest.split_first_chunk().ok_or_else(|| self.truncated())?;
        self.rest = rest;
        Ok(*array)
    }

    fn finish(&self) -> Result<(), DecodeError> {
        match self.rest.len() {
            0 => Ok(()),
            bytes => Err(DecodeError::Trailing { table: self.table, bytes }),
        }
    }

    fn text(&self, bytes: Vec<u8>) -> Result<Value, DecodeError> {
        let error = DecodeError::NotText { table: self.table, column: self.column };
        String::from_utf8(bytes).map(Value::Text).map_err(|_| error)
    }

    fn key_value(&mut self, column: &'static Column) -> Result<Value, DecodeError> {
        self.column = column.name;
        match column.kind {
            Kind::Int => Ok(Value::Int(i64::from_be_bytes(self.array()?) ^ i64::MIN)),
            Kind::Text => {
                let bytes = self.unescape()?;
                self.text(bytes)
            }
            Kind::Bytes => self.unescape().map(|bytes| Value::Bytes(Bytes::from(bytes))),
        }
    }

    fn unescape(&mut self) -> Result<Vec<u8>, DecodeError> {
        let mut out = Vec::new();
        loop {
            let zero =
                self.rest.iter().position(|byte| *byte == 0).ok_or_else(|| self.truncated())?;
            out.extend_from_slice(&self.rest[..zero]);
            self.rest = &self.rest[zero..];
            match self.array()? {
                END => return Ok(out),
                ESCAPED_ZERO => out.push(0),
                _ => return Err(self.malformed()),
            }
        }
    }

    fn value(&mut self, column: &'static Column) -> Result<Value, DecodeError> {
        self.column = column.name;
        match column.kind {
            Kind::Int => {
                let zigzag = self.varint()?;
                Ok(Value::Int((zigzag >> 1).cast_signed() ^ -(zigzag & 1).cast_signed()))
            }
            Kind::Text => {
                let bytes = self.sized()?.to_vec();
                self.text(bytes)
            }
            Kind::Bytes => self.sized().map(|bytes| Value::Bytes(Bytes::copy_from_slice(bytes))),
        }
    }

    fn sized(&mut self) -> Result<&'a [u8], DecodeError> {
        let length = usize::try_from(self.varint()?).map_err(|_| self.malformed())?;
        let (bytes, rest) = self.rest.split_at_checked(length).ok_or_else(|| self.truncated())?;
        self.rest = rest;
        Ok(bytes)
    }

    fn varint(&mut self) -> Result<u64, DecodeError> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let [byte] = self.array()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return if shift == 63 && byte > 1 { Err(self.malformed()) } else { Ok(value) };
            }
        }
        Err(self.malformed())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    static TABLE: Table = Table {
        name: "shapes",
        partition_key: &[
            Column { name: "tenant", kind: Kind::Text },
            Column { name: "blob", kind: Kind::Bytes },
        ],
        clustering: &[
            Column { name: "number", kind: Kind::Int },
            Column { name: "name", kind: Kind::Text },
        ],
        columns: &[
            Column { name: "count", kind: Kind::Int },
            Column { name: "title", kind: Kind::Text },
            Column { name: "body", kind: Kind::Bytes },
        ],
    };

    /// Few characters, so that prefixes, zeros and equal values are frequent.
    fn text() -> impl Strategy<Value = Value> {
        "[\0\u{1}\u{7f}aé\u{10ffff}]{0,4}".prop_map(Value::Text)
    }

    fn blob() -> impl Strategy<Value = Value> {
        let byte = prop_oneof![Just(0_u8), Just(1), Just(0xff), any::<u8>()];
        proptest::collection::vec(byte, 0..4).prop_map(|bytes| Value::Bytes(Bytes::from(bytes)))
    }

    fn int() -> impl Strategy<Value = Value> {
        prop_oneof![-3_i64..3, any::<i64>(), Just(i64::MIN), Just(i64::MAX)].prop_map(Value::Int)
    }

    fn key() -> impl Strategy<Value = (Generation, Key)> {
        let generation = prop_oneof![0..3_u64, any::<u64>()];
        (generation, text(), blob(), int(), text()).prop_map(
            |(generation, tenant, blob, number, name)| {
                let key = Key { partition: vec![tenant, blob], clustering: vec![number, name] };
                (generation, key)
            },
        )
    }

    fn encoded((generation, key): &(Generation, Key)) -> Vec<u8> {
        let mut out = Vec::new();
        encode_key(&mut out, *generation, key);
        out
    }

    proptest! {
        #[test]
        fn keys_sort_as_their_values(a in key(), b in key()) {
            prop_assert_eq!(encoded(&a).cmp(&encoded(&b)), a.cmp(&b));
        }

        #[test]
        fn keys_come_back(key in key()) {
            prop_assert_eq!(decode_key(&TABLE, &encoded(&key)), Ok(key));
        }

        #[test]
        fn a_shorter_key_is_refused(key in key(), cut in 1..8_usize) {
            let bytes = encoded(&key);
            prop_assert!(decode_key(&TABLE, &bytes[..bytes.len() - cut]).is_err());
        }

        #[test]
        fn rows_come_back(timestamp: u64, row in (int(), text(), blob())) {
            let values = vec![row.0, row.1, row.2];
            let mut out = Vec::new();
            encode_values(&mut out, timestamp, Some(&values));
            prop_assert_eq!(decode_timestamp(&TABLE, &out), Ok(timestamp));
            prop_assert_eq!(deletion_trailer(&out), None);
            prop_assert_eq!(decode_values(&TABLE, &out), Ok((timestamp, Some(values))));
            out.push(0);
            let trailing = DecodeError::Trailing { table: "shapes", bytes: 1 };
            prop_assert_eq!(decode_values(&TABLE, &out), Err(trailing));
        }

        #[test]
        fn a_column_that_was_added_since_reads_as_empty(timestamp: u64, row in (int(), text())) {
            let mut values = vec![row.0, row.1];
            let mut out = Vec::new();
            encode_values(&mut out, timestamp, Some(&values));
            values.push(Value::Bytes(Bytes::new()));
            prop_assert_eq!(decode_values(&TABLE, &out), Ok((timestamp, Some(values))));
            encode_values(&mut out, timestamp, Some(&[]));
            let empty = [Value::Int(0), Value::Text(String::new()), Value::Bytes(Bytes::new())];
            let rest = out.split_off(out.len() - 9);
            prop_assert_eq!(decode_values(&TABLE, &rest), Ok((timestamp, Some(empty.to_vec()))));
        }

        #[test]
        fn anything_else_is_an_error_and_no_panic(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            let _ = decode_key(&TABLE, &bytes);
            let _ = decode_values(&TABLE, &bytes);
        }

        #[test]
        fn a_prefix_selects_what_begins_with_it(a in key(), b in key()) {
            let mut prefix = vec![7];
            encode_prefix(&mut prefix, a.0, &a.1.partition, &a.1.clustering[..1]);
            let mut other = vec![7];
            encode_key(&mut other, b.0, &b.1);
            let begins = a.0 == b.0
                && a.1.partition == b.1.partition
                && a.1.clustering[0] == b.1.clustering[0];
            prop_assert_eq!(other >= prefix && other < successor(prefix), begins);
        }
    }

    #[test]
    fn deleted_rows_say_so() {
        let mut out = Vec::new();
        encode_values(&mut out, 9, None);
        out.extend_from_slice(b"later");
        assert_eq!(decode_values(&TABLE, &out), Ok((9, None)));
        assert_eq!(deletion_trailer(&out), Some(b"later".as_slice()));
    }
}
