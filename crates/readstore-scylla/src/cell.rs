//! Values as the store's columns: `text`, `bigint`, `blob`, nothing packed into another.

use bytes::Bytes;
use exchequer_readstore::{Column, Fault, Kind, Value};
use scylla::cluster::metadata::ColumnType;
use scylla::deserialize::row::ColumnIterator;
use scylla::errors::SerializationError;
use scylla::serialize::value::SerializeValue;
use scylla::serialize::writers::{CellWriter, WrittenCellProof};

use crate::fault::unexpected;

/// A value on its way to the store.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Bind<'a> {
    Text(&'a str),
    Int(i64),
    Bytes(&'a Bytes),
}

impl<'a> From<&'a Value> for Bind<'a> {
    fn from(value: &'a Value) -> Self {
        match value {
            Value::Text(text) => Self::Text(text),
            Value::Int(int) => Self::Int(*int),
            Value::Bytes(bytes) => Self::Bytes(bytes),
        }
    }
}

impl Bind<'_> {
    /// About as much as it takes in a request.
    pub(crate) fn bytes(&self) -> usize {
        size_of::<u32>()
            + match self {
                Self::Text(text) => text.len(),
                Self::Int(_) => size_of::<i64>(),
                Self::Bytes(bytes) => bytes.len(),
            }
    }
}

impl SerializeValue for Bind<'_> {
    fn serialize<'b>(
        &self,
        column: &ColumnType<'_>,
        writer: CellWriter<'b>,
    ) -> Result<WrittenCellProof<'b>, SerializationError> {
        match self {
            Self::Text(text) => text.serialize(column, writer),
            Self::Int(int) => int.serialize(column, writer),
            Self::Bytes(bytes) => bytes.serialize(column, writer),
        }
    }
}

/// The columns of a row that was read, one after another.
#[derive(Debug)]
pub(crate) struct Cells<'frame, 'metadata> {
    table: &'static str,
    columns: ColumnIterator<'frame, 'metadata>,
}

impl<'frame, 'metadata> Cells<'frame, 'metadata> {
    pub(crate) fn new(table: &'static str, columns: ColumnIterator<'frame, 'metadata>) -> Self {
        Self { table, columns }
    }

    /// The next columns, as many as are declared.
    pub(crate) fn values(&mut self, columns: &[Column]) -> Result<Vec<Value>, Fault> {
        columns.iter().map(|column| self.value(column)).collect()
    }

    /// The next column, as a number that had all 64 bits.
    pub(crate) fn unsigned(&mut self, name: &'static str) -> Result<u64, Fault> {
        let bytes = self.next(name)?.ok_or_else(|| self.damaged(name, "is missing"))?;
        self.int(name, bytes).map(i64::cast_unsigned)
    }

    /// A column that was added after the row was written reads as empty.
    fn value(&mut self, column: &Column) -> Result<Value, Fault> {
        let bytes = self.next(column.name)?;
        match column.kind {
            Kind::Int => bytes.map_or(Ok(0), |it| self.int(column.name, it)).map(Value::Int),
            Kind::Text => String::from_utf8(bytes.unwrap_or_default().to_vec())
                .map(Value::Text)
                .map_err(|_| self.damaged(column.name, "is not UTF-8")),
            Kind::Bytes => Ok(Value::Bytes(Bytes::copy_from_slice(bytes.unwrap_or_default()))),
        }
    }

    fn next(&mut self, name: &'static str) -> Result<Option<&'frame [u8]>, Fault> {
        let column = self.columns.next().ok_or_else(|| self.damaged(name, "was not sent"))?;
        let column = column.map_err(|error| unexpected("read a row", error))?;
        Ok(column.slice.map(|slice| slice.as_slice()))
    }

    fn int(&self, name: &str, bytes: &[u8]) -> Result<i64, Fault> {
        let bytes = bytes.try_into().map_err(|_| self.damaged(name, "is no bigint"))?;
        Ok(i64::from_be_bytes(bytes))
    }

    fn damaged(&self, name: &str, what: &str) -> Fault {
        let table = self.table;
        Fault::lasting(format!("table {table}: {name} of a row {what}: rebuild the view"))
    }
}
