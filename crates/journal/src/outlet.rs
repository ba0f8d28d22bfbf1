//! Topics that others read: records with a key and headers, written in order by whoever
//! publishes them. What was published last is read again, so that a publisher goes on
//! behind it.

use std::sync::Mutex;

use bytes::Bytes;
use exchequer_types::PartitionId;
use futures::future::BoxFuture;

use crate::memory::lock;
use crate::{APPEND_BYTES_MAX, Fault, FaultKind};

/// One record of an outlet, key, headers and value together, in bytes.
pub const OUTGOING_BYTES_MAX: usize = 1024 * 1024;
/// Headers of one record.
pub const OUTGOING_HEADERS_MAX: usize = 128;
/// What headers are counted for beside their bytes.
const HEADER_BYTES: usize = 8;

/// A record with all that its readers get.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outgoing {
    /// Those who read a key's records alone find them on one partition.
    pub key: Bytes,
    /// Names and values, in their order. A name may stand twice.
    pub headers: Vec<(String, Bytes)>,
    pub value: Bytes,
}

impl Outgoing {
    /// The value of the first header of that name.
    pub fn header(&self, name: &str) -> Option<&Bytes> {
        self.headers.iter().find(|(it, _)| it == name).map(|(_, value)| value)
    }

    /// What it counts for, in bytes.
    pub fn bytes(&self) -> usize {
        let header = |(name, value): &(String, Bytes)| name.len() + value.len() + HEADER_BYTES;
        self.key.len() + self.value.len() + self.headers.iter().map(header).sum::<usize>()
    }
}

/// A partitioned topic that others read.
pub trait Outlet: Send + Sync + core::fmt::Debug {
    fn partitions(&self) -> u32;

    /// Appends the records in their order. Resolves when all are durable. After an error
    /// the first few of them, or all, may have landed, or may still land, unless the
    /// fault's kind says otherwise.
    fn publish(
        &self,
        partition: PartitionId,
        records: Vec<Outgoing>,
    ) -> BoxFuture<'_, Result<(), Fault>>;

    /// The newest durable record, asked from the topic; none when there never was one.
    fn last(&self, partition: PartitionId) -> BoxFuture<'_, Result<Option<Outgoing>, Fault>>;
}

/// Refuses what no outlet takes in one call.
pub fn check_outgoing(records: &[Outgoing]) -> Result<(), Fault> {
    let too_large = |message| Err(Fault::new(FaultKind::TooLarge, message));
    let longest = records.iter().map(Outgoing::bytes).max().unwrap_or(0);
    if longest > OUTGOING_BYTES_MAX {
        return too_large(format!("{longest} bytes; at most {OUTGOING_BYTES_MAX} are published"));
    }
    let headers = records.iter().map(|it| it.headers.len()).max().unwrap_or(0);
    if headers > OUTGOING_HEADERS_MAX {
        return too_large(format!("{headers} headers; at most {OUTGOING_HEADERS_MAX} are taken"));
    }
    let together = records.iter().map(Outgoing::bytes).sum::<usize>();
    if together > APPEND_BYTES_MAX {
        return too_large(format!("{together} bytes; at most {APPEND_BYTES_MAX} at once"));
    }
    Ok(())
}

/// An outlet in memory, for tests. Keeps everything it is given.
#[derive(Debug)]
pub struct MemoryOutlet {
    partitions: Vec<Mutex<Vec<Outgoing>>>,
}

impl MemoryOutlet {
    pub fn new(partitions: u32) -> Self {
        Self { partitions: (0..partitions).map(|_| Mutex::default()).collect() }
    }

    /// The records of `partition`, now.
    pub fn records(&self, partition: PartitionId) -> Vec<Outgoing> {
        lock(&self.partitions[partition.index()]).clone()
    }
}

impl Outlet for MemoryOutlet {
    fn partitions(&self) -> u32 {
        self.partitions.len() as u32
    }

    fn publish(
        &self,
        partition: PartitionId,
        records: Vec<Outgoing>,
    ) -> BoxFuture<'_, Result<(), Fault>> {
        let published = check_outgoing(&records).map(|()| {
            lock(&self.partitions[partition.index()]).extend(records);
        });
        Box::pin(core::future::ready(published))
    }

    fn last(&self, partition: PartitionId) -> BoxFuture<'_, Result<Option<Outgoing>, Fault>> {
        let last = lock(&self.partitions[partition.index()]).last().cloned();
        Box::pin(core::future::ready(Ok(last)))
    }
}
