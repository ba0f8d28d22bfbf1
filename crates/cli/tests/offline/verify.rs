//! Offline verification of a journal on disk: what it counts, and what it names.

use std::path::Path;

use bytes::Bytes;
use exchequer_cli::{Report, verify};
use exchequer_codec::{encode_claim, encode_commit};
use exchequer_journal::Journal as _;
use exchequer_journal_local::{LocalJournal, Options};
use exchequer_proto::journal::v1 as pb;
use exchequer_types::{Hash, PartitionId};
use sha2::{Digest as _, Sha256};

const PARTITION: PartitionId = PartitionId(1);

/// A writer of one partition.
struct Writer {
    records: Vec<Bytes>,
    epoch: u64,
    seq: u64,
    prev: Hash,
    claim: Option<Hash>,
    leaf: (u64, Hash),
}

impl Writer {
    fn new() -> Self {
        let leaf = (0, Hash::ZERO);
        Self { records: Vec::new(), epoch: 0, seq: 0, prev: Hash::ZERO, claim: None, leaf }
    }

    fn owner(epoch: u64) -> Bytes {
        Bytes::from(vec![epoch as u8; 16])
    }

    fn claim(&mut self) {
        self.epoch += 1;
        let claim =
            pb::Claim { epoch: self.epoch, owner: Self::owner(self.epoch), ..<_>::default() };
        let record = encode_claim(PARTITION, claim);
        self.claim = Some(Hash::blake3(&record));
        self.records.push(record);
    }

    /// A commit that follows, unless `spoil` changes it.
    fn commit(&mut self, spoil: impl FnOnce(&mut pb::Commit)) {
        let (seq, prev) = (self.leaf.0 + 1, self.leaf.1);
        let leaf = format!("{{\"prev\":\"{prev}\",\"seq\":{seq},\"tenant\":\"acme\"}}");
        self.leaf = (seq, Hash(Sha256::digest(leaf.as_bytes()).into()));
        let entry = pb::AuditEntry { input: 0, tenant: "acme".to_owned(), seq, leaf: leaf.into() };
        let mut commit = pb::Commit {
            epoch: self.epoch,
            owner: Self::owner(self.epoch),
            seq: self.seq + 1,
            prev: Bytes::copy_from_slice(&self.prev.0),
            claim: self.claim.take().map(|it| Bytes::copy_from_slice(&it.0)).unwrap_or_default(),
            audit: vec![entry],
            ..pb::Commit::default()
        };
        spoil(&mut commit);
        let (record, _) = encode_commit(PARTITION, commit);
        self.seq += 1;
        self.prev = Hash::blake3(&record);
        self.records.push(record);
    }

    /// The journal of these records.
    async fn write(&self, dir: &Path) {
        let options = Options { partitions: 3, ..Options::default() };
        let (journal, _) = LocalJournal::open(dir, options).unwrap();
        for record in &self.records {
            journal.append(PARTITION, record.clone()).await.unwrap();
        }
        journal.close();
    }

    async fn report(&self) -> Report {
        let dir = tempfile::tempdir().unwrap();
        self.write(dir.path()).await;
        verify(dir.path(), true).unwrap()
    }
}

fn good() -> Writer {
    let mut writer = Writer::new();
    writer.claim();
    writer.commit(|_| {});
    writer.commit(|_| {});
    writer
}

// REQ: AUD-03
#[tokio::test]
async fn counts_what_it_holds_and_what_it_ignores() {
    let mut writer = good();
    writer.claim();
    // A zombie under the first claim, and a claim that lost.
    let zombie = pb::Commit { epoch: 1, owner: Writer::owner(1), seq: 3, ..<_>::default() };
    let zombie = pb::Commit { prev: Bytes::copy_from_slice(&writer.prev.0), ..zombie };
    writer.records.push(encode_commit(PARTITION, zombie).0);
    let loser = pb::Claim { epoch: 2, owner: Writer::owner(9), ..<_>::default() };
    writer.records.push(encode_claim(PARTITION, loser));
    writer.commit(|_| {});
    writer.records.push(writer.records.last().unwrap().clone());
    let report = writer.report().await;
    assert_eq!(report.bad, None);
    let partition = &report.partitions[PARTITION.index()];
    assert_eq!(
        (partition.records, partition.commits, partition.seq, partition.epoch),
        (8, 3, 3, 2)
    );
    assert_eq!(partition.head, writer.prev.to_hex());
    let ignored: Vec<_> =
        partition.ignored.iter().map(|(why, count)| (why.as_str(), *count)).collect();
    assert_eq!(
        ignored,
        [("a claim that lost", 1), ("of an older epoch", 1), ("the head once more", 1)]
    );
    let audit = report.audit.unwrap();
    assert_eq!((audit.tenants, audit.entries), (1, 3));
}

// REQ: AUD-03
#[tokio::test]
async fn names_the_first_record_that_does_not_follow() {
    let mut writer = good();
    writer.commit(|commit| commit.prev = Bytes::from_static(&[1; 32]));
    writer.commit(|_| {});
    let dir = tempfile::tempdir().unwrap();
    writer.write(dir.path()).await;
    for audit in [false, true] {
        let report = verify(dir.path(), audit).unwrap();
        let bad = report.bad.unwrap();
        assert_eq!((bad.partition, bad.offset), (Some(1), Some(3)));
        assert!(bad.reason.contains("prev"), "{}", bad.reason);
        assert!(bad.file.starts_with(dir.path()) && bad.byte > 0);
        let partition = &report.partitions[PARTITION.index()];
        assert_eq!((partition.breaks, partition.seq), (1, 2));
        assert_eq!(partition.ignored["follows a break"], 1);
    }
}

// REQ: AUD-03
#[tokio::test]
async fn names_a_flipped_bit_by_file_and_byte() {
    let dir = tempfile::tempdir().unwrap();
    good().write(dir.path()).await;
    let file = dir.path().join("journal/00000000000000000000.seg");
    let bytes = std::fs::read(&file).unwrap();
    let header = bytes.len() - good().records.iter().map(|it| it.len() + 10).sum::<usize>();
    let mut named = 0;
    for at in (0..bytes.len()).step_by(7) {
        let mut damaged = bytes.clone();
        damaged[at] ^= 4;
        std::fs::write(&file, &damaged).unwrap();
        match verify(dir.path(), false) {
            // In the header, which is read first.
            Err(_) => assert!(at < header, "{at}"),
            Ok(report) => {
                let Some(bad) = report.bad else {
                    // Behind what a mark says was synced: a torn tail.
                    assert!(report.torn_bytes > 0, "{at}");
                    continue;
                };
                assert_eq!(bad.file, file);
                assert!(bad.byte <= at as u64, "{at}");
                named += 1;
            }
        }
    }
    assert!(named > 10, "{named}");
}

// REQ: AUD-01
#[tokio::test]
async fn names_an_audit_entry_that_does_not_follow() {
    let spoils: [(fn(&mut pb::Commit), &str); 4] = [
        (|it| it.audit[0].seq = 9, "does not follow entry 2"),
        (|it| it.audit[0].leaf = Bytes::from_static(b"{}"), "is no entry"),
        (|it| it.audit[0].tenant = "other".to_owned(), "does not follow entry 0"),
        (
            |it| {
                it.audit[0].leaf =
                    Bytes::from_static(b"{\"prev\":\"00\",\"seq\":3,\"tenant\":\"acme\"}");
            },
            "hash of the one before",
        ),
    ];
    for (spoil, expected) in spoils {
        let mut writer = good();
        writer.commit(spoil);
        let bad = writer.report().await.bad.unwrap();
        assert!(bad.reason.contains(expected), "{}", bad.reason);
        assert_eq!(bad.offset, Some(3));
    }
}

// REQ: KER-18
#[tokio::test]
async fn a_backup_has_the_same_heads() {
    let dir = tempfile::tempdir().unwrap();
    let (data, copy, again) = (dir.path().join("a"), dir.path().join("b"), dir.path().join("c"));
    good().write(&data).await;
    exchequer_journal_local::backup(&data, &copy).unwrap();
    exchequer_journal_local::restore(&copy, &again).unwrap();
    let heads = |dir: &Path| verify(dir, true).unwrap().partitions;
    assert_eq!(heads(&data), heads(&copy));
    assert_eq!(heads(&data), heads(&again));
}
