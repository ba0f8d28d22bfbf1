//! A batch: inputs decided one after another into one commit, as far as they
//! fit. Nothing here waits; what the inputs need was loaded before.

use std::sync::Arc;

use bytes::Bytes;
use exchequer_codec::{
    Opened, encode_commit, encode_event, encode_reply, outcome_status, rejected,
};
use exchequer_kernel::fold::{CurrentClaim, Owner};
use exchequer_kernel::mutation::{self, Mutation};
use exchequer_kernel::{Progress, RecordHead, Rejection, Status};
use exchequer_proto::journal::v1 as pb;
use exchequer_runtime::Metric;
use exchequer_runtime::trace::TraceContext;
use exchequer_tenant::{Command, Decided, Decision, Leaf, Poison, Reference, Stream, park, step};
use exchequer_types::{Hash, LogId, Offset, PartitionId, Place, StreamId, Timestamp};
use prost::Message;

use super::intake::Pending;
use super::streams::Streams;
use crate::identities::{Identities, Known};
use crate::settings::{COMMAND_BYTES_MAX, COMMIT_EVENTS_MAX, IDENTITY_WINDOW};
use crate::spans::{TracedDecision, TracedInput};
use crate::tail::{InputId, InputKey, authentic_id};

/// One part in so many of a commit is kept for its own fields and its progress.
const HEADER_SHARE: usize = 8;
/// Framing of one part in the commit.
const PART_BYTES: usize = 24;

/// What one partition's decisions are made from and change. Ahead of what is
/// accepted by at most the commit in flight and the batch being decided.
#[derive(Debug)]
pub(crate) struct Deciding {
    pub(crate) partition: PartitionId,
    pub(crate) own_stream: StreamId,
    pub(crate) streams: Streams,
    pub(crate) identities: Identities,
    /// By lane.
    pub(crate) logs: [LogId; 2],
    pub(crate) progress: [Progress; 2],
    pub(crate) now: Timestamp,
    /// Of the last commit that was made.
    pub(crate) seq: u64,
    pub(crate) hash: Hash,
    /// Size of one commit.
    pub(crate) commit_bytes_max: usize,
    /// Epoch under which checkpoints are written: the claim's, and before it is
    /// accepted that of the checkpoint that was loaded.
    pub(crate) checkpoint_epoch: u64,
    /// Is the claim accepted?
    pub(crate) leads: bool,
    /// The checkpoint that was loaded; empty when there was none.
    pub(crate) loaded: Bytes,
    /// Where that commit is expected to stand, plus one.
    pub(crate) next_offset: Offset,
}

/// An input with what was loaded for it.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(crate) pending: Pending,
    /// What the blocks of the index know of its identity.
    pub(crate) known: Option<Known>,
}

/// A commit in the making.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    commit: pb::Commit,
    keys: Vec<Option<InputId>>,
    bytes: usize,
    traced: Vec<TracedDecision>,
}

/// A commit ready to be appended.
#[derive(Debug)]
pub(crate) struct Sealed {
    pub(crate) bytes: Bytes,
    pub(crate) head: RecordHead,
    pub(crate) hash: Hash,
    pub(crate) commit: Arc<pb::Commit>,
    pub(crate) keys: Arc<[Option<InputId>]>,
    pub(crate) traced: Vec<TracedDecision>,
}

/// What one input came to, before it is added.
struct Resolved {
    outcome: pb::Outcome,
    events: Vec<pb::Event>,
    leaves: Vec<Leaf>,
    /// The stream after it, when it changed.
    stream: Option<(StreamId, Stream)>,
    takes_identity: bool,
}

impl Resolved {
    fn plain(outcome: pb::Outcome) -> Self {
        Self {
            outcome,
            events: Vec::new(),
            leaves: Vec::new(),
            stream: None,
            takes_identity: false,
        }
    }
}

impl Batch {
    pub(crate) fn is_empty(&self) -> bool {
        self.commit.inputs.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.commit.inputs.len()
    }

    /// The input added last is traced.
    pub(crate) fn trace(&mut self, context: TraceContext, began: Timestamp, ended: Timestamp) {
        let traced = TracedInput { input: self.len().saturating_sub(1) as u32, context };
        self.traced.push(TracedDecision { traced, began, ended });
    }

    /// Decides `prepared` and adds it, or gives it back when the batch is full.
    pub(crate) fn add(&mut self, state: &mut Deciding, prepared: Prepared) -> Option<Pending> {
        let now = state.now.max(prepared.pending.appended_at);
        let mut resolved = state.resolve(&prepared, now);
        if !self.is_empty() && names(&resolved.outcome, state.next_offset) {
            // Where this commit will stand is not certain before it is acknowledged, and
            // its bytes cannot wait for that: the repetition goes into the next one.
            return Some(prepared.pending);
        }
        let mut size = size_of(&prepared.pending, &resolved);
        let room = state.commit_bytes_max - state.commit_bytes_max / HEADER_SHARE;
        if size > room {
            resolved = Resolved::plain(too_large());
            size = size_of(&prepared.pending, &resolved);
        }
        let events = self.commit.events.len() + resolved.events.len();
        let fits = self.bytes + size <= room
            && events <= COMMIT_EVENTS_MAX
            && self.len() < COMMIT_EVENTS_MAX;
        if !fits && !self.is_empty() {
            return Some(prepared.pending);
        }
        self.bytes += size;
        state.now = now;
        self.push(state, prepared.pending, resolved);
        None
    }

    fn push(&mut self, state: &mut Deciding, pending: Pending, resolved: Resolved) {
        let index = self.len() as u32;
        let lane = pending.lane.index();
        let seq = state.seq + 1;
        state.progress[lane].insert(pending.offset);
        if let Some((id, stream)) = resolved.stream {
            state.streams.change(&id, stream, seq);
        }
        let key = match &pending.opened {
            Ok(opened) => Some(InputId {
                key: InputKey { identity: opened.identity, body_digest: opened.body_digest },
                is_kept: keeps_identity(opened),
            }),
            Err(_) => authentic_id(&pending.bytes, &resolved.outcome),
        };
        if let Some(id) = key.filter(|_| resolved.takes_identity) {
            let place = Place { offset: state.next_offset, index };
            let known = Known { place, body_digest: id.key.body_digest, at: state.now };
            state.identities.insert(id.key.identity, known);
        }
        if let (Ok(opened), false) = (&pending.opened, resolved.leaves.is_empty()) {
            let tenant = opened.request.stream.to_string();
            self.commit.audit.extend(resolved.leaves.into_iter().map(|leaf| pb::AuditEntry {
                input: index,
                tenant: tenant.clone(),
                seq: leaf.seq,
                leaf: Bytes::from(leaf.json),
            }));
        }
        self.commit.events.extend(resolved.events.into_iter().map(|mut event| {
            event.input = index;
            event
        }));
        self.commit.outcomes.push(resolved.outcome);
        self.commit.inputs.push(input(pending));
        self.keys.push(key);
    }

    /// Closes the batch under the writer's claim.
    pub(crate) fn seal(
        self,
        state: &mut Deciding,
        epoch: u64,
        owner: Owner,
        fresh: Option<&CurrentClaim>,
    ) -> Sealed {
        let mut commit = self.commit;
        commit.epoch = epoch;
        commit.owner = Bytes::copy_from_slice(&owner);
        commit.seq = state.seq + 1;
        commit.prev = Bytes::copy_from_slice(&state.hash.0);
        commit.claim = fresh.map(|claim| Bytes::copy_from_slice(&claim.hash.0)).unwrap_or_default();
        commit.now = state.now.micros();
        commit.progress = state.progress_message();
        let head = RecordHead::Commit {
            epoch,
            owner,
            seq: commit.seq,
            prev: state.hash,
            claim: fresh.map(|claim| claim.hash),
        };
        let (bytes, commit) = encode_commit(state.partition, commit);
        let hash = Hash::blake3(&bytes);
        state.seq = commit.seq;
        state.hash = hash;
        state.next_offset += 1;
        Sealed {
            bytes,
            head,
            hash,
            commit: Arc::new(commit),
            keys: self.keys.into(),
            traced: self.traced,
        }
    }
}

impl Deciding {
    pub(crate) fn progress_message(&self) -> Vec<pb::Progress> {
        let lanes = self.logs.iter().zip(&self.progress);
        lanes
            .map(|(log, progress)| pb::Progress {
                log: Bytes::copy_from_slice(&log.0),
                low: progress.low(),
                decided: progress.ranges().map(|(from, to)| pb::Range { from, to }).collect(),
            })
            .collect()
    }

    fn resolve(&mut self, prepared: &Prepared, now: Timestamp) -> Resolved {
        match &prepared.pending.opened {
            Err(unopened) => {
                Resolved::plain(dead_letter(unopened.reason.code(), &unopened.message))
            }
            Ok(opened) if opened.partition != self.partition => Resolved::plain(astray(opened)),
            Ok(opened) => self.resolve_opened(opened, prepared.known, now),
        }
    }

    fn resolve_opened(
        &mut self,
        opened: &Opened,
        known: Option<Known>,
        now: Timestamp,
    ) -> Resolved {
        if opened.not_after.is_some_and(|not_after| now > not_after) {
            return Resolved::plain(expired());
        }
        if let Command::Lookup { issuer, id } = &opened.request.command {
            return Resolved::plain(self.look_up(opened, issuer, id, known, now));
        }
        if keeps_identity(opened) && !mutation::active(Mutation::CommandIdentity) {
            let known = self.identities.recent(&opened.identity).or(known);
            if let Some(known) = known.filter(|known| known.is_kept(now, IDENTITY_WINDOW)) {
                return Resolved::plain(repeated(opened, known));
            }
        }
        self.decide(opened, now)
    }

    /// The identity that a lookup asks for is its own, with another issuer and id:
    /// the caller put what the blocks know of that one into `known`.
    fn look_up(
        &self,
        opened: &Opened,
        issuer: &str,
        id: &str,
        known: Option<Known>,
        now: Timestamp,
    ) -> pb::Outcome {
        let asked = looked_up(&opened.request.stream, issuer, id);
        match self
            .identities
            .recent(&asked)
            .or(known)
            .filter(|known| known.is_kept(now, IDENTITY_WINDOW))
        {
            Some(known) => repeated_at(known.place),
            None => rejected(
                Status::Unknown,
                Rejection {
                    code: "COMMAND_UNKNOWN".to_owned(),
                    field: Some("command_id".to_owned()),
                    message: "no command of this identity was decided in the last 7 days"
                        .to_owned(),
                    ..Rejection::default()
                },
                0,
            ),
        }
    }

    fn decide(&mut self, opened: &Opened, now: Timestamp) -> Resolved {
        let request = &opened.request;
        let reference = self.streams.get(&self.own_stream).map(Reference::of).unwrap_or_default();
        let empty;
        let stream = if let Some(stream) = self.streams.get(&request.stream) {
            stream
        } else {
            empty = Stream::default();
            &empty
        };
        match step(stream, request, &reference, now) {
            Ok(decision) if request.validate_only => Resolved::plain(validated(request, &decision)),
            Ok(decision) => decided(opened, decision),
            Err(poison) => poisoned(opened, stream, &poison, now),
        }
    }
}

/// Does the index keep this command? Wakes and lookups act by what is pending,
/// and what only validates must not stand in the real one's way.
pub(crate) fn keeps_identity(opened: &Opened) -> bool {
    !opened.request.validate_only
        && !matches!(opened.request.command, Command::Wake | Command::Lookup { .. })
}

/// The identity that a lookup asks for.
pub(crate) fn looked_up(stream: &StreamId, issuer: &str, id: &str) -> exchequer_types::Identity {
    exchequer_types::Identity::of(&stream.to_string(), issuer, id)
}

fn decided(opened: &Opened, decision: Decision) -> Resolved {
    let request = &opened.request;
    let outcome = match decision.rejection {
        Some(rejection) => rejected(decision.status, rejection, decision.version),
        None => pb::Outcome {
            status: outcome_status(decision.status).into(),
            version: decision.version,
            reply: encode_reply(&request.command, &decision.reply),
            ..pb::Outcome::default()
        },
    };
    let stream = request.stream.to_string();
    Resolved {
        outcome,
        takes_identity: decision.status.takes_identity() && keeps_identity(opened),
        stream: (!decision.events.is_empty()).then(|| (request.stream.clone(), decision.stream)),
        events: decision.events.iter().map(|event| event_message(&stream, event)).collect(),
        leaves: decision.leaves,
    }
}

fn poisoned(opened: &Opened, stream: &Stream, poison: &Poison, now: Timestamp) -> Resolved {
    let id = &opened.request.stream;
    tracing::error!(stream = %id, reason = %poison.reason, "stream parked: a bug, page someone");
    Metric::StreamsParked.counter(&[]).increment(1);
    decided(opened, park(stream, &opened.request, poison, now))
}

fn validated(request: &exchequer_tenant::Request, decision: &Decision) -> pb::Outcome {
    match &decision.rejection {
        Some(rejection) => pb::Outcome {
            status: outcome_status(Status::Validated).into(),
            ..rejected(decision.status, rejection.clone(), decision.version)
        },
        None => pb::Outcome {
            status: outcome_status(Status::Validated).into(),
            version: decision.version,
            reply: encode_reply(&request.command, &decision.reply),
            ..pb::Outcome::default()
        },
    }
}

fn event_message(stream: &str, decided: &Decided) -> pb::Event {
    let (kind, payload) = encode_event(&decided.event);
    pb::Event {
        input: 0,
        stream: stream.to_owned(),
        version: decided.version,
        r#type: kind.to_owned(),
        payload,
        at: decided.at.micros(),
        timer: decided.timer.clone().unwrap_or_default(),
    }
}

fn input(pending: Pending) -> pb::Input {
    let carried = pending.bytes.len() <= COMMAND_BYTES_MAX;
    pb::Input {
        log: pending.lane.index() as u32,
        offset: pending.offset,
        appended_at: pending.appended_at.micros(),
        command_hash: if carried {
            Bytes::new()
        } else {
            Bytes::copy_from_slice(&Hash::blake3(&pending.bytes).0)
        },
        command: if carried { pending.bytes } else { Bytes::new() },
    }
}

fn size_of(pending: &Pending, resolved: &Resolved) -> usize {
    let events: usize = resolved.events.iter().map(|event| event.encoded_len() + PART_BYTES).sum();
    let leaves: usize = resolved.leaves.iter().map(|leaf| leaf.json.len() + PART_BYTES + 64).sum();
    let command = pending.bytes.len().min(COMMAND_BYTES_MAX);
    command + events + leaves + resolved.outcome.encoded_len() + 4 * PART_BYTES
}

fn repeated(opened: &Opened, known: Known) -> pb::Outcome {
    if known.body_digest == opened.body_digest {
        return repeated_at(known.place);
    }
    let rejection = Rejection {
        code: "COMMAND_ID_REUSED".to_owned(),
        field: Some("write.command_id".to_owned()),
        message:
            "this command id was used for another command in the last 7 days: choose a new one"
                .to_owned(),
        ..Rejection::default()
    };
    rejected(Status::IdentityConflict, rejection, 0)
}

/// Is the first outcome, that this one refers to, in the commit at `offset`?
fn names(outcome: &pb::Outcome, offset: Offset) -> bool {
    outcome.first.is_some_and(|first| first.offset == offset)
}

fn repeated_at(place: Place) -> pb::Outcome {
    pb::Outcome {
        status: outcome_status(Status::Repeated).into(),
        first: Some(pb::Place { offset: place.offset, index: place.index }),
        ..pb::Outcome::default()
    }
}

fn astray(opened: &Opened) -> pb::Outcome {
    if opened.forwarding.is_some() {
        let message = "on the wrong partition again after it was sent on";
        return dead_letter("RECORD_ASTRAY", message);
    }
    pb::Outcome {
        status: outcome_status(Status::Misrouted).into(),
        partition: opened.partition.0,
        ..pb::Outcome::default()
    }
}

fn dead_letter(code: &str, message: &str) -> pb::Outcome {
    Metric::DeadLetters.counter(&[code]).increment(1);
    let (code, message) = (code.to_owned(), message.to_owned());
    rejected(Status::DeadLettered, Rejection { code, message, ..Rejection::default() }, 0)
}

fn expired() -> pb::Outcome {
    let rejection = Rejection {
        code: "COMMAND_EXPIRED".to_owned(),
        field: Some("write.not_after".to_owned()),
        message: "the command came to be decided after its not_after: nothing was done".to_owned(),
        ..Rejection::default()
    };
    rejected(Status::Expired, rejection, 0)
}

fn too_large() -> pb::Outcome {
    let rejection = Rejection {
        code: "RESULT_TOO_LARGE".to_owned(),
        field: None,
        message: "what follows from the command does not fit one commit: split it".to_owned(),
        ..Rejection::default()
    };
    rejected(Status::TooLarge, rejection, 0)
}
