//! The store as it will be once a batch is written: what is read here is what the batch
//! puts, else what stands. So a row that is changed twice on its way is written once, as it
//! is in the end.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use exchequer_readstore::{Batch, Fault, Generation, Key, ReadStore, Row, Scan, Table, Write};
use futures::future::BoxFuture;

/// Writes that are not done yet, above the rows of a store.
#[derive(Debug)]
pub struct Pending<'a> {
    store: &'a dyn ReadStore,
    writes: Mutex<Writes>,
}

/// In the order in which their rows first came.
#[derive(Debug, Default)]
struct Writes {
    list: Vec<Write>,
    at: BTreeMap<(&'static str, Generation, Key), usize>,
}

impl Writes {
    fn put(&mut self, write: Write) {
        let key = (write.table.name, write.generation, write.key.clone());
        match self.at.get(&key).and_then(|at| self.list.get_mut(*at)) {
            Some(known) if known.timestamp > write.timestamp => {}
            Some(known) => *known = write,
            None => {
                self.at.insert(key, self.list.len());
                self.list.push(write);
            }
        }
    }

    fn find(&self, key: &(&'static str, Generation, Key)) -> Option<&Write> {
        self.list.get(*self.at.get(key)?)
    }

    /// Puts what is pending into `rows` of the stretch that `is_in` tells.
    fn lay_over(&self, scan: &Scan, is_in: impl Fn(&Key) -> bool, rows: &mut Vec<Row>) {
        let least = Key { partition: scan.partition.clone(), clustering: Vec::new() };
        let from = (scan.table.name, scan.generation, least);
        let own = self.at.range(from..).take_while(|((table, generation, key), _)| {
            (*table, *generation) == (scan.table.name, scan.generation)
                && key.partition == scan.partition
        });
        for ((_, _, key), at) in own.filter(|((_, _, key), _)| is_in(key)) {
            rows.retain(|row| row.key != *key);
            rows.extend(self.list.get(*at).and_then(row));
        }
    }
}

fn row(write: &Write) -> Option<Row> {
    let Write { key, values, timestamp, .. } = write;
    Some(Row { key: key.clone(), values: values.clone()?, timestamp: *timestamp })
}

impl<'a> Pending<'a> {
    /// `writes` above `store`.
    pub fn above(store: &'a dyn ReadStore, writes: Vec<Write>) -> Self {
        let mut all = Writes::default();
        for it in writes {
            all.put(it);
        }
        Self { store, writes: Mutex::new(all) }
    }

    /// All that is to be written, each row once.
    pub fn into_writes(self) -> Vec<Write> {
        self.writes.into_inner().unwrap_or_else(PoisonError::into_inner).list
    }

    fn lock(&self) -> MutexGuard<'_, Writes> {
        self.writes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ReadStore for Pending<'_> {
    fn is_atomic(&self) -> bool {
        true
    }

    fn write(&self, batch: Batch) -> BoxFuture<'_, Result<(), Fault>> {
        Box::pin(async move {
            batch.check()?;
            let mut writes = self.lock();
            for it in batch.rows.into_iter().chain(batch.last) {
                writes.put(it);
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
        let pending = self.lock().find(&(table.name, generation, key.clone())).map(row);
        Box::pin(async move {
            match pending {
                Some(found) => Ok(found),
                None => self.store.get(table, generation, key).await,
            }
        })
    }

    fn scan(&self, scan: Scan) -> BoxFuture<'_, Result<Vec<Row>, Fault>> {
        Box::pin(async move {
            let mut found: Vec<Row> = Vec::new();
            let mut after = scan.after.clone();
            loop {
                let part = Scan { after: after.clone(), ..scan.clone() };
                let mut rows = self.store.scan(part).await?;
                // Behind a full stretch more may stand.
                let last = rows.get(scan.rows_max.saturating_sub(1));
                let last = last.map(|row| row.key.clustering.clone());
                let is_in = |key: &Key| {
                    let key = &key.clustering;
                    let is_behind = |it: &Vec<_>| if scan.reverse { key < it } else { key > it };
                    let is_ahead = |it: &Vec<_>| if scan.reverse { key >= it } else { key <= it };
                    scan.from.as_ref().is_none_or(|it| key >= it)
                        && scan.to.as_ref().is_none_or(|it| key < it)
                        && after.as_ref().is_none_or(is_behind)
                        && last.as_ref().is_none_or(is_ahead)
                };
                self.lock().lay_over(&scan, is_in, &mut rows);
                rows.sort_unstable_by(|a, b| a.key.clustering.cmp(&b.key.clustering));
                if scan.reverse {
                    rows.reverse();
                }
                found.append(&mut rows);
                match last {
                    Some(last) if found.len() < scan.rows_max => after = Some(last),
                    _ => break,
                }
            }
            found.truncate(scan.rows_max);
            Ok(found)
        })
    }

    fn drop_generation(
        &self,
        _: &'static Table,
        _: Generation,
    ) -> BoxFuture<'_, Result<(), Fault>> {
        Box::pin(async { Err(Fault::lasting("no generation is dropped by a batch")) })
    }
}

#[cfg(test)]
mod tests {
    use exchequer_readstore::MemoryStore;
    use exchequer_readstore::conformance::{CASES, Case, example};

    use super::*;

    fn values(rows: &[Row]) -> Vec<Vec<exchequer_readstore::Value>> {
        rows.iter().map(|row| row.key.clustering.clone()).collect()
    }

    // REQ: USE-01
    #[tokio::test]
    async fn what_is_pending_is_read_among_the_rows_page_after_page() {
        let store = MemoryStore::new(true);
        let rows = (0..20).map(|n| example::put("t", n * 2, "old", 1)).collect();
        store.write(Batch { rows, last: Vec::new() }).await.unwrap();
        let mut writes: Vec<Write> =
            (0..20).map(|n| example::put("t", n * 2 + 1, "new", 2)).collect();
        writes.extend((0..5).map(|n| Write { values: None, ..example::put("t", n * 4, "", 2) }));
        let expected = MemoryStore::new(true);
        for rows in [(0..20).map(|n| example::put("t", n * 2, "old", 1)).collect(), writes.clone()]
        {
            expected.write(Batch { rows, last: Vec::new() }).await.unwrap();
        }
        let pending = Pending::above(&store, writes);
        let partition = example::put("t", 0, "", 0).key.partition;
        for reverse in [false, true] {
            let mut after = None;
            let (mut found, mut wanted) = (Vec::new(), Vec::new());
            loop {
                let mut scan = Scan::of(example::TABLE, 0, partition.clone(), 3);
                (scan.reverse, scan.after) = (reverse, after.clone());
                let page = pending.scan(scan.clone()).await.unwrap();
                let other = expected.scan(scan).await.unwrap();
                assert_eq!(page, other, "behind {after:?}");
                found.extend(values(&page));
                wanted.extend(values(&other));
                after = page.last().map(|row| row.key.clustering.clone());
                if page.len() < 3 {
                    break;
                }
            }
            assert_eq!(found, wanted);
            assert_eq!(found.len(), 35);
        }
    }

    // REQ: USE-01
    #[tokio::test]
    async fn it_reads_as_a_store_that_has_the_rows() {
        let of_batches = |it: &&Case| it.0 != "a dropped generation is gone";
        for (name, case) in CASES.iter().filter(of_batches) {
            println!("{name}");
            let store = MemoryStore::new(true);
            case(&Pending::above(&store, Vec::new())).await;
        }
    }
}
