//! The input logs: what gateways submit to, and deciders read.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use exchequer_types::{LogId, Offset, PartitionId, Timestamp};
use futures::future::BoxFuture;
use tokio::sync::Notify;

use crate::memory::lock;
use crate::{Fault, FaultKind, check_sizes};

/// Which input log: clients' commands, or those of timers and processes, which
/// have a lane of their own so that no flood delays them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lane {
    Commands,
    Internal,
}

impl Lane {
    pub const ALL: [Self; 2] = [Self::Commands, Self::Internal];

    pub const fn index(self) -> usize {
        match self {
            Self::Commands => 0,
            Self::Internal => 1,
        }
    }
}

/// One record as it stands in an input log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InputRecord {
    pub offset: Offset,
    pub appended_at: Timestamp,
    pub bytes: Bytes,
}

/// The place that a log told, if it did.
pub type Submitting<'a> = BoxFuture<'a, Result<Option<Offset>, Fault>>;
/// What was read of a lane.
pub type Reading<'a> = BoxFuture<'a, Result<Vec<InputRecord>, Fault>>;

/// Both lanes of input, partitioned like the journal.
pub trait InputLog: Send + Sync + core::fmt::Debug {
    /// Names the log that offsets of `lane` belong to. Another id means other offsets.
    fn id(&self, lane: Lane) -> LogId;

    /// Puts a record on the log. Resolves when the log has taken it over, with its
    /// offset if the log tells.
    fn submit(&self, lane: Lane, partition: PartitionId, record: Bytes) -> Submitting<'_>;

    /// At most `records_max` records from `from` on, ascending. `Expired` when the
    /// log begins above `from`.
    fn read(
        &self,
        lane: Lane,
        partition: PartitionId,
        from: Offset,
        records_max: usize,
    ) -> Reading<'_>;

    /// Resolves when a record at `offset` may be there to read. May resolve early.
    fn wait(&self, lane: Lane, partition: PartitionId, offset: Offset) -> BoxFuture<'_, ()>;

    /// Everything below `low` has its outcome in the journal and may go.
    fn forget(&self, lane: Lane, partition: PartitionId, low: Offset);
}

/// Bounds of the queue in memory, for each lane of each partition.
#[derive(Clone, Copy, Debug)]
pub struct MemoryInputLimits {
    pub records_max: usize,
    pub bytes_max: usize,
}

impl Default for MemoryInputLimits {
    fn default() -> Self {
        Self { records_max: 16_384, bytes_max: 32 * 1024 * 1024 }
    }
}

type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// The embedded input log: a bounded queue in memory. A command is durable when
/// its commit is, and nobody is answered before.
pub struct MemoryInput {
    ids: [LogId; 2],
    lanes: [Vec<Queue>; 2],
    limits: MemoryInputLimits,
    now: Clock,
}

impl core::fmt::Debug for MemoryInput {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("MemoryInput").field("ids", &self.ids).finish_non_exhaustive()
    }
}

#[derive(Debug, Default)]
struct Queue {
    held: Mutex<Held>,
    grown: Notify,
}

#[derive(Debug, Default)]
struct Held {
    /// Offset of the first record held.
    begins_at: Offset,
    records: VecDeque<(Timestamp, Bytes)>,
    bytes: usize,
}

impl Held {
    fn end(&self) -> Offset {
        self.begins_at + self.records.len() as u64
    }
}

impl MemoryInput {
    /// `incarnation` must be new at each start, for offsets begin at 0 again.
    pub fn new(
        partitions: u32,
        incarnation: [u8; 16],
        limits: MemoryInputLimits,
        now: Clock,
    ) -> Self {
        let lane = || (0..partitions).map(|_| Queue::default()).collect();
        let mut internal = incarnation;
        internal[15] ^= 1;
        Self { ids: [LogId(incarnation), LogId(internal)], lanes: [lane(), lane()], limits, now }
    }

    fn queue(&self, lane: Lane, partition: PartitionId) -> &Queue {
        &self.lanes[lane.index()][partition.index()]
    }

    fn push(&self, lane: Lane, partition: PartitionId, record: Bytes) -> Result<Offset, Fault> {
        check_sizes(core::slice::from_ref(&record))?;
        let queue = self.queue(lane, partition);
        let offset = {
            let mut held = lock(&queue.held);
            if held.records.len() >= self.limits.records_max
                || held.bytes + record.len() > self.limits.bytes_max
            {
                let message = format!("partition {partition} has too many undecided commands");
                return Err(Fault::new(FaultKind::Overloaded, message));
            }
            held.bytes += record.len();
            held.records.push_back(((self.now)(), record));
            held.end() - 1
        };
        queue.grown.notify_waiters();
        Ok(offset)
    }
}

impl InputLog for MemoryInput {
    fn id(&self, lane: Lane) -> LogId {
        self.ids[lane.index()]
    }

    fn submit(&self, lane: Lane, partition: PartitionId, record: Bytes) -> Submitting<'_> {
        Box::pin(core::future::ready(self.push(lane, partition, record).map(Some)))
    }

    fn read(
        &self,
        lane: Lane,
        partition: PartitionId,
        from: Offset,
        records_max: usize,
    ) -> Reading<'_> {
        let held = lock(&self.queue(lane, partition).held);
        let result = match from.checked_sub(held.begins_at) {
            None => Err(Fault::new(
                FaultKind::Expired { begins_at: held.begins_at },
                format!(
                    "the input log begins at {}: records {from} to {} were deleted before they \
                     were read",
                    held.begins_at,
                    held.begins_at - 1
                ),
            )),
            Some(skip) => Ok((from..)
                .zip(held.records.iter().skip(usize::try_from(skip).unwrap_or(usize::MAX)))
                .take(records_max)
                .map(|(offset, (appended_at, bytes))| InputRecord {
                    offset,
                    appended_at: *appended_at,
                    bytes: bytes.clone(),
                })
                .collect()),
        };
        Box::pin(core::future::ready(result))
    }

    fn wait(&self, lane: Lane, partition: PartitionId, offset: Offset) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            let queue = self.queue(lane, partition);
            let grown = queue.grown.notified();
            let mut grown = std::pin::pin!(grown);
            grown.as_mut().enable();
            if lock(&queue.held).end() <= offset {
                grown.await;
            }
        })
    }

    fn forget(&self, lane: Lane, partition: PartitionId, low: Offset) {
        let mut held = lock(&self.queue(lane, partition).held);
        while held.begins_at < low {
            let Some((_, bytes)) = held.records.pop_front() else {
                held.begins_at = low;
                return;
            };
            held.bytes -= bytes.len();
            held.begins_at += 1;
        }
    }
}
