//! The fold of a fenced log (journal, and later seals and heads): which records
//! count. Every reader runs it alike, so a writer that lost its claim can append
//! and change nothing, and damage is never mistaken for such a writer.
//!
//! Rules: a claim is accepted iff its epoch is exactly the current one + 1. A
//! commit is accepted iff `(epoch, owner)` is the current claim, `seq` is the
//! head's + 1, `prev` is the head's hash, and it names the claim's hash exactly
//! when it is the first under it. Older epochs, losing claims and a repetition
//! of the head's exact bytes are ignorable. Anything else is a break, which ends
//! the claim: all is ignorable until the next accepted one.

use exchequer_types::{Hash, Offset};

use crate::mutation::{self, Mutation};

/// A writer's nonce.
pub type Owner = [u8; 16];

/// What the fold needs of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RecordHead {
    Claim {
        epoch: u64,
        owner: Owner,
    },
    Commit {
        epoch: u64,
        owner: Owner,
        seq: u64,
        prev: Hash,
        claim: Option<Hash>,
    },
    /// Bytes that are no record, or one of another partition.
    Unreadable,
}

/// The current claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CurrentClaim {
    pub epoch: u64,
    pub owner: Owner,
    pub hash: Hash,
    /// Has no commit under it yet.
    pub fresh: bool,
    /// Ended by a break.
    pub broken: bool,
}

/// Where a reader stands in one partition: everything the fold remembers.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Head {
    /// Of the next record.
    pub offset: Offset,
    /// Of the last accepted commit; 0 before the first.
    pub seq: u64,
    /// Of the last accepted commit's bytes.
    pub hash: Hash,
    /// Where the last accepted commit stands; 0 before the first.
    pub commit_offset: Offset,
    pub claim: Option<CurrentClaim>,
}

impl Head {
    /// The epoch of the current claim; 0 before the first.
    pub fn epoch(&self) -> u64 {
        self.claim.as_ref().map_or(0, |claim| claim.epoch)
    }

    /// Is `(epoch, owner)` the current claim, and not ended?
    pub fn is_held_by(&self, epoch: u64, owner: &Owner) -> bool {
        self.claim
            .as_ref()
            .is_some_and(|claim| !claim.broken && claim.epoch == epoch && claim.owner == *owner)
    }
}

/// The fold's result for one record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Accepted,
    Ignorable(Ignorable),
    Break(Break),
}

/// Why a record was skipped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ignorable {
    OlderEpoch,
    LosingClaim,
    Repetition,
    /// After a break and before the next accepted claim.
    AfterBreak,
}

/// Why a record cannot belong to this log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Break {
    Unreadable,
    /// An epoch nobody claimed.
    UnclaimedEpoch,
    /// The current epoch under a nonce that is not the claim's.
    ForeignOwner,
    Seq,
    Prev,
    /// Names the claim where it must not, or another one, or not where it must.
    ClaimHash,
}

impl core::fmt::Display for Verdict {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Accepted => "accepted",
            Self::Ignorable(Ignorable::OlderEpoch) => "ignored: of an older epoch",
            Self::Ignorable(Ignorable::LosingClaim) => "ignored: a claim that lost",
            Self::Ignorable(Ignorable::Repetition) => "ignored: the head once more",
            Self::Ignorable(Ignorable::AfterBreak) => "ignored: follows a break",
            Self::Break(Break::Unreadable) => "break: not a record of this partition",
            Self::Break(Break::UnclaimedEpoch) => "break: an epoch nobody claimed",
            Self::Break(Break::ForeignOwner) => "break: not the claim's owner",
            Self::Break(Break::Seq) => "break: seq does not follow the head's",
            Self::Break(Break::Prev) => "break: prev is not the head's hash",
            Self::Break(Break::ClaimHash) => "break: names the claim wrongly",
        })
    }
}

/// Judges the record at `head.offset`, whose exact bytes have BLAKE3 `hash`,
/// and moves `head` past it.
pub fn fold(head: &mut Head, record: &RecordHead, hash: &Hash) -> Verdict {
    let verdict = judge(head, record, hash);
    let offset = head.offset;
    head.offset += 1;
    match (verdict, record) {
        (Verdict::Accepted, RecordHead::Claim { epoch, owner }) => {
            head.claim = Some(CurrentClaim {
                epoch: *epoch,
                owner: *owner,
                hash: *hash,
                fresh: true,
                broken: false,
            });
        }
        (Verdict::Accepted, RecordHead::Commit { seq, .. }) => {
            head.seq = *seq;
            head.hash = *hash;
            head.commit_offset = offset;
            if let Some(claim) = &mut head.claim {
                claim.fresh = false;
            }
        }
        (Verdict::Break(_), _) => {
            if let Some(claim) = &mut head.claim {
                claim.broken = true;
            }
        }
        _ => {}
    }
    verdict
}

fn judge(head: &Head, record: &RecordHead, hash: &Hash) -> Verdict {
    let broken = head.claim.as_ref().is_some_and(|claim| claim.broken);
    match record {
        RecordHead::Unreadable if broken => Verdict::Ignorable(Ignorable::AfterBreak),
        RecordHead::Unreadable => Verdict::Break(Break::Unreadable),
        RecordHead::Claim { epoch, .. } => judge_claim(head.epoch(), *epoch, broken),
        RecordHead::Commit { epoch, owner, seq, prev, claim } => {
            judge_commit(head, hash, *epoch, owner, (*seq, prev, claim.as_ref()))
        }
    }
}

fn judge_claim(current: u64, epoch: u64, broken: bool) -> Verdict {
    if epoch == current + 1 {
        Verdict::Accepted
    } else if epoch <= current {
        Verdict::Ignorable(Ignorable::LosingClaim)
    } else if broken {
        Verdict::Ignorable(Ignorable::AfterBreak)
    } else {
        Verdict::Break(Break::UnclaimedEpoch)
    }
}

fn judge_commit(
    head: &Head,
    hash: &Hash,
    epoch: u64,
    owner: &Owner,
    (seq, prev, names): (u64, &Hash, Option<&Hash>),
) -> Verdict {
    let current = head.epoch();
    if mutation::active(Mutation::ClaimCheck) && seq == head.seq + 1 && *prev == head.hash {
        return Verdict::Accepted;
    }
    if epoch < current {
        return Verdict::Ignorable(Ignorable::OlderEpoch);
    }
    let Some(claim) = head.claim.as_ref() else {
        return Verdict::Break(Break::UnclaimedEpoch);
    };
    if claim.broken {
        return Verdict::Ignorable(Ignorable::AfterBreak);
    }
    if epoch > current {
        return Verdict::Break(Break::UnclaimedEpoch);
    }
    if *owner != claim.owner {
        return Verdict::Break(Break::ForeignOwner);
    }
    if *hash == head.hash {
        return Verdict::Ignorable(Ignorable::Repetition);
    }
    if seq != head.seq + 1 {
        return Verdict::Break(Break::Seq);
    }
    if *prev != head.hash {
        return Verdict::Break(Break::Prev);
    }
    if names != claim.fresh.then_some(&claim.hash) {
        return Verdict::Break(Break::ClaimHash);
    }
    Verdict::Accepted
}

/// The answer rule. An append that was acknowledged at `acknowledged` (None when
/// the acknowledgement carried no offset) is accepted for certain only if it
/// stands right behind the last record this writer has folded. Otherwise the
/// writer reads on to an end fetched after the acknowledgement, and folds.
pub fn is_settled(head: &Head, acknowledged: Option<Offset>) -> bool {
    if mutation::active(Mutation::AnswerOffset) {
        return true;
    }
    acknowledged == Some(head.offset)
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Owner = [1; 16];
    const B: Owner = [2; 16];

    fn h(n: u8) -> Hash {
        Hash([n; 32])
    }

    fn claim(epoch: u64, owner: Owner) -> RecordHead {
        RecordHead::Claim { epoch, owner }
    }

    fn commit(epoch: u64, owner: Owner, seq: u64, prev: Hash, claim: Option<Hash>) -> RecordHead {
        RecordHead::Commit { epoch, owner, seq, prev, claim }
    }

    fn run(records: &[(RecordHead, Hash)]) -> (Head, Vec<Verdict>) {
        let mut head = Head::default();
        let verdicts = records.iter().map(|(r, hash)| fold(&mut head, r, hash)).collect();
        (head, verdicts)
    }

    // REQ: KER-02
    #[test]
    fn a_zombie_changes_nothing() {
        let (head, verdicts) = run(&[
            (claim(1, A), h(1)),
            (commit(1, A, 1, Hash::ZERO, Some(h(1))), h(2)),
            (claim(2, B), h(3)),
            (commit(1, A, 2, h(2), None), h(4)),
            (commit(2, B, 2, h(2), Some(h(3))), h(5)),
        ]);
        assert_eq!(verdicts[3], Verdict::Ignorable(Ignorable::OlderEpoch));
        assert_eq!(verdicts[4], Verdict::Accepted);
        assert_eq!((head.offset, head.seq, head.hash), (5, 2, h(5)));
    }

    // REQ: KER-02
    #[test]
    fn of_two_claims_the_first_wins() {
        let (head, verdicts) = run(&[(claim(1, A), h(1)), (claim(1, B), h(2))]);
        assert_eq!(verdicts, [Verdict::Accepted, Verdict::Ignorable(Ignorable::LosingClaim)]);
        assert!(head.is_held_by(1, &A));
    }

    #[test]
    fn a_repetition_of_the_head_is_ignorable() {
        let once = (commit(1, A, 1, Hash::ZERO, Some(h(1))), h(2));
        let (head, verdicts) = run(&[(claim(1, A), h(1)), once.clone(), once]);
        assert_eq!(verdicts[2], Verdict::Ignorable(Ignorable::Repetition));
        assert_eq!(head.seq, 1);
    }

    // REQ: AUD-03
    #[test]
    fn damage_is_a_break_until_the_next_claim() {
        let start = [(claim(1, A), h(1)), (commit(1, A, 1, Hash::ZERO, Some(h(1))), h(2))];
        let misfits = [
            (RecordHead::Unreadable, Break::Unreadable),
            (commit(1, A, 3, h(2), None), Break::Seq),
            (commit(1, A, 2, h(9), None), Break::Prev),
            (commit(1, A, 2, h(2), Some(h(1))), Break::ClaimHash),
            (commit(1, B, 2, h(2), None), Break::ForeignOwner),
            (commit(2, A, 2, h(2), None), Break::UnclaimedEpoch),
            (claim(3, B), Break::UnclaimedEpoch),
        ];
        for (misfit, expected) in misfits {
            let mut records = start.to_vec();
            records.push((misfit, h(7)));
            records.push((commit(1, A, 2, h(2), None), h(8)));
            records.push((claim(2, B), h(9)));
            records.push((commit(2, B, 2, h(2), Some(h(9))), h(10)));
            let (_, verdicts) = run(&records);
            assert_eq!(verdicts[2], Verdict::Break(expected));
            assert_eq!(verdicts[3], Verdict::Ignorable(Ignorable::AfterBreak));
            assert_eq!(verdicts[4..], [Verdict::Accepted, Verdict::Accepted]);
        }
    }

    #[test]
    fn the_first_commit_must_name_its_claim() {
        let (_, verdicts) = run(&[(claim(1, A), h(1)), (commit(1, A, 1, Hash::ZERO, None), h(2))]);
        assert_eq!(verdicts[1], Verdict::Break(Break::ClaimHash));
    }

    #[test]
    fn only_the_very_next_offset_settles_an_answer() {
        let head = Head { offset: 7, ..Head::default() };
        assert!(is_settled(&head, Some(7)));
        assert!(!is_settled(&head, Some(8)));
        assert!(!is_settled(&head, None));
    }
}
