//! Reactors: run processes. Each destination has its own cursors, so a slow one
//! delays only itself; a cursor passes a commit only when every command that it
//! caused has its outcome in the journal.

mod correcting;
mod dispatch;

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use exchequer_codec::{Entry, Opened, forward, open, status_of};
use exchequer_journal::Lane;
use exchequer_kernel::mutation::{self, Mutation};
use exchequer_kernel::{Forwarding, Head, Process, Reaction, Status};
use exchequer_readstore::{Batch, Scan, Value};
use exchequer_runtime::TaskError;
use exchequer_runtime::trace::TraceContext;
use exchequer_tenant::Command;
use exchequer_types::{
    ActorId, CommandId, Identity, Issuer, LogId, PartitionId, StreamId, Timestamp,
};
use futures::future::{BoxFuture, Either, select};
use futures::stream::{FuturesUnordered, StreamExt as _};
use tracing::warn;

use crate::backoff::Backoff;
use crate::gateway::Submission;
use crate::sharing::{self, Share};
use crate::tables::{READERS, reader_head, reader_write};
use crate::{EngineError, Gateway, Ports, Tail, TailItem, spans};
pub use correcting::Correcting;
use dispatch::Dispatch;

/// One submission of a process's command waits this long for its outcome.
const PATIENCE: Duration = Duration::from_secs(10);
const RETRY_MIN: Duration = Duration::from_millis(100);
const RETRY_MAX: Duration = Duration::from_secs(30);
/// Cursors that met nothing to do are written after this long.
const SAVE_INTERVAL: Duration = Duration::from_secs(5);

/// What a process asks for, as the runtime does it.
#[derive(Clone, Debug)]
pub enum Effect {
    Submit {
        stream: StreamId,
        command: Box<Command>,
        /// The step that it follows from, when that is traced.
        cause: Option<TraceContext>,
    },
    /// Send a sealed command on to where it belongs.
    Forward { partition: PartitionId, stream: StreamId, identity: Identity, sealed: Bytes },
    /// Write a correction of a tenant's event into the usage log.
    Correct {
        partition: PartitionId,
        stream: StreamId,
        decided_at: Timestamp,
        correction: Box<exchequer_proto::usage::v1::Correction>,
    },
}

impl Effect {
    /// Whose work it is.
    fn stream(&self) -> &StreamId {
        match self {
            Self::Submit { stream, .. }
            | Self::Forward { stream, .. }
            | Self::Correct { stream, .. } => stream,
        }
    }
}

/// A process as the runtime holds it.
pub trait React: Send + Sync + core::fmt::Debug {
    fn name(&self) -> &'static str;
    fn react(&self, entry: &Entry) -> Vec<Reaction<Effect>>;
}

/// A process that asks for commands.
#[derive(Debug)]
pub struct Commanding<P>(pub P);

impl<P> React for Commanding<P>
where
    P: Process<Entry = Entry, Command = (StreamId, Command)> + Send + Sync + core::fmt::Debug,
{
    fn name(&self) -> &'static str {
        P::NAME
    }

    fn react(&self, entry: &Entry) -> Vec<Reaction<Effect>> {
        let reactions = self.0.react(entry).into_iter();
        reactions
            .map(|it| {
                let (stream, command) = it.command;
                let command = Effect::Submit { stream, command: Box::new(command), cause: None };
                Reaction { destination: it.destination, id: it.id, input: it.input, command }
            })
            .collect()
    }
}

/// Sends misrouted commands on to their partition, once.
#[derive(Debug)]
pub struct Forwarder {
    pub ports: Ports,
}

impl React for Forwarder {
    fn name(&self) -> &'static str {
        "forwarder"
    }

    fn react(&self, entry: &Entry) -> Vec<Reaction<Effect>> {
        let commit = &entry.commit;
        let outcomes = commit.inputs.iter().zip(&commit.outcomes).enumerate();
        outcomes
            .filter(|(_, (_, outcome))| status_of(outcome) == Some(Status::Misrouted))
            .filter_map(|(index, (input, outcome))| {
                let log = commit.progress.get(input.log as usize)?;
                let at = Forwarding {
                    partition: entry.partition,
                    log: LogId::from_slice(&log.log)?,
                    offset: input.offset,
                    received_at: Timestamp::saturating_from_micros(input.appended_at),
                };
                let partitions = self.ports.journal.partitions();
                let opened: Opened = open(&self.ports.key, &input.command, partitions).ok()?;
                let sealed = forward(&self.ports.key, &input.command, &at).ok()?;
                Some(Reaction {
                    destination: outcome.partition,
                    id: format!("{}-{}-{index}", entry.partition, entry.offset),
                    input: index as u32,
                    command: Effect::Forward {
                        partition: PartitionId(outcome.partition),
                        stream: opened.request.stream,
                        identity: opened.identity,
                        sealed,
                    },
                })
            })
            .collect()
    }
}

/// How a consumer's destinations stand; shared with the status page.
#[derive(Debug, Default)]
pub struct Cursors {
    by_destination: Mutex<BTreeMap<u32, CursorState>>,
}

/// One destination.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CursorState {
    /// Next offset, by source partition.
    pub offsets: Vec<u64>,
    /// The last failure, while it lasts.
    pub failure: Option<String>,
}

impl Cursors {
    pub fn states(&self) -> BTreeMap<u32, CursorState> {
        self.lock().clone()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<u32, CursorState>> {
        self.by_destination.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Commits that each destination has still to pass.
    pub fn lags(&self, tail: &Tail) -> BTreeMap<u32, u64> {
        let behind = |state: &CursorState| {
            let offsets = (0..).map(PartitionId).zip(&state.offsets);
            offsets.map(|(source, offset)| tail.offset(source).saturating_sub(*offset)).sum()
        };
        self.lock().iter().map(|(destination, state)| (*destination, behind(state))).collect()
    }

    fn moved(&self, destination: u32, offsets: impl Iterator<Item = u64>) {
        let mut states = self.lock();
        let state = states.entry(destination).or_default();
        state.offsets.clear();
        state.offsets.extend(offsets);
    }

    fn failed(&self, destination: u32, failure: Option<String>) {
        self.lock().entry(destination).or_default().failure = failure;
    }

    /// The others are another process's by now.
    fn only(&self, own: &BTreeSet<PartitionId>) {
        self.lock().retain(|destination, _| own.contains(&PartitionId(*destination)));
    }
}

/// Where a consumer's destination stands, by source partition, as the process that has it has
/// written it.
pub async fn written_cursor(
    ports: &Ports,
    consumer: &str,
    destination: u32,
) -> Result<Vec<u64>, EngineError> {
    let heads = written_heads(ports, &reader_of(consumer, destination)).await?;
    Ok(heads.into_iter().map(|head| head.offset).collect())
}

fn reader_of(consumer: &str, destination: u32) -> String {
    format!("consumer/{consumer}/{destination}")
}

async fn written_heads(ports: &Ports, reader: &str) -> Result<Vec<Head>, EngineError> {
    let mut heads = vec![Head::default(); ports.journal.partitions() as usize];
    let mut scan = Scan::of(&READERS, 0, vec![Value::text(reader)], heads.len());
    scan.to = Some(vec![Value::uint(1)]);
    for row in ports.store.scan(scan).await? {
        let at = row.key.clustering.get(1).map_or(0, Value::as_uint);
        if let Some(head) = usize::try_from(at).ok().and_then(|at| heads.get_mut(at)) {
            *head = reader_head(&row.values)?;
        }
    }
    Ok(heads)
}

/// Runs one process over all partitions, each partition being a destination.
pub(crate) async fn run(
    ports: Ports,
    gateway: Gateway,
    react: Arc<dyn React>,
    cursors: Arc<Cursors>,
    share: Share,
) -> Result<(), TaskError> {
    let reactor = Reactor { ports, gateway, react, cursors };
    let mut owned = share.watch();
    let mut backoff = Backoff::default();
    loop {
        let latest = owned.as_mut().map(|it| Arc::clone(&it.borrow_and_update()));
        let own = latest.map(|it| it.as_ref().clone()).unwrap_or_default();
        share.release_others(&own, reactor.gateway.tail().partitions());
        // What is dropped in the middle is done again, to the same effect, by whoever has
        // the destination then.
        let following = core::pin::pin!(reactor.follow(&own));
        let moved = core::pin::pin!(sharing::changed(&mut owned));
        let followed = match select(following, moved).await {
            Either::Left((followed, _)) => followed,
            Either::Right(_) => continue,
        };
        match followed {
            Ok(()) => return Ok(()),
            Err(error) if error.is_retryable() => {
                warn!(consumer = reactor.react.name(), %error, "consumer pauses");
                backoff.pause(reactor.ports.runtime.as_ref()).await;
            }
            Err(error) => return Err(TaskError(format!("{}: {error}", reactor.react.name()))),
        }
    }
}

struct Reactor {
    ports: Ports,
    gateway: Gateway,
    react: Arc<dyn React>,
    cursors: Arc<Cursors>,
}

/// A destination that finished its work.
type Done = usize;

impl Reactor {
    /// Does what is to be done for the destinations that are `own`.
    async fn follow(&self, own: &BTreeSet<PartitionId>) -> Result<(), EngineError> {
        self.cursors.only(own);
        self.gateway.failures().forget(self.react.name());
        if own.is_empty() {
            return core::future::pending().await;
        }
        let mut dispatch = self.load(own).await?;
        let mut changes = self.gateway.tail().changes();
        let mut running: FuturesUnordered<BoxFuture<'_, Done>> = FuturesUnordered::new();
        let mut saved_at = self.ports.runtime.now();
        loop {
            changes.borrow_and_update();
            self.scan(&mut dispatch).await?;
            if mutation::active(Mutation::CursorOutcome) {
                self.save(&mut dispatch).await?;
            }
            for at in 0..dispatch.destinations.len() {
                if let Some(reactions) = dispatch.destinations[at].begin() {
                    let number = dispatch.destinations[at].number;
                    running.push(Box::pin(self.perform_all((at, number), reactions)));
                }
            }
            let now = self.ports.runtime.now();
            if now.since(saved_at) >= SAVE_INTERVAL {
                self.save(&mut dispatch).await?;
                saved_at = now;
            }
            let finished = async {
                match running.next().await {
                    Some(done) => done,
                    None => core::future::pending().await,
                }
            };
            // What was passed since the last save is written though nothing more comes.
            let moved = core::pin::pin!(changes.changed());
            let news = select(moved, self.ports.runtime.sleep(SAVE_INTERVAL));
            if let Either::Left((at, _)) = select(core::pin::pin!(finished), news).await {
                dispatch.destinations[at].finish();
                self.save(&mut dispatch).await?;
            }
        }
    }

    fn reader(&self, destination: u32) -> String {
        reader_of(self.react.name(), destination)
    }

    async fn load(&self, own: &BTreeSet<PartitionId>) -> Result<Dispatch, EngineError> {
        let tail = self.gateway.tail();
        let mut all = Vec::new();
        for destination in own.iter().map(|it| it.0) {
            let reader = self.reader(destination);
            let heads = written_heads(&self.ports, &reader).await?;
            for (partition, head) in (0..).map(PartitionId).zip(&heads) {
                tail.check_remembered(&reader, partition, head).await?;
            }
            all.push((destination, heads));
        }
        let dispatch = Dispatch::new(tail.partitions() as usize, all);
        self.note(&dispatch);
        Ok(dispatch)
    }

    /// Scans on for all destinations at once, and for each that fell behind by itself.
    async fn scan(&self, dispatch: &mut Dispatch) -> Result<(), EngineError> {
        let tail = self.gateway.tail();
        for source in 0..dispatch.shared.len() {
            let partition = PartitionId(source as u32);
            while dispatch.shared[source].offset < tail.offset(partition) {
                let mut head = dispatch.shared[source].clone();
                for item in tail.next(partition, &mut head).await? {
                    let reactions = self.reactions(&item);
                    dispatch.dispatch(source, item, reactions);
                }
                dispatch.shared[source] = head;
            }
        }
        for at in 0..dispatch.destinations.len() {
            while let Some((source, mut head)) = dispatch.next_behind(at) {
                let items = tail.next(PartitionId(source as u32), &mut head).await?;
                let room = items.into_iter().all(|item| {
                    let reactions = self.reactions(&item);
                    dispatch.dispatch_behind(at, source, item, reactions)
                });
                if !room {
                    break;
                }
                dispatch.moved_behind(at, source, head);
            }
        }
        self.note(dispatch);
        Ok(())
    }

    /// What follows from a commit, with the traces that it goes on with.
    fn reactions(&self, item: &TailItem) -> Vec<Reaction<Effect>> {
        let mut reactions = self.react.react(&item.entry);
        let Some(traced) = &item.traced else { return reactions };
        for reaction in &mut reactions {
            let found = traced.iter().find(|it| it.input == reaction.input);
            if let Effect::Submit { cause, .. } = &mut reaction.command {
                *cause = found.map(|it| it.context);
            }
        }
        reactions
    }

    /// Writes the cursors that have moved.
    async fn save(&self, dispatch: &mut Dispatch) -> Result<(), EngineError> {
        let mut last = Vec::new();
        for (at, source, head) in dispatch.take_moved() {
            let (partition, reader) =
                (PartitionId(source as u32), self.reader(dispatch.destinations[at].number));
            last.push(reader_write(&reader, 0, partition, &head));
        }
        if !last.is_empty() {
            self.ports.store.write(Batch { rows: Vec::new(), last }).await?;
        }
        self.note(dispatch);
        Ok(())
    }

    fn note(&self, dispatch: &Dispatch) {
        for (at, destination) in dispatch.destinations.iter().enumerate() {
            self.cursors.moved(destination.number, dispatch.offsets(at));
        }
    }

    async fn perform_all(
        &self,
        (at, destination): (usize, u32),
        reactions: Vec<Reaction<Effect>>,
    ) -> Done {
        for reaction in &reactions {
            let mut backoff = Backoff::between(RETRY_MIN, RETRY_MAX);
            while let Err(failure) = self.perform(reaction).await {
                warn!(
                    consumer = self.react.name(),
                    destination,
                    id = reaction.id,
                    failure,
                    "trying again"
                );
                let now = self.ports.runtime.now();
                let stream = reaction.command.stream();
                self.gateway.failures().failed(stream, self.react.name(), failure.clone(), now);
                self.cursors.failed(destination, Some(failure));
                backoff.pause(self.ports.runtime.as_ref()).await;
            }
            self.gateway.failures().succeeded(reaction.command.stream(), self.react.name());
            self.cursors.failed(destination, None);
        }
        at
    }

    /// Performs a reaction once; a traced one is a step of its trace.
    async fn perform(&self, reaction: &Reaction<Effect>) -> Result<(), String> {
        let Effect::Submit { cause: Some(cause), .. } = &reaction.command else {
            return self.perform_as(reaction, None).await;
        };
        let runtime = self.ports.runtime.as_ref();
        let (step, began) = (cause.child(runtime), runtime.now());
        let done = self.perform_as(reaction, Some(step)).await;
        let failure = done.as_ref().err().map(String::as_str);
        spans::reacted(runtime, self.react.name(), *cause, step, began, failure);
        done
    }

    /// Done when the outcome is in the journal, whatever it says, unless it says
    /// that the command may be decided later.
    async fn perform_as(
        &self,
        reaction: &Reaction<Effect>,
        step: Option<TraceContext>,
    ) -> Result<(), String> {
        let answer = match &reaction.command {
            Effect::Submit { stream, command, .. } => {
                let name = self.react.name();
                let mut submission = Submission::new(
                    stream.clone(),
                    Issuer::parse(name).map_err(|error| error.to_string())?,
                    CommandId::parse(&*reaction.id).map_err(|error| error.to_string())?,
                    ActorId::parse(name).map_err(|error| error.to_string())?,
                    Command::clone(command),
                );
                submission.trace_parent = step.map(|step| step.to_string());
                self.gateway.submit(submission, PATIENCE).await
            }
            Effect::Forward { partition, stream, identity, sealed } => {
                let (stream, sealed) = (stream.clone(), sealed.clone());
                self.gateway
                    .submit_sealed(Lane::Internal, *partition, stream, *identity, sealed, PATIENCE)
                    .await
            }
            correct @ Effect::Correct { .. } => {
                return correcting::correct(&self.ports, correct).await;
            }
        };
        let answer = answer.map_err(|error| error.to_string())?;
        match answer.status() {
            // What is sent on is its sender's to retry: any outcome is their answer.
            Some(_) if matches!(reaction.command, Effect::Forward { .. }) => Ok(()),
            Some(Status::Parked | Status::NotAdopted | Status::Poisoned | Status::DeadLettered)
            | None => Err(format!("{}: {}", answer.outcome.code, answer.outcome.message)),
            Some(_) => Ok(()),
        }
    }
}
