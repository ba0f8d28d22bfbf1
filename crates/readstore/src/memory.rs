//! A read store in memory, for tests and the simulation. It orders rows by their
//! values, not by their encoding, so that it checks the stores that do.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::future::BoxFuture;

use crate::table::{Key, Row, Scan, Table, Value, Write};
use crate::{Batch, Fault, Generation, ReadStore};

/// How far a batch is: `applied` of its `writes` stand (`rows` first, then `last`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    pub applied: usize,
    pub writes: usize,
}

/// Awaited before a batch and after each of its steps. Whoever drops the write
/// meanwhile sees a crash between two steps.
pub type StepHook = Arc<dyn Fn(Step) -> BoxFuture<'static, ()> + Send + Sync>;

/// Keeps everything until it is dropped.
pub struct MemoryStore {
    atomic: bool,
    hook: Option<StepHook>,
    generations: Mutex<BTreeMap<(&'static str, Generation), Partitions>>,
}

/// By partition key, then by clustering key.
type Partitions = BTreeMap<Vec<Value>, BTreeMap<Vec<Value>, Cell>>;

/// A row, or that it was deleted (`None`).
#[derive(Debug)]
struct Cell {
    timestamp: u64,
    values: Option<Vec<Value>>,
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStore").field("atomic", &self.atomic).finish_non_exhaustive()
    }
}

impl MemoryStore {
    /// With `atomic` a batch is one step; else each write is one.
    pub fn new(atomic: bool) -> Self {
        Self { atomic, hook: None, generations: Mutex::default() }
    }

    /// As [`Self::new`], with a hook that is awaited between steps.
    pub fn with_steps(atomic: bool, hook: StepHook) -> Self {
        Self { hook: Some(hook), ..Self::new(atomic) }
    }

    /// All rows of a generation, by partition key, then by clustering key.
    pub fn snapshot(&self, table: &'static Table, generation: Generation) -> Vec<Row> {
        let generations = self.lock();
        let partitions = generations.get(&(table.name, generation)).into_iter().flatten();
        partitions
            .flat_map(|(partition, rows)| {
                rows.iter().filter_map(|(clustering, cell)| row(partition, clustering, cell))
            })
            .collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<(&'static str, Generation), Partitions>> {
        self.generations.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn apply(&self, writes: impl Iterator<Item = Write>) {
        let mut generations = self.lock();
        for Write { table, generation, key, values, timestamp } in writes {
            let partitions = generations.entry((table.name, generation)).or_default();
            let rows = partitions.entry(key.partition).or_default();
            let stands = rows.get(&key.clustering).map_or(0, |cell| cell.timestamp);
            if timestamp >= stands {
                rows.insert(key.clustering, Cell { timestamp, values });
            }
        }
    }

    async fn step(&self, applied: usize, writes: usize) {
        if let Some(hook) = &self.hook {
            hook(Step { applied, writes }).await;
        }
    }
}

impl ReadStore for MemoryStore {
    fn is_atomic(&self) -> bool {
        self.atomic
    }

    fn write(&self, batch: Batch) -> BoxFuture<'_, Result<(), Fault>> {
        Box::pin(async move {
            batch.check()?;
            let count = batch.writes().count();
            self.step(0, count).await;
            let mut writes = batch.rows.into_iter().chain(batch.last);
            if self.atomic {
                self.apply(writes);
                self.step(count, count).await;
                return Ok(());
            }
            for applied in 1..=count {
                self.apply(writes.by_ref().take(1));
                self.step(applied, count).await;
            }
            Ok(())
        })
    }

    fn get(
        &self,
        table: &'static Table,
        generation: Generation,
        key: Key,
    ) -> BoxFuture<'_, Result<Option<Row>, Fault>> {
        Box::pin(async move {
            let generations = self.lock();
            let rows = generations
                .get(&(table.name, generation))
                .and_then(|partitions| partitions.get(&key.partition));
            let cell = rows.and_then(|rows| rows.get(&key.clustering));
            Ok(cell.and_then(|cell| row(&key.partition, &key.clustering, cell)))
        })
    }

    fn scan(&self, scan: Scan) -> BoxFuture<'_, Result<Vec<Row>, Fault>> {
        Box::pin(async move {
            let generations = self.lock();
            let rows = generations
                .get(&(scan.table.name, scan.generation))
                .and_then(|partitions| partitions.get(&scan.partition));
            Ok(rows.map(|rows| select(&scan, rows)).unwrap_or_default())
        })
    }

    fn drop_generation(
        &self,
        table: &'static Table,
        generation: Generation,
    ) -> BoxFuture<'_, Result<(), Fault>> {
        Box::pin(async move {
            self.lock().remove(&(table.name, generation));
            Ok(())
        })
    }
}

fn select(scan: &Scan, rows: &BTreeMap<Vec<Value>, Cell>) -> Vec<Row> {
    let is_behind = |clustering: &Vec<Value>| match &scan.after {
        Some(after) if scan.reverse => clustering < after,
        Some(after) => clustering > after,
        None => true,
    };
    let from = scan.from.clone().map_or(Bound::Unbounded, Bound::Included);
    let is_before = |clustering: &Vec<Value>| scan.to.as_ref().is_none_or(|to| clustering < to);
    let selected = rows
        .range((from, Bound::Unbounded))
        .filter(|(clustering, _)| is_before(clustering) && is_behind(clustering))
        .filter_map(|(clustering, cell)| row(&scan.partition, clustering, cell));
    if scan.reverse {
        selected.rev().take(scan.rows_max).collect()
    } else {
        selected.take(scan.rows_max).collect()
    }
}

fn row(partition: &[Value], clustering: &[Value], cell: &Cell) -> Option<Row> {
    let values = cell.values.clone()?;
    let key = Key { partition: partition.to_vec(), clustering: clustering.to_vec() };
    Some(Row { key, values, timestamp: cell.timestamp })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conformance::{CASES, example};

    // REQ: KER-07
    #[tokio::test]
    async fn memory_store_conforms_in_both_modes() {
        for atomic in [true, false] {
            for (name, case) in CASES {
                println!("{name}, atomic {atomic}");
                case(&MemoryStore::new(atomic)).await;
            }
        }
    }

    async fn seen_after_each_step(atomic: bool) -> Vec<(Step, usize)> {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let slot = Arc::new(Mutex::new(std::sync::Weak::<MemoryStore>::new()));
        let (record, store_of_hook) = (seen.clone(), slot.clone());
        let hook: StepHook = Arc::new(move |step| {
            let store = store_of_hook.lock().unwrap().upgrade().unwrap();
            let rows = store.snapshot(example::TABLE, 0).len();
            record.lock().unwrap().push((step, rows));
            Box::pin(std::future::ready(()))
        });
        let store = Arc::new(MemoryStore::with_steps(atomic, hook));
        *slot.lock().unwrap() = Arc::downgrade(&store);
        let rows = vec![example::put("t", 1, "a", 1), example::put("t", 2, "b", 1)];
        let last = vec![example::put("t", 3, "checkpoint", 1)];
        store.write(Batch { rows, last }).await.unwrap();
        seen.lock().unwrap().clone()
    }

    fn step(applied: usize) -> Step {
        Step { applied, writes: 3 }
    }

    // REQ: KER-06
    #[tokio::test]
    async fn an_atomic_batch_is_one_step() {
        assert_eq!(seen_after_each_step(true).await, [(step(0), 0), (step(3), 3)]);
    }

    // REQ: KER-06
    #[tokio::test]
    async fn another_can_be_cut_off_between_any_two_writes() {
        let expected = [(step(0), 0), (step(1), 1), (step(2), 2), (step(3), 3)];
        assert_eq!(seen_after_each_step(false).await, expected);
    }
}
