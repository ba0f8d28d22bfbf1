//! The clock: wakes streams whose timers are due, on the internal lane. It reads
//! the view of timers and forgets nothing by itself, so waking twice, early or
//! late is harmless. Each due timer is read once, a bounded number of streams is
//! being woken at any time, and a stream is not woken again before the view has
//! seen what the last waking did.

mod failing;
mod lane;
mod notices;
#[cfg(test)]
mod tests;

pub(crate) use notices::{Notices, Noting};

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use exchequer_journal::Owned;
use exchequer_kernel::Status;
use exchequer_projection_timers::DueTimer;
use exchequer_runtime::TaskError;
use exchequer_tenant::Command;
use exchequer_types::{ActorId, CommandId, Issuer, PartitionId, StreamId, Timestamp};
use futures::FutureExt as _;
use futures::future::{BoxFuture, Either, select};
use futures::stream::{FuturesUnordered, StreamExt as _};
use tokio::sync::watch;
use tracing::warn;

use crate::gateway::{Answer, Gateway, Submission};
use crate::sharing::{self, Share};
use crate::view::{Progressed, ViewHandle};
use crate::{EngineError, Ports};
use failing::Failing;
use lane::Lane;

const CLOCK: &str = "clock";
/// As failures name this work.
const TIMER: &str = "timer";
const PATIENCE: Duration = Duration::from_secs(10);
/// After a fault of the store.
const PAUSE: Duration = Duration::from_secs(1);
/// Streams being woken at once, and of one partition: a caller's command waits
/// behind a batch of these.
const UNDERWAY_MAX: usize = 1_024;
const UNDERWAY_OF_PARTITION_MAX: usize = 256;
/// Streams that the view has not seen woken: where it is this far behind, the clock
/// waits for it.
const STREAMS_MAX: usize = 16_384;

/// Where the clock hears of timers.
pub(crate) struct Sources {
    /// The view of timers.
    pub(crate) view: Arc<ViewHandle>,
    /// What its fold tells, in the process that folds.
    pub(crate) notices: Arc<Notices>,
}

/// Wakes due streams of the partitions that are this process's own, until it ends.
pub(crate) async fn run(
    ports: Ports,
    gateway: Gateway,
    Sources { view, notices }: Sources,
    share: Share,
) -> Result<(), TaskError> {
    let partitions = (0..gateway.tail().partitions()).map(PartitionId);
    let lanes = partitions.map(Lane::new).collect();
    let generation = view.active().number;
    let mut clock = Clock {
        ports,
        gateway,
        view,
        notices,
        lanes,
        generation,
        streams: BTreeMap::new(),
        failing: Failing::default(),
        wakes: FuturesUnordered::new(),
        turn: 0,
        owned: share.watch(),
        own: BTreeSet::new(),
    };
    loop {
        let progress = clock.take_in();
        if let Err(error) = clock.fill().await {
            if !error.is_retryable() {
                return Err(TaskError(format!("clock: {error}")));
            }
            warn!(%error, "clock pauses");
            clock.ports.runtime.sleep(PAUSE).await;
        }
        clock.wait(&progress).await;
    }
}

struct Clock {
    ports: Ports,
    gateway: Gateway,
    view: Arc<ViewHandle>,
    notices: Arc<Notices>,
    /// By partition.
    lanes: Vec<Lane>,
    /// The view's generation that was last read.
    generation: u64,
    /// Those being woken, or woken and not yet seen so by the view: when due, of
    /// their timers that were passed over, the first one is.
    streams: BTreeMap<StreamId, Option<Timestamp>>,
    failing: Failing,
    wakes: FuturesUnordered<BoxFuture<'static, Woken>>,
    /// Which partition is served first.
    turn: usize,
    owned: Option<watch::Receiver<Owned>>,
    /// Partitions whose streams are woken here.
    own: BTreeSet<PartitionId>,
}

/// How waking a stream went.
struct Woken {
    stream: StreamId,
    partition: PartitionId,
    /// Of the timer that it was woken for.
    due: Timestamp,
    begun: Timestamp,
    result: Result<Answer, String>,
}

impl Clock {
    /// Takes over partitions that have become its own: all their timers are looked at.
    fn take_over(&mut self) {
        let Some(owned) = &mut self.owned else { return };
        let latest = Arc::clone(&owned.borrow_and_update());
        for gained in latest.difference(&self.own) {
            self.lanes[gained.index()].look_at_all(Timestamp::MIN);
        }
        let lost: BTreeSet<_> = self.own.difference(&latest).copied().collect();
        if !lost.is_empty() {
            let tail = self.gateway.tail();
            let is_lost = |stream: &StreamId| lost.contains(&tail.partition_of(stream));
            self.gateway.failures().forget_of(TIMER, is_lost);
            self.failing.forget(is_lost);
        }
        self.own.clone_from(&latest);
    }

    /// Takes in how far the view has come.
    fn take_in(&mut self) -> Progressed {
        self.take_over();
        let partitions = (0..self.lanes.len() as u32).map(PartitionId);
        let noticed: Vec<_> = partitions.map(|partition| self.notices.take(partition)).collect();
        let generation = self.view.active();
        let progress = generation.progress();
        let is_other = self.generation != generation.number;
        for (index, (lane, notice)) in self.lanes.iter_mut().zip(noticed).enumerate() {
            if is_other {
                lane.look_at_all(Timestamp::MIN);
            }
            lane.progressed(progress.offsets[index]);
            // The view may have seen it before its answer came.
            for stream in lane.seen(progress.offsets[index]) {
                // Timers that were passed over may be gone, or new.
                if let Some(Some(due)) = self.streams.remove(&stream) {
                    lane.look_at(due);
                }
            }
            if let Some(notice) = notice {
                lane.noticed(notice);
            }
        }
        self.generation = generation.number;
        progress
    }

    /// Begins to wake streams that are due, as many as may be underway.
    async fn fill(&mut self) -> Result<(), EngineError> {
        let now = self.ports.runtime.now();
        while self.wakes.len() < UNDERWAY_MAX
            && let Some((stream, due)) = self.failing.take(now)
        {
            self.wake(stream, due);
        }
        let count = self.lanes.len();
        self.turn = (self.turn + 1) % count;
        for index in (self.turn..count).chain(0..self.turn) {
            while self.own.contains(&PartitionId(index as u32))
                && self.wakes.len() < UNDERWAY_MAX
                && self.streams.len() < STREAMS_MAX
                && self.lanes[index].underway < UNDERWAY_OF_PARTITION_MAX
            {
                let (lane, store) = (&mut self.lanes[index], self.ports.store.as_ref());
                let streams = &mut self.streams;
                let known = |timer: &DueTimer| passes_over(streams, timer);
                let due = lane.next_due(store, self.generation, now, known).await?;
                let Some(timer) = due else { break };
                let Ok(stream) = StreamId::parse(&timer.stream) else { continue };
                if !passes_over(&mut self.streams, &timer) && !self.failing.contains(&stream) {
                    self.wake(stream, timer.due);
                }
            }
        }
        Ok(())
    }

    /// Waits until a stream is woken, the view has progressed, or a timer is due.
    async fn wait(&mut self, progress: &Progressed) {
        let is_full = self.wakes.len() >= UNDERWAY_MAX || self.streams.len() >= STREAMS_MAX;
        let lanes = self.own.iter().map(|own| &self.lanes[own.index()]);
        let lanes = lanes.filter(|lane| lane.underway < UNDERWAY_OF_PARTITION_MAX);
        let next = lanes.map(Lane::next).chain(self.failing.next()).min();
        let due = match next {
            Some(next) if !is_full => self.ports.runtime.sleep_until(next),
            _ => core::future::pending().boxed(),
        };
        let view = Arc::clone(&self.view);
        let mut next = {
            let moved = core::pin::pin!(sharing::changed(&mut self.owned));
            let progressed = core::pin::pin!(view.progressed(progress));
            let changed = select(progressed, moved);
            let first = core::pin::pin!(first_of(&mut self.wakes));
            match select(first, select(changed, due)).await {
                Either::Left((woken, _)) => woken,
                Either::Right(_) => None,
            }
        };
        while let Some(woken) = next {
            self.woken(woken);
            next = self.wakes.next().now_or_never().flatten();
        }
    }

    fn wake(&mut self, stream: StreamId, due: Timestamp) {
        let partition = self.gateway.tail().partition_of(&stream);
        self.streams.entry(stream.clone()).or_insert(None);
        self.lanes[partition.index()].underway += 1;
        let nonce = u128::from_le_bytes(self.ports.runtime.nonce());
        let (gateway, begun) = (self.gateway.clone(), self.ports.runtime.now());
        let wake = async move {
            let result = submit(&gateway, &stream, format!("wake-{nonce:032x}")).await;
            Woken { stream, partition, due, begun, result }
        };
        self.wakes.push(wake.boxed());
    }

    fn woken(&mut self, woken: Woken) {
        let Woken { stream, partition, due, begun, result } = woken;
        let lane = &mut self.lanes[partition.index()];
        lane.underway -= 1;
        match result {
            Ok(answer) => {
                let is_early = lane.decided(begun, due, answer.decided_at);
                let had_failed = self.failing.succeeded(&stream);
                if (is_early || had_failed)
                    && let Some(passed_over) = self.streams.get_mut(&stream)
                {
                    *passed_over = Some(passed_over.map_or(due, |other| other.min(due)));
                }
                self.gateway.failures().succeeded(&stream, TIMER);
                lane.woken(stream, answer.place.offset + 1);
            }
            Err(_) if !self.own.contains(&partition) => {
                self.streams.remove(&stream);
            }
            Err(message) => {
                warn!(%stream, message, "not woken");
                let now = self.ports.runtime.now();
                if !self.failing.failed(&stream, due, now) {
                    lane.look_at_all(now.saturating_add(PATIENCE));
                }
                self.streams.remove(&stream);
                self.gateway.failures().failed(&stream, TIMER, message, now);
            }
        }
    }
}

/// Is the timer's stream among `streams`? Then it is noted there.
fn passes_over(streams: &mut BTreeMap<StreamId, Option<Timestamp>>, timer: &DueTimer) -> bool {
    let Ok(stream) = StreamId::parse(&timer.stream) else { return true };
    match streams.get_mut(&stream) {
        Some(passed_over) => {
            passed_over.get_or_insert(timer.due);
            true
        }
        None => false,
    }
}

/// Never, where there is none.
async fn first_of(wakes: &mut FuturesUnordered<BoxFuture<'static, Woken>>) -> Option<Woken> {
    if wakes.is_empty() {
        core::future::pending::<()>().await;
    }
    wakes.next().await
}

/// Wakes `stream`.
async fn submit(gateway: &Gateway, stream: &StreamId, id: String) -> Result<Answer, String> {
    let invalid = |error: exchequer_types::IdError| error.to_string();
    let submission = Submission::new(
        stream.clone(),
        Issuer::parse(CLOCK).map_err(invalid)?,
        CommandId::parse(id).map_err(invalid)?,
        ActorId::parse(CLOCK).map_err(invalid)?,
        Command::Wake,
    );
    let answer = gateway.submit(submission, PATIENCE).await.map_err(|error| error.to_string())?;
    if answer.status() == Some(Status::Accepted) {
        Ok(answer)
    } else {
        Err(format!("{}: {}", answer.outcome.code, answer.outcome.message))
    }
}
