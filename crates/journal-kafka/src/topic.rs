//! One topic as a log: appends, ends asked from the brokers, and reads that hold
//! every record up to the end that was known when they began.

use core::time::Duration;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use exchequer_journal::{Fault, FaultKind, Intake};
use exchequer_types::{Offset, PartitionId};
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaResult, RDKafkaErrorCode as Code};

use crate::appender::Appender;
use crate::catch_up::CatchUp;
use crate::client::{self, Figures, Reporter};
use crate::error::unavailable;
use crate::partition::{Look, News, Partition};
use crate::ring::{Limit, Stored};
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

/// An open topic. Dropping it ends its threads.
pub(crate) struct Topic {
    pub shared: Arc<Shared>,
    appender: Appender<Bytes>,
    catch_up: CatchUp,
    /// Asks for ends, and reads nothing: a broker answers it at once, and a client that
    /// waits for records only when there are some.
    asker: Arc<BaseConsumer<Reporter>>,
    pub(crate) tail: Tail,
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
/// A partition for which nobody waited for so long is not followed any more. Whoever leads one
/// knows what comes into it.
const IDLE_MAX: Duration = Duration::from_secs(10);

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
        let tail = Tail::new(Arc::clone(&shared), Arc::clone(&asker));
        let tend = {
            let (asker, idle, forget) = (Arc::clone(&asker), catch_up.idle(), tail.forgetting());
            move || {
                client::hear(&asker);
                idle.close_forgotten();
                forget(IDLE_MAX);
            }
        };
        Ok(Self {
            appender: Appender::new(Arc::clone(&shared), producers),
            catch_up,
            _watch: Watch::start(Arc::clone(&shared), Arc::clone(&asker), Box::new(tend)),
            tail,
            asker,
            shared,
        })
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
        let it = &self.shared.partitions[partition.index()];
        let mut until = it.known_end();
        // What others append to a partition that is not followed is heard of only so.
        if from >= until && it.tail().is_none() {
            until = self.end(partition).await?;
        }
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

    /// Whoever waits for more of a partition brings it about that what comes is held in memory,
    /// for as long as anybody does.
    pub(crate) async fn wait(&self, partition: PartitionId, offset: Offset) {
        let it = &self.shared.partitions[partition.index()];
        let _waiting = it.begin_wait();
        loop {
            let mut grown = core::pin::pin!(it.grown.notified());
            grown.as_mut().enable();
            match it.news(offset) {
                News::There => return,
                News::Soon => {}
                News::Follow => self.tail.follow(partition),
            }
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
            partitions.push(Partition::new(end, each));
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
