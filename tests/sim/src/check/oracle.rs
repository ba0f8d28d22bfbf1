//! SIM-3 and SIM-4: every input of a partition, decided once more from zero by
//! the same pure rules, must have come to the same outcome, events and entries.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use exchequer_codec::{
    Entry, Opened, decode_event, encode_event, encode_reply, open, outcome_status, rejected,
    status_of,
};
use exchequer_engine::{COMMAND_BYTES_MAX, IDENTITY_WINDOW};
use exchequer_kernel::Status;
use exchequer_proto::journal::v1 as pb;
use exchequer_tenant::{Command, Decision, Poison, Reference, Stream, park, step};
use exchequer_types::{Identity, PartitionId, Place, StreamId, Timestamp};

use super::chain::Chain;
use crate::world::World;

/// What is known of an identity: where, which body, when.
#[derive(Clone, Copy, Debug)]
struct Known {
    place: Place,
    body_digest: [u8; 8],
    at: Timestamp,
}

/// A partition folded from zero.
#[derive(Debug, Default)]
pub(crate) struct Folded {
    /// Each stream after each commit that changed it, with the commit's seq.
    pub(crate) histories: BTreeMap<StreamId, Vec<(u64, Stream)>>,
    /// Positions that were decided, by input log.
    pub(crate) positions: BTreeMap<Vec<u8>, BTreeSet<u64>>,
    identities: BTreeMap<Identity, Known>,
    now: Timestamp,
}

/// What the rules give for one input.
struct Expected {
    outcome: pb::Outcome,
    decision: Option<Decision>,
    takes_identity: bool,
}

pub(crate) fn check(world: &World, chain: &Chain, violations: &mut Vec<String>) -> Folded {
    let mut folded = Folded::default();
    for entry in &chain.entries {
        for index in 0..entry.commit.inputs.len() {
            if let Err(problem) = folded.input(world, chain.partition, entry, index) {
                let (partition, offset) = (chain.partition, entry.offset);
                violations.push(format!(
                    "{problem} (partition {partition}, offset {offset}, input {index})"
                ));
                // What follows would differ for that reason alone.
                return folded;
            }
        }
        if entry.now() != folded.now {
            violations
                .push(format!("SIM-4 offset {}: its time is not that of its inputs", entry.offset));
        }
    }
    folded
}

impl Folded {
    pub(crate) fn stream(&self, id: &StreamId) -> Stream {
        let last = self.histories.get(id).and_then(|history| history.last());
        last.map(|(_, stream)| stream.clone()).unwrap_or_default()
    }

    fn input(
        &mut self,
        world: &World,
        partition: PartitionId,
        entry: &Entry,
        index: usize,
    ) -> Result<(), String> {
        let commit = &entry.commit;
        let (input, outcome) = (&commit.inputs[index], &commit.outcomes[index]);
        let log = commit.progress.get(input.log as usize).ok_or("SIM-4 an unnamed input log")?;
        if !self.positions.entry(log.log.to_vec()).or_default().insert(input.offset) {
            return Err(format!("SIM-3 input {} is decided twice", input.offset));
        }
        self.now = self.now.max(Timestamp::saturating_from_micros(input.appended_at));
        let place = Place { offset: entry.offset, index: index as u32 };
        if input.command.len() > COMMAND_BYTES_MAX || !input.command_hash.is_empty() {
            return Ok(());
        }
        let opened = match open(&world.key, &input.command, world.plan.partitions) {
            Ok(opened) => opened,
            Err(unopened) => {
                let is_told = status_of(outcome) == Some(Status::DeadLettered)
                    && outcome.code == unopened.reason.code();
                return if is_told { Ok(()) } else { Err("SIM-4 garbage was decided".to_owned()) };
            }
        };
        if opened.partition != partition {
            let status = status_of(outcome);
            let is_told = match opened.forwarding {
                Some(_) => status == Some(Status::DeadLettered),
                None => status == Some(Status::Misrouted),
            };
            return if is_told {
                Ok(())
            } else {
                Err("SIM-4 an astray record was decided".to_owned())
            };
        }
        let expected = self.expect(world, &opened, partition, outcome)?;
        if expected.outcome != *outcome {
            return Err(format!(
                "SIM-4 {} {}: the rules give {:?}, the journal has {outcome:?}",
                opened.request.stream, opened.request.id, expected.outcome
            ));
        }
        same_events(&opened, expected.decision.as_ref(), entry, index)?;
        if expected.takes_identity {
            let known = Known { place, body_digest: opened.body_digest, at: self.now };
            self.identities.insert(opened.identity, known);
        }
        if let Some(decision) = expected.decision.filter(|decision| !decision.events.is_empty()) {
            let history = self.histories.entry(opened.request.stream.clone()).or_default();
            history.push((commit.seq, decision.stream));
        }
        Ok(())
    }

    fn known(&self, identity: &Identity) -> Option<(Known, bool)> {
        let known = self.identities.get(identity)?;
        Some((*known, self.now.since(known.at) <= IDENTITY_WINDOW))
    }

    fn expect(
        &self,
        world: &World,
        opened: &Opened,
        partition: PartitionId,
        found: &pb::Outcome,
    ) -> Result<Expected, String> {
        let plain = |outcome| Ok(Expected { outcome, decision: None, takes_identity: false });
        let status = status_of(found);
        let request = &opened.request;
        if opened.not_after.is_some_and(|not_after| self.now > not_after) {
            let is_told = status == Some(Status::Expired);
            return if is_told {
                plain(found.clone())
            } else {
                Err(format!("SIM-4 {} had expired", request.id))
            };
        }
        if let Command::Lookup { issuer, id } = &request.command {
            let asked = Identity::of(&request.stream.to_string(), issuer, id);
            return match self.known(&asked) {
                Some((known, is_recent)) if is_recent || status == Some(Status::Repeated) => {
                    plain(repeated(known.place))
                }
                _ if status == Some(Status::Unknown) => plain(found.clone()),
                _ => Err(format!("SIM-4 {}: a lookup found what is not there", request.id)),
            };
        }
        let keeps = !request.validate_only && !matches!(request.command, Command::Wake);
        if let Some((known, is_recent)) = self.known(&opened.identity).filter(|_| keeps) {
            let is_same = known.body_digest == opened.body_digest;
            let told = if is_same { Status::Repeated } else { Status::IdentityConflict };
            if is_recent && status != Some(told) {
                return Err(format!(
                    "SIM-3 {} {} was decided at {:?}, and now again as {status:?}",
                    request.stream, request.id, known.place
                ));
            }
            if status == Some(told) {
                return plain(if is_same { repeated(known.place) } else { found.clone() });
            }
        }
        // What does not fit into a commit depends on its size; what timers left behind
        // is decided by the rules.
        if status == Some(Status::TooLarge) && found.code != "TIMERS_BEHIND" {
            return plain(found.clone());
        }
        let is_poisoned = status == Some(Status::Poisoned)
            && world.plan.poisoned.as_deref() == Some(request.id.as_str());
        self.decide(opened, partition, keeps, is_poisoned)
    }

    fn decide(
        &self,
        opened: &Opened,
        partition: PartitionId,
        keeps: bool,
        is_poisoned: bool,
    ) -> Result<Expected, String> {
        let request = &opened.request;
        let own = self.stream(&StreamId::Partition(partition));
        let stream = self.stream(&request.stream);
        let decision = if is_poisoned {
            let reason = "panicked: a bug that was put there".to_owned();
            park(&stream, request, &Poison { reason }, self.now)
        } else {
            step(&stream, request, &Reference::of(&own), self.now)
                .map_err(|poison| format!("SIM-4 {}: {}", request.id, poison.reason))?
        };
        let outcome = match &decision.rejection {
            Some(rejection) => rejected(decision.status, rejection.clone(), decision.version),
            None => pb::Outcome {
                status: outcome_status(decision.status).into(),
                version: decision.version,
                reply: encode_reply(&request.command, &decision.reply),
                ..pb::Outcome::default()
            },
        };
        if request.validate_only && !is_poisoned {
            let status = outcome_status(Status::Validated).into();
            let outcome = pb::Outcome { status, ..outcome };
            return Ok(Expected { outcome, decision: None, takes_identity: false });
        }
        let takes_identity = keeps && decision.status.takes_identity();
        Ok(Expected { outcome, decision: Some(decision), takes_identity })
    }
}

fn repeated(place: Place) -> pb::Outcome {
    pb::Outcome {
        status: outcome_status(Status::Repeated).into(),
        first: Some(pb::Place { offset: place.offset, index: place.index }),
        ..pb::Outcome::default()
    }
}

fn same_events(
    opened: &Opened,
    decision: Option<&Decision>,
    entry: &Entry,
    index: usize,
) -> Result<(), String> {
    let id = &opened.request.id;
    let stream = opened.request.stream.to_string();
    let found: Vec<&pb::Event> =
        entry.commit.events.iter().filter(|event| event.input as usize == index).collect();
    let none = Vec::new();
    let expected = decision.map_or(&none, |decision| &decision.events);
    let is_same = |(found, expected): (&&pb::Event, &exchequer_tenant::Decided)| {
        let (kind, payload) = encode_event(&expected.event);
        found.stream == stream
            && found.version == expected.version
            && found.r#type == kind
            && found.payload == payload
            && found.at == expected.at.micros()
            && found.timer == expected.timer.clone().unwrap_or_default()
            && decode_event(&found.stream, &found.r#type, &found.payload).as_ref()
                == Ok(&expected.event)
    };
    if found.len() != expected.len() || !found.iter().zip(expected).all(is_same) {
        return Err(format!(
            "SIM-4 {stream} {id}: the rules give the events {expected:?}, the journal has {found:?}"
        ));
    }
    let leaves: Vec<(u64, Bytes)> = entry
        .commit
        .audit
        .iter()
        .filter(|audit| audit.input as usize == index)
        .map(|audit| (audit.seq, audit.leaf.clone()))
        .collect();
    let expected: Vec<(u64, Bytes)> = decision
        .iter()
        .flat_map(|decision| &decision.leaves)
        .map(|leaf| (leaf.seq, Bytes::from(leaf.json.clone())))
        .collect();
    if leaves != expected {
        return Err(format!("SIM-4 {stream} {id}: other audit entries than the rules give"));
    }
    Ok(())
}
