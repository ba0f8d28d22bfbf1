//! The rows that a fold reads and writes: loaded before, written after, in one
//! write per row however often it changed.

use std::collections::BTreeMap;

use futures::future::try_join_all;

use crate::{Fault, Generation, Key, ReadStore, Row, Table, Value, Write};

/// Rows that `load_missing` asks the store for at the same time.
const READS_AT_ONCE_MAX: usize = 32;

/// Rows by table and key. A fold gets what it asked for and what it wrote itself.
#[derive(Debug, Default)]
pub struct RowSet {
    tables: BTreeMap<&'static str, Slots>,
    failure: Option<String>,
    changes: u64,
}

#[derive(Debug)]
struct Slots {
    table: &'static Table,
    by_key: BTreeMap<Key, Slot>,
}

#[derive(Debug)]
struct Slot {
    values: Option<Vec<Value>>,
    timestamp: u64,
    written: bool,
}

impl RowSet {
    /// Is the row loaded, or written already?
    pub fn has(&self, table: &'static Table, key: &Key) -> bool {
        self.slot(table, key).is_some()
    }

    /// Takes over a row as it stands in the store.
    pub fn load(&mut self, table: &'static Table, key: Key, row: Option<Row>) {
        let (values, timestamp) = match row {
            Some(row) => (Some(row.values), row.timestamp),
            None => (None, 0),
        };
        self.insert(table, key, Slot { values, timestamp, written: false });
    }

    /// Takes over those of `keys` that `earlier` holds, as they stand once that is written.
    /// Returns whether there were any.
    pub fn inherit(&mut self, earlier: &Self, keys: &[(&'static Table, Key)]) -> bool {
        let mut inherits = false;
        for (table, key) in keys {
            if let Some(slot) = earlier.slot(table, key).filter(|_| !self.has(table, key)) {
                let (values, timestamp) = (slot.values.clone(), slot.timestamp);
                self.insert(table, key.clone(), Slot { values, timestamp, written: false });
                inherits = true;
            }
        }
        inherits
    }

    /// The row's values and position, as this fold sees them.
    pub fn get(&self, table: &'static Table, key: &Key) -> Option<(&[Value], u64)> {
        let slot = self.slot(table, key)?;
        slot.values.as_deref().map(|values| (values, slot.timestamp))
    }

    /// Writes the row. `timestamp` is chain seq << 16 | index of the event.
    pub fn put(&mut self, table: &'static Table, key: Key, values: Vec<Value>, timestamp: u64) {
        debug_assert_eq!(values.len(), table.columns.len());
        self.changes += 1;
        self.insert(table, key, Slot { values: Some(values), timestamp, written: true });
    }

    /// Deletes the row.
    pub fn delete(&mut self, table: &'static Table, key: Key, timestamp: u64) {
        self.changes += 1;
        self.insert(table, key, Slot { values: None, timestamp, written: true });
    }

    /// Says that something cannot be folded. Nothing of this set may then be
    /// written, and the view stops there: what is not understood is never skipped.
    pub fn fail(&mut self, message: String) {
        self.failure.get_or_insert(message);
    }

    /// The first thing that could not be folded.
    pub fn failure(&self) -> Option<&str> {
        self.failure.as_deref()
    }

    /// Is there anything to write?
    pub fn has_written(&self) -> bool {
        self.tables.values().any(|slots| slots.by_key.values().any(|slot| slot.written))
    }

    /// How often a row was written or deleted.
    pub fn changes(&self) -> u64 {
        self.changes
    }

    /// Number of rows held.
    pub fn len(&self) -> usize {
        self.tables.values().map(|slots| slots.by_key.len()).sum()
    }

    pub fn is_empty(&self) -> bool {
        self.tables.is_empty()
    }

    /// One write per row that changed.
    pub fn into_writes(self, generation: Generation) -> Vec<Write> {
        let rows = self.tables.into_values().flat_map(|slots| {
            slots.by_key.into_iter().map(move |(key, slot)| (slots.table, key, slot))
        });
        rows.filter(|(_, _, slot)| slot.written)
            .map(|(table, key, slot)| Write {
                table,
                generation,
                key,
                values: slot.values,
                timestamp: slot.timestamp,
            })
            .collect()
    }

    /// The same, and the rows stay.
    pub fn to_writes(&self, generation: Generation) -> Vec<Write> {
        let rows = self
            .tables
            .values()
            .flat_map(|slots| slots.by_key.iter().map(move |(key, slot)| (slots.table, key, slot)));
        rows.filter(|(_, _, slot)| slot.written)
            .map(|(table, key, slot)| Write {
                table,
                generation,
                key: key.clone(),
                values: slot.values.clone(),
                timestamp: slot.timestamp,
            })
            .collect()
    }

    fn slot(&self, table: &'static Table, key: &Key) -> Option<&Slot> {
        self.tables.get(table.name)?.by_key.get(key)
    }

    fn insert(&mut self, table: &'static Table, key: Key, slot: Slot) {
        let slots = self.tables.entry(table.name);
        slots.or_insert_with(|| Slots { table, by_key: BTreeMap::new() }).by_key.insert(key, slot);
    }
}

/// Loads those of `keys` that `rows` does not hold. Returns whether there were
/// any: the fold is then asked again what it reads.
pub async fn load_missing(
    store: &dyn ReadStore,
    generation: Generation,
    rows: &mut RowSet,
    keys: Vec<(&'static Table, Key)>,
) -> Result<bool, Fault> {
    let mut missing = keys;
    missing.retain(|(table, key)| !rows.has(table, key));
    missing.sort_unstable_by(|(a, a_key), (b, b_key)| (a.name, a_key).cmp(&(b.name, b_key)));
    missing.dedup_by(|(a, a_key), (b, b_key)| a.name == b.name && a_key == b_key);
    let loads = !missing.is_empty();
    while !missing.is_empty() {
        let rest = missing.split_off(missing.len().min(READS_AT_ONCE_MAX));
        let reads = missing.iter().map(|(table, key)| store.get(table, generation, key.clone()));
        let found = try_join_all(reads).await?;
        for ((table, key), row) in missing.into_iter().zip(found) {
            rows.load(table, key, row);
        }
        missing = rest;
    }
    Ok(loads)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conformance::example;
    use crate::{Batch, MemoryStore};

    fn number(number: i64) -> Key {
        let Write { key, .. } = example::put("t", number, "", 0);
        key
    }

    async fn store() -> MemoryStore {
        let store = MemoryStore::new(true);
        let rows = vec![example::put("t", 1, "one", 7), example::put("t", 2, "two", 8)];
        store.write(Batch { rows, last: Vec::new() }).await.unwrap();
        store
    }

    fn is_send<T: Send>(it: T) -> T {
        it
    }

    // REQ: KER-07
    #[tokio::test]
    async fn what_is_missing_is_loaded_once() {
        let store = store().await;
        let mut rows = RowSet::default();
        let keys = [1, 3, 1].map(|at| (example::TABLE, number(at))).to_vec();
        assert!(is_send(load_missing(&store, 0, &mut rows, keys.clone())).await.unwrap());
        assert_eq!(rows.len(), 2);
        assert_eq!(rows.get(example::TABLE, &number(1)).map(|(_, at)| at), Some(7));
        assert!(rows.has(example::TABLE, &number(3)));
        assert_eq!(rows.get(example::TABLE, &number(3)), None);
        assert!(!load_missing(&store, 0, &mut rows, keys).await.unwrap());
    }

    // REQ: KER-07
    #[tokio::test]
    async fn what_was_written_stands_and_only_that_is_written() {
        let store = store().await;
        let mut rows = RowSet::default();
        rows.delete(example::TABLE, number(1), 9);
        let keys = vec![(example::TABLE, number(1)), (example::TABLE, number(2))];
        assert!(load_missing(&store, 0, &mut rows, keys).await.unwrap());
        assert_eq!(rows.get(example::TABLE, &number(1)), None);
        let writes = rows.into_writes(4);
        let written: Vec<_> = writes.iter().map(|it| (it.generation, it.timestamp)).collect();
        assert_eq!(written, [(4, 9)]);
    }

    #[test]
    fn the_first_failure_is_kept() {
        let mut rows = RowSet::default();
        assert_eq!(rows.failure(), None);
        rows.fail("first".to_owned());
        rows.fail("second".to_owned());
        assert_eq!(rows.failure(), Some("first"));
    }
}
