//! A journal in memory, for tests and the simulation.

use std::sync::Mutex;

use bytes::Bytes;
use exchequer_types::{Offset, PartitionId};
use futures::future::BoxFuture;
use tokio::sync::Notify;

use crate::{Fault, Journal, Record, check_sizes};

/// Keeps everything it is given until it is dropped.
#[derive(Debug)]
pub struct MemoryJournal {
    partitions: Vec<Partition>,
}

#[derive(Debug, Default)]
struct Partition {
    records: Mutex<Vec<Bytes>>,
    grown: Notify,
}

impl MemoryJournal {
    pub fn new(partitions: u32) -> Self {
        Self { partitions: (0..partitions).map(|_| Partition::default()).collect() }
    }

    /// Appends at once; returns the offset.
    pub fn push(&self, partition: PartitionId, record: Bytes) -> Offset {
        self.push_all(partition, [record])
    }

    /// Appends all at once; returns the offset of the first.
    pub fn push_all(
        &self,
        partition: PartitionId,
        added: impl IntoIterator<Item = Bytes>,
    ) -> Offset {
        let it = &self.partitions[partition.index()];
        let offset = {
            let mut records = lock(&it.records);
            let offset = records.len() as u64;
            records.extend(added);
            offset
        };
        it.grown.notify_waiters();
        offset
    }

    /// Drops all records of `partition` from `offset` on, as a power loss would.
    pub fn truncate(&self, partition: PartitionId, offset: Offset) {
        lock(&self.partitions[partition.index()].records).truncate(index(offset));
    }

    /// The records of `partition`, now.
    pub fn records(&self, partition: PartitionId) -> Vec<Bytes> {
        lock(&self.partitions[partition.index()].records).clone()
    }

    fn len(&self, partition: PartitionId) -> Offset {
        lock(&self.partitions[partition.index()].records).len() as u64
    }
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn index(offset: Offset) -> usize {
    usize::try_from(offset).unwrap_or(usize::MAX)
}

impl Journal for MemoryJournal {
    fn partitions(&self) -> u32 {
        self.partitions.len() as u32
    }

    fn append(
        &self,
        partition: PartitionId,
        record: Bytes,
    ) -> BoxFuture<'_, Result<Option<Offset>, Fault>> {
        self.append_all(partition, vec![record])
    }

    fn append_all(
        &self,
        partition: PartitionId,
        records: Vec<Bytes>,
    ) -> BoxFuture<'_, Result<Option<Offset>, Fault>> {
        Box::pin(async move {
            check_sizes(&records)?;
            let is_empty = records.is_empty();
            Ok((!is_empty).then(|| self.push_all(partition, records)))
        })
    }

    fn end(&self, partition: PartitionId) -> BoxFuture<'_, Result<Offset, Fault>> {
        Box::pin(async move { Ok(self.len(partition)) })
    }

    fn read(
        &self,
        partition: PartitionId,
        from: Offset,
        bytes_max: usize,
    ) -> BoxFuture<'_, Result<Vec<Record>, Fault>> {
        Box::pin(async move {
            let records = lock(&self.partitions[partition.index()].records);
            let mut out = Vec::new();
            let mut bytes = 0;
            for (offset, record) in (from..).zip(records.iter().skip(index(from))) {
                bytes += record.len();
                if bytes > bytes_max && !out.is_empty() {
                    break;
                }
                out.push(Record { offset, bytes: record.clone() });
            }
            Ok(out)
        })
    }

    fn wait(&self, partition: PartitionId, offset: Offset) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            let grown = self.partitions[partition.index()].grown.notified();
            let mut grown = std::pin::pin!(grown);
            grown.as_mut().enable();
            if self.len(partition) <= offset {
                grown.await;
            }
        })
    }
}
