//! Arbitrary sequences of records through the fold: the head counts them all,
//! accepted commits have consecutive numbers, epochs never go back.

#![no_main]

use exchequer_kernel::{Head, RecordHead, Verdict, fold};
use exchequer_types::Hash;
use libfuzzer_sys::fuzz_target;

/// Few values, so that they meet.
fn record(head: &Head, bytes: [u8; 4]) -> (RecordHead, Hash) {
    let [kind, epoch, seq, names] = bytes;
    let epoch = u64::from(epoch % 6);
    let owner = [kind / 64; 16];
    let hash = Hash([seq.wrapping_mul(31) ^ names; 32]);
    let record = match kind % 8 {
        0 => RecordHead::Unreadable,
        1 | 2 => RecordHead::Claim { epoch, owner },
        _ => {
            let claim = head.claim.as_ref();
            let fits = kind % 8 > 4;
            RecordHead::Commit {
                epoch: if fits { head.epoch() } else { epoch },
                owner: if fits { claim.map_or(owner, |claim| claim.owner) } else { owner },
                seq: if seq % 4 == 0 { u64::from(seq) } else { head.seq + 1 },
                prev: if names % 8 == 0 { hash } else { head.hash },
                claim: claim.filter(|claim| claim.fresh != (names % 16 == 1)).map(|it| it.hash),
            }
        }
    };
    (record, hash)
}

fuzz_target!(|data: &[u8]| {
    let mut head = Head::default();
    let (mut commits, mut epoch) = (0, 0);
    for (offset, chunk) in data.chunks_exact(4).enumerate() {
        let (record, hash) = record(&head, [chunk[0], chunk[1], chunk[2], chunk[3]]);
        let before = head.clone();
        let verdict = fold(&mut head, &record, &hash);
        assert_eq!(head.offset, offset as u64 + 1);
        match (verdict, &record) {
            (Verdict::Accepted, RecordHead::Commit { seq, epoch: of, prev, .. }) => {
                commits += 1;
                assert_eq!(*seq, commits);
                assert_eq!(*of, before.epoch());
                assert_eq!(*prev, before.hash);
                assert!(before.claim.is_some_and(|claim| !claim.broken));
            }
            (Verdict::Accepted, RecordHead::Claim { epoch: of, .. }) => {
                epoch += 1;
                assert_eq!(*of, epoch);
            }
            (Verdict::Accepted, RecordHead::Unreadable) => panic!("accepted what no one can read"),
            _ => assert_eq!((head.seq, head.hash), (before.seq, before.hash)),
        }
    }
});
