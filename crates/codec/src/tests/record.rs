//! Journal records and what makes one unreadable.

use bytes::Bytes;
use exchequer_kernel::RecordHead;
use exchequer_proto::journal::v1 as pb;
use exchequer_types::{Hash, PartitionId, Timestamp};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use prost::Message as _;

use super::values::text;
use crate::*;

const HERE: PartitionId = PartitionId(3);

fn blob() -> impl Strategy<Value = Bytes> {
    vec(any::<u8>(), 0..20).prop_map(Bytes::from)
}

fn progress() -> impl Strategy<Value = pb::Progress> {
    let ranges = vec((any::<u64>(), any::<u64>()), 0..3);
    (any::<[u8; 16]>(), any::<u64>(), ranges).prop_map(|(log, low, ranges)| pb::Progress {
        log: Bytes::copy_from_slice(&log),
        low,
        decided: ranges.into_iter().map(|(from, to)| pb::Range { from, to }).collect(),
    })
}

fn input() -> impl Strategy<Value = pb::Input> {
    (any::<u32>(), any::<u64>(), any::<i64>(), blob(), blob()).prop_map(
        |(log, offset, appended_at, command, command_hash)| pb::Input {
            log,
            offset,
            appended_at,
            command,
            command_hash,
        },
    )
}

fn outcome() -> impl Strategy<Value = pb::Outcome> {
    let first = option::of((any::<u64>(), any::<u32>()));
    ((any::<i32>(), text(), text(), text()), any::<u64>(), blob(), first, any::<u32>()).prop_map(
        |((status, code, field, message), version, reply, first, partition)| pb::Outcome {
            status,
            code,
            field,
            message,
            version,
            reply,
            first: first.map(|(offset, index)| pb::Place { offset, index }),
            partition,
            faults: Vec::new(),
        },
    )
}

fn event() -> impl Strategy<Value = pb::Event> {
    ((any::<u32>(), text(), any::<u64>()), (text(), blob(), any::<i64>(), text())).prop_map(
        |((input, stream, version), (kind, payload, at, timer))| pb::Event {
            input,
            stream,
            version,
            r#type: kind,
            payload,
            at,
            timer,
        },
    )
}

fn audit() -> impl Strategy<Value = pb::AuditEntry> {
    (any::<u32>(), text(), any::<u64>(), blob())
        .prop_map(|(input, tenant, seq, leaf)| pb::AuditEntry { input, tenant, seq, leaf })
}

fn commit() -> impl Strategy<Value = pb::Commit> {
    let chain = (any::<u64>(), any::<[u8; 16]>(), any::<u64>(), any::<[u8; 32]>());
    let claim = option::of(any::<[u8; 32]>());
    let lists = (vec(progress(), 0..3), vec((input(), outcome()), 0..4));
    (chain, claim, any::<i64>(), lists, (vec(event(), 0..4), vec(audit(), 0..4))).prop_map(
        |((epoch, owner, seq, prev), claim, now, (progress, decided), (events, audit))| {
            let (inputs, outcomes) = decided.into_iter().unzip();
            pb::Commit {
                epoch,
                owner: Bytes::copy_from_slice(&owner),
                seq,
                prev: Bytes::copy_from_slice(&prev),
                claim: claim.map(|hash| Bytes::copy_from_slice(&hash)).unwrap_or_default(),
                now,
                progress,
                inputs,
                outcomes,
                events,
                audit,
            }
        },
    )
}

fn small() -> pb::Commit {
    pb::Commit {
        epoch: 2,
        owner: vec![1; 16].into(),
        seq: 9,
        prev: vec![2; 32].into(),
        claim: vec![3; 32].into(),
        ..pb::Commit::default()
    }
}

proptest! {
    // REQ: KER-01
    #[test]
    fn a_commit_is_read_back_with_its_head(commit in commit(), partition in any::<u32>()) {
        let partition = PartitionId(partition);
        let (bytes, same) = encode_commit(partition, commit.clone());
        prop_assert_eq!(&same, &commit);
        let (head, hash, read) = decode_record(partition, &bytes);
        let expected = RecordHead::Commit {
            epoch: commit.epoch,
            owner: commit.owner.as_ref().try_into().unwrap(),
            seq: commit.seq,
            prev: Hash::from_slice(&commit.prev).unwrap(),
            claim: Hash::from_slice(&commit.claim),
        };
        prop_assert_eq!(head, expected);
        prop_assert_eq!(hash, Hash::blake3(&bytes));
        prop_assert_eq!(read, Some(commit));
    }

    // REQ: KER-02
    #[test]
    fn a_claim_is_read_back(
        epoch in any::<u64>(), owner in any::<[u8; 16]>(), level in any::<u32>(), logs in vec(blob(), 0..3)
    ) {
        let owned = Bytes::copy_from_slice(&owner);
        let claim = pb::Claim { epoch, owner: owned, feature_level: level, logs };
        let bytes = encode_claim(HERE, claim);
        let (head, hash, commit) = decode_record(HERE, &bytes);
        prop_assert_eq!(head, RecordHead::Claim { epoch, owner });
        prop_assert_eq!((hash, commit), (Hash::blake3(&bytes), None));
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in any::<Vec<u8>>(), partition in 0_u32..4) {
        let bytes = Bytes::from(bytes);
        let (_, hash, _) = decode_record(PartitionId(partition), &bytes);
        prop_assert_eq!(hash, Hash::blake3(&bytes));
    }
}

// REQ: AUD-03
#[test]
fn a_record_that_is_none_is_unreadable() {
    let spoilt: [(&str, fn(&mut pb::Commit)); 6] = [
        ("a short owner", |it| it.owner = vec![1; 15].into()),
        ("a long owner", |it| it.owner = vec![1; 17].into()),
        ("a short prev", |it| it.prev = vec![2; 31].into()),
        ("no prev", |it| it.prev = Bytes::new()),
        ("a short claim", |it| it.claim = vec![3; 16].into()),
        ("an input without outcome", |it| it.inputs = vec![pb::Input::default()]),
    ];
    for (what, spoil) in spoilt {
        let mut commit = small();
        spoil(&mut commit);
        let (bytes, _) = encode_commit(HERE, commit);
        let (head, hash, commit) = decode_record(HERE, &bytes);
        assert_eq!(head, RecordHead::Unreadable, "{what}");
        assert_eq!((hash, commit), (Hash::blake3(&bytes), None), "{what}");
    }
    let claim = pb::Claim { epoch: 1, owner: vec![1; 15].into(), ..pb::Claim::default() };
    let (good, _) = encode_commit(HERE, small());
    let nothing = pb::Record { partition: HERE.0, body: None };
    for bytes in [
        encode_claim(HERE, claim),
        Bytes::new(),
        Bytes::from(nothing.encode_to_vec()),
        good.slice(..good.len() - 1),
        Bytes::from_static(b"\xff\xff\xff"),
    ] {
        assert_eq!(decode_record(HERE, &bytes).0, RecordHead::Unreadable);
    }
}

// REQ: KER-01
#[test]
fn a_record_counts_on_its_own_partition_only() {
    let (bytes, _) = encode_commit(HERE, small());
    assert_ne!(decode_record(HERE, &bytes).0, RecordHead::Unreadable);
    assert_eq!(decode_record(PartitionId(4), &bytes).0, RecordHead::Unreadable);
}

#[test]
fn rows_carry_seq_and_index() {
    let commit = pb::Commit { seq: 5, now: i64::MAX, ..small() };
    let entry = Entry { partition: HERE, offset: 8, hash: Hash::ZERO, commit: commit.into() };
    assert_eq!(entry.timestamp(2), 5 * 65_536 + 2);
    assert_eq!(entry.timestamp(usize::MAX), 5 * 65_536 + 65_535);
    assert_eq!(entry.now(), Timestamp::MAX);
}
