//! The one writer of a partition. It claims, resumes, decides batch after batch
//! with one commit in flight and the next one gathering, answers by the fold
//! alone, and writes its state behind. Whatever goes wrong, it drops what it
//! decided ahead, reads the journal, and claims anew.

mod batch;
mod intake;
pub(crate) mod resume;
mod streams;

use core::time::Duration;
use std::sync::Arc;

use bytes::Bytes;
use exchequer_codec::{Entry, encode_claim, status_of, status_word};
use exchequer_journal::{Fault, FaultKind, Lane};
use exchequer_kernel::fold::{CurrentClaim, Owner, is_settled};
use exchequer_kernel::mutation::{self, Mutation};
use exchequer_kernel::{Head, Verdict, fold};
use exchequer_proto::journal::v1 as pb;
use exchequer_runtime::trace::TraceContext;
use exchequer_runtime::{Metric, TaskError};
use exchequer_tenant::Command;
use exchequer_types::{Hash, Identity, Offset, PartitionId, StreamId, Timestamp};
use futures::future::{BoxFuture, Either, select};
use futures::{FutureExt as _, StreamExt as _, TryStreamExt as _, stream};
use tracing::{info, warn};

use crate::failures::DECIDER;
use crate::identities::Merged;
use crate::settings::SKEW_MAX;
use crate::sharing::{Claiming, OwnPartition};
use crate::tail::{Tail, TailItem, fold_record, unavailable};
use crate::{EngineError, Failures, Ports, spans};
use batch::{Batch, Deciding, Prepared, Sealed, keeps_identity, looked_up};
use intake::{Intake, Pending};
use resume::WriteBehind;

/// The highest feature level this version understands, of the journal and of the seals.
pub const FEATURE_LEVEL: u32 = 1;

/// Refuses to go on from what a program wrote that may have written what nobody here
/// understands.
pub(crate) fn check_level(partition: PartitionId, found: u32) -> Result<(), EngineError> {
    if found <= FEATURE_LEVEL {
        return Ok(());
    }
    Err(EngineError::Newer { partition: partition.0, found, known: FEATURE_LEVEL })
}
/// The longest wait before a claim is tried again, as a multiple of the first.
const CLAIM_RETRY_FACTOR_MAX: u32 = 30;

/// Decides `partition` whenever it is this process's own, and follows it else, until the
/// process ends or the journal can't go on.
pub(crate) async fn share(
    ports: Ports,
    tail: Arc<Tail>,
    failing: Arc<Failures>,
    mut own: OwnPartition,
) -> Result<(), TaskError> {
    let partition = own.partition();
    loop {
        let following = tail.follow_on(partition);
        // Asked first: where it is the process's own at once, nothing is followed.
        match select(core::pin::pin!(own.gained()), core::pin::pin!(following)).await {
            Either::Left(_) => {}
            Either::Right((ended, _)) => return ended,
        }
        tail.set_own(partition, true);
        let claiming = own.claiming();
        let deciding = core::pin::pin!(run((&ports, &tail, &failing), &claiming, partition));
        let ended = match select(core::pin::pin!(own.lost()), deciding).await {
            Either::Left(_) => None,
            Either::Right((ended, _)) => Some(ended),
        };
        if let Some(ended) = ended {
            return ended;
        }
        info!(partition = partition.0, "given up");
        tail.set_own(partition, false);
        tail.set_leading(partition, Ok(false));
        failing.given_up(partition, DECIDER);
        Metric::DeciderLeading.gauge(&[&partition.to_string()]).set(0.0);
        own.release();
    }
}

/// Decides `partition` until the process ends or the journal can't go on.
async fn run(
    (ports, tail, failing): (&Ports, &Tail, &Failures),
    claiming: &Claiming,
    partition: PartitionId,
) -> Result<(), TaskError> {
    let mut failures = 0_u32;
    loop {
        let led = lead((ports, tail, failing), (claiming, partition), &mut failures).await;
        let error = match led {
            Ok(reason) => {
                info!(partition = partition.0, reason, "claiming anew");
                tail.set_leading(partition, Ok(false));
                None
            }
            Err(error) if error.is_retryable() => Some(error),
            Err(error) => {
                tail.set_leading(partition, Err(Fault::new(FaultKind::Stopped, error.to_string())));
                return Err(TaskError(format!("partition {partition}: {error}")));
            }
        };
        if let Some(error) = error {
            warn!(partition = partition.0, %error, "cannot decide for now");
            failing.stuck(partition, DECIDER, error.to_string(), ports.runtime.now());
            let fault = match error {
                EngineError::Journal(fault) => fault,
                error => unavailable(error.to_string()),
            };
            tail.set_leading(partition, Err(fault));
        }
        failures += 1;
        Metric::DeciderLeading.gauge(&[&partition.to_string()]).set(0.0);
        let nonce = ports.runtime.nonce()[0];
        let wait = ports.settings.claim_retry * failures.min(CLAIM_RETRY_FACTOR_MAX);
        ports.runtime.sleep(wait.mul_f64(0.5 + f64::from(nonce) / 256.0)).await;
    }
}

/// The identity that an input is decided by, where it has one.
fn asked(pending: &Pending) -> Option<Identity> {
    let opened = pending.opened.as_ref().ok()?;
    match &opened.request.command {
        Command::Lookup { issuer, id } => Some(looked_up(&opened.request.stream, issuer, id)),
        _ => keeps_identity(opened).then_some(opened.identity),
    }
}

/// Claims and decides until the claim is lost; says why it was.
async fn lead(
    (ports, tail, failing): (&Ports, &Tail, &Failures),
    (claiming, partition): (&Claiming, PartitionId),
    failures: &mut u32,
) -> Result<&'static str, EngineError> {
    ports.journal.prepare(partition);
    let (mut state, mut head) = resume::load(ports, tail, partition).await?;
    tail.reach(partition, &head).await?;
    resume::catch_up(ports, tail, &mut state, &mut head).await?;
    if !claiming.is_confirmed(state.progress[Lane::Commands.index()].low()).await? {
        return Ok("the partition is another member's");
    }
    let owner = ports.runtime.nonce();
    let epoch = head.epoch() + 1;
    let claim = pb::Claim {
        epoch,
        owner: Bytes::copy_from_slice(&owner),
        feature_level: FEATURE_LEVEL,
        logs: state.logs.iter().map(|log| Bytes::copy_from_slice(&log.0)).collect(),
    };
    ports.journal.append(partition, encode_claim(partition, claim)).await?;
    resume::catch_up(ports, tail, &mut state, &mut head).await?;
    if !head.is_held_by(epoch, &owner) {
        return Ok("another writer's claim came first");
    }
    if !resume::stands(ports, &state).await? {
        // Whoever led before wrote another meanwhile, and may have deleted since what the
        // one that was loaded names. From the claim on it does no more.
        (state, head) = resume::load(ports, tail, partition).await?;
        tail.reach(partition, &head).await?;
        resume::catch_up(ports, tail, &mut state, &mut head).await?;
        if !head.is_held_by(epoch, &owner) {
            return Ok("another writer's claim came soon after");
        }
    }
    state.identities.lead();
    (state.checkpoint_epoch, state.leads) = (epoch, true);
    tail.set_leading(partition, Ok(true));
    failing.resumed(partition, DECIDER, ports.runtime.now());
    Metric::DeciderLeading.gauge(&[&partition.to_string()]).set(1.0);
    let intakes = [0, 1].map(|lane: usize| Intake::starting_at(state.progress[lane].low()));
    let flushed_at = ports.runtime.now();
    Leader { ports, tail, state, head, epoch, owner, intakes, flushed_at, failures }.run().await
}

struct Leader<'a> {
    ports: &'a Ports,
    tail: &'a Tail,
    state: Deciding,
    head: Head,
    epoch: u64,
    owner: Owner,
    intakes: [Intake; 2],
    flushed_at: Timestamp,
    /// Claims without an accepted commit, one after the other.
    failures: &'a mut u32,
}

type Ack = Result<Option<Offset>, Fault>;

struct InFlight<'a> {
    acknowledged: BoxFuture<'a, Ack>,
    sealed: Sealed,
    expected: Offset,
    sent_at: Timestamp,
    /// Blocks of the index that written checkpoints had left behind by then.
    left: usize,
}

/// The write and, behind it, a merge of the index's blocks.
type Flushing<'a> = (BoxFuture<'a, Result<Option<Merged>, EngineError>>, WriteBehind);

impl<'a> Leader<'a> {
    async fn run(mut self) -> Result<&'static str, EngineError> {
        let mut gathering = Batch::default();
        let mut in_flight: Option<InFlight<'a>> = None;
        let mut flushing: Option<Flushing<'a>> = None;
        loop {
            let flush_due = flushing.is_none() && self.flush_is_due();
            // While a flush is due nothing more is decided ahead, so that what is
            // written is what is accepted.
            if flush_due && in_flight.is_none() && gathering.is_empty() {
                flushing = Some(self.flush());
            }
            let gathers =
                (!flush_due || flushing.is_some()) && !self.is_pinned_full(flushing.is_some());
            if gathers {
                self.gather(&mut gathering).await?;
            }
            if mutation::active(Mutation::WriteBehind)
                && flushing.is_none()
                && !gathering.is_empty()
            {
                flushing = Some(self.flush());
            }
            if in_flight.is_none() && !gathering.is_empty() {
                in_flight = Some(self.append(core::mem::take(&mut gathering)));
                if gathers && self.holds_input() {
                    // It did not fit: the next commit is decided meanwhile.
                    continue;
                }
            }
            // Input that cannot be taken is nothing to wake for.
            let is_deaf =
                (in_flight.is_some() || flushing.is_some()) && (!gathers || self.holds_input());
            let woken = self.wait(&mut in_flight, &mut flushing, is_deaf).await?;
            let Some(acknowledged) = woken else { continue };
            if let Some(sent) = in_flight.take()
                && let Some(lost) = self.settle(sent, acknowledged).await?
            {
                return Ok(lost);
            }
        }
    }

    /// Waits for whatever comes first; an acknowledgement is given back.
    async fn wait(
        &mut self,
        in_flight: &mut Option<InFlight<'a>>,
        flushing: &mut Option<Flushing<'a>>,
        is_deaf: bool,
    ) -> Result<Option<Ack>, EngineError> {
        let ack = async {
            match in_flight {
                Some(sent) => (&mut sent.acknowledged).await,
                None => core::future::pending().await,
            }
        };
        let flushed = async {
            match flushing {
                Some((write, _)) => write.await,
                None => core::future::pending().await,
            }
        };
        let input = self.input_or_flush(is_deaf);
        let ack = core::pin::pin!(ack);
        let flushed = core::pin::pin!(flushed);
        let first = select(flushed, input);
        let flushed = match select(ack, first).await {
            Either::Left((acknowledged, _)) => return Ok(Some(acknowledged)),
            Either::Right((Either::Left((flushed, _)), _)) => Some(flushed),
            Either::Right((Either::Right(_), _)) => None,
        };
        if let Some(result) = flushed {
            let merged = result?;
            if let Some((_, written)) = flushing.take() {
                resume::saved(&mut self.state, written);
                if let Some(merged) = merged {
                    self.state.identities.merged(merged);
                }
                Metric::StateBytes
                    .gauge(&[&self.state.partition.to_string()])
                    .set(self.state.streams.bytes() as f64);
            }
        }
        Ok(None)
    }

    /// Resolves when there may be input, or when a flush comes due.
    fn input_or_flush(&self, is_deaf: bool) -> BoxFuture<'a, ()> {
        if is_deaf {
            return core::future::pending().boxed();
        }
        let partition = self.state.partition;
        let wait = |lane: Lane| {
            let next = self.intakes[lane.index()].next();
            self.ports.inputs.wait(lane, partition, next)
        };
        let input = select(wait(Lane::Commands), wait(Lane::Internal)).map(|_| ());
        let idle = self.idle();
        async move { select(core::pin::pin!(input), idle).map(|_| ()).await }.boxed()
    }

    fn idle(&self) -> BoxFuture<'a, ()> {
        let nothing = self.state.streams.dirty_len() == 0 && self.state.identities.fresh() == 0;
        if nothing {
            return core::future::pending().boxed();
        }
        let due = self.flushed_at.saturating_add(self.ports.settings.flush_interval);
        let left = due.since(self.ports.runtime.now()).max(Duration::from_millis(1));
        self.ports.runtime.sleep(left)
    }

    fn flush_is_due(&self) -> bool {
        let settings = &self.ports.settings;
        let streams = self.state.streams.dirty_len();
        let changed = streams > 0 || self.state.identities.fresh() > 0;
        let late = self.ports.runtime.now().since(self.flushed_at) >= settings.flush_interval;
        changed && (late || streams >= settings.flush_streams_max)
            || self.state.identities.fresh() >= settings.identity_entries_max
    }

    /// Is memory full of what is not written yet? Then the flush comes first.
    fn is_pinned_full(&self, flushing: bool) -> bool {
        flushing
            && self.state.streams.is_full()
            && self.state.streams.dirty_len() >= self.ports.settings.flush_streams_max * 2
    }

    /// Is there input that did not fit into the commit that gathers?
    fn holds_input(&self) -> bool {
        self.intakes.iter().any(|intake| intake.held() > 0)
    }

    fn flush(&mut self) -> Flushing<'a> {
        self.flushed_at = self.ports.runtime.now();
        let merge = self.state.identities.merge_due(self.state.now);
        let mut written = resume::snapshot(&self.state, &self.head);
        let batch = core::mem::take(&mut written.batch);
        let store = self.ports.store.as_ref();
        let write = async move {
            store.write(batch).await?;
            match merge {
                Some(merge) => merge.run(store).await.map(Some),
                None => Ok(None),
            }
        };
        (write.boxed(), written)
    }

    /// Takes in what is there, loads what it needs, and decides as much as fits.
    async fn gather(&mut self, batch: &mut Batch) -> Result<(), EngineError> {
        self.read_ahead().await?;
        let room = self.ports.settings.commit_inputs_max.saturating_sub(batch.len());
        let mut taken: Vec<Pending> = Vec::new();
        while taken.len() < room {
            // Turn about, so that neither lane starves the other.
            let streams = &self.state.streams;
            let internal = self.intakes[1].take(|stream| streams.background_share(stream));
            let command = self.intakes[0].take(|_| 1);
            if internal.is_none() && command.is_none() {
                break;
            }
            taken.extend(internal);
            taken.extend(command);
        }
        let prepared = self.prepare(taken).await?;
        let mut rest = prepared.into_iter();
        while let Some(next) = rest.next() {
            let traced = self.traced(&next.pending);
            if let Some(pending) = batch.add(&mut self.state, next) {
                let back: Vec<Pending> = rest.map(|it| it.pending).collect();
                for pending in back.into_iter().rev().chain([pending]) {
                    self.intakes[pending.lane.index()].give_back(pending);
                }
                break;
            }
            if let Some((context, began)) = traced {
                batch.trace(context, began, self.ports.runtime.now());
            }
        }
        self.state.streams.shrink(&self.state.own_stream);
        Ok(())
    }

    /// The trace that an input belongs to, and the time at which its decision begins.
    fn traced(&self, pending: &Pending) -> Option<(TraceContext, Timestamp)> {
        let opened = pending.opened.as_ref().ok()?;
        let runtime = self.ports.runtime.as_ref();
        let context = spans::context(runtime, opened.trace_parent.as_deref())?;
        Some((context, runtime.now()))
    }

    async fn read_ahead(&mut self) -> Result<(), EngineError> {
        let ports = self.ports;
        let latest = ports.runtime.now().saturating_add(SKEW_MAX);
        for lane in Lane::ALL {
            let intake = &mut self.intakes[lane.index()];
            let room = ports.settings.read_ahead_inputs_max.saturating_sub(intake.held());
            if room == 0 {
                continue;
            }
            let records =
                ports.inputs.read(lane, self.state.partition, intake.next(), room).await?;
            for record in records {
                if record.appended_at > latest {
                    return Err(unavailable(format!(
                        "input {} claims to be appended at {}, more than {} s ahead of this clock: check the clocks",
                        record.offset,
                        record.appended_at,
                        SKEW_MAX.as_secs()
                    ))
                    .into());
                }
                let decided = &self.state.progress[lane.index()];
                intake.push(lane, record, decided, &ports.key, ports.journal.partitions());
            }
        }
        Ok(())
    }

    /// Loads the streams and index entries that the inputs need, several at a time: a store
    /// that is not in the process takes a while for each.
    async fn prepare(&mut self, taken: Vec<Pending>) -> Result<Vec<Prepared>, EngineError> {
        let streams = taken.iter().filter_map(|pending| {
            let stream = &pending.opened.as_ref().ok()?.request.stream;
            (!self.state.streams.contains(stream)).then(|| stream.clone())
        });
        let streams: Vec<StreamId> = streams.collect();
        resume::hydrate(self.ports, &mut self.state.streams, &streams).await?;
        let state = &self.state;
        let asked = taken.iter().enumerate().filter_map(|(index, pending)| {
            let now = state.now.max(pending.appended_at);
            let identity = asked(pending)?;
            let unknown = state.identities.recent(&identity).is_none()
                && state.identities.must_ask(&identity, now);
            unknown.then_some((index, identity, now))
        });
        let store = self.ports.store.as_ref();
        let asking = |(index, identity, now)| {
            async move { Ok((index, state.identities.ask(store, &identity, now).await?)) }.boxed()
        };
        let answers: Vec<BoxFuture<'_, Result<_, EngineError>>> = asked.map(asking).collect();
        let answers = stream::iter(answers).buffered(resume::READS_AT_ONCE_MAX);
        let answers: Vec<_> = answers.try_collect().await?;
        let prepared = taken.into_iter().map(|pending| Prepared { pending, known: None });
        let mut prepared: Vec<Prepared> = prepared.collect();
        for (index, known) in answers {
            prepared[index].known = known;
        }
        Ok(prepared)
    }

    fn append(&mut self, batch: Batch) -> InFlight<'a> {
        let fresh: Option<CurrentClaim> = self.head.claim.clone().filter(|claim| claim.fresh);
        let expected = self.state.next_offset;
        let sealed = batch.seal(&mut self.state, self.epoch, self.owner, fresh.as_ref());
        Metric::CommitBytes.histogram(&[]).record(sealed.bytes.len() as f64);
        let acknowledged = self.ports.journal.append(self.state.partition, sealed.bytes.clone());
        let (sent_at, left) = (self.ports.runtime.now(), self.state.identities.left());
        InFlight { acknowledged, sealed, expected, sent_at, left }
    }

    /// The answer rule. Says why the claim is lost, if it is.
    async fn settle(
        &mut self,
        sent: InFlight<'a>,
        acknowledged: Ack,
    ) -> Result<Option<&'static str>, EngineError> {
        let offset = acknowledged?;
        let acknowledged_at = self.ports.runtime.now();
        let elapsed = acknowledged_at.since(sent.sent_at);
        Metric::AppendSeconds.histogram(&[]).record(elapsed.as_secs_f64());
        if is_settled(&self.head, offset) {
            let at = self.head.offset;
            let verdict = fold(&mut self.head, &sent.sealed.head, &sent.sealed.hash);
            if verdict != Verdict::Accepted {
                return Ok(Some("the fold did not accept a commit at its own place"));
            }
            if !sent.sealed.traced.is_empty() {
                let appended = spans::Appended {
                    partition: self.state.partition,
                    offset: at,
                    commit: &sent.sealed.commit,
                    bytes: sent.sealed.bytes.len(),
                    began: sent.sent_at,
                    ended: acknowledged_at,
                };
                spans::decided(self.ports.runtime.as_ref(), &sent.sealed.traced, &appended);
            }
            self.publish(sent.sealed, at);
            self.state.identities.accepted(sent.left);
            *self.failures = 0;
            return Ok((at != sent.expected).then_some("records of others came between"));
        }
        let accepted = self.read_back(&sent.sealed.hash).await?;
        // Places that later decisions named are off, so all of it is read anew.
        Ok(Some(if accepted {
            "records of others came between"
        } else {
            "another writer took over"
        }))
    }

    /// Reads to an end fetched now, and folds; is our record among the accepted?
    async fn read_back(&mut self, own: &Hash) -> Result<bool, EngineError> {
        let partition = self.state.partition;
        let end = self.ports.journal.end(partition).await?;
        let mut accepted = false;
        while self.head.offset < end {
            let read = self.ports.settings.read_bytes_max;
            for record in self.ports.journal.read(partition, self.head.offset, read).await? {
                let (verdict, item) = fold_record(partition, &mut self.head, &record.bytes);
                accepted |= item.as_ref().is_some_and(|item| item.entry.hash == *own);
                self.tail.advance(partition, verdict, &self.head, item);
            }
        }
        Ok(accepted)
    }

    fn publish(&mut self, sealed: Sealed, offset: Offset) {
        let partition = self.state.partition;
        for (lane, progress) in Lane::ALL.into_iter().zip(&self.state.progress) {
            // What the next batch decided meanwhile is not accepted yet.
            let stated = sealed.commit.progress.get(lane.index());
            let low = stated.map_or(0, |stated| stated.low).min(progress.low());
            self.ports.inputs.forget(lane, partition, low);
        }
        Metric::CommitsAppended.counter(&[]).increment(1);
        count_outcomes(&sealed.commit);
        let item = TailItem {
            entry: Entry { partition, offset, hash: sealed.hash, commit: sealed.commit },
            head: self.head.clone(),
            keys: sealed.keys,
            bytes: sealed.bytes.len(),
            traced: spans::inputs_of(&sealed.traced),
        };
        self.tail.advance(partition, Verdict::Accepted, &self.head, Some(item));
    }
}

fn count_outcomes(commit: &pb::Commit) {
    let mut by_status = std::collections::BTreeMap::new();
    for outcome in &commit.outcomes {
        *by_status.entry(outcome.status).or_insert(0_u64) += 1;
    }
    for (status, count) in by_status {
        let outcome = pb::Outcome { status, ..pb::Outcome::default() };
        let word = status_of(&outcome).map_or("unknown", status_word);
        Metric::CommandsDecided.counter(&[word]).increment(count);
    }
}
