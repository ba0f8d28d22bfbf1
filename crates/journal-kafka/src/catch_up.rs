//! Readers of records that memory no longer holds: a bounded number of clients, each
//! at one place of one partition. A reader that goes on where it was finds its client again.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use exchequer_journal::{Fault, FaultKind};
use exchequer_types::{Offset, PartitionId};
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaResult;
use rdkafka::{Offset as KafkaOffset, TopicPartitionList};
use tokio::sync::Semaphore;

use crate::client::{self, Reporter};
use crate::error::unavailable;
use crate::partition::gap_text;
use crate::ring::{Gap, Limit, Stored, Taking};
use crate::tail::stored;
use crate::topic::{Shared, is_out_of_range};

#[derive(Debug)]
pub(crate) struct CatchUp {
    shared: Arc<Shared>,
    permits: Arc<Semaphore>,
    idle: Arc<Idle>,
}

/// Clients that nobody reads with at the moment, least recently used first.
#[derive(Debug, Default)]
pub(crate) struct Idle(Mutex<Vec<Cursor>>);

struct Cursor {
    consumer: BaseConsumer<Reporter>,
    used_at: Instant,
    at: Option<(PartitionId, Offset)>,
    /// Fetched, and not given out because the last call was full.
    ahead: Option<Stored>,
}

const POLL: Duration = Duration::from_millis(50);
const WAIT_MAX: Duration = Duration::from_secs(9);
/// A client is closed when nobody has read with it for so long: its events would only pile up.
const IDLE_MAX: Duration = Duration::from_secs(30);

impl core::fmt::Debug for Cursor {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Cursor").field("at", &self.at).finish_non_exhaustive()
    }
}

impl CatchUp {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        let permits = shared.settings.options.catch_up_readers_max;
        Self { shared, permits: Arc::new(Semaphore::new(permits)), idle: Arc::default() }
    }

    pub(crate) fn idle(&self) -> Arc<Idle> {
        Arc::clone(&self.idle)
    }

    /// Records from `from` on, below `until`, all of which are there.
    pub(crate) async fn read(
        &self,
        partition: PartitionId,
        from: Offset,
        until: Offset,
        limit: Limit,
    ) -> Result<Vec<Stored>, Fault> {
        let ending = || Fault::new(FaultKind::Stopped, "the process is ending");
        let permit = Arc::clone(&self.permits).acquire_owned().await.map_err(|_| ending())?;
        let (shared, idle) = (Arc::clone(&self.shared), Arc::clone(&self.idle));
        let reading = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            let mut cursor = idle.take(&shared, partition, from)?;
            let read = cursor.read(&shared, partition, from, until, limit);
            if read.is_ok() {
                cursor.used_at = Instant::now();
                idle.lock().push(cursor);
            }
            read
        });
        reading.await.map_err(|_| ending())?
    }
}

impl Idle {
    /// The client that stands at `from`, else a new one, else the one that was idle longest.
    fn take(&self, shared: &Shared, partition: PartitionId, from: Offset) -> Result<Cursor, Fault> {
        let mut idle = self.lock();
        if let Some(found) = idle.iter().position(|cursor| cursor.at == Some((partition, from))) {
            return Ok(idle.remove(found));
        }
        if idle.len() >= shared.settings.options.catch_up_readers_max {
            return Ok(idle.remove(0));
        }
        drop(idle);
        let config = shared.settings.reader(shared.settings.options.catch_up_bytes_max);
        let consumer = client::make(&config, shared.reporter.clone())
            .map_err(|error| unavailable("make a client", &error))?;
        Ok(Cursor { consumer, used_at: Instant::now(), at: None, ahead: None })
    }

    /// Closes those that were not used for long.
    pub(crate) fn close_forgotten(&self) {
        let closed: Vec<Cursor> =
            self.lock().extract_if(.., |cursor| cursor.used_at.elapsed() > IDLE_MAX).collect();
        // Closing takes a moment, in which others may read.
        drop(closed);
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Cursor>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Cursor {
    fn read(
        &mut self,
        shared: &Shared,
        partition: PartitionId,
        from: Offset,
        until: Offset,
        limit: Limit,
    ) -> Result<Vec<Stored>, Fault> {
        if self.at != Some((partition, from)) {
            self.ahead = None;
            self.assign(shared, partition, from)
                .map_err(|error| unavailable("read a partition", &error))?;
        }
        self.at = None;
        let begun = Instant::now();
        let mut next = from;
        let mut taking = Taking::new(limit);
        while next < until && !taking.is_full() {
            let record = match self.ahead.take() {
                Some(record) => record,
                None => match self.poll(shared, partition, next)? {
                    Some(record) => record,
                    None if begun.elapsed() < WAIT_MAX => continue,
                    None if !taking.records.is_empty() => break,
                    None => return Err(silent(shared, partition, next)),
                },
            };
            if record.offset < next {
                continue;
            }
            if record.offset > next {
                return Err(self.gap(shared, partition, next, record.offset));
            }
            if !taking.take(&record) {
                self.ahead = Some(record);
                break;
            }
            next += 1;
        }
        self.at = Some((partition, next));
        Ok(taking.records)
    }

    fn assign(&self, shared: &Shared, partition: PartitionId, from: Offset) -> KafkaResult<()> {
        let mut list = TopicPartitionList::new();
        let from = KafkaOffset::Offset(i64::try_from(from).unwrap_or(i64::MAX));
        list.add_partition_offset(&shared.name, partition.0 as i32, from)?;
        self.consumer.assign(&list)
    }

    fn poll(
        &self,
        shared: &Shared,
        partition: PartitionId,
        next: Offset,
    ) -> Result<Option<Stored>, Fault> {
        match self.consumer.poll(POLL) {
            Some(Ok(message)) => Ok(stored(&message, shared.intake.as_deref())),
            Some(Err(error)) if is_out_of_range(error.rdkafka_error_code()) => {
                Err(shared.out_of_range(&self.consumer, partition.0, next))
            }
            // What failed is tried again by the client; the wait has its bound.
            None | Some(Err(_)) => Ok(None),
        }
    }

    /// Records may have gone by retention while they were read; anything else is damage.
    fn gap(
        &self,
        shared: &Shared,
        partition: PartitionId,
        expected: Offset,
        found: Offset,
    ) -> Fault {
        let fault = shared.out_of_range(&self.consumer, partition.0, expected);
        if matches!(fault.kind, FaultKind::Expired { .. }) {
            return fault;
        }
        let text = gap_text(&shared.name, partition.0, &Gap { expected, found });
        shared.partitions[partition.index()].damaged(text)
    }
}

fn silent(shared: &Shared, partition: PartitionId, next: Offset) -> Fault {
    let last = shared.reporter.last().map(|last| format!(": {last}")).unwrap_or_default();
    let message = format!("record {next} of {}/{partition} did not come{last}", shared.name);
    Fault::new(FaultKind::Unavailable, message)
}
