//! What every view's own tests need and every view must hold: its rows are the same
//! in whatever batches it folds, after a replay, and after a batch of which only
//! some rows were written. Panics say what differs.
#![expect(clippy::unwrap_used, reason = "a suite for tests: what fails says so by a panic")]

use exchequer_kernel::Projection;

use crate::{
    Batch, Generation, Key, MemoryStore, ReadStore as _, Row, RowSet, Table, Write, load_missing,
};

/// The generation that the suite writes.
pub const GENERATION: Generation = 3;
/// Rows of a batch of which every selection is tried; of larger ones, every prefix and
/// every batch without one row.
const SELECTIONS_ROWS_MAX: usize = 8;

/// A view under test.
#[derive(Clone, Copy, Debug)]
pub struct Suite<P> {
    pub projection: P,
    pub tables: &'static [&'static Table],
}

impl<P> Suite<P>
where
    P: Projection<Rows = RowSet, Key = (&'static Table, Key)>,
{
    /// The writes that folding `entries` as one batch onto `store` gives.
    pub async fn writes(&self, store: &MemoryStore, entries: &[P::Entry]) -> Vec<Write> {
        let mut rows = RowSet::default();
        for entry in entries {
            loop {
                let keys = self.projection.reads(entry, &rows);
                let missing = keys.iter().any(|(table, key)| !rows.has(table, key));
                load_missing(store, GENERATION, &mut rows, keys).await.unwrap();
                if !missing {
                    break;
                }
            }
            self.projection.fold(entry, &mut rows);
        }
        assert_eq!(rows.failure(), None);
        rows.into_writes(GENERATION)
    }

    /// Folds `entries` as one batch onto `store`.
    pub async fn fold(&self, store: &MemoryStore, entries: &[P::Entry]) {
        let rows = self.writes(store, entries).await;
        store.write(Batch { rows, last: Vec::new() }).await.unwrap();
    }

    /// A store with `entries` folded as one batch.
    pub async fn folded(&self, entries: &[P::Entry]) -> MemoryStore {
        let store = MemoryStore::new(true);
        self.fold(&store, entries).await;
        store
    }

    /// All rows, by table.
    pub fn snapshot(&self, store: &MemoryStore) -> Vec<Vec<Row>> {
        self.tables.iter().map(|table| store.snapshot(table, GENERATION)).collect()
    }

    /// Batches of every size, each history folded twice.
    pub async fn check_batches(&self, history: &[P::Entry]) {
        let expected = self.snapshot(&self.folded(history).await);
        for size in 1..=history.len() {
            let store = MemoryStore::new(true);
            for _ in 0..2 {
                for entries in history.chunks(size) {
                    self.fold(&store, entries).await;
                }
                assert_eq!(self.snapshot(&store), expected, "batches of {size}");
            }
        }
    }

    /// From every checkpoint, a batch of which some rows were written, then a replay.
    pub async fn check_cut_offs(&self, history: &[P::Entry]) {
        let expected = self.snapshot(&self.folded(history).await);
        for checkpoint in 0..history.len() {
            let (before, batch) = history.split_at(checkpoint);
            let count = self.writes(&self.folded(before).await, batch).await.len();
            for written in selections(count) {
                let store = self.folded(before).await;
                let mut rows = self.writes(&store, batch).await;
                let mut kept = written.iter();
                rows.retain(|_| kept.next().is_some_and(|kept| *kept));
                store.write(Batch { rows, last: Vec::new() }).await.unwrap();
                for entry in batch {
                    self.fold(&store, core::slice::from_ref(entry)).await;
                }
                let found = self.snapshot(&store);
                assert_eq!(found, expected, "from entry {checkpoint}, rows written {written:?}");
            }
        }
    }
}

/// Which of `count` rows are written, for each trial.
fn selections(count: usize) -> Vec<Vec<bool>> {
    if count <= SELECTIONS_ROWS_MAX {
        return (0..1_u32 << count)
            .map(|bits| (0..count).map(|row| bits & (1 << row) != 0).collect())
            .collect();
    }
    let prefixes = (0..=count).map(|kept| (0..count).map(|row| row < kept).collect());
    let gaps = (0..count).map(|gap| (0..count).map(|row| row != gap).collect());
    prefixes.chain(gaps).collect()
}
