//! The head of a record without its body: what the fold needs, read by walking
//! over the fields of a commit instead of decoding them. An offline verifier is
//! bound by hashing then, and not by decoding.

use bytes::Bytes;
use exchequer_kernel::RecordHead;
use exchequer_types::{Hash, PartitionId};

use crate::decode_record;

/// Reads the head and the hash of one record of `partition`, as
/// [`decode_record`] does, except that it does not look into the inputs,
/// outcomes, events and audit entries of a commit.
pub fn read_record_head(partition: PartitionId, bytes: &Bytes) -> (RecordHead, Hash) {
    if let Some(head) = commit_head(partition, bytes) {
        return (head, Hash::blake3(bytes));
    }
    // A claim, or whatever else it is.
    let (head, hash, _) = decode_record(partition, bytes);
    (head, hash)
}

/// Of a commit whose fields stand as we write them; None for everything else.
fn commit_head(partition: PartitionId, bytes: &[u8]) -> Option<RecordHead> {
    let mut record = Fields { rest: bytes };
    let mut found = 0;
    let mut next = record.next()?;
    if let (1, Value::Varint(number)) = next {
        found = number;
        next = record.next()?;
    }
    let (3, Value::Bytes(commit)) = next else { return None };
    if !record.rest.is_empty() || found != u64::from(partition.0) {
        return None;
    }
    read_commit(commit)
}

fn read_commit(commit: &[u8]) -> Option<RecordHead> {
    let mut fields = Fields { rest: commit };
    let (mut epoch, mut seq) = (0, 0);
    let (mut owner, mut prev, mut claim) = (None, None, None);
    let (mut inputs, mut outcomes) = (0_u64, 0_u64);
    let mut last = 0;
    while !fields.rest.is_empty() {
        let (number, value) = fields.next()?;
        // Single fields stand once, in order.
        if number < last || (number == last && number < 7) {
            return None;
        }
        last = number;
        match (number, value) {
            (1, Value::Varint(value)) => epoch = value,
            (2, Value::Bytes(value)) => owner = Some(value),
            (3, Value::Varint(value)) => seq = value,
            (4, Value::Bytes(value)) => prev = Some(value),
            (5, Value::Bytes(value)) => claim = Some(value),
            (6, Value::Varint(_)) | (7 | 10 | 11, Value::Bytes(_)) => {}
            (8, Value::Bytes(_)) => inputs += 1,
            (9, Value::Bytes(_)) => outcomes += 1,
            _ => return None,
        }
    }
    if inputs != outcomes {
        return None;
    }
    let claim = match claim {
        Some(claim) => Some(Hash::from_slice(claim)?),
        None => None,
    };
    let (owner, prev) = (owner?.try_into().ok()?, Hash::from_slice(prev?)?);
    Some(RecordHead::Commit { epoch, owner, seq, prev, claim })
}

enum Value<'a> {
    Varint(u64),
    Bytes(&'a [u8]),
}

struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    /// Field number and value; None at the end, and for what is not expected here.
    fn next(&mut self) -> Option<(u64, Value<'a>)> {
        let tag = self.varint()?;
        let value = match tag & 7 {
            0 => Value::Varint(self.varint()?),
            2 => {
                let length = usize::try_from(self.varint()?).ok()?;
                let (value, rest) = self.rest.split_at_checked(length)?;
                self.rest = rest;
                Value::Bytes(value)
            }
            _ => return None,
        };
        Some((tag >> 3, value))
    }

    fn varint(&mut self) -> Option<u64> {
        let mut value = 0;
        for (index, byte) in self.rest.iter().take(10).enumerate() {
            value |= u64::from(byte & 0x7f) << (7 * index);
            if byte & 0x80 == 0 {
                self.rest = &self.rest[index + 1..];
                return Some(value);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use exchequer_proto::journal::v1 as pb;
    use prost::Message as _;

    use super::*;
    use crate::{encode_claim, encode_commit};

    fn commit(inputs: usize) -> pb::Commit {
        pb::Commit {
            epoch: 3,
            owner: Bytes::from_static(&[7; 16]),
            seq: 300,
            prev: Bytes::from_static(&[9; 32]),
            claim: Bytes::from_static(&[5; 32]),
            now: 1_795_249_800_000_000,
            progress: vec![pb::Progress::default()],
            inputs: vec![pb::Input { offset: 1, ..pb::Input::default() }; inputs],
            outcomes: vec![pb::Outcome { status: 1, ..pb::Outcome::default() }; inputs],
            events: vec![pb::Event { stream: "acme".to_owned(), ..pb::Event::default() }],
            audit: vec![pb::AuditEntry { seq: 1, ..pb::AuditEntry::default() }],
        }
    }

    fn agrees(partition: u32, bytes: &Bytes) -> bool {
        let partition = PartitionId(partition);
        let (head, hash, _) = decode_record(partition, bytes);
        read_record_head(partition, bytes) == (head, hash)
    }

    // REQ: AUD-03
    #[test]
    fn agrees_with_the_decoder() {
        for partition in [0, 1, 300] {
            let number = PartitionId(partition);
            let (whole, _) = encode_commit(number, commit(3));
            assert!(commit_head(number, &whole).is_some(), "the quick way must be taken");
            let claim =
                pb::Claim { epoch: 4, owner: Bytes::from_static(&[1; 16]), ..pb::Claim::default() };
            let (unclaimed, _) =
                encode_commit(number, pb::Commit { claim: Bytes::new(), ..commit(1) });
            let (uneven, _) = encode_commit(number, pb::Commit { outcomes: vec![], ..commit(2) });
            let (short, _) = encode_commit(number, pb::Commit { prev: Bytes::new(), ..commit(0) });
            let empty = Bytes::from(pb::Record { partition, body: None }.encode_to_vec());
            let twice = Bytes::from([whole.clone(), whole.clone()].concat());
            for record in
                [whole, encode_claim(number, claim), unclaimed, uneven, short, empty, twice]
            {
                assert!(agrees(partition, &record));
                assert!(agrees(partition + 1, &record));
            }
        }
    }

    /// What is cut off, or hit in the head, is judged alike.
    #[test]
    fn agrees_on_damage() {
        let mut plain = commit(0);
        (plain.progress, plain.events, plain.audit) = (vec![], vec![], vec![]);
        let (whole, _) = encode_commit(PartitionId(2), plain);
        for at in 0..whole.len() {
            assert!(agrees(2, &whole.slice(..at)), "cut at {at}");
            for bit in 0..8 {
                let mut damaged = whole.to_vec();
                damaged[at] ^= 1 << bit;
                assert!(agrees(2, &Bytes::from(damaged)), "bit {bit} of byte {at}");
            }
        }
    }
}
