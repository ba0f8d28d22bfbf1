//! The task that follows all partitions of a topic and puts what comes into memory.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use exchequer_journal::{FaultKind, Intake, Produced};
use exchequer_types::Timestamp;
use futures::StreamExt as _;
use futures::future::{AbortHandle, Pending, abortable, pending};
use rdkafka::consumer::{Consumer as _, StreamConsumer};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::message::{BorrowedMessage, Headers as _, Message as _};
use rdkafka::util::AsyncRuntime;
use rdkafka::{Offset as KafkaOffset, TopicPartitionList};
use tokio::runtime::{self, Handle};
use tokio::task::{spawn_blocking, yield_now};

use crate::client::Reporter;
use crate::ring::Stored;
use crate::topic::{Shared, is_out_of_range};

/// A client that wakes the task which reads with it from its own thread: there is no thread
/// between the connection and whoever waits for a record.
pub(crate) type Follower = StreamConsumer<Reporter, NoGroup>;

/// Ends the task when it is dropped.
#[derive(Debug)]
pub(crate) struct Tail(AbortHandle);

/// Between two tries of what just failed.
const PAUSE: Duration = Duration::from_millis(500);
const NEXT_TRY: Duration = Duration::from_millis(100);

/// Records after which others have their turn on the runtime's thread.
const RECORDS_AT_ONCE: usize = 128;

impl Tail {
    /// Blocks, on a thread that `runtime` lends.
    pub(crate) fn start(shared: Arc<Shared>, runtime: &Handle) -> KafkaResult<Self> {
        let consumer = Arc::new(shared.follower()?);
        assign(&shared, &consumer)?;
        // What others produce comes in bulk. Taking turns with those who work on it, on the
        // threads of one runtime, gets half as much done as a thread of its own does.
        let in_bulk = shared.intake.is_some();
        let (following, tail) = abortable(follow(shared, consumer));
        if in_bulk {
            let failed = |error: io::Error| KafkaError::ClientCreation(error.to_string());
            let own = runtime::Builder::new_current_thread().enable_time().build();
            let own = own.map_err(failed)?;
            let reading = move || {
                let _ = own.block_on(following);
            };
            thread::Builder::new().name("kafka-tail".to_owned()).spawn(reading).map_err(failed)?;
        } else {
            drop(runtime.spawn(following));
        }
        Ok(Self(tail))
    }
}

impl Drop for Tail {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Members of a group have to read every few minutes, or be woken to do so. These are in none.
#[derive(Debug)]
pub(crate) struct NoGroup;

impl AsyncRuntime for NoGroup {
    type Delay = Pending<()>;

    fn spawn<T>(_: T) {}

    fn delay_for(_: Duration) -> Self::Delay {
        pending()
    }
}

async fn follow(shared: Arc<Shared>, consumer: Arc<Follower>) {
    let mut messages = consumer.stream();
    let mut taken = 0_usize;
    while let Some(next) = messages.next().await {
        match next {
            Ok(message) => {
                take(&shared, &message);
                taken += 1;
                if taken.is_multiple_of(RECORDS_AT_ONCE) {
                    yield_now().await;
                }
            }
            Err(error) if is_out_of_range(error.rdkafka_error_code()) => {
                let (shared, consumer) = (Arc::clone(&shared), Arc::clone(&consumer));
                // It fails only where the process is ending.
                let _ = spawn_blocking(move || resume(&shared, &consumer)).await;
                tokio::time::sleep(PAUSE).await;
            }
            // Connections are tried again by the client, and reported by its context.
            Err(_) => tokio::time::sleep(NEXT_TRY).await,
        }
    }
}

fn take(shared: &Shared, message: &BorrowedMessage<'_>) {
    let partition = message.partition();
    let record = stored(message, shared.intake.as_deref());
    if let (Ok(partition), Some(record)) = (u32::try_from(partition), record)
        && let Some(it) = shared.partitions.get(partition as usize)
    {
        it.push(&shared.name, partition, record);
    }
}

/// The message does not say which partition it was, so each is looked at. Blocks.
fn resume(shared: &Shared, consumer: &Arc<Follower>) {
    for (partition, it) in (0..).zip(&shared.partitions) {
        // Each question may take a while; the task that asked may be gone.
        if Arc::strong_count(consumer) == 1 {
            return;
        }
        let at = it.tail();
        let fault = shared.out_of_range(consumer.as_ref(), partition, at);
        if let FaultKind::Expired { begins_at } = fault.kind {
            it.restart(begins_at);
        }
    }
    if let Err(error) = assign(shared, consumer) {
        tracing::warn!(%error, "the tail of a topic is not read at the moment");
    }
}

fn assign(shared: &Shared, consumer: &Follower) -> KafkaResult<()> {
    let mut list = TopicPartitionList::new();
    for (partition, it) in (0..).zip(&shared.partitions) {
        let at = i64::try_from(it.tail()).unwrap_or(i64::MAX);
        list.add_partition_offset(&shared.name, partition, KafkaOffset::Offset(at))?;
    }
    consumer.assign(&list)
}

/// The record of a message, with the time at which the broker appended it.
pub(crate) fn stored(message: &BorrowedMessage<'_>, intake: Option<&dyn Intake>) -> Option<Stored> {
    let millis = message.timestamp().to_millis().unwrap_or(0);
    let appended_at = Timestamp::saturating_from_micros(millis.saturating_mul(1_000));
    let bytes = match intake {
        None => Bytes::copy_from_slice(message.payload().unwrap_or_default()),
        Some(intake) => {
            let headers = headers(message);
            let (key, value) = (message.key(), message.payload());
            intake.take(&Produced { appended_at, key, headers, value })
        }
    };
    Some(Stored { offset: u64::try_from(message.offset()).ok()?, appended_at, bytes })
}

/// What stands for headers whose names are no text.
const UNNAMED: (&str, &[u8]) = ("\u{fffd}", &[]);

/// The client panics where a name is not in UTF-8, which whoever writes to the topic may
/// bring about: such a record is passed on without its headers.
fn headers<'m>(message: &'m BorrowedMessage<'_>) -> Vec<(&'m str, &'m [u8])> {
    let Some(all) = message.headers() else { return Vec::new() };
    let read = || all.iter().map(|it| (it.key, it.value.unwrap_or_default())).collect();
    catch_unwind(AssertUnwindSafe(read)).unwrap_or_else(|_| vec![UNNAMED])
}
