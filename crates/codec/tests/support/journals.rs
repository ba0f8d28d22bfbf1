//! Small whole journals of one partition, with what the fold says of each record.

use bytes::Bytes;
use exchequer_codec::{decode_record, encode_claim, encode_commit, encode_event, seal};
use exchequer_kernel::fold::{Break, Ignorable};
use exchequer_kernel::{Head, SealKey, Verdict, fold};
use exchequer_proto::journal::v1 as pb;
use exchequer_tenant::Event;
use exchequer_types::{Hash, PartitionId};
use serde_json::{Value, json};

use super::{MORNING, create, envelope, hex, rename};

const HERE: PartitionId = PartitionId(6);
const A: [u8; 16] = [0xa1; 16];
const B: [u8; 16] = [0xb2; 16];
const C: [u8; 16] = [0xc3; 16];
/// The input log.
const LOG: [u8; 16] = [0x10; 16];

const ACCEPTED: Verdict = Verdict::Accepted;
const OLDER: Verdict = Verdict::Ignorable(Ignorable::OlderEpoch);
const LOSING: Verdict = Verdict::Ignorable(Ignorable::LosingClaim);
const REPETITION: Verdict = Verdict::Ignorable(Ignorable::Repetition);
const AFTER_BREAK: Verdict = Verdict::Ignorable(Ignorable::AfterBreak);

/// A journal being written, folded as it grows.
#[derive(Default)]
struct Journal {
    head: Head,
    records: Vec<Value>,
    last: Bytes,
}

impl Journal {
    /// Appends a record that the fold must judge so.
    fn push(&mut self, what: &str, bytes: Bytes, expected: Verdict) {
        let offset = self.head.offset;
        let (record, hash, _) = decode_record(HERE, &bytes);
        let verdict = fold(&mut self.head, &record, &hash);
        assert_eq!(verdict, expected, "record {offset}: {what}");
        let (result, reason) = words(verdict);
        self.records.push(json!({
            "offset": offset,
            "what": what,
            "record": hex(&bytes),
            "hash": hash.to_hex(),
            "verdict": result,
            "reason": reason,
        }));
        self.last = bytes;
    }

    fn claim(&mut self, what: &str, epoch: u64, owner: [u8; 16], expected: Verdict) {
        self.push(what, claim(epoch, owner), expected);
    }

    /// A commit that fits, before `change` makes of it what it is.
    fn commit(
        &mut self,
        what: &str,
        (epoch, owner): (u64, [u8; 16]),
        expected: Verdict,
        change: impl FnOnce(&mut pb::Commit),
    ) {
        let fresh = self.head.claim.as_ref().filter(|claim| claim.fresh && claim.epoch == epoch);
        let mut commit = pb::Commit {
            epoch,
            owner: Bytes::copy_from_slice(&owner),
            seq: self.head.seq + 1,
            prev: Bytes::copy_from_slice(&self.head.hash.0),
            claim: fresh.map(|it| Bytes::copy_from_slice(&it.hash.0)).unwrap_or_default(),
            now: MORNING + i64::try_from(self.head.offset).unwrap(),
            progress: vec![progress(self.head.seq + 1)],
            ..pb::Commit::default()
        };
        change(&mut commit);
        self.push(what, encode_commit(HERE, commit).0, expected);
    }

    fn document(self, name: &str) -> Value {
        let claim = self.head.claim.as_ref();
        json!({
            "name": name,
            "partition": HERE.0,
            "records": self.records,
            "head": {
                "offset": self.head.offset,
                "seq": self.head.seq,
                "hash": self.head.hash.to_hex(),
                "epoch": self.head.epoch(),
                "owner": claim.map(|claim| hex(&claim.owner)),
                "claim": claim.map(|claim| claim.hash.to_hex()),
                "fresh": claim.is_some_and(|claim| claim.fresh),
                "broken": claim.is_some_and(|claim| claim.broken),
            },
        })
    }
}

/// All journals.
pub(crate) fn document() -> Value {
    json!([ordinary(), broken(), before_the_first_claim(), unended_break()])
}

fn ordinary() -> Value {
    let mut it = Journal::default();
    it.claim("the first claim", 1, A, ACCEPTED);
    it.commit("the first commit names its claim", (1, A), ACCEPTED, |it| decided(it, "c-1"));
    it.commit("the next names none", (1, A), ACCEPTED, |_| ());
    let twice = it.last.clone();
    it.push("the same bytes once more", twice, REPETITION);
    it.claim("an epoch that was claimed", 1, C, LOSING);
    it.claim("the next epoch", 2, B, ACCEPTED);
    it.claim("of two claims the first wins", 2, C, LOSING);
    it.commit("a zombie's commit, which would fit", (1, A), OLDER, |_| ());
    it.commit("the new writer's first, with the claim's hash", (2, B), ACCEPTED, |it| {
        it.progress[0].decided = vec![pb::Range { from: 5, to: 7 }, pb::Range { from: 9, to: 10 }];
    });
    it.commit("and its next", (2, B), ACCEPTED, |_| ());
    it.commit("the zombie again", (1, A), OLDER, |it| it.prev = vec![7; 32].into());
    it.claim("a writer that starts anew", 3, B, ACCEPTED);
    it.commit("its first commit, an empty one", (3, B), ACCEPTED, |it| it.progress.clear());
    it.document("an ordinary life: restarts, zombies, repetitions")
}

fn broken() -> Value {
    type Change = fn(&mut pb::Commit);
    let misfits: [(&str, Break, Change); 7] = [
        ("a seq left out", Break::Seq, |it| it.seq += 1),
        ("a seq twice, with other bytes", Break::Seq, |it| it.seq -= 1),
        ("another prev", Break::Prev, |it| it.prev = vec![9; 32].into()),
        ("a claim named without need", Break::ClaimHash, |it| it.claim = vec![9; 32].into()),
        ("another nonce", Break::ForeignOwner, |it| it.owner = C.to_vec().into()),
        ("an epoch nobody claimed", Break::UnclaimedEpoch, |it| it.epoch += 1),
        ("a nonce that is too short", Break::Unreadable, |it| it.owner = vec![1; 15].into()),
    ];
    let mut it = Journal::default();
    let mut epoch = 0;
    for (what, reason, change) in misfits {
        epoch += 1;
        begin(&mut it, epoch);
        it.commit(what, (epoch, A), Verdict::Break(reason), change);
        it.commit("fits, but follows a break", (epoch, A), AFTER_BREAK, |_| ());
        it.claim("claims too much after a break", epoch + 2, B, AFTER_BREAK);
    }
    let unreadable: [(&str, Bytes); 4] = [
        ("no protobuf", Bytes::from_static(b"\xff\xff\xff\xff")),
        ("no bytes at all", Bytes::new()),
        ("neither claim nor commit", Bytes::from_static(b"\x08\x06")),
        ("of another partition", encode_claim(PartitionId(7), claimed(100, C))),
    ];
    for (what, bytes) in unreadable {
        epoch += 1;
        begin(&mut it, epoch);
        it.push(what, bytes, Verdict::Break(Break::Unreadable));
        it.push("unreadable again", Bytes::from_static(b"\xff"), AFTER_BREAK);
    }
    epoch += 1;
    begin(&mut it, epoch);
    it.claim("an epoch left out", epoch + 2, B, Verdict::Break(Break::UnclaimedEpoch));
    it.claim("of the ended epoch", epoch, B, LOSING);
    epoch += 1;
    it.claim("mends it", epoch, A, ACCEPTED);
    let unnamed = Verdict::Break(Break::ClaimHash);
    it.commit("a first commit without its claim", (epoch, A), unnamed, |it| it.claim.clear());
    it.commit("of an older epoch", (epoch - 1, A), OLDER, |_| ());
    begin(&mut it, epoch + 1);
    it.document("breaks, and claims that go on after them")
}

/// A claim and two commits.
fn begin(it: &mut Journal, epoch: u64) {
    it.claim("a claim", epoch, A, ACCEPTED);
    it.commit("its first commit", (epoch, A), ACCEPTED, |_| ());
    it.commit("its second commit", (epoch, A), ACCEPTED, |_| ());
}

fn before_the_first_claim() -> Value {
    let unclaimed = Verdict::Break(Break::UnclaimedEpoch);
    let mut it = Journal::default();
    it.commit("a commit before any claim", (0, A), unclaimed, |_| ());
    it.commit("no claim is there to be ended, so it is a break again", (1, A), unclaimed, |_| ());
    let unreadable = Verdict::Break(Break::Unreadable);
    it.push("unreadable", Bytes::from_static(b"\xff"), unreadable);
    it.claim("a claim of epoch 0", 0, A, LOSING);
    it.claim("a claim of epoch 2", 2, A, unclaimed);
    it.claim("the first claim", 1, A, ACCEPTED);
    it.commit("the first commit", (1, A), ACCEPTED, |_| ());
    it.document("before the first claim")
}

fn unended_break() -> Value {
    let mut it = Journal::default();
    let zero = || Bytes::copy_from_slice(&Hash::ZERO.0);
    begin(&mut it, 1);
    it.commit("a break", (1, A), Verdict::Break(Break::Prev), |it| it.prev = zero());
    let head = it.head.hash;
    it.commit("nothing after it counts", (1, A), AFTER_BREAK, |_| ());
    assert_eq!(it.head.hash, head);
    it.document("ends with a break")
}

fn claimed(epoch: u64, owner: [u8; 16]) -> pb::Claim {
    let logs = vec![Bytes::copy_from_slice(&LOG), Bytes::from_static(&[0x11; 16])];
    pb::Claim { epoch, owner: Bytes::copy_from_slice(&owner), feature_level: 1, logs }
}

fn claim(epoch: u64, owner: [u8; 16]) -> Bytes {
    encode_claim(HERE, claimed(epoch, owner))
}

fn progress(low: u64) -> pb::Progress {
    pb::Progress { log: Bytes::copy_from_slice(&LOG), low, decided: vec![] }
}

/// Fills a commit with an accepted creation and a rejected renaming.
fn decided(commit: &mut pb::Commit, id: &str) {
    let key = SealKey::new(&core::array::from_fn(|index| u8::try_from(index).unwrap()));
    let sealed = [
        seal(&key, envelope("acme", id, &create())),
        seal(&key, envelope("acme", "c-9", &rename(""))),
    ];
    commit.inputs = (0..)
        .zip(sealed)
        .map(|(offset, command)| pb::Input {
            log: 0,
            offset,
            appended_at: MORNING,
            command,
            command_hash: Bytes::new(),
        })
        .collect();
    commit.progress = vec![progress(2)];
    commit.outcomes = vec![
        pb::Outcome {
            status: pb::OutcomeStatus::Accepted.into(),
            version: 1,
            ..pb::Outcome::default()
        },
        pb::Outcome {
            status: pb::OutcomeStatus::Rejected.into(),
            code: "NAME_INVALID".to_owned(),
            field: "name".to_owned(),
            message: "must have 1-200 characters".to_owned(),
            version: 1,
            ..pb::Outcome::default()
        },
    ];
    let (kind, payload) = encode_event(&Event::Parked { reason: "an example".to_owned() });
    commit.events = vec![pb::Event {
        input: 0,
        stream: "acme".to_owned(),
        version: 1,
        r#type: kind.to_owned(),
        payload,
        at: commit.now,
        timer: String::new(),
    }];
    commit.audit = vec![pb::AuditEntry {
        input: 0,
        tenant: "acme".to_owned(),
        seq: 1,
        leaf: Bytes::from_static(b"{\"an\":\"example\"}"),
    }];
}

/// As the journal format names a verdict.
fn words(verdict: Verdict) -> (&'static str, Option<&'static str>) {
    match verdict {
        Verdict::Accepted => ("accepted", None),
        Verdict::Ignorable(reason) => (
            "ignorable",
            Some(match reason {
                Ignorable::OlderEpoch => "older_epoch",
                Ignorable::LosingClaim => "losing_claim",
                Ignorable::Repetition => "repetition",
                Ignorable::AfterBreak => "after_break",
            }),
        ),
        Verdict::Break(reason) => (
            "break",
            Some(match reason {
                Break::Unreadable => "unreadable",
                Break::UnclaimedEpoch => "unclaimed_epoch",
                Break::ForeignOwner => "foreign_owner",
                Break::Seq => "seq",
                Break::Prev => "prev",
                Break::ClaimHash => "claim_hash",
            }),
        ),
    }
}
