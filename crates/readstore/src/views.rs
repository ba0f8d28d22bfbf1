//! What every view's own tests need and every view must hold: its rows are the same
//! in whatever batches it folds, after a replay, and after a batch of which only
//! some rows were written. Panics say what differs.
#![expect(clippy::unwrap_used, reason = "a suite for tests: what fails says so by a panic")]

use exchequer_kernel::Projection;
use futures::future::BoxFuture;

use crate::{
    Batch, Generation, Key, MemoryStore, ReadStore, Row, RowSet, Table, Write, load_missing,
};

/// The generation that the suite writes.
pub const GENERATION: Generation = 3;
/// Rows of a batch of which every selection is tried; of larger ones, every prefix and
/// every batch without one row.
const SELECTIONS_ROWS_MAX: usize = 8;

/// A store whose rows can be compared.
pub trait Comparable: ReadStore {
    /// All rows of a generation, by partition key, then by clustering key.
    fn all(&self, table: &'static Table, generation: Generation) -> BoxFuture<'_, Vec<Row>>;
}

impl Comparable for MemoryStore {
    fn all(&self, table: &'static Table, generation: Generation) -> BoxFuture<'_, Vec<Row>> {
        Box::pin(core::future::ready(self.snapshot(table, generation)))
    }
}

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
        self.writes_on(store, entries).await
    }

    async fn writes_on(&self, store: &dyn ReadStore, entries: &[P::Entry]) -> Vec<Write> {
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
        self.fold_on(store, entries).await;
    }

    async fn fold_on(&self, store: &dyn ReadStore, entries: &[P::Entry]) {
        let rows = self.writes_on(store, entries).await;
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

    async fn all(&self, store: &dyn Comparable) -> Vec<Vec<Row>> {
        let mut rows = Vec::new();
        for table in self.tables {
            rows.push(store.all(table, GENERATION).await);
        }
        rows
    }

    /// Batches of every size, each history folded twice.
    pub async fn check_batches(&self, history: &[P::Entry]) {
        self.check_batches_on(|| MemoryStore::new(true), history).await;
    }

    /// The same on stores that `fresh` gives, each of them empty.
    pub async fn check_batches_on<S: Comparable>(
        &self,
        fresh: impl Fn() -> S,
        history: &[P::Entry],
    ) {
        let expected = self.snapshot(&self.folded(history).await);
        for size in 1..=history.len() {
            let store = fresh();
            for _ in 0..2 {
                for entries in history.chunks(size) {
                    self.fold_on(&store, entries).await;
                }
                assert_eq!(self.all(&store).await, expected, "batches of {size}");
            }
        }
    }

    /// From every checkpoint, a batch of which some rows were written, then a replay.
    pub async fn check_cut_offs(&self, history: &[P::Entry]) {
        self.check_cut_offs_on(|| MemoryStore::new(true), history, usize::MAX).await;
    }

    /// The same on stores that `fresh` gives, each of them empty: at most `trials_max` from
    /// each checkpoint.
    pub async fn check_cut_offs_on<S: Comparable>(
        &self,
        fresh: impl Fn() -> S,
        history: &[P::Entry],
        trials_max: usize,
    ) {
        let expected = self.snapshot(&self.folded(history).await);
        for checkpoint in 0..history.len() {
            let (before, batch) = history.split_at(checkpoint);
            let count = self.writes(&self.folded(before).await, batch).await.len();
            let trials = selections(count);
            let every = trials.len().div_ceil(trials_max.max(1)).max(1);
            for written in trials.into_iter().step_by(every) {
                let store = fresh();
                self.fold_on(&store, before).await;
                let mut rows = self.writes_on(&store, batch).await;
                let mut kept = written.iter();
                rows.retain(|_| kept.next().is_some_and(|kept| *kept));
                store.write(Batch { rows, last: Vec::new() }).await.unwrap();
                for entry in batch {
                    self.fold_on(&store, core::slice::from_ref(entry)).await;
                }
                let found = self.all(&store).await;
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
