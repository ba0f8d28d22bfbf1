//! Records of the seals: their bytes, and their heads for the fold.

use bytes::Bytes;
use exchequer_kernel::RecordHead;
use exchequer_proto::usage::v1 as pb;
use exchequer_types::{Hash, PartitionId};
use prost::Message as _;

/// The bytes of a claim's record.
pub fn encode_claim(partition: PartitionId, claim: pb::SealClaim) -> Bytes {
    let body = Some(pb::seal_record::Body::Claim(claim));
    Bytes::from(pb::SealRecord { partition: partition.0, body }.encode_to_vec())
}

/// The feature level that a claim's record tells. None when it is no claim.
pub fn claim_level(bytes: &Bytes) -> Option<u32> {
    match pb::SealRecord::decode(bytes.clone()).ok()?.body? {
        pb::seal_record::Body::Claim(claim) => Some(claim.feature_level),
        pb::seal_record::Body::Seal(_) => None,
    }
}

/// The bytes of a seal's record, and their hash.
pub fn encode_seal(partition: PartitionId, seal: pb::Seal) -> (Bytes, Hash) {
    let body = Some(pb::seal_record::Body::Seal(seal));
    let bytes = Bytes::from(pb::SealRecord { partition: partition.0, body }.encode_to_vec());
    let hash = Hash::blake3(&bytes);
    (bytes, hash)
}

/// Reads one record of `partition`: its head for the fold, its hash, and its seal if it is
/// one. Bytes that are no such record are `Unreadable`.
pub fn decode_seal(partition: PartitionId, bytes: &Bytes) -> (RecordHead, Hash, Option<pb::Seal>) {
    let hash = Hash::blake3(bytes);
    let unreadable = (RecordHead::Unreadable, hash, None);
    let record = match pb::SealRecord::decode(bytes.clone()) {
        Ok(record) if record.partition == partition.0 => record,
        _ => return unreadable,
    };
    match record.body {
        Some(pb::seal_record::Body::Claim(claim)) => match claim.owner.as_ref().try_into() {
            Ok(owner) => (RecordHead::Claim { epoch: claim.epoch, owner }, hash, None),
            Err(_) => unreadable,
        },
        Some(pb::seal_record::Body::Seal(seal)) => match seal_head(&seal) {
            Some(head) => (head, hash, Some(seal)),
            None => unreadable,
        },
        None => unreadable,
    }
}

/// What the fold needs of a seal; none when it is malformed.
pub fn seal_head(seal: &pb::Seal) -> Option<RecordHead> {
    let is_range = match &seal.revision {
        None => seal.from <= seal.to,
        Some(revision) => {
            seal.from == seal.to
                && revision.kind.is_some()
                && revision.from <= revision.to
                && revision.to <= seal.to
                && revision.root.len() == 32
        }
    };
    let is_whole = is_range && seal.root.len() == 32;
    let claim = match seal.claim.len() {
        0 => None,
        _ => Some(Hash::from_slice(&seal.claim)?),
    };
    is_whole.then_some(RecordHead::Commit {
        epoch: seal.epoch,
        owner: seal.owner.as_ref().try_into().ok()?,
        seq: seal.seq,
        prev: Hash::from_slice(&seal.prev)?,
        claim,
    })
}
