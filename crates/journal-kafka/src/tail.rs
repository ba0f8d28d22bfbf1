//! The task that follows partitions of a topic and puts what comes into memory: those for
//! which somebody waits.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use exchequer_journal::{FaultKind, Intake, Produced};
use exchequer_types::{Offset, PartitionId, Timestamp};
use futures::StreamExt as _;
use futures::future::{AbortHandle, Pending, abortable, pending};
use rdkafka::consumer::{BaseConsumer, Consumer as _, StreamConsumer};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::message::{BorrowedMessage, Headers as _, Message as _};
use rdkafka::util::AsyncRuntime;
use rdkafka::{ClientContext as _, Offset as KafkaOffset, TopicPartitionList};
use tokio::runtime::{self, Handle};
use tokio::task::{spawn_blocking, yield_now};

use crate::client::Reporter;
use crate::partition::Partition;
use crate::ring::Stored;
use crate::topic::{Shared, is_out_of_range};

/// A client that wakes the task which reads with it from its own thread: there is no thread
/// between the connection and whoever waits for a record.
pub(crate) type Follower = StreamConsumer<Reporter, NoGroup>;

/// What follows the partitions of a topic that somebody waits for. Dropping it ends its task.
#[derive(Debug)]
pub(crate) struct Tail(Arc<Inner>);

struct Inner {
    shared: Arc<Shared>,
    /// Knows where partitions end.
    asker: Arc<BaseConsumer<Reporter>>,
    queue: Mutex<Queue>,
    /// Held while what is followed changes.
    reading: Mutex<Reading>,
}

/// Partitions that are to be followed.
#[derive(Debug, Default)]
struct Queue {
    wanted: Vec<PartitionId>,
    /// Does somebody take them?
    is_served: bool,
}

enum Reading {
    NotYet,
    Open { consumer: Arc<Follower>, task: AbortHandle },
    Closed,
}

/// Between two tries of what just failed.
const PAUSE: Duration = Duration::from_millis(500);
const NEXT_TRY: Duration = Duration::from_millis(100);

/// Records after which others have their turn on the runtime's thread.
const RECORDS_AT_ONCE: usize = 128;

impl core::fmt::Debug for Inner {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Inner").field("queue", &self.queue).finish_non_exhaustive()
    }
}

impl Drop for Tail {
    fn drop(&mut self) {
        let before = core::mem::replace(&mut *lock(&self.0.reading), Reading::Closed);
        if let Reading::Open { task, .. } = before {
            task.abort();
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Tail {
    /// Follows nothing yet: a process that only appends reads nothing.
    pub(crate) fn new(shared: Arc<Shared>, asker: Arc<BaseConsumer<Reporter>>) -> Self {
        let (queue, reading) = (Mutex::default(), Mutex::new(Reading::NotYet));
        Self(Arc::new(Inner { shared, asker, queue, reading }))
    }

    /// Brings it about that `partition` is followed from its present end on. Whoever waits is
    /// told, also when it failed.
    pub(crate) fn follow(&self, partition: PartitionId) {
        let mut queue = lock(&self.0.queue);
        queue.wanted.push(partition);
        if core::mem::replace(&mut queue.is_served, true) {
            return;
        }
        let inner = Arc::clone(&self.0);
        let runtime = Handle::current();
        drop(spawn_blocking(move || inner.serve(&runtime)));
    }

    /// Lets go of partitions that nobody wanted for so long. To be called now and then, on a
    /// thread that may wait.
    pub(crate) fn forgetting(&self) -> impl Fn(Duration) + Send + use<> {
        let inner = Arc::downgrade(&self.0);
        move |idle| {
            if let Some(inner) = inner.upgrade() {
                inner.forget(idle);
            }
        }
    }
}

impl Inner {
    fn partition(&self, id: PartitionId) -> &Partition {
        &self.shared.partitions[id.index()]
    }

    /// Until nothing is wanted.
    fn serve(self: &Arc<Self>, runtime: &Handle) {
        loop {
            let wanted = {
                let mut queue = lock(&self.queue);
                queue.is_served = !queue.wanted.is_empty();
                core::mem::take(&mut queue.wanted)
            };
            if wanted.is_empty() {
                return;
            }
            let (located, lost): (Vec<_>, Vec<_>) =
                wanted.into_iter().partition(|it| self.locate(*it));
            let begun = self.begin(&located, runtime);
            if let Err(error) = &begun {
                self.tell(error);
            }
            let failed = if begun.is_err() { [located, lost].concat() } else { lost };
            if !failed.is_empty() {
                thread::sleep(PAUSE);
            }
            // Whoever still waits asks again.
            for id in failed {
                self.partition(id).let_go();
            }
        }
    }

    /// Learns where a partition ends.
    fn locate(&self, id: PartitionId) -> bool {
        if self.is_closed() {
            return false;
        }
        let it = self.partition(id);
        match self.shared.ends(self.asker.as_ref(), id.0, it.known_end()) {
            Ok((_, end)) => it.saw_end(end),
            Err(error) => {
                self.tell(&error);
                return false;
            }
        }
        true
    }

    fn tell(&self, error: &KafkaError) {
        let reason = format!("the end of {} is not followed at the moment", self.shared.name);
        self.shared.reporter.error(error.clone(), &reason);
    }

    fn begin(self: &Arc<Self>, located: &[PartitionId], runtime: &Handle) -> KafkaResult<()> {
        let mut reading = lock(&self.reading);
        if matches!(*reading, Reading::NotYet) && !located.is_empty() {
            *reading = self.start(runtime)?;
        }
        let Reading::Open { consumer, .. } = &*reading else { return Ok(()) };
        let mut list = TopicPartitionList::new();
        // One that was asked for twice is followed by now.
        let located = located.iter().filter(|it| self.partition(**it).tail().is_none());
        for id in located {
            add(&mut list, &self.shared.name, id.0, self.partition(*id).follow())?;
        }
        // What is in the way of a change is not when all is said anew.
        consumer.incremental_assign(&list).or_else(|_| assign(&self.shared, consumer))
    }

    fn forget(&self, idle: Duration) {
        let reading = lock(&self.reading);
        let Reading::Open { consumer, .. } = &*reading else { return };
        let mut list = TopicPartitionList::new();
        for (number, it) in (0..).zip(&self.shared.partitions) {
            if it.is_idle(idle) {
                it.let_go();
                list.add_partition(&self.shared.name, number);
            }
        }
        if list.count() == 0 {
            return;
        }
        let forgotten = consumer.incremental_unassign(&list);
        if let Err(error) = forgotten.or_else(|_| assign(&self.shared, consumer)) {
            self.tell(&error);
        }
    }

    /// A partition is not what its reader took it for. The client does not say which it was, so
    /// each that is followed is looked at.
    fn resume(&self) {
        for (number, it) in (0..).zip(&self.shared.partitions) {
            let Some(at) = it.tail() else { continue };
            // Each question may take a while.
            if self.is_closed() {
                return;
            }
            let fault = self.shared.out_of_range(self.asker.as_ref(), number, at);
            if let FaultKind::Expired { begins_at } = fault.kind {
                it.restart(begins_at);
            }
        }
        let reading = lock(&self.reading);
        let Reading::Open { consumer, .. } = &*reading else { return };
        if let Err(error) = assign(&self.shared, consumer) {
            self.tell(&error);
        }
    }

    fn is_closed(&self) -> bool {
        matches!(*lock(&self.reading), Reading::Closed)
    }

    /// Opens a client and the task that reads with it, of no partition yet.
    fn start(self: &Arc<Self>, runtime: &Handle) -> KafkaResult<Reading> {
        let consumer = Arc::new(self.shared.follower()?);
        // What others produce comes in bulk. Taking turns with those who work on it, on the
        // threads of one runtime, gets half as much done as a thread of its own does.
        let in_bulk = self.shared.intake.is_some();
        let (following, task) = abortable(follow(
            Arc::downgrade(self),
            Arc::clone(&self.shared),
            Arc::clone(&consumer),
        ));
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
        Ok(Reading::Open { consumer, task })
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

async fn follow(tail: Weak<Inner>, shared: Arc<Shared>, consumer: Arc<Follower>) {
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
                let Some(tail) = tail.upgrade() else { return };
                // It fails only where the process is ending.
                let _ = spawn_blocking(move || tail.resume()).await;
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

/// Anew: all that is followed, each from where it is.
fn assign(shared: &Shared, consumer: &Follower) -> KafkaResult<()> {
    let mut list = TopicPartitionList::new();
    for (partition, it) in (0..).zip(&shared.partitions) {
        if let Some(at) = it.tail() {
            add(&mut list, &shared.name, partition, at)?;
        }
    }
    consumer.assign(&list)
}

fn add(list: &mut TopicPartitionList, topic: &str, partition: u32, at: Offset) -> KafkaResult<()> {
    let at = KafkaOffset::Offset(i64::try_from(at).unwrap_or(i64::MAX));
    list.add_partition_offset(topic, partition as i32, at)
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

#[cfg(test)]
mod tests {
    //! Against a broker that the client library plays itself.

    use rdkafka::mocking::MockCluster;
    use rdkafka::producer::DefaultProducerContext;

    use super::*;
    use crate::ring::Limit;
    use crate::settings::Settings;
    use crate::topic::{Producers, Topic};
    use crate::topics::Layout;

    const WAIT_MAX: Duration = Duration::from_secs(30);
    const P0: PartitionId = PartitionId(0);
    const P1: PartitionId = PartitionId(1);

    type Broker = MockCluster<'static, DefaultProducerContext>;

    fn topic() -> Result<(Broker, impl Fn() -> Topic), Box<dyn std::error::Error>> {
        let broker = MockCluster::new(1)?;
        broker.create_topic("journal", 2, 1)?;
        let settings = Settings::new(broker.bootstrap_servers());
        let layout = Layout { partitions: 2, replicas: 1, ..Layout::default() };
        let spec = layout.topic("journal").ok_or("no such topic")?;
        let open =
            move || Topic::open(&settings, &spec, Producers::EachPartition, None).expect("opens");
        Ok((broker, open))
    }

    async fn append(topic: &Topic, partition: PartitionId, records: usize) {
        for number in 0..records {
            let record = vec![Bytes::from(number.to_string())];
            topic.append(partition, record).await.expect("an acknowledgement");
        }
    }

    async fn wait(topic: &Topic, partition: PartitionId, offset: Offset) {
        let waiting = topic.wait(partition, offset);
        tokio::time::timeout(WAIT_MAX, waiting).await.expect("it comes");
    }

    fn followed(topic: &Topic) -> [Option<Offset>; 2] {
        [P0, P1].map(|it| topic.shared.partitions[it.index()].tail())
    }

    async fn offsets(topic: &Topic, partition: PartitionId, from: Offset) -> Vec<Offset> {
        let limit = Limit { records_max: 100, bytes_max: 1 << 20 };
        let read = topic.read(partition, from, limit).await.expect("records");
        read.iter().map(|it| it.offset).collect()
    }

    // REQ: KER-07
    #[tokio::test]
    async fn only_what_somebody_waits_for_is_followed() {
        let (_broker, open) = topic().expect("a broker");
        let (writer, reader) = (open(), open());
        append(&writer, P0, 3).await;
        append(&writer, P1, 3).await;
        assert_eq!(followed(&writer), [None; 2], "whoever appends knows what comes");
        assert_eq!(offsets(&reader, P1, 1).await, [1, 2], "whoever reads asks");
        assert_eq!(followed(&reader), [None; 2]);
        wait(&reader, P0, 2).await;
        assert_eq!(followed(&reader), [Some(3), None]);
        append(&writer, P0, 1).await;
        wait(&reader, P0, 3).await;
        assert_eq!(offsets(&reader, P0, 0).await.first(), Some(&0));
        assert_eq!(offsets(&reader, P0, 3).await, [3]);
    }

    // REQ: KER-07
    #[tokio::test]
    async fn what_was_let_go_goes_on_where_it_is_wanted_again() {
        let (_broker, open) = topic().expect("a broker");
        let (writer, reader) = (open(), open());
        append(&writer, P0, 1).await;
        wait(&reader, P0, 0).await;
        let forget = reader.tail.forgetting();
        forget(WAIT_MAX);
        assert_eq!(followed(&reader)[0], Some(1), "it was wanted a moment ago");
        for round in 1..4 {
            {
                let waits = reader.wait(P0, 100);
                let mut waits = core::pin::pin!(waits);
                assert!(futures::poll!(&mut waits).is_pending());
                forget(Duration::ZERO);
            }
            assert!(followed(&reader)[0].is_some(), "somebody waited");
            forget(Duration::ZERO);
            assert_eq!(followed(&reader)[0], None);
            append(&writer, P0, 2).await;
            assert_eq!(offsets(&reader, P0, 2 * round - 1).await, [2 * round - 1, 2 * round]);
            wait(&reader, P0, 2 * round).await;
            assert_eq!(followed(&reader)[0], Some(2 * round + 1));
        }
    }
}
