//! Which partitions are this process's: one consumer group for each kind of work, on
//! the classic protocol, cooperative and dynamic. A partition is given up only when the
//! work on it has ended, or after a bound. Nothing is consumed through the group.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use exchequer_journal::{Fault, FaultKind, Group, Members, Membership, Owned};
use exchequer_types::{Offset, PartitionId};
use futures::future::BoxFuture;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _, ConsumerContext, Rebalance};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::statistics::Statistics;
use rdkafka::{ClientContext, Offset as KafkaOffset, TopicPartitionList};
use tokio::sync::watch;

use crate::SetupError;
use crate::client::{self, Reporter};
use crate::error::unavailable;
use crate::members::{Asking, group_name};
use crate::settings::Settings;

/// A member that is not heard of for so long is taken for dead.
const SESSION_MS: u32 = 6_000;
const HEARTBEAT_MS: u32 = 500;
/// How long a partition that goes to another member waits for the end of the work on it.
const RELEASE_WAIT_MAX: Duration = Duration::from_millis(1_200);
const CONFIRM_WAIT_MAX: Duration = Duration::from_secs(5);
const POLL: Duration = Duration::from_millis(50);
const METADATA_WAIT_MAX: Duration = Duration::from_millis(500);

/// This process's part in the groups of a deployment. Dropping it leaves them.
#[derive(Debug)]
pub struct KafkaMembership {
    settings: Settings,
    groups: [Place; Group::ALL.len()],
    asking: Arc<tokio::sync::Mutex<Asking>>,
}

#[derive(Debug)]
struct Place {
    held: Arc<Held>,
    joined: Mutex<Option<Joined>>,
}

struct Joined {
    topic: String,
    consumer: Arc<BaseConsumer<Context>>,
    ending: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl core::fmt::Debug for Joined {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Joined").field("topic", &self.topic).finish_non_exhaustive()
    }
}

/// Partitions that are worked on, or were until just now.
#[derive(Debug)]
struct Held {
    group: Group,
    owned: watch::Sender<Owned>,
    /// Taken out of `owned`, and not yet said to be released.
    releasing: Mutex<BTreeSet<PartitionId>>,
    released: Condvar,
}

impl KafkaMembership {
    /// Joins the groups of `work`; other groups own nothing here. Returns before the
    /// first partitions are given.
    pub fn join(settings: &Settings, work: &[Group]) -> Result<Self, SetupError> {
        settings.check()?;
        let place = |group: Group| -> Result<Place, SetupError> {
            let held = Arc::new(Held::new(group));
            let joined = work.contains(&group).then(|| Joined::new(settings, &held)).transpose()?;
            Ok(Place { held, joined: Mutex::new(joined) })
        };
        let [deciders, meters, projectors, consumers, sealers] = Group::ALL.map(place);
        let groups = [deciders?, meters?, projectors?, consumers?, sealers?];
        Ok(Self { settings: settings.clone(), groups, asking: Arc::default() })
    }

    /// Asks the group's coordinator whether this process still has `partition`, and
    /// leaves the note `low` for tools that show how far a group is. A process that was
    /// paused for longer than its session learns here that it has nothing any more.
    pub async fn confirm(
        &self,
        group: Group,
        partition: PartitionId,
        low: Offset,
    ) -> Result<(), NotOwner> {
        let place = &self.groups[group.index()];
        let (consumer, topic) = {
            let joined = place.joined.lock().unwrap_or_else(PoisonError::into_inner);
            let Some(joined) = joined.as_ref() else { return Err(NotOwner::Lost) };
            (Arc::clone(&joined.consumer), joined.topic.clone())
        };
        if !place.held.owned.borrow().contains(&partition) {
            return Err(NotOwner::Lost);
        }
        let asking = tokio::task::spawn_blocking(move || {
            let mut list = TopicPartitionList::new();
            let low = KafkaOffset::Offset(i64::try_from(low).unwrap_or(i64::MAX));
            list.add_partition_offset(&topic, partition.0 as i32, low)?;
            consumer.commit(&list, CommitMode::Sync)
        });
        let silent = || Fault::new(FaultKind::Unavailable, "the group's coordinator is silent");
        let Ok(Ok(answer)) = tokio::time::timeout(CONFIRM_WAIT_MAX, asking).await else {
            return Err(NotOwner::Unknown(silent()));
        };
        match answer {
            Ok(()) if place.held.owned.borrow().contains(&partition) => Ok(()),
            Ok(()) => Err(NotOwner::Lost),
            Err(error) if is_lost(&error) => Err(NotOwner::Lost),
            Err(error) => Err(NotOwner::Unknown(unavailable("confirm a partition", &error))),
        }
    }

    /// Gives everything up and leaves, so that others go on at once. Blocks until work
    /// has ended, or the bound is reached.
    pub fn leave(&self) {
        for place in &self.groups {
            place.held.begin_release(None);
        }
        for place in &self.groups {
            let joined = place.joined.lock().unwrap_or_else(PoisonError::into_inner).take();
            if let Some(joined) = joined {
                place.held.wait_released();
                joined.leave();
            }
        }
    }

    /// What the groups are called at the brokers.
    pub fn group_name(&self, group: Group) -> String {
        group_name(&self.settings, group)
    }
}

/// Why a partition is not to be claimed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum NotOwner {
    #[error("the partition is another member's, or nobody's yet")]
    Lost,
    #[error(transparent)]
    Unknown(Fault),
}

impl Membership for KafkaMembership {
    fn owned(&self, group: Group) -> watch::Receiver<Owned> {
        self.groups[group.index()].held.owned.subscribe()
    }

    fn released(&self, group: Group, partition: PartitionId) {
        self.groups[group.index()].held.release(partition);
    }

    fn confirm(
        &self,
        group: Group,
        partition: PartitionId,
        low: Offset,
    ) -> BoxFuture<'_, Result<bool, Fault>> {
        Box::pin(async move {
            match Self::confirm(self, group, partition, low).await {
                Ok(()) => Ok(true),
                Err(NotOwner::Lost) => Ok(false),
                Err(NotOwner::Unknown(fault)) => Err(fault),
            }
        })
    }

    fn members(&self) -> BoxFuture<'_, Members> {
        Box::pin(async move {
            let begun = Instant::now();
            let mut asking = Arc::clone(&self.asking).lock_owned().await;
            if let Some(answer) = asking.answer_since(begun) {
                return answer;
            }
            let settings = self.settings.clone();
            let asked = tokio::task::spawn_blocking(move || asking.ask(&settings)).await;
            let ending =
                |_| Members { unknown: "the process is ending".to_owned(), found: Vec::new() };
            asked.unwrap_or_else(ending)
        })
    }
}

impl Drop for KafkaMembership {
    fn drop(&mut self) {
        self.leave();
    }
}

/// The topic whose partitions a group shares.
fn topic_of(group: Group) -> &'static str {
    match group {
        Group::Deciders => "commands",
        Group::Meters => "usage",
        Group::Projectors | Group::Consumers => "journal",
        Group::Sealers => "audit",
    }
}

fn is_lost(error: &KafkaError) -> bool {
    let code = error.rdkafka_error_code();
    matches!(
        code,
        Some(
            Code::IllegalGeneration
                | Code::UnknownMemberId
                | Code::FencedInstanceId
                | Code::AssignmentLost
                | Code::NoOffset
        )
    )
}

impl Joined {
    fn new(settings: &Settings, held: &Arc<Held>) -> Result<Self, SetupError> {
        let group = held.group;
        let reporter = Reporter::default();
        let context =
            Context { reporter, held: Arc::clone(held), has_joined: AtomicBool::default() };
        let failed = |error| SetupError::of("join a group", &settings.bootstrap, None, &error);
        let mut config = settings.reader(1024 * 1024);
        config
            .set("group.id", group_name(settings, group))
            .set("partition.assignment.strategy", "cooperative-sticky")
            .set("session.timeout.ms", SESSION_MS.to_string())
            .set("heartbeat.interval.ms", HEARTBEAT_MS.to_string())
            .set("max.poll.interval.ms", "60000")
            .set("auto.offset.reset", "latest");
        let consumer: BaseConsumer<Context> = client::make(&config, context).map_err(failed)?;
        let topic = settings.named(topic_of(group));
        consumer.subscribe(&[&topic]).map_err(failed)?;
        let consumer = Arc::new(consumer);
        let ending = Arc::new(AtomicBool::new(false));
        let thread = {
            let (consumer, ending) = (Arc::clone(&consumer), Arc::clone(&ending));
            let topic = topic.clone();
            thread::Builder::new()
                .name(format!("kafka-{}", group.as_str()))
                .spawn(move || serve(&consumer, &topic, &ending))
                .map_err(|error| failed(KafkaError::ClientCreation(error.to_string())))?
        };
        Ok(Self { topic, consumer, ending, thread })
    }

    fn leave(self) {
        self.ending.store(true, Ordering::Relaxed);
        // A panic of the thread has been reported as such.
        let _ = self.thread.join();
        // The last one to hold it says good-bye to the coordinator.
        drop(self.consumer);
    }
}

/// Everything happens in callbacks; a record that slipped in is nothing.
fn serve(consumer: &BaseConsumer<Context>, topic: &str, ending: &AtomicBool) {
    while !ending.load(Ordering::Relaxed) {
        if let Some(Err(_)) = consumer.poll(POLL) {
            thread::sleep(POLL);
        }
        if consumer.context().has_joined.swap(false, Ordering::Relaxed) {
            // librdkafka joins again at the earliest a second after it did, unless metadata came
            // since (rd_kafka_cgrp_join_state_serve, rd_kafka_parse_Metadata0 of 2.12): where a
            // member leaves while others still share out anew, that second is its heirs' delay.
            let _ = consumer.fetch_metadata(Some(topic), METADATA_WAIT_MAX);
        }
    }
}

impl Held {
    fn new(group: Group) -> Self {
        Self {
            group,
            owned: watch::Sender::new(Owned::default()),
            releasing: Mutex::default(),
            released: Condvar::new(),
        }
    }

    fn add(&self, partitions: &BTreeSet<PartitionId>) {
        self.owned.send_modify(|owned| {
            *owned = Arc::new(owned.union(partitions).copied().collect());
        });
        tracing::info!(group = self.group.as_str(), ?partitions, "partitions are ours");
    }

    /// Takes partitions, or all, out of what is owned; whoever works on them sees it.
    fn begin_release(&self, partitions: Option<&BTreeSet<PartitionId>>) {
        let mut releasing = self.lock();
        self.owned.send_if_modified(|owned| {
            let (gone, kept): (BTreeSet<_>, BTreeSet<_>) = owned
                .iter()
                .copied()
                .partition(|it| partitions.is_none_or(|partitions| partitions.contains(it)));
            let is_change = !gone.is_empty();
            releasing.extend(gone);
            *owned = Arc::new(kept);
            is_change
        });
    }

    fn release(&self, partition: PartitionId) {
        self.lock().remove(&partition);
        self.released.notify_all();
    }

    fn wait_released(&self) {
        let wait = self
            .released
            .wait_timeout_while(self.lock(), RELEASE_WAIT_MAX, |releasing| !releasing.is_empty());
        let (mut releasing, _) = wait.unwrap_or_else(PoisonError::into_inner);
        if !releasing.is_empty() {
            let (group, partitions) = (self.group.as_str(), &*releasing);
            tracing::warn!(group, ?partitions, "given up although work on them has not ended");
        }
        releasing.clear();
    }

    fn lock(&self) -> MutexGuard<'_, BTreeSet<PartitionId>> {
        self.releasing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Hears of every change of the assignment, on the polling thread.
struct Context {
    reporter: Reporter,
    held: Arc<Held>,
    /// The group has shared out anew, and nothing was asked of the brokers since.
    has_joined: AtomicBool,
}

impl ClientContext for Context {
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

impl ConsumerContext for Context {
    /// Before they go: whoever works on them ends first, unless they are lost already.
    fn pre_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        let Rebalance::Revoke(list) = rebalance else { return };
        self.held.begin_release(Some(&partitions(list)));
        if consumer.assignment_lost() {
            self.held.lock().clear();
        } else {
            self.held.wait_released();
        }
    }

    /// They are ours now. Nothing is to be fetched.
    fn post_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        self.has_joined.store(true, Ordering::Relaxed);
        let Rebalance::Assign(list) = rebalance else { return };
        if let Err(error) = consumer.pause(list) {
            tracing::warn!(%error, "records are fetched that nobody reads");
        }
        self.held.add(&partitions(list));
    }
}

fn partitions(list: &TopicPartitionList) -> BTreeSet<PartitionId> {
    list.elements()
        .iter()
        .filter_map(|element| u32::try_from(element.partition()).ok().map(PartitionId))
        .collect()
}
