//! SIM-1: one partition's accepted commits, folded from zero.

use std::sync::Arc;

use exchequer_codec::{Entry, decode_record, status_of};
use exchequer_kernel::{Head, Verdict, fold};
use exchequer_proto::journal::v1 as pb;
use exchequer_types::{Identity, Offset, PartitionId, Place, Timestamp};
use prost::Message as _;

use crate::world::World;

/// What the fold makes of one partition.
#[derive(Debug)]
pub(crate) struct Chain {
    pub(crate) partition: PartitionId,
    pub(crate) entries: Vec<Entry>,
    pub(crate) breaks: Vec<String>,
    /// Claims that were accepted.
    pub(crate) claims: usize,
}

pub(crate) fn read(world: &World, partition: PartitionId) -> Chain {
    let mut head = Head::default();
    let mut chain = Chain { partition, entries: Vec::new(), breaks: Vec::new(), claims: 0 };
    for bytes in world.journal.records(partition) {
        let offset = head.offset;
        let (record, hash, commit) = decode_record(partition, &bytes);
        match (fold(&mut head, &record, &hash), commit) {
            (Verdict::Accepted, Some(commit)) => {
                let commit = Arc::new(commit);
                chain.entries.push(Entry { partition, offset, hash, commit });
            }
            (Verdict::Accepted, None) => chain.claims += 1,
            (verdict @ Verdict::Break(_), _) => {
                chain
                    .breaks
                    .push(format!("SIM-1 partition {partition}, offset {offset}: {verdict}"));
            }
            _ => {}
        }
    }
    chain
}

impl Chain {
    /// The time of one input's decision: that of its commit's inputs up to it.
    pub(crate) fn decided_at(&self, place: Place) -> Option<Timestamp> {
        let index = self.entries.binary_search_by_key(&place.offset, |it| it.offset).ok()?;
        let before = index.checked_sub(1).map_or(Timestamp::MIN, |index| self.entries[index].now());
        let inputs = self.entries[index].commit.inputs.iter().take(place.index as usize + 1);
        let appended = inputs.map(|it| Timestamp::saturating_from_micros(it.appended_at));
        Some(appended.fold(before, Timestamp::max))
    }

    pub(crate) fn at(&self, offset: Offset) -> Option<&Entry> {
        let index = self.entries.binary_search_by_key(&offset, |entry| entry.offset).ok()?;
        self.entries.get(index)
    }
}

/// One line for each input.
pub(crate) fn describe(entry: &Entry) -> Vec<String> {
    let inputs = entry.commit.inputs.iter().zip(&entry.commit.outcomes).enumerate();
    inputs
        .map(|(index, (input, outcome))| {
            let (partition, offset) = (entry.partition, entry.offset);
            let envelope = envelope(input).unwrap_or_default();
            let events = entry.commit.events.iter().filter(|event| event.input as usize == index);
            let events: Vec<&str> = events.map(|event| event.r#type.as_str()).collect();
            format!(
                "{partition}/{offset}.{index} input {}:{} {} {} {} {}: {:?} {} v{} {:?} {events:?}",
                input.log,
                input.offset,
                envelope.stream,
                envelope.issuer,
                envelope.id,
                envelope.r#type,
                status_of(outcome),
                outcome.code,
                outcome.version,
                outcome.first,
            )
        })
        .collect()
}

/// By lane of the cluster's logs: everything below is decided.
pub(crate) fn decided_below(world: &World, partition: PartitionId) -> [Offset; 2] {
    let chain = read(world, partition);
    let last = chain.entries.last();
    world.inputs.ids.map(|log| {
        let progress = last.into_iter().flat_map(|entry| &entry.commit.progress);
        progress.filter(|it| it.log == log.0.as_slice()).map(|it| it.low).max().unwrap_or(0)
    })
}

/// The envelope of an input, whoever sealed it.
pub(crate) fn envelope(input: &pb::Input) -> Option<pb::Envelope> {
    let sealed = pb::SealedCommand::decode(input.command.clone()).ok()?;
    pb::Envelope::decode(sealed.envelope).ok()
}

pub(crate) fn identity(envelope: &pb::Envelope) -> Identity {
    Identity::of(&envelope.stream, &envelope.issuer, &envelope.id)
}
