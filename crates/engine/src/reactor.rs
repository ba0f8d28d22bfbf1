//! Reactors: run processes. Each destination has its own cursors, so a slow one
//! delays only itself; a cursor passes a commit only when every command that it
//! caused has its outcome in the journal.

use core::time::Duration;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use exchequer_codec::{Entry, Opened, forward, open, status_of};
use exchequer_journal::Lane;
use exchequer_kernel::mutation::{self, Mutation};
use exchequer_kernel::{Forwarding, Head, Process, Reaction, Status};
use exchequer_readstore::Batch;
use exchequer_runtime::{Metric, TaskError};
use exchequer_tenant::Command;
use exchequer_types::{
    ActorId, CommandId, Identity, Issuer, LogId, PartitionId, StreamId, Timestamp,
};
use futures::future::{BoxFuture, Either, select};
use futures::stream::{FuturesUnordered, StreamExt as _};
use tracing::warn;

use crate::gateway::Submission;
use crate::tables::{READERS, reader_head, reader_key, reader_write};
use crate::{EngineError, Gateway, Ports};

/// One submission of a process's command waits this long for its outcome.
const PATIENCE: Duration = Duration::from_secs(10);
const RETRY_MIN: Duration = Duration::from_millis(100);
const RETRY_MAX: Duration = Duration::from_secs(30);
/// A cursor that met nothing to do is written after this many records.
const CURSOR_RECORDS_MAX: u64 = 4_096;

/// What a process asks for, as the runtime does it.
#[derive(Clone, Debug)]
pub enum Effect {
    Submit { stream: StreamId, command: Command },
    /// Send a sealed command on to where it belongs.
    Forward { partition: PartitionId, stream: StreamId, identity: Identity, sealed: Bytes },
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
                let command = Effect::Submit { stream, command };
                Reaction { destination: it.destination, id: it.id, command }
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

    fn moved(&self, destination: u32, heads: &[Head]) {
        let mut states = self.lock();
        let state = states.entry(destination).or_default();
        state.offsets = heads.iter().map(|head| head.offset).collect();
    }

    fn failed(&self, destination: u32, failure: Option<String>) {
        self.lock().entry(destination).or_default().failure = failure;
    }
}

/// Runs one process over all partitions, with as many destinations.
pub(crate) async fn run(
    ports: Ports,
    gateway: Gateway,
    react: Arc<dyn React>,
    cursors: Arc<Cursors>,
) -> Result<(), TaskError> {
    let reactor = Reactor { ports, gateway, react, cursors };
    loop {
        match reactor.follow().await {
            Ok(()) => return Ok(()),
            Err(error) if error.is_retryable() => {
                warn!(consumer = reactor.react.name(), %error, "consumer pauses");
                reactor.ports.runtime.sleep(RETRY_MAX / 10).await;
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

struct Destination {
    number: u32,
    /// By source partition.
    heads: Vec<Head>,
    /// As written.
    saved: Vec<u64>,
    busy: bool,
}

/// What a destination does next: reactions of one commit, and the place behind it.
struct Work {
    source: usize,
    head: Head,
    reactions: Vec<Reaction<Effect>>,
}

type Done = (usize, usize, Head);

impl Reactor {
    async fn follow(&self) -> Result<(), EngineError> {
        let partitions = self.gateway.tail().partitions();
        let mut destinations = Vec::new();
        for number in 0..partitions {
            let heads = self.load(number, partitions).await?;
            self.cursors.moved(number, &heads);
            let saved = heads.iter().map(|head| head.offset).collect();
            destinations.push(Destination { number, heads, saved, busy: false });
        }
        let mut changes = self.gateway.tail().changes();
        let mut running: FuturesUnordered<BoxFuture<'_, Done>> = FuturesUnordered::new();
        loop {
            changes.borrow_and_update();
            for (at, destination) in destinations.iter_mut().enumerate() {
                if destination.busy {
                    continue;
                }
                let Some(work) = self.scan(destination).await? else { continue };
                if mutation::active(Mutation::CursorOutcome) {
                    destination.heads[work.source] = work.head.clone();
                    self.save(destination, work.source).await?;
                }
                destination.busy = true;
                running.push(Box::pin(self.perform_all(at, destination.number, work)));
            }
            let finished = async {
                match running.next().await {
                    Some(done) => done,
                    None => core::future::pending().await,
                }
            };
            let changed = core::pin::pin!(changes.changed());
            if let Either::Left(((at, source, head), _)) =
                select(core::pin::pin!(finished), changed).await
            {
                let destination = &mut destinations[at];
                destination.busy = false;
                destination.heads[source] = head;
                self.save(destination, source).await?;
            }
        }
    }

    fn reader(&self, destination: u32) -> String {
        format!("consumer/{}/{destination}", self.react.name())
    }

    async fn load(&self, destination: u32, partitions: u32) -> Result<Vec<Head>, EngineError> {
        let reader = self.reader(destination);
        let mut heads = Vec::new();
        for partition in (0..partitions).map(PartitionId) {
            let key = reader_key(&reader, 0, partition);
            let head = match self.ports.store.get(&READERS, 0, key).await? {
                Some(row) => reader_head(&row.values)?,
                None => Head::default(),
            };
            self.gateway.tail().check_remembered(&reader, partition, &head).await?;
            heads.push(head);
        }
        Ok(heads)
    }

    /// Moves the destination's cursors to its next work, or to the end.
    async fn scan(&self, destination: &mut Destination) -> Result<Option<Work>, EngineError> {
        for source in 0..destination.heads.len() {
            let partition = PartitionId(source as u32);
            loop {
                let mut head = destination.heads[source].clone();
                let before = head.offset;
                let items = self.gateway.tail().next(partition, &mut head).await?;
                for item in items {
                    let mut reactions = self.react.react(&item.entry);
                    reactions.retain(|it| it.destination == destination.number);
                    if !reactions.is_empty() {
                        return Ok(Some(Work { source, head: item.head, reactions }));
                    }
                    destination.heads[source] = item.head;
                }
                if head.offset == before {
                    break;
                }
                destination.heads[source] = head;
            }
            if destination.heads[source].offset >= destination.saved[source] + CURSOR_RECORDS_MAX {
                self.save(destination, source).await?;
            }
        }
        self.report(destination);
        Ok(None)
    }

    async fn save(&self, destination: &mut Destination, source: usize) -> Result<(), EngineError> {
        let head = &destination.heads[source];
        let reader = self.reader(destination.number);
        let write = reader_write(&reader, 0, PartitionId(source as u32), head);
        self.ports.store.write(Batch { rows: Vec::new(), last: vec![write] }).await?;
        destination.saved[source] = head.offset;
        self.report(destination);
        Ok(())
    }

    fn report(&self, destination: &Destination) {
        self.cursors.moved(destination.number, &destination.heads);
        let tail = self.gateway.tail();
        let lag: u64 = (0..)
            .zip(&destination.heads)
            .map(|(source, head)| {
                tail.state(PartitionId(source)).head.offset.saturating_sub(head.offset)
            })
            .sum();
        let labels = [self.react.name(), &destination.number.to_string()];
        Metric::CursorLagEvents.gauge(&labels).set(lag as f64);
    }

    async fn perform_all(&self, at: usize, destination: u32, work: Work) -> Done {
        for reaction in &work.reactions {
            let mut wait = RETRY_MIN;
            while let Err(failure) = self.perform(reaction).await {
                warn!(consumer = self.react.name(), destination, id = reaction.id, failure, "trying again");
                self.cursors.failed(destination, Some(failure));
                self.ports.runtime.sleep(wait).await;
                wait = (wait * 2).min(RETRY_MAX);
            }
            self.cursors.failed(destination, None);
        }
        (at, work.source, work.head)
    }

    /// Done when the outcome is in the journal, whatever it says, unless it says
    /// that the command may be decided later.
    async fn perform(&self, reaction: &Reaction<Effect>) -> Result<(), String> {
        let answer = match &reaction.command {
            Effect::Submit { stream, command } => {
                let name = self.react.name();
                let submission = Submission {
                    stream: stream.clone(),
                    issuer: Issuer::parse(name).map_err(|error| error.to_string())?,
                    id: CommandId::parse(&*reaction.id).map_err(|error| error.to_string())?,
                    actor: ActorId::parse(name).map_err(|error| error.to_string())?,
                    command: command.clone(),
                    expected_version: None,
                    not_after: None,
                    validate_only: false,
                };
                self.gateway.submit(submission, PATIENCE).await
            }
            Effect::Forward { partition, stream, identity, sealed } => {
                let (stream, sealed) = (stream.clone(), sealed.clone());
                self.gateway
                    .submit_sealed(Lane::Internal, *partition, stream, *identity, sealed, PATIENCE)
                    .await
            }
        };
        let answer = answer.map_err(|error| error.to_string())?;
        match answer.status() {
            Some(Status::Parked | Status::NotAdopted | Status::Poisoned) | None => {
                Err(format!("{}: {}", answer.outcome.code, answer.outcome.message))
            }
            Some(_) => Ok(()),
        }
    }
}
