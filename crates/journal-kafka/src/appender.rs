//! Appends through idempotent producers. A call's records are handed over in one go,
//! so that no other of this process stands between them; after any delivery error the
//! producer is dropped, and the next append has a new one.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use bytes::Bytes;
use exchequer_journal::{Fault, FaultKind, Outgoing};
use exchequer_types::{Offset, PartitionId};
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError;
use rdkafka::message::{Header, Message as _, OwnedHeaders};
use rdkafka::producer::{
    BaseProducer, BaseRecord, DeliveryResult, Producer as _, ProducerContext, PurgeConfig,
};
use rdkafka::statistics::Statistics;
use rdkafka::{ClientContext, Timestamp};
use tokio::sync::oneshot;

use crate::client::{self, Reporter};
use crate::error::append_fault;
use crate::topic::{Producers, Shared};

/// With more than so many appends unacknowledged, records wait so many milliseconds for
/// company: what a broker takes for a request is many times what it takes for a record.
const LINGERS: [(usize, u32); 3] = [(0, 0), (32, 1), (256, 5)];

/// What took longer may have waited in this process: it tells nothing of clocks.
const COMPARED_WITHIN: Duration = Duration::from_secs(30);

/// How long a lane's thread waits for deliveries before it looks whether it should end. The
/// client waits for whole milliseconds and spins through the rest, so there is little of one:
/// a thread that is woken after those has none left.
const POLL: Duration = Duration::from_micros(100_050);

pub(crate) struct Appender {
    shared: Arc<Shared>,
    producers: Producers,
    /// One for each partition; or one for all at each of [`LINGERS`].
    lanes: Vec<Mutex<Option<Lane>>>,
    /// Have those that a burst takes been made?
    prepared: AtomicBool,
    waiting: Arc<Waiting>,
}

/// Handed over and not yet acknowledged.
#[derive(Debug, Default)]
struct Waiting {
    bytes: AtomicUsize,
    appends: AtomicUsize,
}

/// What is put into a record on its way to a broker.
pub(crate) trait Sent {
    fn bytes(&self) -> usize;
    fn put<'a>(&'a self, record: ToBroker<'a>) -> ToBroker<'a>;
}

pub(crate) type ToBroker<'a> = BaseRecord<'a, [u8], [u8], Arc<Call>>;

impl Sent for Bytes {
    fn bytes(&self) -> usize {
        self.len()
    }

    fn put<'a>(&'a self, record: ToBroker<'a>) -> ToBroker<'a> {
        record.payload(self)
    }
}

impl Sent for Outgoing {
    fn bytes(&self) -> usize {
        Self::bytes(self)
    }

    fn put<'a>(&'a self, record: ToBroker<'a>) -> ToBroker<'a> {
        let mut headers = OwnedHeaders::new_with_capacity(self.headers.len());
        for (key, value) in &self.headers {
            headers = headers.insert(Header { key, value: Some(&value[..]) });
        }
        let record = record.payload(&self.value).headers(headers);
        if self.key.is_empty() { record } else { record.key(&self.key) }
    }
}

/// A producer, and the thread that takes its deliveries.
struct Lane {
    producer: Arc<BaseProducer<Deliveries>>,
    is_broken: Arc<AtomicBool>,
    ending: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Lane {
    fn start(producer: BaseProducer<Deliveries>) -> std::io::Result<Self> {
        let (producer, ending) = (Arc::new(producer), Arc::<AtomicBool>::default());
        let deliver = {
            let (producer, ending) = (Arc::clone(&producer), Arc::clone(&ending));
            move || {
                while !ending.load(Ordering::Relaxed) {
                    producer.poll(POLL);
                }
            }
        };
        let thread = thread::Builder::new().name("kafka-deliveries".to_owned());
        let thread = Some(thread.spawn(deliver)?);
        Ok(Self { producer, is_broken: Arc::default(), ending, thread })
    }

    fn end(&self) {
        self.ending.store(true, Ordering::Relaxed);
    }
}

/// Whoever waits for one of its appends is told at once; the thread ends soon after.
impl Drop for Lane {
    fn drop(&mut self) {
        self.end();
        self.producer.purge(PurgeConfig::default().queue().inflight());
        if let Some(thread) = self.thread.take() {
            // A panic of the thread has been reported as such.
            let _ = thread.join();
        }
    }
}

/// All lanes' threads end at the same time, and not one after the other.
impl Drop for Appender {
    fn drop(&mut self) {
        for lane in &self.lanes {
            if let Some(lane) = &*lane.lock().unwrap_or_else(PoisonError::into_inner) {
                lane.end();
            }
        }
    }
}

impl Appender {
    pub(crate) fn new(shared: Arc<Shared>, producers: Producers) -> Self {
        let lanes = match producers {
            Producers::EachPartition => shared.partitions.len(),
            Producers::Shared => LINGERS.len(),
        };
        Self {
            shared,
            producers,
            lanes: (0..lanes).map(|_| Mutex::new(None)).collect(),
            prepared: AtomicBool::new(false),
            waiting: Arc::default(),
        }
    }

    /// Resolves when all brokers in sync have the records: the offset of the first, if
    /// the brokers told and no other's records stand between them.
    pub(crate) async fn append<R: Sent>(
        &self,
        partition: PartitionId,
        records: Vec<R>,
    ) -> Result<Option<Offset>, Fault> {
        let (reply, answer) = oneshot::channel();
        self.hand_over(partition, &records, reply)?;
        match answer.await {
            Ok(answer) => answer,
            // The producer is gone, and with it whoever would have answered.
            Err(_) => Err(Fault::new(FaultKind::Unavailable, "the append was given up")),
        }
    }

    fn hand_over<R: Sent>(
        &self,
        partition: PartitionId,
        records: &[R],
        reply: oneshot::Sender<Result<Option<Offset>, Fault>>,
    ) -> Result<(), Fault> {
        let bytes = records.iter().map(Sent::bytes).sum();
        let reserved = Reserved::take(&self.waiting, bytes, self.queue_bytes_max())?;
        let (at, linger_ms) = self.lane(partition);
        if self.producers == Producers::Shared && !self.prepared.swap(true, Ordering::Relaxed) {
            // The first burst does not wait for producers of its own then.
            for (at, (_, linger_ms)) in LINGERS.iter().enumerate() {
                self.prepare_lane(at, self.linger_ms(*linger_ms));
            }
        }
        let mut lane = self.lanes[at].lock().unwrap_or_else(PoisonError::into_inner);
        let lane = self.ready(&mut lane, linger_ms)?;
        let call = Arc::new(Call {
            shared: Arc::clone(&self.shared),
            partition,
            is_broken: Arc::clone(&lane.is_broken),
            since: Instant::now(),
            state: Mutex::new(CallState::new(records.len(), reply, reserved)),
        });
        for (at, record) in records.iter().enumerate() {
            let of_call = BaseRecord::with_opaque_to(&self.shared.name, Arc::clone(&call));
            let sent = lane.producer.send(record.put(of_call.partition(partition.0 as i32)));
            if let Err((error, _)) = sent {
                // Those before it may land; the others were never handed over.
                call.give_up(records.len() - at, &error);
                break;
            }
        }
        Ok(())
    }

    /// Makes the producer that the next append takes: until brokers have told a new one who
    /// it is, half a second goes by. What fails is told by the append.
    pub(crate) fn prepare(&self, partition: PartitionId) {
        let (at, linger_ms) = self.lane(partition);
        self.prepare_lane(at, linger_ms);
    }

    fn prepare_lane(&self, at: usize, linger_ms: u32) {
        let mut lane = self.lanes[at].lock().unwrap_or_else(PoisonError::into_inner);
        let made = self.ready(&mut lane, linger_ms).map(|_| ());
        drop(made);
    }

    fn queue_bytes_max(&self) -> usize {
        self.shared.settings.options.queue_bytes_max
    }

    /// Which lane an append takes, and how long its records wait for others.
    fn lane(&self, partition: PartitionId) -> (usize, u32) {
        if self.producers == Producers::EachPartition {
            return (partition.index(), self.linger_ms(0));
        }
        let waiting = self.waiting.appends.load(Ordering::Relaxed);
        let at = LINGERS.iter().rposition(|(above, _)| waiting > *above).unwrap_or(0);
        (at, self.linger_ms(LINGERS[at].1))
    }

    /// At least `least`, and what the settings say.
    fn linger_ms(&self, least: u32) -> u32 {
        self.shared.settings.options.linger_ms.max(least)
    }

    fn ready<'a>(&self, lane: &'a mut Option<Lane>, linger_ms: u32) -> Result<&'a mut Lane, Fault> {
        if lane.as_ref().is_some_and(|lane| lane.is_broken.load(Ordering::Acquire))
            && let Some(broken) = lane.take()
        {
            // What it still holds is purged; that takes a moment.
            thread::spawn(move || drop(broken));
        }
        match lane {
            Some(lane) => Ok(lane),
            None => Ok(lane.insert(self.launch(linger_ms)?)),
        }
    }

    fn launch(&self, linger_ms: u32) -> Result<Lane, Fault> {
        let deliveries = Deliveries { reporter: self.shared.reporter.clone() };
        let mut config = self.shared.settings.producer();
        config.set("linger.ms", linger_ms.to_string());
        let producer = client::make(&config, deliveries);
        let producer = producer.map_err(|error| append_fault(&error))?;
        Lane::start(producer).map_err(|error| {
            let message = format!("a thread for deliveries cannot be started: {error}");
            Fault::new(FaultKind::Unavailable, message)
        })
    }
}

impl core::fmt::Debug for Appender {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Appender").field("lanes", &self.lanes.len()).finish_non_exhaustive()
    }
}

/// Room in the queue, given back when it is dropped.
struct Reserved {
    waiting: Arc<Waiting>,
    bytes: usize,
}

impl Reserved {
    fn take(waiting: &Arc<Waiting>, bytes: usize, bytes_max: usize) -> Result<Self, Fault> {
        let before = waiting.bytes.fetch_add(bytes, Ordering::AcqRel);
        waiting.appends.fetch_add(1, Ordering::Relaxed);
        let reserved = Self { waiting: Arc::clone(waiting), bytes };
        if before + bytes > bytes_max {
            let message = "too many records wait for the brokers; try again soon";
            return Err(Fault::new(FaultKind::Overloaded, message));
        }
        Ok(reserved)
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        self.waiting.bytes.fetch_sub(self.bytes, Ordering::AcqRel);
        self.waiting.appends.fetch_sub(1, Ordering::Relaxed);
    }
}

/// One append, until each of its records has its delivery report.
pub(crate) struct Call {
    shared: Arc<Shared>,
    partition: PartitionId,
    is_broken: Arc<AtomicBool>,
    since: Instant,
    state: Mutex<CallState>,
}

struct CallState {
    count: usize,
    left: usize,
    places: Places,
    fault: Option<Fault>,
    reply: Option<oneshot::Sender<Result<Option<Offset>, Fault>>>,
    reserved: Option<Reserved>,
}

/// Where the records of one call were put, as far as the brokers told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Places {
    told: usize,
    lowest: Offset,
    highest: Offset,
}

impl Places {
    fn add(&mut self, offset: Offset) {
        self.lowest = if self.told == 0 { offset } else { self.lowest.min(offset) };
        self.highest = self.highest.max(offset);
        self.told += 1;
    }

    /// The offset of the first of `count` records that stand together.
    fn first(&self, count: usize) -> Option<Offset> {
        let stand_together = self.highest - self.lowest + 1 == count as u64;
        (self.told == count && stand_together).then_some(self.lowest)
    }
}

impl CallState {
    fn new(
        count: usize,
        reply: oneshot::Sender<Result<Option<Offset>, Fault>>,
        reserved: Reserved,
    ) -> Self {
        Self {
            count,
            left: count,
            places: Places::default(),
            fault: None,
            reply: Some(reply),
            reserved: Some(reserved),
        }
    }
}

impl Call {
    fn delivered(&self, offset: i64, at: Timestamp) {
        let mut state = self.lock();
        if let (0, Timestamp::LogAppendTime(at)) = (state.places.told, at)
            && self.since.elapsed() < COMPARED_WITHIN
        {
            let Shared { reporter, settings, .. } = self.shared.as_ref();
            reporter.compare_clocks(&settings.bootstrap, at);
        }
        // A repetition that the broker had already is acknowledged without a place.
        if let Ok(offset) = u64::try_from(offset) {
            state.places.add(offset);
            self.shared.partitions[self.partition.index()].saw_end(offset + 1);
        }
        Self::settle(&mut state, 1);
    }

    fn failed(&self, error: &KafkaError) {
        self.is_broken.store(true, Ordering::Release);
        let mut state = self.lock();
        if state.fault.is_none() {
            state.fault = Some(append_fault(error));
        }
        Self::settle(&mut state, 1);
    }

    /// The last `count` records were not taken by the client's queue.
    fn give_up(&self, count: usize, error: &KafkaError) {
        let mut state = self.lock();
        let mut fault = append_fault(error);
        if count < state.count {
            fault.kind = FaultKind::Unavailable;
        }
        state.fault = Some(fault);
        Self::settle(&mut state, count);
    }

    fn settle(state: &mut CallState, count: usize) {
        state.left = state.left.saturating_sub(count);
        if state.left > 0 {
            return;
        }
        state.reserved = None;
        let answer = match state.fault.take() {
            Some(fault) => Err(fault),
            None => Ok(state.places.first(state.count)),
        };
        if let Some(reply) = state.reply.take() {
            // Nobody waits when the caller gave up.
            let _ = reply.send(answer);
        }
    }

    fn lock(&self) -> MutexGuard<'_, CallState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes the brokers' answers.
struct Deliveries {
    reporter: Reporter,
}

impl ClientContext for Deliveries {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        self.reporter.log(level, facility, line);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.reporter.error(error, reason);
    }

    fn stats(&self, statistics: Statistics) {
        self.reporter.stats(statistics);
    }
}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = Arc<Call>;

    fn delivery(&self, result: &DeliveryResult<'_>, call: Arc<Call>) {
        match result {
            Ok(message) => call.delivered(message.offset(), message.timestamp()),
            Err((error, _)) => call.failed(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(offsets: &[Offset]) -> Places {
        let mut places = Places::default();
        for offset in offsets {
            places.add(*offset);
        }
        places
    }

    // REQ: KER-08
    #[test]
    fn a_place_is_told_only_when_all_stand_together() {
        assert_eq!(places(&[7]).first(1), Some(7));
        assert_eq!(places(&[9, 7, 8]).first(3), Some(7));
        assert_eq!(places(&[7, 9]).first(2), None, "another's record stands between them");
        assert_eq!(places(&[7]).first(2), None, "one place was not told");
    }

    #[test]
    fn room_is_given_back() {
        let waiting = Arc::default();
        let one = Reserved::take(&waiting, 6, 10).ok();
        let refused = Reserved::take(&waiting, 6, 10).err().map(|fault| fault.kind);
        assert_eq!(refused, Some(FaultKind::Overloaded));
        drop(one);
        assert!(Reserved::take(&waiting, 6, 10).is_ok());
    }
}
