//! Writing: one statement a row, those of one partition key together in bounded batches, a
//! bounded number of them at once. A batch saves round trips and promises nothing else.

use std::collections::BTreeMap;
use std::sync::PoisonError;

use exchequer_readstore::{Batch, Fault, Generation, Key, Table, Value, Write};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use scylla::response::PagingState;
use scylla::statement::batch::{Batch as Statements, BatchStatement, BatchType};

use crate::ScyllaReadStore;
use crate::cell::Bind;
use crate::fault::failed;
use crate::statements::Shape;
use crate::ties::LATEST;

/// Rows of one batch.
const BATCH_ROWS_MAX: usize = 100;
/// Of values, after which a batch takes no further row.
const BATCH_BYTES_MAX: usize = 64 << 10;

/// A write, and the timestamp that it goes with.
#[derive(Debug)]
struct Stamped {
    write: Write,
    timestamp: i64,
}

impl ScyllaReadStore {
    /// The rows, then what must not stand without them.
    pub(crate) async fn apply(&self, batch: Batch) -> Result<(), Fault> {
        batch.check()?;
        self.apply_all(batch.rows).await?;
        self.apply_all(batch.last).await
    }

    /// In no order: the timestamps are the order.
    async fn apply_all(&self, writes: Vec<Write>) -> Result<(), Fault> {
        let groups = groups(self.stamp(newest(writes)));
        stream::iter(groups)
            .map(|group| self.send(group))
            .buffer_unordered(self.writes_at_once_max)
            .try_collect()
            .await
    }

    fn stamp(&self, writes: Vec<Write>) -> Vec<Stamped> {
        let mut ties = self.ties.lock().unwrap_or_else(PoisonError::into_inner);
        let stamped = |write: Write| Stamped { timestamp: ties.stamp(&write), write };
        writes.into_iter().map(stamped).collect()
    }

    /// Sends writes of one partition key of one table.
    async fn send(&self, group: Vec<Stamped>) -> Result<(), Fault> {
        let Some(first) = group.first() else { return Ok(()) };
        let table = first.write.table;
        let put = self.statements.get(&self.session, table, Shape::Put).await?;
        let is_delete = |it: &Stamped| it.write.values.is_none();
        let delete = if group.iter().any(is_delete) {
            Some(self.statements.get(&self.session, table, Shape::Delete).await?)
        } else {
            None
        };
        let statement = |it: &Stamped| match &delete {
            Some(delete) if is_delete(it) => delete.as_ref().clone(),
            _ => put.as_ref().clone(),
        };
        let _permit = self.writes.acquire().await.map_err(|_| closed())?;
        let written = if let [only] = &group[..] {
            self.session.execute_unpaged(&statement(only), only.binds()).await
        } else {
            let statements =
                group.iter().map(|it| BatchStatement::PreparedStatement(statement(it))).collect();
            let mut batch = Statements::new_with_statements(BatchType::Unlogged, statements);
            batch.set_is_idempotent(true);
            let values: Vec<_> = group.iter().map(Stamped::binds).collect();
            self.session.batch(&batch, values).await
        };
        written.map(|_| ()).map_err(|error| failed(&format!("write to {}", table.name), &error))
    }

    /// Deletes all partitions of a generation. Those that a failure leaves are found again.
    pub(crate) async fn remove(
        &self,
        table: &'static Table,
        generation: Generation,
    ) -> Result<(), Fault> {
        let mut page = Some(PagingState::start());
        while let Some(this) = page {
            let (partitions, next) = self.partitions(table, generation, this).await?;
            stream::iter(partitions)
                .map(|partition| self.remove_partition(table, generation, partition))
                .buffer_unordered(self.writes_at_once_max)
                .try_collect::<()>()
                .await?;
            page = next;
        }
        Ok(())
    }

    async fn remove_partition(
        &self,
        table: &'static Table,
        generation: Generation,
        partition: Vec<Value>,
    ) -> Result<(), Fault> {
        let delete = self.statements.get(&self.session, table, Shape::DeletePartition).await?;
        let mut binds = vec![Bind::Int(LATEST), Bind::Int(generation.cast_signed())];
        binds.extend(partition.iter().map(Bind::from));
        let _permit = self.writes.acquire().await.map_err(|_| closed())?;
        let deleted = self.session.execute_unpaged(&delete, binds).await;
        let what = || format!("delete from {}", table.name);
        deleted.map(|_| ()).map_err(|error| failed(&what(), &error))
    }
}

/// The semaphores are never closed.
pub(crate) fn closed() -> Fault {
    Fault::lasting("the store has stopped: restart the process")
}

impl Stamped {
    /// In the order of the statement's marks.
    fn binds(&self) -> Vec<Bind<'_>> {
        let Write { generation, key, values, timestamp, .. } = &self.write;
        let generation = Bind::Int(generation.cast_signed());
        let key = key.partition.iter().chain(&key.clustering).map(Bind::from);
        match values {
            Some(values) => std::iter::once(generation)
                .chain(key)
                .chain([Bind::Int(timestamp.cast_signed())])
                .chain(values.iter().map(Bind::from))
                .chain([Bind::Int(self.timestamp)])
                .collect(),
            None => [Bind::Int(self.timestamp), generation].into_iter().chain(key).collect(),
        }
    }

    fn bytes(&self) -> usize {
        self.binds().iter().map(Bind::bytes).sum()
    }
}

/// One write a row: of several the newest, and of those at one position the latest.
fn newest(writes: Vec<Write>) -> Vec<Write> {
    let mut rows: BTreeMap<(&str, Generation, Key), Write> = BTreeMap::new();
    for write in writes {
        let row = (write.table.name, write.generation, write.key.clone());
        match rows.entry(row) {
            std::collections::btree_map::Entry::Vacant(entry) => {
                entry.insert(write);
            }
            std::collections::btree_map::Entry::Occupied(mut entry) => {
                if write.timestamp >= entry.get().timestamp {
                    entry.insert(write);
                }
            }
        }
    }
    rows.into_values().collect()
}

/// Writes of one partition key each, which lie together already, within the bounds.
fn groups(writes: Vec<Stamped>) -> Vec<Vec<Stamped>> {
    let mut groups: Vec<Vec<Stamped>> = Vec::new();
    let mut bytes = 0;
    for write in writes {
        let more = write.bytes();
        match groups.last_mut() {
            Some(group)
                if partition(&group[0]) == partition(&write)
                    && group.len() < BATCH_ROWS_MAX
                    && bytes + more <= BATCH_BYTES_MAX =>
            {
                bytes += more;
                group.push(write);
            }
            _ => {
                bytes = more;
                groups.push(vec![write]);
            }
        }
    }
    groups
}

fn partition(it: &Stamped) -> (&'static str, Generation, &[Value]) {
    (it.write.table.name, it.write.generation, &it.write.key.partition)
}

#[cfg(test)]
mod tests {
    use exchequer_readstore::conformance::example::{delete, put};

    use super::*;

    fn grouped(writes: Vec<Write>) -> Vec<Vec<Stamped>> {
        groups(newest(writes).into_iter().map(|write| Stamped { write, timestamp: 0 }).collect())
    }

    // REQ: KER-07
    #[test]
    fn batches_are_of_one_partition_key_and_bounded() {
        let writes: Vec<_> = (0..350)
            .map(|n| put(["a", "b"][(n % 2) as usize], n, "", 1))
            .chain([put("c", 1, &"x".repeat(BATCH_BYTES_MAX), 1), put("c", 2, "", 1)])
            .collect();
        let groups = grouped(writes);
        let sizes: Vec<_> = groups.iter().map(Vec::len).collect();
        assert_eq!(sizes, [100, 75, 100, 75, 1, 1]);
        for group in groups {
            assert!(group.iter().all(|it| partition(it) == partition(&group[0])));
        }
    }

    // REQ: KER-07
    #[test]
    fn a_row_is_written_once() {
        let writes = vec![put("t", 1, "a", 5), delete("t", 1, 6), put("t", 1, "late", 5)];
        let groups = grouped(writes);
        assert_eq!(groups.len(), 1);
        assert_eq!(groups[0].len(), 1);
        assert_eq!(groups[0][0].write, delete("t", 1, 6));
        let [last] = &newest(vec![put("t", 1, "a", 5), put("t", 1, "b", 5)])[..] else { panic!() };
        assert_eq!(last, &put("t", 1, "b", 5));
    }
}
