//! A usage log in memory that can be made to fail.

use std::sync::Mutex;

use bytes::Bytes;
use exchequer_codec::usage::decode_record;
use exchequer_journal::{Fault, FaultKind, Journal, MemoryJournal, Record};
use exchequer_kernel::SealKey;
use exchequer_metering::RecordBody;
use exchequer_types::{Offset, PartitionId};
use futures::FutureExt as _;
use futures::future::BoxFuture;

#[derive(Debug)]
pub(crate) struct Log {
    pub(crate) inner: MemoryJournal,
    /// How appends to a partition fail.
    faults: Mutex<Vec<(PartitionId, FaultKind)>>,
}

/// A record, in words.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Told {
    /// Tenant, id and data.
    Event(String, String, String),
    /// Tenant, id and why.
    Refused(String, String, String),
}

impl Log {
    pub(crate) fn new(partitions: u32) -> Self {
        Self { inner: MemoryJournal::new(partitions), faults: Mutex::default() }
    }

    /// Appends to these partitions fail from here on.
    pub(crate) fn fail(&self, faults: impl IntoIterator<Item = (u32, FaultKind)>) {
        let faults = faults.into_iter().map(|(partition, kind)| (PartitionId(partition), kind));
        *self.faults.lock().unwrap() = faults.collect();
    }

    /// Everything that stands in it, in order.
    pub(crate) fn told(&self) -> Vec<Told> {
        let mut told = Vec::new();
        for partition in 0..self.inner.partitions() {
            for bytes in self.inner.records(PartitionId(partition)) {
                let record = decode_record(&bytes, Some(&SealKey::new(&[3; 32])));
                told.push(match record.body {
                    RecordBody::Event(it) => {
                        Told::Event(it.tenant.into(), it.id.into(), it.body.data.into())
                    }
                    RecordBody::Refused { tenant, id, reason, .. } => {
                        Told::Refused(tenant.to_string(), id.to_string(), reason.to_string())
                    }
                    other => panic!("{other:?}"),
                });
            }
        }
        told.sort();
        told
    }
}

impl Journal for Log {
    fn partitions(&self) -> u32 {
        self.inner.partitions()
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
        let faults = self.faults.lock().unwrap();
        match faults.iter().find(|(failing, _)| *failing == partition) {
            Some((_, kind)) => {
                let fault = Fault::new(kind.clone(), "as the test wants it");
                async move { Err(fault) }.boxed()
            }
            None => self.inner.append_all(partition, records),
        }
    }

    fn end(&self, partition: PartitionId) -> BoxFuture<'_, Result<Offset, Fault>> {
        self.inner.end(partition)
    }

    fn read(
        &self,
        partition: PartitionId,
        from: Offset,
        bytes_max: usize,
    ) -> BoxFuture<'_, Result<Vec<Record>, Fault>> {
        self.inner.read(partition, from, bytes_max)
    }

    fn wait(&self, partition: PartitionId, offset: Offset) -> BoxFuture<'_, ()> {
        self.inner.wait(partition, offset)
    }
}
