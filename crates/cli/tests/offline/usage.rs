//! Offline verification of usage on disk: the figure it computes, and what it names. The
//! fates are written down here by hand, as the format says them.

use std::path::Path;

use bytes::{Bytes, BytesMut};
use exchequer_cli::{Asked, UsageReport, verify_usage};
use exchequer_codec::usage::{
    Root, adopted_to_proto, counts_to_proto, encode_claim, encode_event, encode_refused,
    encode_seal,
};
use exchequer_journal::Journal as _;
use exchequer_journal_local::{JournalReader, LocalJournal, LogName, Options};
use exchequer_kernel::SealKey;
use exchequer_metering::{
    AdoptedMeters, AdoptedTenant, Adoption, Aggregation, Body, EventRecord, Fate, Grain, GroupBy,
    Meter, Path as JsonPath, Terms, partition_of_event,
};
use exchequer_proto::usage::v1 as pb;
use exchequer_types::{Hash, PartitionId, Slug, TenantId, Timestamp};

const PARTITIONS: u32 = 2;
const KEY: [u8; 32] = [7; 32];

fn at(text: &str) -> Timestamp {
    Timestamp::parse(text).unwrap()
}

fn noon() -> Timestamp {
    at("2026-11-21T12:00:00Z")
}

fn acme() -> TenantId {
    TenantId::parse("acme").unwrap()
}

/// One event of `tenant`, received a second after `time`.
fn event(tenant: &str, id: &str, time: &str, data: &str) -> Bytes {
    let time = at(time);
    let received_at = time.saturating_add(core::time::Duration::from_secs(1)).max(noon());
    let body = Body { kind: "llm.call", schema: "", subject: "u1", time: Some(time), data };
    let event = EventRecord { tenant, source: "/svc", id, body };
    encode_event(&mut BytesMut::new(), received_at, &event)
}

/// An id like `name` that belongs to partition 0.
fn own(name: &str) -> String {
    let ids = (0..).map(|n| format!("{name}-{n}"));
    let is_own =
        |id: &String| partition_of_event("acme", id, PARTITIONS, &mut Vec::new()) == PartitionId(0);
    ids.into_iter().find(is_own).unwrap()
}

/// A meter of partition 0, whose fates are told.
struct Writer {
    usage: Vec<Bytes>,
    seals: Vec<Bytes>,
    claim: Option<Hash>,
    prev: Hash,
    seq: u64,
    sealed: usize,
}

impl Writer {
    fn new() -> Self {
        let owner = Bytes::from_static(&[1; 16]);
        let claim =
            encode_claim(PartitionId(0), pb::SealClaim { epoch: 1, owner, feature_level: 1 });
        let hash = Hash::blake3(&claim);
        Self {
            usage: Vec::new(),
            seals: vec![claim],
            claim: Some(hash),
            prev: Hash::ZERO,
            seq: 0,
            sealed: 0,
        }
    }

    /// Seals these records with these fates, unless `spoil` changes the seal.
    fn seal(
        &mut self,
        records: &[(Bytes, Fate)],
        adopted: Vec<pb::Adopted>,
        spoil: impl FnOnce(&mut pb::Seal),
    ) {
        let (mut counts, mut root) = ([0; 7], Root::default());
        for (record, fate) in records {
            counts[Fate::ALL.iter().position(|it| it == fate).unwrap()] += 1;
            root.add(&Hash::blake3(record), *fate);
            self.usage.push(record.clone());
        }
        let bytes = |hash: Hash| Bytes::copy_from_slice(&hash.0);
        let mut seal = pb::Seal {
            epoch: 1,
            owner: Bytes::from_static(&[1; 16]),
            seq: self.seq + 1,
            prev: bytes(self.prev),
            claim: self.claim.take().map(bytes).unwrap_or_default(),
            from: self.sealed as u64,
            to: self.usage.len() as u64,
            through: at("2026-11-21T13:00:00Z").micros(),
            adopted,
            counts: counts_to_proto(&counts),
            root: bytes(root.finish()),
            revision: None,
        };
        spoil(&mut seal);
        let (record, hash) = encode_seal(PartitionId(0), seal);
        self.seals.push(record);
        self.seq += 1;
        self.prev = hash;
        self.sealed = self.usage.len();
    }

    async fn write(&self, dir: &Path) {
        let options = Options { partitions: PARTITIONS, ..Options::default() };
        let (journal, _) = LocalJournal::open(dir, options).unwrap();
        for (name, records) in [(LogName::Usage, &self.usage), (LogName::Seals, &self.seals)] {
            let (log, _) = journal.open_beside(name, options).unwrap();
            log.append_all(PartitionId(0), records.clone()).await.unwrap();
            log.close();
        }
        std::fs::create_dir(dir.join("keys")).unwrap();
        std::fs::write(dir.join("keys/deployment.key"), KEY).unwrap();
    }

    async fn report(&self) -> UsageReport {
        let dir = tempfile::tempdir().unwrap();
        self.write(dir.path()).await;
        verify_usage(dir.path(), Some(&asked("2026-11"))).unwrap()
    }
}

fn asked(period: &str) -> Asked {
    let start = at(&format!("{period}-01T00:00:00Z"));
    let meter = Slug::parse("tokens").unwrap();
    Asked { tenant: acme(), meter, period: Grain::Month.window(start) }
}

fn adopted() -> Vec<pb::Adopted> {
    let platform = TenantId::platform();
    let path = |text| JsonPath::parse(text).unwrap();
    let meter = Meter {
        key: Slug::parse("tokens").unwrap(),
        version: 3,
        event_type: "llm.call".to_owned(),
        aggregation: Aggregation::Sum,
        value: Some(path("$.tokens")),
        group_by: vec![GroupBy { name: Slug::parse("model").unwrap(), path: path("$.model") }],
        filters: Vec::new(),
        unit: "tokens".to_owned(),
        groups_max: 10,
    };
    let tenant =
        AdoptedTenant { tenant: acme(), provider: Some(platform.clone()), periods: Vec::new() };
    let meters = AdoptedMeters {
        provider: platform,
        version: 1,
        meters: vec![meter],
        terms: Terms::default(),
        schemas: Vec::new(),
        backfills: Vec::new(),
    };
    let position = (PartitionId(0), 4);
    [Adoption::Tenant(tenant), Adoption::Meters(meters)]
        .iter()
        .map(|it| adopted_to_proto(it, position))
        .collect()
}

const SMALL: &str = r#"{"tokens": 10, "model": "small"}"#;
const LARGE: &str = r#"{"tokens": 0.5, "model": "large"}"#;
const NOON: &str = "2026-11-21T12:00:00Z";

/// Every fate once, and what counts twice.
fn good() -> Writer {
    let [one, two, three, four, five] = ["one", "two", "three", "four", "five"].map(own);
    let mut writer = Writer::new();
    let first = event("acme", &one, NOON, SMALL);
    let respelt = event("acme", &one, NOON, r#"{"model":"small","tokens":1e1}"#);
    writer.seal(
        &[
            (first, Fate::Counted),
            (event("acme", &two, "2026-11-21T09:00:00Z", LARGE), Fate::Late),
            (respelt, Fate::Duplicate),
            (event("acme", &one, NOON, LARGE), Fate::Conflicting),
        ],
        adopted(),
        |_| {},
    );
    let unknown = (0..1_000)
        .map(|n| format!("u-{n}"))
        .find(|id| partition_of_event("nobody", id, PARTITIONS, &mut Vec::new()) == PartitionId(0));
    let astray = (0..1_000)
        .map(|n| format!("a-{n}"))
        .find(|id| partition_of_event("acme", id, PARTITIONS, &mut Vec::new()) == PartitionId(1));
    let refused = pb::Refused { tenant: "acme".to_owned(), ..pb::Refused::default() };
    writer.seal(
        &[
            (event("nobody", &unknown.unwrap(), NOON, SMALL), Fate::Unmatched),
            (event("acme", &three, NOON, r#"{"tokens": "ten"}"#), Fate::Invalid),
            (event("acme", &four, NOON, SMALL), Fate::Counted),
            (event("acme", &five, "2026-10-31T23:00:00Z", SMALL), Fate::Late),
            (event("acme", &astray.unwrap(), NOON, SMALL), Fate::Forwarded),
            (encode_refused(noon(), refused, &SealKey::new(&KEY)), Fate::Invalid),
        ],
        Vec::new(),
        |_| {},
    );
    writer
}

// REQ: USE-12
#[tokio::test]
async fn a_figure_is_computed_again_from_the_logs_alone() {
    let writer = good();
    let dir = tempfile::tempdir().unwrap();
    writer.write(dir.path()).await;
    let report = verify_usage(dir.path(), Some(&asked("2026-11"))).unwrap();
    assert_eq!(report.bad, None);
    assert_eq!((report.sealed, report.unsealed, report.macs_checked), (10, 0, true));
    let fates: Vec<_> = report.fates.iter().map(|(fate, count)| (*fate, *count)).collect();
    assert_eq!(
        fates,
        [
            ("conflicting", 1),
            ("counted", 2),
            ("duplicate", 1),
            ("forwarded", 1),
            ("invalid", 2),
            ("late", 2),
            ("unmatched", 1)
        ]
    );
    let figure = report.figure.unwrap();
    let [version] = figure.versions.as_slice() else { panic!("{figure:?}") };
    assert_eq!((version.version, version.events), (3, 3));
    assert_eq!(version.figure.as_deref(), Some("20.5"));
    assert_eq!(version.group_by, ["model"]);
    let groups: Vec<_> =
        version.groups.iter().map(|it| (it.group[0].as_str(), it.figure.as_deref())).collect();
    assert_eq!(groups, [("large", Some("0.5")), ("small", Some("20"))]);
    let seals: Vec<_> = figure.seals.iter().map(|it| (it.partition, it.seq, it.offset)).collect();
    assert_eq!(seals, [(0, 1, 1), (0, 2, 2)]);
    assert_eq!(figure.seals[1].hash, writer.prev.to_hex());
    let october = verify_usage(dir.path(), Some(&asked("2026-10"))).unwrap().figure.unwrap();
    assert_eq!(october.versions[0].figure.as_deref(), Some("10"));
    let december = verify_usage(dir.path(), Some(&asked("2026-12"))).unwrap().figure.unwrap();
    assert_eq!((december.versions.len(), december.seals.len()), (0, 0));
}

// REQ: USE-12
#[tokio::test]
async fn a_seal_that_its_records_do_not_come_to_is_named() {
    let late = || event("acme", &own("six"), NOON, SMALL);
    let spoils: [(&str, &str, fn(&mut pb::Seal)); 7] = [
        ("counts", "says 2 counted of records 10..11, and they come to 1 counted", |it| {
            it.counts = counts_to_proto(&[2, 0, 0, 0, 0, 0, 0]);
        }),
        ("root", "has another root than records 10..11", |it| {
            it.root = Bytes::from_static(&[9; 32]);
        }),
        ("range", "begins at record 9", |it| it.from = 9),
        ("end", "covers records up to 12", |it| it.to = 12),
        ("time", "goes back in time", |it| it.through = 0),
        ("adopted", "takes over what is not whole", |it| {
            it.adopted = adopted();
            it.adopted[0].content = Bytes::from_static(&[9; 32]);
        }),
        ("chain", "prev is not the head's hash", |it| it.prev = Bytes::from_static(&[9; 32])),
    ];
    for (name, said, spoil) in spoils {
        let mut writer = good();
        writer.seal(&[(late(), Fate::Counted)], Vec::new(), spoil);
        let dir = tempfile::tempdir().unwrap();
        writer.write(dir.path()).await;
        let bad = verify_usage(dir.path(), None).unwrap().bad.unwrap();
        assert!(bad.reason.contains(said), "{name}: {}", bad.reason);
        let reader = JournalReader::open_named(dir.path(), LogName::Seals).unwrap();
        let last = reader.records().last().unwrap().unwrap();
        assert_eq!(Some(bad.file), reader.file(last.segment));
        assert_eq!((bad.byte, bad.partition, bad.offset), (last.position, Some(0), Some(3)));
    }
}

// REQ: USE-12
#[tokio::test]
async fn another_event_or_another_fate_than_was_sealed_is_seen() {
    // A record changed, with its frame's checksum made right again.
    let mut changed = good();
    changed.usage[6] = event("acme", &own("four"), NOON, r#"{"tokens": 11, "model": "small"}"#);
    let bad = changed.report().await.bad.unwrap();
    assert!(bad.reason.contains("seal 2 has another root than records 4..10"), "{}", bad.reason);
    assert!(bad.reason.contains("its records begin in"), "{}", bad.reason);
    // Two records in another order.
    let mut swapped = good();
    swapped.usage.swap(6, 7);
    assert!(swapped.report().await.bad.unwrap().reason.contains("another root"));
    // A duplicate passed off as counted, with counts and root to match.
    let mut doubled = good();
    doubled.seal(&[(doubled.usage[6].clone(), Fate::Counted)], Vec::new(), |_| {});
    let bad = doubled.report().await.bad.unwrap();
    assert!(bad.reason.contains("they come to 1 duplicate"), "{}", bad.reason);
    // The log ends before the seals do.
    let mut short = good();
    short.usage.pop();
    let bad = short.report().await.bad.unwrap();
    assert!(bad.reason.contains("covers records up to 10"), "{}", bad.reason);
    // Events that are not sealed yet are no fault.
    let mut more = good();
    more.usage.push(event("acme", &own("seven"), NOON, SMALL));
    let report = more.report().await;
    assert_eq!((report.bad, report.unsealed), (None, 1));
    assert_eq!(report.figure.unwrap().versions[0].figure.as_deref(), Some("20.5"));
}

// REQ: USE-12, AUD-03
#[tokio::test]
async fn a_flipped_bit_is_named_with_its_file_and_byte() {
    let writer = good();
    let dir = tempfile::tempdir().unwrap();
    writer.write(dir.path()).await;
    for name in [LogName::Usage, LogName::Seals] {
        let reader = JournalReader::open_named(dir.path(), name).unwrap();
        let all: Vec<_> = reader.records().map(Result::unwrap).collect();
        let file = reader.file(0).unwrap();
        let whole = std::fs::read(&file).unwrap();
        for record in &all {
            let middle = record.position as usize + 10 + record.bytes.len() / 2;
            let mut flipped = whole.clone();
            flipped[middle] ^= 4;
            std::fs::write(&file, flipped).unwrap();
            let bad = verify_usage(dir.path(), None).unwrap().bad.unwrap();
            assert_eq!((&bad.file, bad.byte), (&file, record.position), "{}", bad.reason);
        }
        std::fs::write(&file, whole).unwrap();
    }
    assert_eq!(verify_usage(dir.path(), None).unwrap().bad, None);
}

// REQ: USE-12
#[tokio::test]
async fn without_the_key_the_rest_is_verified_and_it_says_so() {
    let dir = tempfile::tempdir().unwrap();
    good().write(dir.path()).await;
    std::fs::remove_file(dir.path().join("keys/deployment.key")).unwrap();
    let report = verify_usage(dir.path(), None).unwrap();
    assert_eq!((report.bad, report.macs_checked), (None, false));
    std::fs::write(dir.path().join("keys/deployment.key"), [8; 32]).unwrap();
    // A refusal under another key would still be invalid; a correction would not count.
    assert_eq!(verify_usage(dir.path(), None).unwrap().bad, None);
}
