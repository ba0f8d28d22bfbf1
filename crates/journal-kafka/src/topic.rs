//! One topic as a log: appends, ends asked from the brokers, and reads that hold
//! every record up to the end that was known when they began.

use core::time::Duration;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use bytes::Bytes;
use exchequer_journal::{Fault, FaultKind, Intake};
use exchequer_types::{Offset, PartitionId};
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaResult, RDKafkaErrorCode as Code};
use tokio::runtime::Handle;
use tokio::sync::{Notify, OnceCell};

use crate::appender::Appender;
use crate::catch_up::CatchUp;
use crate::client::{self, Figures, Reporter};
use crate::error::unavailable;
use crate::ring::{Gap, Limit, Ring, Stored};
use crate::settings::Settings;
use crate::tail::{Follower, Tail};
use crate::watch::Watch;
use crate::{SetupError, topics};

/// What all parts of an open topic share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub name: String,
    pub settings: Settings,
    pub reporter: Reporter,
    pub partitions: Vec<Partition>,
    /// Makes records of what others write to it.
    pub intake: Option<Arc<dyn Intake>>,
}

#[derive(Debug)]
pub(crate) struct Partition {
    state: Mutex<State>,
    grown: Notify,
}

#[derive(Debug)]
struct State {
    ring: Ring,
    /// Records below are known to be there: acknowledged, or below an end that was asked for.
    known_end: Offset,
    /// What is stored is not what was written.
    damage: Option<String>,
}

/// An open topic. Dropping it ends its threads.
pub(crate) struct Topic {
    pub shared: Arc<Shared>,
    appender: Appender<Bytes>,
    catch_up: CatchUp,
    /// Asks for ends, and reads nothing: a broker answers it at once, and a client that
    /// waits for records only when there are some.
    asker: Arc<BaseConsumer<Reporter>>,
    tail: OnceCell<Tail>,
    _watch: Watch,
}

impl core::fmt::Debug for Topic {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Topic").field("shared", &self.shared).finish_non_exhaustive()
    }
}

/// Records that a client has fetched before they are asked for.
const AHEAD_BYTES_MAX: usize = 16 * 1024 * 1024;
/// How long a read waits for records that are known to be there.
const READ_WAIT_MAX: Duration = Duration::from_secs(10);
/// How long an end that is too low is asked for again before it is taken for damage.
const SETTLE_WAIT_MAX: Duration = Duration::from_secs(15);
const SETTLE_PAUSE: Duration = Duration::from_millis(500);

impl Topic {
    /// Opens a topic that was created and checked. Blocks while it asks for the ends.
    pub(crate) fn open(
        settings: &Settings,
        spec: &topics::Spec,
        producers: Producers,
        intake: Option<Arc<dyn Intake>>,
    ) -> Result<Self, SetupError> {
        let (shared, asker) = Shared::open(settings, spec, intake)?;
        let catch_up = CatchUp::new(Arc::clone(&shared));
        let tend = {
            let (asker, idle) = (Arc::clone(&asker), catch_up.idle());
            move || {
                client::hear(&asker);
                idle.close_forgotten();
            }
        };
        Ok(Self {
            appender: Appender::new(Arc::clone(&shared), producers),
            catch_up,
            _watch: Watch::start(Arc::clone(&shared), Arc::clone(&asker), Box::new(tend)),
            tail: OnceCell::new(),
            asker,
            shared,
        })
    }

    /// Follows the topic from its present end, from the first call on: a process that only
    /// appends reads nothing.
    async fn follow(&self) -> Result<(), Fault> {
        let start = || async {
            let (shared, asker) = (Arc::clone(&self.shared), Arc::clone(&self.asker));
            let runtime = Handle::current();
            let starting = tokio::task::spawn_blocking(move || {
                for (number, partition) in (0..).zip(&shared.partitions) {
                    let known = partition.known_end();
                    let (_, end) = shared.ends(asker.as_ref(), number, known)?;
                    partition.saw_end(end);
                    partition.restart(partition.known_end());
                }
                Tail::start(shared, &runtime)
            });
            let ending = || Fault::new(FaultKind::Stopped, "the process is ending");
            let started = starting.await.map_err(|_| ending())?;
            started.map_err(|error| unavailable("follow a topic", &error))
        };
        self.tail.get_or_try_init(start).await.map(|_| ())
    }

    pub(crate) fn partitions(&self) -> u32 {
        self.shared.partitions.len() as u32
    }

    pub(crate) fn figures(&self) -> Figures {
        self.shared.figures()
    }

    pub(crate) async fn append(
        &self,
        partition: PartitionId,
        records: Vec<Bytes>,
    ) -> Result<Option<Offset>, Fault> {
        exchequer_journal::check_sizes(&records)?;
        self.shared.settings.stopped.check()?;
        if records.is_empty() {
            return Ok(None);
        }
        assert!(partition.0 < self.partitions(), "partition {partition}");
        self.appender.append(partition, records).await
    }

    /// An append is near.
    pub(crate) fn prepare(&self, partition: PartitionId) {
        self.appender.prepare(partition);
    }

    /// Asked from the partition's leader, which answers only with what is replicated.
    pub(crate) async fn end(&self, partition: PartitionId) -> Result<Offset, Fault> {
        let it = &self.shared.partitions[partition.index()];
        // What is acknowledged while the question is under way may be missing in the answer.
        let known = it.known_end();
        let (shared, asker) = (Arc::clone(&self.shared), Arc::clone(&self.asker));
        let asking =
            tokio::task::spawn_blocking(move || shared.ends(asker.as_ref(), partition.0, known));
        let end = match asking.await {
            Ok(Ok((_, end))) => end,
            Ok(Err(error)) => return Err(unavailable("ask for the end of a partition", &error)),
            Err(_) => return Err(Fault::new(FaultKind::Stopped, "the process is ending")),
        };
        if end < known {
            return Err(it.damaged(self.shared.shortened(partition.0, end, known)));
        }
        it.saw_end(end);
        Ok(end)
    }

    pub(crate) async fn read(
        &self,
        partition: PartitionId,
        from: Offset,
        limit: Limit,
    ) -> Result<Vec<Stored>, Fault> {
        self.follow().await?;
        let it = &self.shared.partitions[partition.index()];
        let until = it.known_end();
        let reading = async {
            loop {
                let mut grown = std::pin::pin!(it.grown.notified());
                grown.as_mut().enable();
                match it.look(from, until, limit)? {
                    Look::Found(records) => return Ok(records),
                    Look::Older { until } => {
                        return self.catch_up.read(partition, from, until, limit).await;
                    }
                    Look::Soon => grown.await,
                }
            }
        };
        tokio::time::timeout(READ_WAIT_MAX, reading).await.unwrap_or_else(|_| {
            let message = format!(
                "records of {}/{partition} from {from} to {until} are there, and did not come",
                self.shared.name
            );
            Err(Fault::new(FaultKind::Unavailable, message))
        })
    }

    pub(crate) async fn wait(&self, partition: PartitionId, offset: Offset) {
        // Whoever waits reads next, and is told then.
        if self.follow().await.is_err() {
            return;
        }
        let it = &self.shared.partitions[partition.index()];
        let mut grown = std::pin::pin!(it.grown.notified());
        grown.as_mut().enable();
        let is_there = {
            let state = it.lock();
            state.ring.end() > offset || state.damage.is_some()
        };
        if !is_there {
            grown.await;
        }
    }
}

/// Whether partitions have a producer each, so that a failure of one ends no other's appends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Producers {
    EachPartition,
    Shared,
}

enum Look {
    Found(Vec<Stored>),
    /// They are older than what memory holds.
    Older {
        until: Offset,
    },
    /// They are on their way.
    Soon,
}

impl Partition {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn known_end(&self) -> Offset {
        let state = self.lock();
        state.known_end.max(state.ring.end())
    }

    /// Where the tail goes on.
    pub(crate) fn tail(&self) -> Offset {
        self.lock().ring.end()
    }

    fn look(&self, from: Offset, until: Offset, limit: Limit) -> Result<Look, Fault> {
        let state = self.lock();
        if let Some(damage) = &state.damage {
            return Err(Fault::new(FaultKind::Damaged, damage.clone()));
        }
        if from < state.ring.begin() {
            return Ok(Look::Older { until: until.max(from + 1) });
        }
        if from >= until {
            return Ok(Look::Found(Vec::new()));
        }
        if from >= state.ring.end() {
            return Ok(Look::Soon);
        }
        let read = state.ring.read(from, limit);
        let is_whole = read.is_full || state.ring.end() >= until;
        Ok(if is_whole { Look::Found(read.records) } else { Look::Soon })
    }

    /// Everything below `end` is there.
    pub(crate) fn saw_end(&self, end: Offset) {
        let mut state = self.lock();
        state.known_end = state.known_end.max(end);
    }

    pub(crate) fn damaged(&self, message: String) -> Fault {
        tracing::error!(message, "the log is not what was written");
        self.lock().damage = Some(message.clone());
        self.grown.notify_waiters();
        Fault::new(FaultKind::Damaged, message)
    }

    /// The next record has come.
    pub(crate) fn push(&self, topic: &str, partition: u32, record: Stored) {
        let pushed = self.lock().ring.push(record);
        match pushed {
            Ok(()) => self.grown.notify_waiters(),
            Err(gap) => {
                self.damaged(gap_text(topic, partition, &gap));
            }
        }
    }

    /// The topic begins above what was to be read next.
    pub(crate) fn restart(&self, begin: Offset) {
        self.lock().ring.restart(begin);
        self.grown.notify_waiters();
    }
}

pub(crate) fn gap_text(topic: &str, partition: u32, gap: &Gap) -> String {
    let Gap { expected, found } = gap;
    format!(
        "{topic}/{partition} goes from {expected} to {found}: it was compacted, or written to by \
         a transaction; this topic must have cleanup.policy=delete and no transactional producer"
    )
}

impl Shared {
    /// A topic of which nothing is read yet, with the client that asked for its ends. Blocks.
    pub(crate) fn open(
        settings: &Settings,
        spec: &topics::Spec,
        intake: Option<Arc<dyn Intake>>,
    ) -> Result<(Arc<Self>, Arc<BaseConsumer<Reporter>>), SetupError> {
        settings.check()?;
        let reporter = Reporter::default();
        let name = settings.named(&spec.name);
        let seen = reporter.clone();
        let failed = |doing: &str, error| {
            SetupError::of(doing, &settings.bootstrap, seen.last().as_deref(), &error)
        };
        let consumer = client::make(&reader_config(settings), reporter.clone())
            .map_err(|error| failed("make a client", error))?;
        topics::check_partitions(&consumer, settings, &name, spec.partitions)?;
        let mut partitions = Vec::new();
        let each = settings.options.recent_bytes_max / spec.partitions.max(1) as usize;
        for partition in 0..spec.partitions {
            let (_, end) = client::watermarks(&consumer, &name, partition, settings.request_wait())
                .map_err(|error| failed("ask for the end of a partition", error))?;
            let end = u64::try_from(end).unwrap_or(0);
            let state = State { ring: Ring::new(end, each), known_end: end, damage: None };
            partitions.push(Partition { state: Mutex::new(state), grown: Notify::new() });
        }
        let settings = settings.clone();
        let shared = Self { name, settings, reporter, partitions, intake };
        Ok((Arc::new(shared), Arc::new(consumer)))
    }

    /// A client of its own that reads the newest records.
    pub(crate) fn follower(&self) -> KafkaResult<Follower> {
        client::make(&reader_config(&self.settings), self.reporter.clone())
    }

    pub(crate) fn figures(&self) -> Figures {
        Figures { topic: self.name.clone(), reporter: self.reporter.clone() }
    }

    /// Where a partition begins and ends. An end below `known` is asked for again for a
    /// while: a leader that was paused and replaced answers with what it knew. Blocks.
    pub(crate) fn ends(
        &self,
        consumer: &impl Consumer<Reporter>,
        partition: u32,
        known: Offset,
    ) -> KafkaResult<(Offset, Offset)> {
        let begun = Instant::now();
        let wait = self.settings.request_wait();
        loop {
            let (low, high) = client::watermarks(consumer, &self.name, partition, wait)?;
            let (low, high) = (u64::try_from(low).unwrap_or(0), u64::try_from(high).unwrap_or(0));
            if high >= known || begun.elapsed() > SETTLE_WAIT_MAX {
                return Ok((low, high));
            }
            std::thread::sleep(SETTLE_PAUSE);
            // Who leads is learned anew with this.
            consumer.fetch_metadata(Some(&self.name), wait)?;
        }
    }

    fn shortened(&self, partition: u32, end: Offset, known: Offset) -> String {
        format!(
            "{}/{partition} ends at {end} and held records up to {known}: it was replaced, or a \
             replica that was behind became leader (unclean.leader.election.enable)",
            self.name
        )
    }

    /// A fault for an offset that the topic no longer, or not yet, has. Blocks.
    pub(crate) fn out_of_range(
        &self,
        consumer: &impl Consumer<Reporter>,
        partition: u32,
        at: Offset,
    ) -> Fault {
        let (low, high) = match self.ends(consumer, partition, at) {
            Ok(ends) => ends,
            Err(error) => return unavailable("ask where a partition begins", &error),
        };
        if at < low {
            let (name, last) = (&self.name, low - 1);
            let message = format!(
                "{name}/{partition} begins at {low}: records {at} to {last} were deleted before \
                 they were read"
            );
            return Fault::new(FaultKind::Expired { begins_at: low }, message);
        }
        if at <= high {
            let message = format!("{}/{partition} is not settled yet", self.name);
            return Fault::new(FaultKind::Unavailable, message);
        }
        self.partitions[partition as usize].damaged(self.shortened(partition, high, at))
    }
}

fn reader_config(settings: &Settings) -> ClientConfig {
    settings.reader(settings.options.recent_bytes_max.min(AHEAD_BYTES_MAX))
}

/// The client asks for a position that the topic does not have.
pub(crate) fn is_out_of_range(code: Option<Code>) -> bool {
    matches!(code, Some(Code::AutoOffsetReset | Code::OffsetOutOfRange | Code::LogTruncation))
}
