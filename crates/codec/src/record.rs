//! Journal records: their bytes, their heads for the fold, and accepted commits
//! as readers get them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use exchequer_kernel::fold::CurrentClaim;
use exchequer_kernel::{Head, RecordHead};
use exchequer_proto::journal::v1 as pb;
use exchequer_tenant::Event;
use exchequer_types::{Hash, Offset, PartitionId, TenantId, Timestamp};
use prost::Message;

use crate::{DecodeError, encode_event};

/// An accepted commit.
#[derive(Clone, Debug)]
pub struct Entry {
    pub partition: PartitionId,
    pub offset: Offset,
    /// BLAKE3 of the record's bytes.
    pub hash: Hash,
    pub commit: Arc<pb::Commit>,
}

impl Entry {
    /// The commit `seq` of a partition with these events and nothing else, as a decider
    /// would have written it at `now` at the offset `seq`. For tests of what folds entries.
    pub fn of_events(
        partition: PartitionId,
        seq: u64,
        now: Timestamp,
        events: &[(&str, Event)],
    ) -> Self {
        let mut versions = BTreeMap::new();
        let events = events.iter().map(|(stream, event)| {
            let (kind, payload) = encode_event(event);
            let version = versions.entry(*stream).and_modify(|it| *it += 1).or_insert(1);
            pb::Event {
                stream: (*stream).to_owned(),
                version: *version,
                r#type: kind.to_owned(),
                payload,
                at: now.micros(),
                ..pb::Event::default()
            }
        });
        let events = events.collect();
        let commit = pb::Commit { seq, now: now.micros(), events, ..pb::Commit::default() };
        Self { partition, offset: seq, hash: Hash::ZERO, commit: Arc::new(commit) }
    }

    /// The commit's time.
    pub fn now(&self) -> Timestamp {
        Timestamp::saturating_from_micros(self.commit.now)
    }

    /// Tenants with events of a type that is wanted, in their order.
    pub fn tenants_of(&self, is_wanted: fn(&str) -> bool) -> Vec<TenantId> {
        let wanted = self.commit.events.iter().filter(|event| is_wanted(&event.r#type));
        let streams: BTreeSet<&str> = wanted.map(|event| event.stream.as_str()).collect();
        streams.into_iter().filter_map(|stream| TenantId::parse(stream).ok()).collect()
    }

    /// The tenant's events of a type that is wanted.
    pub fn events_of<'a>(
        &'a self,
        tenant: &'a TenantId,
        is_wanted: fn(&str) -> bool,
    ) -> impl Iterator<Item = &'a pb::Event> {
        let events = self.commit.events.iter();
        events.filter(move |event| event.stream == tenant.as_str() && is_wanted(&event.r#type))
    }

    /// What a row folded from event or input `index` of this commit carries:
    /// chain seq << 16 | index.
    pub fn timestamp(&self, index: usize) -> u64 {
        (self.commit.seq << 16) | (index as u64).min(0xffff)
    }
}

/// The bytes of a claim's record.
pub fn encode_claim(partition: PartitionId, claim: pb::Claim) -> Bytes {
    let body = Some(pb::record::Body::Claim(claim));
    Bytes::from(pb::Record { partition: partition.0, body }.encode_to_vec())
}

/// The bytes of a commit's record.
pub fn encode_commit(partition: PartitionId, commit: pb::Commit) -> (Bytes, pb::Commit) {
    let mut record =
        pb::Record { partition: partition.0, body: Some(pb::record::Body::Commit(commit)) };
    let bytes = Bytes::from(record.encode_to_vec());
    match record.body.take() {
        Some(pb::record::Body::Commit(commit)) => (bytes, commit),
        _ => (bytes, pb::Commit::default()),
    }
}

/// The feature level that a claim's record tells. None when it is no claim.
pub fn claim_level(bytes: &Bytes) -> Option<u32> {
    match pb::Record::decode(bytes.clone()).ok()?.body? {
        pb::record::Body::Claim(claim) => Some(claim.feature_level),
        pb::record::Body::Commit(_) => None,
    }
}

/// Reads one record of `partition`: its head for the fold, its hash, and its
/// commit if it is one. Bytes that are no such record are `Unreadable`.
pub fn decode_record(
    partition: PartitionId,
    bytes: &Bytes,
) -> (RecordHead, Hash, Option<pb::Commit>) {
    let hash = Hash::blake3(bytes);
    let record = match pb::Record::decode(bytes.clone()) {
        Ok(record) if record.partition == partition.0 => record,
        _ => return (RecordHead::Unreadable, hash, None),
    };
    match record.body {
        Some(pb::record::Body::Claim(claim)) => match claim.owner.as_ref().try_into() {
            Ok(owner) => (RecordHead::Claim { epoch: claim.epoch, owner }, hash, None),
            Err(_) => (RecordHead::Unreadable, hash, None),
        },
        Some(pb::record::Body::Commit(commit)) => match commit_head(&commit) {
            Some(head) => (head, hash, Some(commit)),
            None => (RecordHead::Unreadable, hash, None),
        },
        None => (RecordHead::Unreadable, hash, None),
    }
}

/// What the fold needs of a commit; None when it is malformed.
pub fn commit_head(commit: &pb::Commit) -> Option<RecordHead> {
    if commit.inputs.len() != commit.outcomes.len() {
        return None;
    }
    let claim = match commit.claim.len() {
        0 => None,
        _ => Some(Hash::from_slice(&commit.claim)?),
    };
    Some(RecordHead::Commit {
        epoch: commit.epoch,
        owner: commit.owner.as_ref().try_into().ok()?,
        seq: commit.seq,
        prev: Hash::from_slice(&commit.prev)?,
        claim,
    })
}

/// A reader's place as a message.
pub fn head_to_proto(head: &Head) -> pb::ReaderHead {
    let claim = head.claim.as_ref();
    let bytes = |bytes: &[u8]| Bytes::copy_from_slice(bytes);
    pb::ReaderHead {
        offset: head.offset,
        seq: head.seq,
        hash: bytes(&head.hash.0),
        commit_offset: head.commit_offset,
        epoch: head.epoch(),
        owner: claim.map(|claim| bytes(&claim.owner)).unwrap_or_default(),
        claim: claim.map(|claim| bytes(&claim.hash.0)).unwrap_or_default(),
        fresh: claim.is_some_and(|claim| claim.fresh),
        broken: claim.is_some_and(|claim| claim.broken),
    }
}

/// A reader's place from its message.
pub fn head_from_proto(head: &pb::ReaderHead) -> Result<Head, DecodeError> {
    let malformed = |field| DecodeError::Field { field };
    let claim = if head.owner.is_empty() {
        None
    } else {
        Some(CurrentClaim {
            epoch: head.epoch,
            owner: head.owner.as_ref().try_into().map_err(|_| malformed("owner"))?,
            hash: Hash::from_slice(&head.claim).ok_or_else(|| malformed("claim"))?,
            fresh: head.fresh,
            broken: head.broken,
        })
    };
    Ok(Head {
        offset: head.offset,
        seq: head.seq,
        hash: Hash::from_slice(&head.hash).ok_or_else(|| malformed("hash"))?,
        commit_offset: head.commit_offset,
        claim,
    })
}
