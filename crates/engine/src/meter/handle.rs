//! What the rest of the process knows of its meters: how far they are, and the figures
//! that are not written yet.

use core::time::Duration;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use exchequer_journal::{Fault, Record};
use exchequer_metering::{
    BackfillProgress, Contribution, EventIdentity, Fate, Fault as MeterFault, Revisions, Schemas,
    partition_of_event,
};
use exchequer_projection_usage::LiveUsage;
use exchequer_runtime::Runtime;
use exchequer_types::{Identity, Offset, PartitionId, TenantId, Timestamp};
use futures::future::{Either, select};
use tokio::sync::{Semaphore, SemaphorePermit, mpsc, oneshot, watch};

use super::definitions::DefinitionsSource;
use super::state::Tally;
use crate::tail::unavailable;
use crate::{EngineError, UsagePorts};

/// How far the meter of a partition is.
#[derive(Clone, Debug, Default)]
pub struct MeterState {
    /// Does a meter of this process judge the partition?
    pub leading: bool,
    /// Is it another process's, and read how far that one is?
    pub followed: bool,
    /// Why none can, at the moment.
    pub fault: Option<Fault>,
    /// Of the last accepted seal.
    pub seq: u64,
    /// Every record below it has a fate.
    pub next: Offset,
    /// Everything received before it has a fate.
    pub through: Timestamp,
    pub tally: Tally,
    /// Rows are there up to this seal, though the checkpoint is before it: folded anew,
    /// they are written once more up to exactly there.
    pub(super) split: Option<u64>,
    /// Where the log of usage ended when the partition was first led here.
    pub led_from: Option<Offset>,
}

/// The first record of an identity, and what has become of it.
#[derive(Clone, Debug)]
pub struct FirstRecord {
    pub partition: PartitionId,
    pub offset: Offset,
    pub received_at: Timestamp,
    /// As it was sealed; see `contributions` for what it adds by now.
    pub fate: Fate,
    /// What it adds to figures, as its last correction left it: nothing when it was voided.
    pub contributions: Vec<Contribution>,
    pub faults: Vec<MeterFault>,
    pub is_voided: bool,
}

/// A question that a meter answers.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) identity: Identity,
    /// Where its event stands when it has taken no id, or long ago.
    pub(super) at: Option<Offset>,
    pub(super) reply: oneshot::Sender<Result<Option<FirstRecord>, Fault>>,
}

impl Asked {
    /// Whoever asked may have gone.
    pub(super) fn answer(self, found: Result<Option<FirstRecord>, EngineError>) {
        let told = found.map_err(|error| match error {
            EngineError::Journal(fault) => fault,
            error => unavailable(error.to_string()),
        });
        drop(self.reply.send(told));
    }
}

/// To build what a flush writes, and to write it. None never is: nobody closes them.
pub(super) type Permit<'a> = Option<SemaphorePermit<'a>>;

/// Partitions that merge blocks of their indexes at the same time. They come to it at about
/// the same time, and would write all that they hold at once; it does not hurry.
const MERGES_MAX: usize = 1;
/// How long a log is asked where it ends, to tell how far behind its meter is.
const END_PATIENCE: Duration = Duration::from_secs(1);
const END_PAUSE: Duration = Duration::from_secs(30);
/// Questions about what others meter that are looked into at the same time.
const QUESTIONS_MAX: usize = 2;
/// Questions of one partition that wait.
const ASKED_MAX: usize = 64;

/// The meters of this process. Cloning shares them.
#[derive(Clone, Debug)]
pub struct Meters {
    /// Figures that are sealed and not written yet.
    pub live: Arc<LiveUsage>,
    pub ports: UsagePorts,
    pub definitions: Arc<dyn DefinitionsSource>,
    /// Compiles the schemas that meters take over.
    pub(crate) schemas: Arc<dyn Schemas>,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    states: Vec<Mutex<MeterState>>,
    /// Grows with each seal.
    changes: watch::Sender<u64>,
    /// Instants that somebody waits for, by partition: `through` must pass them.
    wanted: Vec<watch::Sender<Timestamp>>,
    asks: Vec<mpsc::Sender<Asked>>,
    asked: Vec<Mutex<Option<mpsc::Receiver<Asked>>>>,
    /// Before it a log is not asked where it ends, for those who only want to know.
    ends_asked_after: Vec<Mutex<Timestamp>>,
    /// How often they have changed, and how far they are, by partition.
    backfills: Vec<Mutex<(u64, Vec<BackfillProgress>)>>,
    /// Of those who write, who may at once.
    flushes: Semaphore,
    merges: Semaphore,
    questions: Semaphore,
    runtime: Arc<dyn Runtime>,
}

impl Meters {
    pub(crate) fn new(
        ports: UsagePorts,
        definitions: Arc<dyn DefinitionsSource>,
        runtime: Arc<dyn Runtime>,
        flushes_max: usize,
    ) -> Self {
        let partitions = ports.log.partitions();
        let (asks, asked) = (0..partitions).map(|_| mpsc::channel(ASKED_MAX)).unzip();
        let asked: Vec<mpsc::Receiver<Asked>> = asked;
        let shared = Shared {
            asks,
            asked: asked.into_iter().map(|it| Mutex::new(Some(it))).collect(),
            ends_asked_after: (0..partitions).map(|_| Mutex::new(Timestamp::MIN)).collect(),
            states: (0..partitions).map(|_| Mutex::default()).collect(),
            changes: watch::Sender::new(0),
            wanted: (0..partitions).map(|_| watch::Sender::new(Timestamp::MIN)).collect(),
            backfills: (0..partitions).map(|_| Mutex::default()).collect(),
            flushes: Semaphore::new(flushes_max.max(1)),
            merges: Semaphore::new(MERGES_MAX),
            questions: Semaphore::new(QUESTIONS_MAX),
            runtime,
        };
        let live = Arc::new(LiveUsage::new(partitions));
        let schemas = Arc::new(exchequer_event_schema::Cache::default());
        Self { live, ports, definitions, schemas, shared: Arc::new(shared) }
    }

    /// How far backfills are, of each partition by itself.
    pub fn backfills(&self) -> Vec<BackfillProgress> {
        let each = self.shared.backfills.iter();
        let lock = |it: &Mutex<(u64, Vec<BackfillProgress>)>| {
            it.lock().unwrap_or_else(PoisonError::into_inner).1.clone()
        };
        each.flat_map(lock).collect()
    }

    /// The backfills of `partition` are as `revisions` say.
    pub(super) fn tell_backfills(&self, partition: PartitionId, revisions: &Revisions) {
        let Some(told) = self.shared.backfills.get(partition.index()) else { return };
        let mut told = told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.0 != revisions.backfill_changes {
            *told = (revisions.backfill_changes, revisions.backfills.clone());
        }
    }

    /// The same of a partition that another process meters.
    pub(super) fn follow_backfills(&self, partition: PartitionId, all: Vec<BackfillProgress>) {
        let Some(told) = self.shared.backfills.get(partition.index()) else { return };
        *told.lock().unwrap_or_else(PoisonError::into_inner) = (0, all);
    }

    /// Resolves when a partition may be written, for as long as the permit is held. What it
    /// writes is built then, and not before: that is what takes memory.
    pub(super) async fn may_flush(&self) -> Permit<'_> {
        self.shared.flushes.acquire().await.ok()
    }

    /// Resolves when a question about what others meter may be looked into: what it reads takes
    /// memory.
    pub(super) async fn may_look(&self) -> Permit<'_> {
        self.shared.questions.acquire().await.ok()
    }

    /// May blocks of an index be merged now, for as long as the permit is held?
    pub(super) fn may_merge(&self) -> Permit<'_> {
        self.shared.merges.try_acquire().ok()
    }

    pub fn partitions(&self) -> u32 {
        self.shared.states.len() as u32
    }

    /// How far the meter of `partition` is.
    pub fn state(&self, partition: PartitionId) -> MeterState {
        self.lock(partition).clone()
    }

    /// How far all of them are, by partition.
    pub fn states(&self) -> Vec<MeterState> {
        (0..self.partitions()).map(|it| self.state(PartitionId(it))).collect()
    }

    /// Records of `partition` that have no fate yet; None when its log does not say at once
    /// where it ends. One that did not is left alone for a while: the question goes on behind
    /// whoever gave it up.
    pub async fn lag(&self, partition: PartitionId) -> Option<u64> {
        let next = self.state(partition).next;
        let runtime = &self.shared.runtime;
        let asked_after = || {
            let it = self.shared.ends_asked_after.get(partition.index())?;
            Some(it.lock().unwrap_or_else(PoisonError::into_inner))
        };
        if runtime.now() < *asked_after()? {
            return None;
        }
        let end = self.ports.log.end(partition);
        match select(end, runtime.sleep(END_PATIENCE)).await {
            Either::Left((end, _)) => Some(end.ok()?.saturating_sub(next)),
            Either::Right(_) => {
                *asked_after()? = runtime.now().saturating_add(END_PAUSE);
                None
            }
        }
    }

    /// Records of `partition` from `from` on, of which a seal tells: they are there, and a
    /// process that follows the log may not have heard of them yet.
    pub async fn sealed_records(
        &self,
        partition: PartitionId,
        from: Offset,
        bytes_max: usize,
    ) -> Result<Vec<Record>, Fault> {
        let log = &self.ports.log;
        let records = log.read(partition, from, bytes_max).await?;
        if !records.is_empty() {
            return Ok(records);
        }
        log.end(partition).await?;
        log.read(partition, from, bytes_max).await
    }

    /// Waits until every record of `partition` below `offset` has a fate and queries see
    /// it; false when that took longer than `patience`.
    pub async fn wait_for(
        &self,
        partition: PartitionId,
        offset: Offset,
        patience: Duration,
    ) -> bool {
        self.wait(partition, patience, |state| state.next >= offset).await
    }

    /// Waits until everything that was received before `at` in `partition` has a fate.
    pub async fn wait_through(
        &self,
        partition: PartitionId,
        at: Timestamp,
        patience: Duration,
    ) -> bool {
        if let Some(wanted) = self.shared.wanted.get(partition.index()) {
            wanted.send_if_modified(|wanted| {
                let is_later = *wanted < at;
                *wanted = at.max(*wanted);
                is_later
            });
        }
        self.wait(partition, patience, |state| state.through >= at).await
    }

    async fn wait(
        &self,
        partition: PartitionId,
        patience: Duration,
        is_met: impl Fn(&MeterState) -> bool,
    ) -> bool {
        if partition.index() >= self.shared.states.len() {
            return false;
        }
        let mut changes = self.shared.changes.subscribe();
        let met = async {
            loop {
                changes.borrow_and_update();
                if is_met(&self.lock(partition)) {
                    return;
                }
                // The sender is ours, so it does not end.
                drop(changes.changed().await);
            }
        };
        let met = core::pin::pin!(met);
        matches!(select(met, self.shared.runtime.sleep(patience)).await, Either::Left(_))
    }

    /// What has become of the first event of this tenant, source and id within the window of
    /// identities that took its id. When there is none: of the event of this name at `at`,
    /// which took no id, or long ago.
    pub async fn fate(
        &self,
        tenant: &TenantId,
        (source, id): (&str, &str),
        at: Option<Offset>,
        patience: Duration,
    ) -> Result<Option<FirstRecord>, EngineError> {
        let partitions = self.partitions();
        let partition = partition_of_event(tenant.as_str(), id, partitions, &mut Vec::new());
        let identity = EventIdentity::of(tenant, source, id).into();
        let (reply, answer) = oneshot::channel();
        let late = || unavailable("the meter does not answer in time");
        let asked = async {
            let asks = &self.shared.asks[partition.index()];
            asks.send(Asked { identity, at, reply }).await.map_err(|_| late())?;
            answer.await.map_err(|_| late())?
        };
        let asked = core::pin::pin!(asked);
        match select(asked, self.shared.runtime.sleep(patience)).await {
            Either::Left((answer, _)) => Ok(answer?),
            Either::Right(_) => Err(late().into()),
        }
    }

    /// The questions for the meter of `partition`, which takes them once.
    pub(super) fn take_asked(&self, partition: PartitionId) -> Option<mpsc::Receiver<Asked>> {
        let asked = self.shared.asked.get(partition.index())?;
        asked.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Grows with each seal, here or by another process: the same as before when no figure
    /// has changed.
    pub fn changes_counted(&self) -> u64 {
        *self.shared.changes.borrow()
    }

    /// Wakes with each seal of any partition.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.shared.changes.subscribe()
    }

    /// The instant that `through` of `partition` is wanted to pass.
    pub(super) fn wanted(&self, partition: PartitionId) -> watch::Receiver<Timestamp> {
        self.shared.wanted[partition.index()].subscribe()
    }

    pub(super) fn update(&self, partition: PartitionId, change: impl FnOnce(&mut MeterState)) {
        change(&mut self.lock(partition));
        self.shared.changes.send_modify(|changes| *changes += 1);
    }

    fn lock(&self, partition: PartitionId) -> MutexGuard<'_, MeterState> {
        self.shared.states[partition.index()].lock().unwrap_or_else(PoisonError::into_inner)
    }
}
