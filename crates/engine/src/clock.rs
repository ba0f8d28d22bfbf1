//! The clock: wakes streams whose timers are due, on the internal lane. It reads
//! the view of timers and forgets nothing by itself, so waking twice, early or
//! late is harmless.

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use exchequer_kernel::Status;
use exchequer_projection_timers as timers;
use exchequer_runtime::TaskError;
use exchequer_tenant::Command;
use exchequer_types::{ActorId, CommandId, Issuer, PartitionId, StreamId, Timestamp};
use futures::future::{join_all, select};
use tracing::warn;

use crate::gateway::{Gateway, Submission};
use crate::view::ViewHandle;
use crate::{EngineError, Ports};

const CLOCK: &str = "clock";
/// As failures name this work.
const TIMER: &str = "timer";
const PATIENCE: Duration = Duration::from_secs(10);
/// A stream that could not be woken is tried again after this long, doubled each
/// time: one that is parked may be so for days, and each try is a record.
const RETRY: Duration = Duration::from_secs(5);
const RETRY_MAX: Duration = Duration::from_secs(600);
/// Timers read at once from each partition.
const TIMERS_MAX: usize = 256;
/// Streams woken at once.
const STREAMS_MAX: usize = 1_024;
/// Without any timer, the view is asked again after this long.
const IDLE: Duration = Duration::from_secs(3600);

/// Wakes due streams until the process ends. `view` is the view of timers.
pub(crate) async fn run(
    ports: Ports,
    gateway: Gateway,
    view: Arc<ViewHandle>,
) -> Result<(), TaskError> {
    let mut clock = Clock { ports, gateway, view, not_before: BTreeMap::new() };
    loop {
        if let Err(error) = clock.tick().await {
            if !error.is_retryable() {
                return Err(TaskError(format!("clock: {error}")));
            }
            warn!(%error, "clock pauses");
            clock.ports.runtime.sleep(RETRY).await;
        }
    }
}

struct Clock {
    ports: Ports,
    gateway: Gateway,
    view: Arc<ViewHandle>,
    /// Streams that could not be woken: when to try again, and after how long.
    not_before: BTreeMap<StreamId, (Timestamp, Duration)>,
}

impl Clock {
    /// Wakes what is due, then waits for the next timer or a change of the view.
    async fn tick(&mut self) -> Result<(), EngineError> {
        let generation = self.view.active();
        let progress = generation.progress();
        let now = self.ports.runtime.now();
        let (due, mut next) = self.due(generation.number, now).await?;
        self.not_before.retain(|stream, (at, _)| *at > now || due.contains(stream));
        if !due.is_empty() {
            self.wake(due).await;
        }
        if let Some((retry, _)) = self.not_before.values().min() {
            next = next.min(*retry);
        }
        let changed = core::pin::pin!(self.view.progressed(&progress));
        select(changed, self.ports.runtime.sleep_until(next)).await;
        Ok(())
    }

    /// Streams due at `now`, and when the next one is.
    async fn due(
        &self,
        generation: u64,
        now: Timestamp,
    ) -> Result<(BTreeSet<StreamId>, Timestamp), EngineError> {
        let mut streams = BTreeSet::new();
        let mut next = now.saturating_add(IDLE);
        let store = self.ports.store.as_ref();
        for partition in (0..self.gateway.tail().partitions()).map(PartitionId) {
            let mut after = None;
            'partition: while streams.len() < STREAMS_MAX {
                let page = timers::due(
                    store,
                    generation,
                    partition,
                    Timestamp::MAX,
                    after.as_ref(),
                    TIMERS_MAX,
                );
                let page = page.await?;
                for timer in &page {
                    if timer.due > now {
                        next = next.min(timer.due);
                        break 'partition;
                    }
                    if let Ok(stream) = StreamId::parse(&timer.stream)
                        && self.not_before.get(&stream).is_none_or(|(at, _)| *at <= now)
                    {
                        streams.insert(stream);
                    }
                }
                match page.into_iter().last() {
                    Some(last) => after = Some(last),
                    None => break,
                }
            }
        }
        Ok((streams, next))
    }

    async fn wake(&mut self, streams: BTreeSet<StreamId>) {
        let mut wakes = Vec::new();
        for stream in &streams {
            let nonce = u128::from_le_bytes(self.ports.runtime.nonce());
            wakes.push(self.wake_one(stream.clone(), format!("wake-{nonce:032x}")));
        }
        let failed: BTreeSet<StreamId> = join_all(wakes).await.into_iter().flatten().collect();
        let now = self.ports.runtime.now();
        for stream in streams {
            let waited = self.not_before.remove(&stream);
            if failed.contains(&stream) {
                let wait = waited.map_or(RETRY, |(_, wait)| (wait * 2).min(RETRY_MAX));
                self.not_before.insert(stream, (now.saturating_add(wait), wait));
            }
        }
    }

    /// Wakes one stream and waits until the view has seen it. The stream, if it failed.
    async fn wake_one(&self, stream: StreamId, id: String) -> Option<StreamId> {
        let parsed = (Issuer::parse(CLOCK), CommandId::parse(id), ActorId::parse(CLOCK));
        let (Ok(issuer), Ok(id), Ok(actor)) = parsed else { return Some(stream) };
        let submission = Submission {
            stream: stream.clone(),
            issuer,
            id,
            actor,
            command: Command::Wake,
            expected_version: None,
            not_after: None,
            validate_only: false,
        };
        let answer = match self.gateway.submit(submission, PATIENCE).await {
            Ok(answer) => answer,
            Err(error) => return Some(self.failed(stream, error.to_string())),
        };
        if answer.status() != Some(Status::Accepted) {
            let message = format!("{}: {}", answer.outcome.code, answer.outcome.message);
            return Some(self.failed(stream, message));
        }
        let seen = self.view.at_least(&self.ports, &answer.token(), PATIENCE).await;
        if let Err(behind) = seen {
            return Some(self.failed(stream, behind.to_string()));
        }
        self.gateway.failures().succeeded(&stream, TIMER);
        None
    }

    fn failed(&self, stream: StreamId, message: String) -> StreamId {
        warn!(%stream, message, "not woken");
        let now = self.ports.runtime.now();
        self.gateway.failures().failed(&stream, TIMER, message, now);
        stream
    }
}
