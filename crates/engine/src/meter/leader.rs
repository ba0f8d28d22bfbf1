//! A meter that holds the claim: it judges the next batch while a seal is in flight, and
//! folds a seal when it is accepted.

use core::time::Duration;

use bytes::Bytes;
use exchequer_codec::usage::{counts_to_proto, decode_seal, encode_seal};
use exchequer_journal::{Fault, Record as LogRecord};
use exchequer_kernel::fold::{Owner, is_settled};
use exchequer_kernel::mutation::{self, Mutation};
use exchequer_kernel::{Head, RecordHead, Verdict, fold};
use exchequer_metering::Fate;
use exchequer_proto::usage::v1 as pb;
use exchequer_runtime::Metric;
use exchequer_types::{Hash, Offset, Timestamp};
use futures::FutureExt as _;
use futures::future::{BoxFuture, Either, select};
use tokio::sync::{mpsc, watch};
use tracing::warn;

use super::correcting;
use super::folding::{Accepted, fold as fold_batch};
use super::handle::{Asked, Permit};
use super::judging::{Batch, batch_len, decoded, judge};
use super::resume::{self, Saved};
use super::state::Metering;
use super::{Context, adopting, letters, recounting, revising};
use crate::EngineError;
use crate::identities::Merged;
use crate::settings::SKEW_MAX;
use crate::tail::unavailable;

/// What a clock and a queue may be behind: an empty seal says nothing of the last moments.
const QUIET: Duration = Duration::from_secs(2);

/// A turn to write that is not used within this time is given back.
const TURN_MAX: Duration = Duration::from_secs(1);

/// All partitions together write figures that others read for half of the time at most.
const FLUSH_REST_FACTOR: u32 = 2;

pub(super) struct Leader<'a> {
    context: &'a Context,
    state: Metering,
    head: Head,
    epoch: u64,
    owner: Owner,
    /// Read and not judged yet.
    held: Vec<LogRecord>,
    /// Was what was judged last received a while ago?
    is_behind: bool,
    /// Is it a revision's turn?
    revises: bool,
    changed: watch::Receiver<u64>,
    wanted: watch::Receiver<Timestamp>,
    /// When the last flush was begun, and how long one took.
    flushed_at: Timestamp,
    flush_took: Duration,
    sealed_at: Timestamp,
    /// What is there is not sealed before, so that a seal has many records.
    lingers_until: Option<Timestamp>,
    /// Claims without an accepted seal, one after the other.
    failures: &'a mut u32,
    asked: &'a mut mpsc::Receiver<Asked>,
}

type Ack = Result<Option<Offset>, Fault>;

struct InFlight<'a> {
    acknowledged: BoxFuture<'a, Ack>,
    batch: Batch,
    dead_letters: u64,
    head: RecordHead,
    hash: Hash,
    expected: Offset,
    sent_at: Timestamp,
    /// Blocks of the index that written checkpoints had left behind by then.
    left: usize,
}

/// How far the write behind is.
enum Flushing<'a> {
    Not,
    /// Waits for its turn, with nothing built. Judging goes on.
    Queued(BoxFuture<'a, Permit<'a>>),
    /// Has its turn: what is in flight is settled before it is built.
    Next(Permit<'a>),
    /// The write and, behind it, a merge of the index's blocks.
    Writing(BoxFuture<'a, Written>),
}

type Written = Result<(Saved, Option<Merged>), EngineError>;

enum Woken<'a> {
    Acknowledged(Ack),
    MayFlush(Permit<'a>),
    GiveWay,
    Flushed(Box<Written>),
    Asked(Asked),
    Input,
}

impl<'a> Leader<'a> {
    pub(super) fn new(
        context: &'a Context,
        state: Metering,
        head: Head,
        (epoch, owner): (u64, Owner),
        (failures, asked): (&'a mut u32, &'a mut mpsc::Receiver<Asked>),
    ) -> Self {
        let now = context.ports.runtime.now();
        let wanted = context.meters.wanted(state.partition);
        let changed = context.meters.definitions.changed();
        Self {
            context,
            state,
            head,
            epoch,
            owner,
            held: Vec::new(),
            is_behind: false,
            revises: false,
            changed,
            wanted,
            flushed_at: now,
            flush_took: Duration::ZERO,
            sealed_at: Timestamp::MIN,
            lingers_until: None,
            failures,
            asked,
        }
    }

    pub(super) async fn run(mut self) -> Result<&'static str, EngineError> {
        let mut flushing = Flushing::Not;
        let ended = self.lead(&mut flushing).await;
        // Whoever claims next must not meet a write of this claim. One that waits for its
        // turn is given up with the claim.
        if let Flushing::Writing(write) = flushing
            && let Err(error) = write.await
        {
            warn!(partition = self.state.partition.0, %error, "cannot write behind");
        }
        ended
    }

    async fn lead(&mut self, flushing: &mut Flushing<'a>) -> Result<&'static str, EngineError> {
        let mut gathered: Option<Batch> = None;
        let mut in_flight: Option<InFlight<'a>> = None;
        loop {
            if matches!(flushing, Flushing::Not) && self.flush_is_due() {
                *flushing = self.queue_flush();
            }
            // While a flush is next nothing more is judged ahead, so that what is written
            // is what is accepted.
            if in_flight.is_none() && gathered.is_none() {
                *flushing = match core::mem::replace(flushing, Flushing::Not) {
                    Flushing::Next(permit) => self.flush(permit).await?,
                    other => other,
                };
            }
            let is_next = matches!(flushing, Flushing::Next(_));
            let flushes = !matches!(flushing, Flushing::Not);
            let gathers = gathered.is_none() && !is_next && !self.is_pinned_full(flushes);
            if gathers {
                gathered = self.gather().await?;
            }
            if in_flight.is_none()
                && let Some(batch) = gathered.take()
            {
                in_flight = Some(self.append(batch));
                continue;
            }
            let listens = gathers && gathered.is_none();
            match self.wait(&mut in_flight, flushing, listens).await {
                Woken::Input => {}
                Woken::Asked(it) => {
                    let name = (it.identity, it.at);
                    let found = correcting::first_record(self.context, &mut self.state, name);
                    let found = found.await;
                    let accepted_to = self.accepted_to();
                    it.answer(found.map(|it| it.filter(|it| it.offset < accepted_to)));
                }
                Woken::MayFlush(permit) => *flushing = Flushing::Next(permit),
                Woken::GiveWay => *flushing = Flushing::Not,
                Woken::Flushed(done) => {
                    *flushing = Flushing::Not;
                    let (done, merged) = (*done)?;
                    self.flush_took = self.context.ports.runtime.now().since(self.flushed_at);
                    resume::saved(self.context, &mut self.state, done, merged);
                }
                Woken::Acknowledged(acknowledged) => {
                    if let Some(sent) = in_flight.take()
                        && let Some(lost) = self.settle(sent, acknowledged).await?
                    {
                        return Ok(lost);
                    }
                }
            }
        }
    }

    /// Waits for whatever comes first.
    async fn wait(
        &mut self,
        in_flight: &mut Option<InFlight<'a>>,
        flushing: &mut Flushing<'a>,
        listens: bool,
    ) -> Woken<'a> {
        let (context, is_writing) = (self.context, !matches!(flushing, Flushing::Not));
        let ack = async {
            match in_flight {
                Some(sent) => (&mut sent.acknowledged).await,
                None => core::future::pending().await,
            }
        };
        let flushed = async {
            match flushing {
                Flushing::Queued(turn) => Woken::MayFlush(turn.await),
                Flushing::Writing(write) => Woken::Flushed(Box::new(write.await)),
                // What is in flight may wait long for a log: others have their turn then.
                Flushing::Next(_) => {
                    context.ports.runtime.sleep(TURN_MAX).await;
                    Woken::GiveWay
                }
                Flushing::Not => core::future::pending().await,
            }
        };
        let input = self.input(listens, is_writing);
        let (ack, flushed, input) =
            (core::pin::pin!(ack), core::pin::pin!(flushed), core::pin::pin!(input));
        // Where seals are acknowledged at once, the flush still comes to its turn.
        match select(flushed, select(ack, input)).await {
            Either::Right((Either::Left((acknowledged, _)), _)) => {
                Woken::Acknowledged(acknowledged)
            }
            Either::Left((woken, _)) | Either::Right((Either::Right((woken, _)), _)) => woken,
        }
    }

    /// Resolves when there may be something to seal or to write, or somebody asks.
    async fn input(&mut self, listens: bool, is_writing: bool) -> Woken<'a> {
        let due = self.next_due(is_writing);
        let (context, state) = (self.context, &self.state);
        let runtime = &context.ports.runtime;
        let now = runtime.now();
        let left = |at: Timestamp| runtime.sleep(at.since(now).max(Duration::from_millis(1)));
        let (changed, wanted) = (self.changed.changed(), self.wanted.changed());
        let news = async {
            match (listens, self.lingers_until) {
                (false, _) => core::future::pending().await,
                (true, Some(until)) => left(until).await,
                (true, None) => {
                    let record = context.meters.ports.log.wait(state.partition, state.next);
                    let changed = core::pin::pin!(changed);
                    let wanted = core::pin::pin!(wanted);
                    select(select(record, left(due)), select(changed, wanted)).await;
                }
            }
        };
        let (news, asked) = (core::pin::pin!(news), core::pin::pin!(self.asked.recv()));
        match select(news, asked).await {
            Either::Right((Some(asked), _)) => Woken::Asked(asked),
            Either::Left(_) | Either::Right((None, _)) => Woken::Input,
        }
    }

    /// When a flush, unless there is one, or an empty seal comes due, if nothing else comes
    /// before.
    fn next_due(&self, is_writing: bool) -> Timestamp {
        let settings = &self.context.ports.settings.usage;
        let idle = self.sealed_at.saturating_add(settings.idle_seal_interval);
        if self.has_unwritten() && !is_writing { idle.min(self.flush_due_at()) } else { idle }
    }

    fn has_unwritten(&self) -> bool {
        let source = self.context.meters.live.source(self.state.partition);
        source.is_some_and(|source| source.has_unwritten())
    }

    /// When figures are written that are in memory: when nothing has come for a while, or
    /// others ask the store for them; after the interval at the latest. What came a while ago
    /// is judged first: figures that others read are late then anyhow, and writing them would
    /// make them later.
    fn flush_due_at(&self) -> Timestamp {
        let settings = &self.context.ports.settings.usage;
        let idle = settings.idle_flush_interval;
        let late = self.flushed_at.saturating_add(settings.flush_interval);
        if self.is_behind {
            return late;
        }
        let quiet = self.sealed_at.max(self.flushed_at).saturating_add(idle);
        let rest = self.flush_took * FLUSH_REST_FACTOR * self.context.partitions();
        let shared = self.flushed_at.saturating_add(idle.max(rest));
        let late = if self.held.is_empty() { late.min(quiet) } else { late };
        if settings.read_by_others { late.min(shared) } else { late }
    }

    fn flush_is_due(&self) -> bool {
        let now = self.context.ports.runtime.now();
        self.context.is_full(&self.state)
            || !self.state.touched.is_empty()
            || now >= self.flush_due_at() && self.has_unwritten()
    }

    /// Is memory full of what is not written yet? Then the flush comes first.
    fn is_pinned_full(&self, flushing: bool) -> bool {
        let settings = &self.context.ports.settings.usage;
        let partitions = self.context.partitions() as usize;
        let source = self.context.meters.live.source(self.state.partition);
        flushing
            && (self.state.identities.recent_len() >= settings.identity_entries_max * 3 / 2
                || source.is_some_and(|it| it.bytes() >= settings.cells_bytes_max * 2 / partitions))
    }

    fn queue_flush(&self) -> Flushing<'a> {
        let mut turn = self.context.meters.may_flush().boxed();
        match (&mut turn).now_or_never() {
            Some(permit) => Flushing::Next(permit),
            None => Flushing::Queued(turn),
        }
    }

    async fn flush(&mut self, permit: Permit<'a>) -> Result<Flushing<'a>, EngineError> {
        self.flushed_at = self.context.ports.runtime.now();
        let written = resume::snapshot(self.context, &mut self.state, &self.head).await?;
        let write = |it| Flushing::Writing(resume::write(self.context, it, permit).boxed());
        Ok(written.map_or(Flushing::Not, write))
    }

    /// Judges what is there, as much as one seal takes; none when there is nothing to seal.
    async fn gather(&mut self) -> Result<Option<Batch>, EngineError> {
        let context = self.context;
        let settings = &context.ports.settings.usage;
        self.changed.borrow_and_update();
        let now = context.ports.runtime.now();
        self.lingers_until = None;
        // Turn about, so that neither waits for the other.
        self.revises = !self.revises;
        if self.revises
            && let Some(batch) = revising::revise(context, &mut self.state, None).await?
        {
            return Ok(Some(batch));
        }
        self.read().await?;
        let lingers_until = self.sealed_at.saturating_add(settings.seal_linger);
        if !self.held.is_empty()
            && self.held.len() < settings.batch_records_max / 2
            && now < lingers_until
        {
            self.lingers_until = Some(lingers_until);
            return Ok(None);
        }
        if self.held.is_empty() {
            self.is_behind = false;
            return self.gather_nothing(now).await;
        }
        let latest = now.saturating_add(SKEW_MAX);
        let count = self.held.len().min(settings.batch_records_max);
        let rest = self.held.split_off(count);
        let mut records = core::mem::replace(&mut self.held, rest);
        let read = decoded(context, &records, self.state.spare.read());
        if let Some(ahead) = read.iter().find(|record| record.received_at > latest) {
            let message = format!(
                "a usage record of partition {} claims to be received at {}, more than {} s ahead of this clock: check the clocks",
                self.state.partition,
                ahead.received_at,
                SKEW_MAX.as_secs()
            );
            return Err(unavailable(message).into());
        }
        let source = context.meters.definitions.as_ref();
        let length = batch_len(&read);
        let (adopted, known) = adopting::adopt(&mut self.state, source, &read[..length]).await?;
        let mut batch = judge(context, &mut self.state, &records[..known], &read[..known]).await?;
        self.state.spare.take_back_read(read);
        batch.adopted = adopted;
        self.is_behind = batch.through < now.saturating_sub(QUIET);
        let mut unknown = records.split_off(known);
        unknown.append(&mut self.held);
        self.held = unknown;
        Ok(Some(batch))
    }

    /// A seal without records, when something is to be taken over or somebody waits for
    /// the time to go on.
    async fn gather_nothing(&mut self, now: Timestamp) -> Result<Option<Batch>, EngineError> {
        let context = self.context;
        let settings = &context.ports.settings.usage;
        if let Some(batch) = revising::revise(context, &mut self.state, None).await? {
            return Ok(Some(batch));
        }
        let source = context.meters.definitions.as_ref();
        let quiet = now.saturating_sub(QUIET).max(self.state.through);
        let wanted = *self.wanted.borrow_and_update();
        let is_wanted = self.state.through < wanted && wanted <= quiet;
        let is_due =
            now.since(self.sealed_at) >= settings.idle_seal_interval && self.state.through < quiet;
        let mut batch = Batch::empty(self.state.next, self.state.through);
        if adopting::is_behind(&self.state, source) {
            (batch.adopted, _) = adopting::adopt(&mut self.state, source, &[]).await?;
        }
        if batch.adopted.is_empty() && !is_wanted && !is_due {
            // What is wanted may become due by itself.
            if self.state.through < wanted {
                self.lingers_until = Some(wanted.saturating_add(QUIET));
            }
            return Ok(None);
        }
        batch.through = quiet;
        self.state.through = quiet;
        Ok(Some(batch))
    }

    async fn read(&mut self) -> Result<(), EngineError> {
        let settings = &self.context.ports.settings;
        if self.held.len() >= settings.usage.batch_records_max {
            return Ok(());
        }
        let next = self.held.last().map_or(self.state.next, |record| record.offset + 1);
        let log = &self.context.meters.ports.log;
        let bytes = settings.usage.read_bytes_max;
        let mut read = log.read(self.state.partition, next, bytes).await?;
        if self.held.is_empty() {
            self.held = read;
        } else {
            self.held.append(&mut read);
        }
        Ok(())
    }

    /// Sends on what belongs elsewhere, and then seals the batch.
    fn append(&mut self, mut batch: Batch) -> InFlight<'a> {
        let (context, partition) = (self.context, self.state.partition);
        let letters = letters::of(context, partition, &batch);
        let dead_letters = letters::count(&letters);
        let forwards = core::mem::take(&mut batch.forwards);
        let fresh = self.head.claim.as_ref().filter(|claim| claim.fresh).map(|claim| claim.hash);
        let (expected, prev) = (self.state.next_seal, self.state.hash);
        let seq = self.state.seq + 1;
        let seal = pb::Seal {
            epoch: self.epoch,
            owner: Bytes::copy_from_slice(&self.owner),
            seq,
            prev: Bytes::copy_from_slice(&prev.0),
            claim: fresh.map(|hash| Bytes::copy_from_slice(&hash.0)).unwrap_or_default(),
            from: batch.from,
            to: batch.to,
            through: batch.through.micros(),
            adopted: core::mem::take(&mut batch.adopted),
            counts: counts_to_proto(&batch.counts),
            root: Bytes::copy_from_slice(&batch.root.0),
            revision: batch.revision.take(),
        };
        let head =
            RecordHead::Commit { epoch: self.epoch, owner: self.owner, seq, prev, claim: fresh };
        let (bytes, hash) = encode_seal(partition, seal);
        self.state.seq = seq;
        self.state.hash = hash;
        self.state.next_seal += 1;
        let ports = &context.meters.ports;
        let acknowledged = if letters.is_empty() && forwards.is_empty() {
            // At once: the next batch is judged meanwhile.
            ports.seals.append(partition, bytes)
        } else {
            let sent_on = async move {
                letters::publish(context, partition, letters).await;
                for (to, record) in forwards {
                    ports.log.append(to, record).await?;
                }
                ports.seals.append(partition, bytes).await
            };
            sent_on.boxed()
        };
        let (sent_at, left) = (context.ports.runtime.now(), self.state.identities.left());
        self.sealed_at = sent_at;
        InFlight { acknowledged, batch, dead_letters, head, hash, expected, sent_at, left }
    }

    /// The answer rule. Says why the claim is lost, if it is.
    async fn settle(
        &mut self,
        mut sent: InFlight<'a>,
        acknowledged: Ack,
    ) -> Result<Option<&'static str>, EngineError> {
        let offset = acknowledged?;
        let elapsed = self.context.ports.runtime.now().since(sent.sent_at);
        Metric::SealSeconds.histogram(&[]).record(elapsed.as_secs_f64());
        if let (true, Some(at)) = (mutation::active(Mutation::SealFence), offset) {
            // What others wrote is passed over unread.
            (self.head.offset, sent.expected, self.state.next_seal) = (at, at, at + 1);
        }
        if is_settled(&self.head, offset) {
            let at = self.head.offset;
            if fold(&mut self.head, &sent.head, &sent.hash) != Verdict::Accepted {
                return Ok(Some("the fold did not accept a seal at its own place"));
            }
            self.state.tally.dead_letters += sent.dead_letters;
            self.accepted(&sent.batch, at);
            self.state.identities.accepted(sent.left);
            self.state.spare.take_back(sent.batch);
            *self.failures = 0;
            return Ok((at != sent.expected).then_some("records of others came between"));
        }
        let accepted = self.read_back(&sent.hash).await?;
        // What was judged ahead stands on it: all of it is read anew.
        Ok(Some(if accepted {
            "records of others came between"
        } else {
            "another meter took over"
        }))
    }

    /// Reads to an end fetched now, and folds; is our record among the accepted?
    async fn read_back(&mut self, own: &Hash) -> Result<bool, EngineError> {
        let (partition, seals) = (self.state.partition, &self.context.meters.ports.seals);
        let end = seals.end(partition).await?;
        let mut accepted = false;
        while self.head.offset < end {
            let read = self.context.ports.settings.read_bytes_max;
            for record in seals.read(partition, self.head.offset, read).await? {
                let (head, hash, _) = decode_seal(partition, &record.bytes);
                let verdict = fold(&mut self.head, &head, &hash);
                super::count(partition, verdict, self.head.offset);
                accepted |= verdict == Verdict::Accepted && hash == *own;
            }
        }
        Ok(accepted)
    }

    /// Records below it are in accepted seals.
    fn accepted_to(&self) -> Offset {
        self.context.meters.state(self.state.partition).next
    }

    fn accepted(&mut self, batch: &Batch, offset: Offset) {
        let context = self.context;
        let partition = self.state.partition;
        let accepted = Accepted { partition, seq: self.head.seq, offset };
        fold_batch(&context.meters.live, &context.ports.key, accepted, batch);
        recounting::note(&mut self.state, accepted.seq, &batch.contributions);
        for (fate, count) in Fate::ALL.into_iter().zip(batch.counts) {
            if count > 0 {
                Metric::UsageRecordsJudged.counter(&[fate.as_str()]).increment(count);
            }
        }
        context.meters.tell_backfills(partition, &self.state.revisions);
        let tally = self.state.tally;
        context.meters.update(partition, |it| {
            it.seq = accepted.seq;
            it.next = batch.to;
            it.through = batch.through;
            it.tally = tally;
        });
    }
}
