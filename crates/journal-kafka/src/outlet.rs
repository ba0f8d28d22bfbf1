//! A topic that others read, behind its port: records with keys and headers, and the
//! newest one read again.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use exchequer_journal::{Fault, FaultKind, Outgoing, Outlet, check_outgoing};
use exchequer_types::{Offset, PartitionId};
use futures::future::BoxFuture;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaResult;
use rdkafka::message::{BorrowedMessage, Headers as _, Message as _};
use rdkafka::{Offset as KafkaOffset, TopicPartitionList};

use crate::appender::Appender;
use crate::client::{self, Figures, Reporter};
use crate::error::unavailable;
use crate::settings::{Compression, Settings};
use crate::topic::{Producers, Shared};
use crate::watch::Watch;
use crate::{SetupError, topics};

const POLL: Duration = Duration::from_millis(50);
/// How long the newest record may take to come.
const READ_WAIT_MAX: Duration = Duration::from_secs(10);

/// Records of one call wait so long for each other, to go as one batch: a batch lands whole
/// or not at all, so that no failure leaves a gap that later records follow.
const LINGER_MS: u32 = 5;

/// An open topic for others to read. Nothing of it is kept in memory.
pub struct KafkaOutlet {
    shared: Arc<Shared>,
    appender: Appender<Outgoing>,
    /// Reads one record at a time.
    consumer: Arc<Mutex<Arc<BaseConsumer<Reporter>>>>,
    _watch: Watch,
}

impl core::fmt::Debug for KafkaOutlet {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("KafkaOutlet").field("shared", &self.shared).finish_non_exhaustive()
    }
}

impl KafkaOutlet {
    /// Opens the topic of `spec`, which [`topics::check`] has found right. Blocks.
    pub fn open(settings: &Settings, spec: &topics::Spec) -> Result<Self, SetupError> {
        let mut settings = settings.clone();
        settings.options.linger_ms = settings.options.linger_ms.max(LINGER_MS);
        settings.options.batches_in_flight_max = 1;
        settings.options.compression = Compression::Gzip;
        settings.options.plain_bytes_max = 0;
        let (shared, client) = Shared::open(&settings, spec, None)?;
        let consumer = Arc::new(Mutex::new(Arc::clone(&client)));
        let tend = {
            let consumer = Arc::clone(&consumer);
            move || {
                // Whoever reads a record hears the client's events too.
                if let Ok(consumer) = consumer.try_lock() {
                    client::hear(&consumer);
                }
            }
        };
        Ok(Self {
            appender: Appender::new(Arc::clone(&shared), Producers::EachPartition),
            _watch: Watch::start(Arc::clone(&shared), client, Box::new(tend)),
            consumer,
            shared,
        })
    }

    /// The newest figures of its clients.
    pub fn figures(&self) -> Figures {
        self.shared.figures()
    }

    async fn append(&self, partition: PartitionId, records: Vec<Outgoing>) -> Result<(), Fault> {
        check_outgoing(&records)?;
        self.shared.settings.stopped.check()?;
        if !records.is_empty() {
            self.appender.append(partition, records).await?;
        }
        Ok(())
    }

    async fn newest(&self, partition: PartitionId) -> Result<Option<Outgoing>, Fault> {
        let (shared, consumer) = (Arc::clone(&self.shared), Arc::clone(&self.consumer));
        let reading = tokio::task::spawn_blocking(move || {
            let consumer = consumer.lock().unwrap_or_else(PoisonError::into_inner);
            newest(&shared, &consumer, partition)
        });
        let ending = || Fault::new(FaultKind::Stopped, "the process is ending");
        reading.await.map_err(|_| ending())?
    }
}

impl Outlet for KafkaOutlet {
    fn partitions(&self) -> u32 {
        self.shared.partitions.len() as u32
    }

    fn publish(
        &self,
        partition: PartitionId,
        records: Vec<Outgoing>,
    ) -> BoxFuture<'_, Result<(), Fault>> {
        Box::pin(self.append(partition, records))
    }

    fn last(&self, partition: PartitionId) -> BoxFuture<'_, Result<Option<Outgoing>, Fault>> {
        Box::pin(self.newest(partition))
    }
}

/// The record before the end, which is asked for. Blocks.
fn newest(
    shared: &Shared,
    consumer: &BaseConsumer<Reporter>,
    partition: PartitionId,
) -> Result<Option<Outgoing>, Fault> {
    let known = shared.partitions[partition.index()].known_end();
    let ends = shared.ends(consumer, partition.0, known);
    let (low, high) = ends.map_err(|error| unavailable("ask for an end", &error))?;
    let name = &shared.name;
    let Some(at) = high.checked_sub(1) else { return Ok(None) };
    if low > at || high < known {
        let message = format!(
            "{name}/{partition} holds {low} to {high}, and held records up to {known}: it is \
             kept for ever, and some are gone"
        );
        return Err(Fault::new(FaultKind::Damaged, message));
    }
    assign(consumer, name, partition, at).map_err(|error| unavailable("read a topic", &error))?;
    let begun = Instant::now();
    let mut found = None;
    while found.is_none() && begun.elapsed() < READ_WAIT_MAX {
        // What failed is tried again by the client.
        found = match consumer.poll(POLL) {
            Some(Ok(message)) if is_at(&message, partition, at) => Some(outgoing(&message)),
            _ => None,
        };
    }
    // What is read ahead would only be thrown away.
    let unassigned = consumer.unassign();
    unassigned.map_err(|error| unavailable("read a topic", &error))?;
    let silent = || format!("record {at} of {name}/{partition} did not come");
    found.map(Some).ok_or_else(|| Fault::new(FaultKind::Unavailable, silent()))
}

fn assign(
    consumer: &BaseConsumer<Reporter>,
    name: &str,
    partition: PartitionId,
    at: Offset,
) -> KafkaResult<()> {
    let mut list = TopicPartitionList::new();
    let at = KafkaOffset::Offset(i64::try_from(at).unwrap_or(i64::MAX));
    list.add_partition_offset(name, partition.0 as i32, at)?;
    consumer.assign(&list)
}

fn is_at(message: &BorrowedMessage<'_>, partition: PartitionId, at: Offset) -> bool {
    message.partition() == partition.0 as i32 && u64::try_from(message.offset()) == Ok(at)
}

fn outgoing(message: &BorrowedMessage<'_>) -> Outgoing {
    let bytes = |value: Option<&[u8]>| Bytes::copy_from_slice(value.unwrap_or_default());
    let headers = message.headers().map(|it| it.iter()).into_iter().flatten();
    Outgoing {
        key: bytes(message.key()),
        headers: headers.map(|it| (it.key.to_owned(), bytes(it.value))).collect(),
        value: bytes(message.payload()),
    }
}
