//! The gateway's side of a command: sealed, capped, submitted, and answered from
//! this process's own fold of the journal, never from an acknowledgement.

use core::time::Duration;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use exchequer_codec::{encode_command, protected_to_proto, seal_with_digest, status_of};
use exchequer_journal::{Fault, FaultKind, Lane};
use exchequer_kernel::Status;
use exchequer_proto::journal::v1 as pb;
use exchequer_runtime::Metric;
use exchequer_tenant::Command;
use exchequer_types::{
    ActorId, CommandId, Identity, Issuer, Offset, PartitionId, Place, Protected, StreamId,
    TenantId, Timestamp,
};
use futures::future::{Either, select};
use prost::Message;
use tokio::sync::oneshot;

use crate::settings::COMMAND_BYTES_MAX;
use crate::tail::{InputKey, Tail, TailItem, TailListener};
use crate::{Failures, Ports, Token};

const SHARDS: usize = 64;

/// A command with everything its envelope says.
#[derive(Clone, Debug)]
pub struct Submission {
    pub stream: StreamId,
    pub issuer: Issuer,
    pub id: CommandId,
    pub actor: ActorId,
    /// The tenant that `actor` belongs to, where that is known.
    pub home: Option<TenantId>,
    pub command: Command,
    pub expected_version: Option<u64>,
    pub not_after: Option<Timestamp>,
    pub validate_only: bool,
    /// Where the call came from, encrypted under the actor's key.
    pub origin: Option<Protected>,
    /// W3C trace context of the call.
    pub trace_parent: Option<String>,
    /// What the body digest is computed over instead of the payload: the clear
    /// request, where the payload is encrypted anew each time.
    pub digest_of: Option<Bytes>,
}

impl Submission {
    /// A command without conditions, from nowhere in particular.
    pub fn new(
        stream: StreamId,
        issuer: Issuer,
        id: CommandId,
        actor: ActorId,
        command: Command,
    ) -> Self {
        Self {
            stream,
            issuer,
            id,
            actor,
            home: None,
            command,
            expected_version: None,
            not_after: None,
            validate_only: false,
            origin: None,
            trace_parent: None,
            digest_of: None,
        }
    }
}

/// What the journal says of a command.
#[derive(Clone, Debug)]
pub struct Answer {
    pub outcome: pb::Outcome,
    pub partition: PartitionId,
    /// Of the outcome: the first one, when the command was a repetition.
    pub place: Place,
    /// The time of the commit that decided it.
    pub decided_at: Timestamp,
}

impl Answer {
    pub fn status(&self) -> Option<Status> {
        status_of(&self.outcome)
    }

    /// For a query that must see what the command did.
    pub fn token(&self) -> Token {
        Token::behind(self.partition, self.place.offset)
    }
}

/// Why a command has no answer. Whether it will be decided is unknown, unless
/// said otherwise: ask again under the same id.
#[derive(Clone, Debug, thiserror::Error)]
pub enum SubmitError {
    /// Not submitted.
    #[error("the tenant has {commands_max} undecided commands: retry later")]
    TenantOverloaded { commands_max: usize },
    /// Not submitted.
    #[error("too many undecided commands: retry later")]
    Overloaded,
    /// Not submitted.
    #[error("a command has at most {bytes_max} bytes, this one {bytes}")]
    TooLarge { bytes: usize, bytes_max: usize },
    /// What was submitted before the disk was full is decided when there is space.
    #[error("no space left to write commands: retry with the same command id when there is")]
    Full,
    #[error("no outcome within the deadline: ask again with the same command id")]
    Deadline,
    #[error("the partition cannot decide at the moment: {0}")]
    Unavailable(String),
}

type Decided = Result<Answer, Fault>;

/// Submits commands and waits for their outcomes. Cloning shares it.
#[derive(Clone, Debug)]
pub struct Gateway {
    ports: Ports,
    tail: Arc<Tail>,
    waiting: Arc<Waiting>,
    failures: Arc<Failures>,
}

#[derive(Debug)]
struct Waiting {
    shards: Vec<Mutex<HashMap<InputKey, Slot>>>,
    /// Undecided commands by stream, sharded by it.
    by_stream: Vec<Mutex<HashMap<StreamId, usize>>>,
    total: std::sync::atomic::AtomicUsize,
}

#[derive(Debug)]
struct Slot {
    stream: StreamId,
    partition: PartitionId,
    /// Outcomes still to come for this key.
    submissions: usize,
    callers: Vec<oneshot::Sender<Decided>>,
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Gateway {
    /// A gateway that answers from `tail`.
    pub fn new(ports: Ports, tail: Arc<Tail>) -> Self {
        let waiting = Arc::new(Waiting {
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            by_stream: (0..SHARDS).map(|_| Mutex::default()).collect(),
            total: std::sync::atomic::AtomicUsize::new(0),
        });
        tail.listen(Arc::<Waiting>::clone(&waiting));
        Self { ports, tail, waiting, failures: Arc::default() }
    }

    /// Submits a command and waits at most `patience` for its outcome.
    pub async fn submit(
        &self,
        submission: Submission,
        patience: Duration,
    ) -> Result<Answer, SubmitError> {
        let partition = self.tail.partition_of(&submission.stream);
        let lane =
            if submission.issuer.as_str() == "api" { Lane::Commands } else { Lane::Internal };
        let stream = submission.stream.clone();
        let digest_of = submission.digest_of.clone();
        let (envelope, identity) = self.envelope(submission);
        let (sealed, body_digest) =
            seal_with_digest(&self.ports.key, envelope, digest_of.as_deref());
        let key = InputKey { identity, body_digest };
        self.submit_keyed(lane, partition, stream, key, sealed, patience).await
    }

    fn envelope(&self, submission: Submission) -> (pb::Envelope, Identity) {
        let stream = submission.stream.to_string();
        let issuer = submission.issuer.into_string();
        let identity = Identity::of(&stream, &issuer, submission.id.as_str());
        // What is never sent has no type: it would be dead-lettered, not lost.
        let (kind, payload) = encode_command(&submission.command).unwrap_or_default();
        let envelope = pb::Envelope {
            stream,
            issuer,
            id: submission.id.into_string(),
            r#type: kind.to_owned(),
            payload,
            actor: submission.actor.into_string(),
            claimed_at: self.ports.runtime.now().micros(),
            expected_version: submission.expected_version,
            not_after: submission.not_after.map(Timestamp::micros),
            body_digest: Bytes::new(),
            validate_only: submission.validate_only,
            partition: match submission.stream {
                StreamId::Partition(partition) => Some(partition.0),
                StreamId::Tenant(_) => None,
            },
            origin: submission.origin.as_ref().map(protected_to_proto),
            trace_parent: submission.trace_parent.unwrap_or_default(),
            replay_of: String::new(),
            actor_home: submission.home.map(TenantId::into_string).unwrap_or_default(),
        };
        (envelope, identity)
    }

    /// Submits a sealed command, such as one that is sent on, to `partition`.
    pub async fn submit_sealed(
        &self,
        lane: Lane,
        partition: PartitionId,
        stream: StreamId,
        identity: Identity,
        sealed: Bytes,
        patience: Duration,
    ) -> Result<Answer, SubmitError> {
        let key = InputKey { identity, body_digest: body_digest(&sealed) };
        self.submit_keyed(lane, partition, stream, key, sealed, patience).await
    }

    async fn submit_keyed(
        &self,
        lane: Lane,
        partition: PartitionId,
        stream: StreamId,
        key: InputKey,
        sealed: Bytes,
        patience: Duration,
    ) -> Result<Answer, SubmitError> {
        let bytes = sealed.len();
        if bytes > COMMAND_BYTES_MAX {
            return Err(SubmitError::TooLarge { bytes, bytes_max: COMMAND_BYTES_MAX });
        }
        if let Some(fault) = self.tail.fault(partition) {
            return Err(refused(fault));
        }
        let mut doubt = Doubt { waiting: &self.waiting, key, is_over: true };
        let decided = self.enter(key, stream, partition, lane)?;
        doubt.is_over = false;
        match self.ports.inputs.submit(lane, partition, sealed).await {
            Ok(_) => doubt.is_over = true,
            // Only what certainly did not land is given up, and what a log that has stopped
            // will not tell.
            Err(fault)
                if matches!(
                    fault.kind,
                    FaultKind::Overloaded
                        | FaultKind::Full
                        | FaultKind::TooLarge
                        | FaultKind::Stopped
                ) =>
            {
                return Err(refused(fault));
            }
            Err(_) => {}
        }
        let deadline = self.ports.runtime.sleep(patience);
        let answer = match select(decided, deadline).await {
            Either::Left((Ok(decided), _)) => decided.map_err(refused)?,
            Either::Left((Err(_), _)) => {
                return Err(SubmitError::Unavailable("shutting down".to_owned()));
            }
            Either::Right(_) => return Err(SubmitError::Deadline),
        };
        // The outcome may be that of another submission of the same command.
        drop(doubt);
        self.first_answer(answer).await
    }

    fn enter(
        &self,
        key: InputKey,
        stream: StreamId,
        partition: PartitionId,
        lane: Lane,
    ) -> Result<oneshot::Receiver<Decided>, SubmitError> {
        let settings = &self.ports.settings;
        if lane == Lane::Commands {
            use std::sync::atomic::Ordering::Relaxed;
            if self.waiting.total.load(Relaxed) >= settings.commands_max {
                Metric::CommandsRefused.counter(&["overloaded"]).increment(1);
                return Err(SubmitError::Overloaded);
            }
            let mut counts = lock(self.waiting.counts(&stream));
            let count = counts.entry(stream.clone()).or_insert(0);
            if *count >= settings.tenant_commands_max {
                Metric::CommandsRefused.counter(&["tenant_overloaded"]).increment(1);
                let commands_max = settings.tenant_commands_max;
                return Err(SubmitError::TenantOverloaded { commands_max });
            }
            *count += 1;
        } else {
            *lock(self.waiting.counts(&stream)).entry(stream.clone()).or_insert(0) += 1;
        }
        let (caller, decided) = oneshot::channel();
        let mut shard = lock(self.waiting.shard(&key));
        let slot = shard.entry(key).or_insert_with(|| Slot {
            stream,
            partition,
            submissions: 0,
            callers: Vec::new(),
        });
        slot.submissions += 1;
        slot.callers.push(caller);
        self.waiting.total.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        Ok(decided)
    }

    /// A repetition is answered with the first outcome, which is read again.
    async fn first_answer(&self, answer: Answer) -> Result<Answer, SubmitError> {
        let first = answer.outcome.first.filter(|_| answer.status() == Some(Status::Repeated));
        let Some(first) = first else { return Ok(answer) };
        let partition = answer.partition;
        let place = Place { offset: first.offset, index: first.index };
        let commit = self.commit_at(partition, place.offset).await;
        let commit = commit.map_err(|fault| SubmitError::Unavailable(fault.message))?;
        let found = commit.as_ref().and_then(|commit| {
            let outcome = commit.outcomes.get(place.index as usize)?.clone();
            Some((outcome, Timestamp::saturating_from_micros(commit.now)))
        });
        match found {
            Some((outcome, decided_at)) => Ok(Answer { outcome, partition, place, decided_at }),
            None => Err(SubmitError::Unavailable(format!(
                "partition {partition} names an outcome at {}.{} that is not there",
                place.offset, place.index
            ))),
        }
    }

    /// What answers come from.
    pub fn tail(&self) -> &Arc<Tail> {
        &self.tail
    }

    /// Work of this process that is being tried again, or has stopped.
    pub fn failures(&self) -> &Arc<Failures> {
        &self.failures
    }

    /// Undecided commands submitted here.
    pub fn waiting(&self) -> usize {
        self.waiting.total.load(std::sync::atomic::Ordering::Relaxed)
    }

    /// The commit at `offset`: of those in memory, else read again from the journal. None where
    /// none is.
    pub async fn commit_at(
        &self,
        partition: PartitionId,
        offset: Offset,
    ) -> Result<Option<Arc<pb::Commit>>, Fault> {
        if let Some(commit) = self.tail.recent(partition, offset) {
            return Ok(Some(commit));
        }
        let records = self.ports.journal.read(partition, offset, 1).await?;
        Ok(records.first().and_then(|record| {
            let record = pb::Record::decode(record.bytes.clone()).ok()?;
            match record.body? {
                pb::record::Body::Commit(commit) => Some(Arc::new(commit)),
                pb::record::Body::Claim(_) => None,
            }
        }))
    }
}

impl Waiting {
    fn shard(&self, key: &InputKey) -> &Mutex<HashMap<InputKey, Slot>> {
        &self.shards[usize::from(key.identity.0[0]) % SHARDS]
    }

    fn counts(&self, stream: &StreamId) -> &Mutex<HashMap<StreamId, usize>> {
        let sum = match stream {
            StreamId::Tenant(id) => id
                .as_str()
                .bytes()
                .fold(0_usize, |sum, byte| sum.wrapping_mul(31) + usize::from(byte)),
            StreamId::Partition(id) => id.index(),
        };
        &self.by_stream[sum % SHARDS]
    }

    /// One submission of `key` is over: its callers, if it was known here. They
    /// stay when their answer is still to come, under the same key.
    fn leave(&self, key: &InputKey, is_answer: bool) -> Option<Vec<oneshot::Sender<Decided>>> {
        let mut shard = lock(self.shard(key));
        let slot = shard.get_mut(key)?;
        let callers = if is_answer { core::mem::take(&mut slot.callers) } else { Vec::new() };
        // None is left when another process sent a misrouted one on.
        let is_counted = slot.submissions > 0;
        slot.submissions -= usize::from(is_counted);
        let stream = slot.stream.clone();
        if slot.submissions == 0 && slot.callers.is_empty() {
            shard.remove(key);
        }
        drop(shard);
        if !is_counted {
            return Some(callers);
        }
        self.total.fetch_sub(1, std::sync::atomic::Ordering::Relaxed);
        let mut counts = lock(self.counts(&stream));
        if let Some(count) = counts.get_mut(&stream) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&stream);
            }
        }
        Some(callers)
    }

    /// A submission of `key` whose caller is gone did not land, or nobody knows.
    fn withdraw(&self, key: &InputKey) {
        self.leave(key, false);
        let mut shard = lock(self.shard(key));
        let Some(slot) = shard.get_mut(key) else { return };
        slot.callers.retain(|caller| !caller.is_closed());
        if slot.submissions == 0 && slot.callers.is_empty() {
            shard.remove(key);
        }
    }
}

/// A submission that the log has not acknowledged. When its caller goes before
/// there is an outcome, it is counted no more: it may never have landed, and a
/// tenant's cap must not shrink for that.
struct Doubt<'a> {
    waiting: &'a Waiting,
    key: InputKey,
    is_over: bool,
}

impl Drop for Doubt<'_> {
    fn drop(&mut self) {
        if !self.is_over {
            self.waiting.withdraw(&self.key);
        }
    }
}

impl TailListener for Waiting {
    fn accepted(&self, item: &TailItem) {
        let commit = &item.entry.commit;
        for (index, (id, outcome)) in item.keys.iter().zip(&commit.outcomes).enumerate() {
            let Some(id) = id else { continue };
            // A misrouted one is sent on, and answered elsewhere under the same id.
            let is_answer = outcome.status != i32::from(pb::OutcomeStatus::Misrouted);
            let Some(callers) = self.leave(&id.key, is_answer) else { continue };
            for caller in callers {
                let answer = Answer {
                    outcome: outcome.clone(),
                    partition: item.entry.partition,
                    place: Place { offset: item.entry.offset, index: index as u32 },
                    decided_at: item.entry.now(),
                };
                // A caller may have gone.
                let _ = caller.send(Ok(answer));
            }
        }
    }

    fn unavailable(&self, partition: PartitionId, fault: &Fault) {
        for shard in &self.shards {
            for slot in lock(shard).values_mut().filter(|slot| slot.partition == partition) {
                for caller in slot.callers.drain(..) {
                    let _ = caller.send(Err(fault.clone()));
                }
            }
        }
    }
}

fn refused(fault: Fault) -> SubmitError {
    match fault.kind {
        FaultKind::Overloaded => SubmitError::Overloaded,
        FaultKind::Full => SubmitError::Full,
        _ => SubmitError::Unavailable(fault.message),
    }
}

/// The digest that `seal` put into the envelope.
fn body_digest(sealed: &Bytes) -> [u8; 8] {
    let envelope = pb::SealedCommand::decode(sealed.clone())
        .and_then(|sealed| pb::Envelope::decode(sealed.envelope));
    envelope.ok().and_then(|it| it.body_digest.as_ref().try_into().ok()).unwrap_or_default()
}
