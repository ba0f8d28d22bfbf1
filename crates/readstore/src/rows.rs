//! The rows that a fold reads and writes: loaded before, written after, in one
//! write per row however often it changed.

use std::collections::BTreeMap;

use crate::{Generation, Key, Row, Table, Value, Write};

/// Rows by table and key. A fold gets what it asked for and what it wrote itself.
#[derive(Debug, Default)]
pub struct RowSet {
    slots: BTreeMap<(&'static str, Key), Slot>,
}

#[derive(Debug)]
struct Slot {
    table: &'static Table,
    values: Option<Vec<Value>>,
    timestamp: u64,
    written: bool,
}

impl RowSet {
    /// Is the row loaded, or written already?
    pub fn has(&self, table: &'static Table, key: &Key) -> bool {
        self.slots.contains_key(&(table.name, key.clone()))
    }

    /// Takes over a row as it stands in the store.
    pub fn load(&mut self, table: &'static Table, key: Key, row: Option<Row>) {
        let (values, timestamp) = match row {
            Some(row) => (Some(row.values), row.timestamp),
            None => (None, 0),
        };
        let slot = Slot { table, values, timestamp, written: false };
        self.slots.insert((table.name, key), slot);
    }

    /// The row's values and position, as this fold sees them.
    pub fn get(&self, table: &'static Table, key: &Key) -> Option<(&[Value], u64)> {
        let slot = self.slots.get(&(table.name, key.clone()))?;
        slot.values.as_deref().map(|values| (values, slot.timestamp))
    }

    /// Writes the row. `timestamp` is chain seq << 16 | index of the event.
    pub fn put(&mut self, table: &'static Table, key: Key, values: Vec<Value>, timestamp: u64) {
        debug_assert_eq!(values.len(), table.columns.len());
        let slot = Slot { table, values: Some(values), timestamp, written: true };
        self.slots.insert((table.name, key), slot);
    }

    /// Deletes the row.
    pub fn delete(&mut self, table: &'static Table, key: Key, timestamp: u64) {
        let slot = Slot { table, values: None, timestamp, written: true };
        self.slots.insert((table.name, key), slot);
    }

    /// Number of rows held.
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// One write per row that changed.
    pub fn into_writes(self, generation: Generation) -> Vec<Write> {
        let written = self.slots.into_iter().filter(|(_, slot)| slot.written);
        written
            .map(|((_, key), slot)| Write {
                table: slot.table,
                generation,
                key,
                values: slot.values,
                timestamp: slot.timestamp,
            })
            .collect()
    }
}
