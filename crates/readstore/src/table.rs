//! How tables, keys and rows are declared.

use bytes::Bytes;

use crate::{Fault, Generation};

/// Encoded size of a row's key that every store takes.
pub const KEY_BYTES_MAX: usize = 60_000;

/// Type of a column. Integers sort by value, texts and bytes by their bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Text,
    Int,
    Bytes,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Column {
    pub name: &'static str,
    pub kind: Kind,
}

/// A table. The generation leads each partition key by itself and is not listed.
#[derive(Debug, PartialEq, Eq)]
pub struct Table {
    /// `[a-z_]+`; never used again for other rows.
    pub name: &'static str,
    pub partition_key: &'static [Column],
    pub clustering: &'static [Column],
    pub columns: &'static [Column],
}

impl Table {
    fn check(&self, columns: &[Column], values: &[Value]) -> Result<(), Fault> {
        let same = columns.len() == values.len()
            && columns.iter().zip(values).all(|(column, value)| column.kind == value.kind());
        if same {
            return Ok(());
        }
        let expected: Vec<_> = columns.iter().map(|column| (column.name, column.kind)).collect();
        let found: Vec<_> = values.iter().map(Value::kind).collect();
        let name = self.name;
        Err(Fault::lasting(format!("table {name}: expected {expected:?}, found {found:?}")))
    }
}

/// A value of a column.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Value {
    Text(String),
    Int(i64),
    Bytes(Bytes),
}

impl Value {
    pub fn text(value: impl Into<String>) -> Self {
        Self::Text(value.into())
    }

    /// Counters and offsets, which stay below 2^63.
    pub fn uint(value: u64) -> Self {
        Self::Int(i64::try_from(value).unwrap_or(i64::MAX))
    }

    /// The text, or an empty one for another kind.
    pub fn as_text(&self) -> &str {
        match self {
            Self::Text(value) => value,
            _ => "",
        }
    }

    /// The integer, or 0 for another kind.
    pub fn as_int(&self) -> i64 {
        match self {
            Self::Int(value) => *value,
            _ => 0,
        }
    }

    /// The integer, or 0 for another kind or below 0.
    pub fn as_uint(&self) -> u64 {
        u64::try_from(self.as_int()).unwrap_or(0)
    }

    /// The bytes, or none for another kind.
    pub fn as_bytes(&self) -> Bytes {
        match self {
            Self::Bytes(value) => value.clone(),
            _ => Bytes::new(),
        }
    }

    pub fn kind(&self) -> Kind {
        match self {
            Self::Text(_) => Kind::Text,
            Self::Int(_) => Kind::Int,
            Self::Bytes(_) => Kind::Bytes,
        }
    }
}

/// A row's whole key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    pub partition: Vec<Value>,
    pub clustering: Vec<Value>,
}

impl Key {
    /// Length of what `encode_key` appends.
    fn encoded_bytes(&self) -> usize {
        let escaped =
            |bytes: &[u8]| 2 + bytes.iter().map(|byte| 1 + usize::from(*byte == 0)).sum::<usize>();
        let values = self.partition.iter().chain(&self.clustering);
        let bytes: usize = values
            .map(|value| match value {
                Value::Int(_) => size_of::<i64>(),
                Value::Text(text) => escaped(text.as_bytes()),
                Value::Bytes(bytes) => escaped(bytes),
            })
            .sum();
        size_of::<Generation>() + bytes
    }
}

/// A row as it stands in the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    pub key: Key,
    pub values: Vec<Value>,
    /// Journal position of the last event folded into it; see `Write::timestamp`.
    pub timestamp: u64,
}

/// Puts a row (`values` of all columns), or deletes it (`None`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write {
    pub table: &'static Table,
    pub generation: Generation,
    pub key: Key,
    pub values: Option<Vec<Value>>,
    /// Chain seq << 16 | index of the last event folded into the row.
    pub timestamp: u64,
}

impl Write {
    /// Has it the table's columns, and a key that is not too long? What has not
    /// is a bug of the caller: the fault is not retryable.
    pub fn check(&self) -> Result<(), Fault> {
        let Self { table, key, .. } = self;
        table.check(table.partition_key, &key.partition)?;
        table.check(table.clustering, &key.clustering)?;
        if let Some(values) = &self.values {
            table.check(table.columns, values)?;
        }
        match key.encoded_bytes() {
            0..=KEY_BYTES_MAX => Ok(()),
            bytes => Err(Fault::lasting(format!(
                "table {}: a key of {bytes} bytes, more than {KEY_BYTES_MAX}",
                table.name
            ))),
        }
    }
}

/// Rows of one partition key, by their clustering keys.
#[derive(Clone, Debug)]
pub struct Keys {
    pub table: &'static Table,
    pub generation: Generation,
    pub partition: Vec<Value>,
    pub clustering: Vec<Vec<Value>>,
}

/// Which rows of one partition key, in which order. Clustering bounds may be
/// prefixes of the clustering key.
#[derive(Clone, Debug)]
pub struct Scan {
    pub table: &'static Table,
    pub generation: Generation,
    pub partition: Vec<Value>,
    /// Rows at or after this clustering key (or beginning with it).
    pub from: Option<Vec<Value>>,
    /// Rows before this clustering key.
    pub to: Option<Vec<Value>>,
    /// Only rows strictly behind this whole clustering key, in scan order.
    pub after: Option<Vec<Value>>,
    /// Descending.
    pub reverse: bool,
    pub rows_max: usize,
}

impl Scan {
    /// All rows of one partition key, ascending.
    pub fn of(
        table: &'static Table,
        generation: Generation,
        partition: Vec<Value>,
        rows_max: usize,
    ) -> Self {
        Self {
            table,
            generation,
            partition,
            from: None,
            to: None,
            after: None,
            reverse: false,
            rows_max,
        }
    }
}
