//! The thread that follows all partitions of a topic and puts what comes into memory.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use bytes::Bytes;
use exchequer_journal::{FaultKind, Intake, Produced};
use exchequer_types::Timestamp;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::message::{BorrowedMessage, Headers as _, Message as _};
use rdkafka::{Offset as KafkaOffset, TopicPartitionList};

use crate::client::Reporter;
use crate::ring::Stored;
use crate::topic::{Shared, is_out_of_range};

#[derive(Debug)]
pub(crate) struct Tail {
    ending: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

const POLL: Duration = Duration::from_millis(100);
/// Between two tries of what just failed.
const PAUSE: Duration = Duration::from_millis(500);

impl Tail {
    pub(crate) fn start(shared: Arc<Shared>) -> KafkaResult<Self> {
        let consumer = shared.reader()?;
        assign(&shared, &consumer)?;
        let ending = Arc::new(AtomicBool::new(false));
        let thread = {
            let ending = Arc::clone(&ending);
            thread::Builder::new()
                .name("kafka-tail".to_owned())
                .spawn(move || follow(&shared, &consumer, &ending))
                .map_err(|error| KafkaError::ClientCreation(error.to_string()))?
        };
        Ok(Self { ending, thread: Some(thread) })
    }
}

impl Drop for Tail {
    fn drop(&mut self) {
        self.ending.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // A panic of the thread has been reported as such.
            let _ = thread.join();
        }
    }
}

fn follow(shared: &Shared, consumer: &BaseConsumer<Reporter>, ending: &AtomicBool) {
    while !ending.load(Ordering::Relaxed) {
        match consumer.poll(POLL) {
            None => {}
            Some(Ok(message)) => {
                let partition = message.partition();
                let record = stored(&message, shared.intake.as_deref());
                if let (Ok(partition), Some(record)) = (u32::try_from(partition), record)
                    && let Some(it) = shared.partitions.get(partition as usize)
                {
                    it.push(&shared.name, partition, record);
                }
            }
            Some(Err(error)) if is_out_of_range(error.rdkafka_error_code()) => {
                resume(shared, consumer, ending);
            }
            // Connections are tried again by the client, and reported by its context.
            Some(Err(_)) => thread::sleep(PAUSE.min(POLL)),
        }
    }
}

/// The message does not say which partition it was, so each is looked at.
fn resume(shared: &Shared, consumer: &BaseConsumer<Reporter>, ending: &AtomicBool) {
    for (partition, it) in (0..).zip(&shared.partitions) {
        // Each question may take a while.
        if ending.load(Ordering::Relaxed) {
            return;
        }
        let at = it.tail();
        let fault = shared.out_of_range(consumer, partition, at);
        if let FaultKind::Expired { begins_at } = fault.kind {
            it.restart(begins_at);
        }
    }
    if let Err(error) = assign(shared, consumer) {
        tracing::warn!(%error, "the tail of a topic is not read at the moment");
    }
    thread::sleep(PAUSE);
}

fn assign(shared: &Shared, consumer: &BaseConsumer<Reporter>) -> KafkaResult<()> {
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
