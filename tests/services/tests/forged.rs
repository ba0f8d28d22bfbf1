//! Records that somebody else appends to the journal and to the seals, in every shape that
//! the fold tells apart: what is ignorable changes nothing, what breaks the chain is named
//! and ends the writer's claim, and the writer goes on under a new one with nothing lost.

#![cfg(test)]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use exchequer_codec::usage::{decode_seal, encode_event, encode_seal};
use exchequer_codec::{decode_record, encode_claim, encode_commit};
use exchequer_consumer_adoption::Adoption;
use exchequer_domain_tenants as tenants;
use exchequer_engine::meter::{MemoryDefinitions, Meters};
use exchequer_engine::{
    Commanding, Parts, Platform, Ports, React, Roles, Settings as EngineSettings, Submission,
    UsageIntake, UsagePorts,
};
use exchequer_journal::{Journal as _, MemoryInput, MemoryInputLimits};
use exchequer_journal_kafka::topics::{self, Layout};
use exchequer_journal_kafka::{KafkaJournal, Settings};
use exchequer_kernel::fold::{Break, Ignorable};
use exchequer_kernel::{Head, RecordHead, SealKey, Status, Verdict, fold};
use exchequer_metering::{Aggregation, Body, EventRecord, Fate, GROUPS_DEFAULT, Meter, Terms};
use exchequer_projection_usage::{Kind, reconcile};
use exchequer_proto::journal::v1 as pb;
use exchequer_proto::usage::v1 as usage;
use exchequer_readstore::MemoryStore;
use exchequer_runtime::{Runtime as _, TokioRuntime};
use exchequer_services::Kafka;
use exchequer_tenant::{Command, Create};
use exchequer_types::{
    ActorId, CommandId, Hash, Issuer, PartitionId, Slug, StreamId, TenantId, Timestamp,
};
use prost::Message as _;

const PARTITIONS: u32 = 1;
const P0: PartitionId = PartitionId(0);
const PATIENCE: Duration = Duration::from_secs(60);
const FORGER: [u8; 16] = *b"somebody else's.";
const READ_BYTES_MAX: usize = 1 << 20;

struct World {
    _kafka: Kafka,
    settings: Settings,
    layout: Layout,
}

struct Process {
    platform: Platform,
    meters: Meters,
    runtime: TokioRuntime,
}

impl World {
    fn new() -> Self {
        let kafka = Kafka::start(1).unwrap();
        let settings = Settings::new(kafka.bootstrap());
        let layout = Layout { partitions: PARTITIONS, replicas: 1, ..Layout::default() };
        let names = ["journal", "usage", "usage-seals"];
        let specs: Vec<_> = names.iter().map(|name| layout.topic(name).unwrap()).collect();
        topics::create(&settings, &specs).unwrap();
        Self { _kafka: kafka, settings, layout }
    }

    fn log(&self, name: &str) -> KafkaJournal {
        KafkaJournal::open(&self.settings, &self.layout.topic(name).unwrap()).unwrap()
    }

    /// A process that decides and meters, and knows nothing but what is in the topics.
    async fn start(&self, starts: u8) -> Process {
        let usage = self.layout.topic("usage").unwrap();
        let intake = Arc::new(UsageIntake);
        let log = KafkaJournal::open_produced(&self.settings, &usage, intake).unwrap();
        let runtime = TokioRuntime::default();
        let clock = runtime.clone();
        let now = Arc::new(move || clock.now());
        let limits = MemoryInputLimits::default();
        let ports = Ports {
            journal: Arc::new(self.log("journal")),
            inputs: Arc::new(MemoryInput::new(PARTITIONS, [starts; 16], limits, now)),
            store: Arc::new(MemoryStore::new(true)),
            runtime: Arc::new(runtime.clone()),
            key: SealKey::new(&[3; 32]),
            settings: Arc::new(EngineSettings::default()),
            usage: Some(UsagePorts {
                log: Arc::new(log),
                seals: Arc::new(self.log("usage-seals")),
            }),
        };
        let definitions = MemoryDefinitions::default();
        definitions.put_tenant(&tenant("acme"), &tenant("platform"), Vec::new());
        definitions.put_meters(&tenant("platform"), vec![calls()], Terms::default());
        let consumers: Vec<Arc<dyn React>> =
            vec![Arc::new(Commanding(Adoption { partitions: PARTITIONS }))];
        let definitions: Arc<MemoryDefinitions> = Arc::new(definitions);
        let given = Parts { consumers, definitions: Some(definitions), ..Parts::default() };
        let platform = Platform::start_as(Roles::ALL, ports, given).await.unwrap();
        let meters = platform.meters.clone().unwrap();
        Process { platform, meters, runtime }
    }
}

fn tenant(id: &str) -> TenantId {
    TenantId::parse(id).unwrap()
}

fn calls() -> Meter {
    Meter {
        key: Slug::parse("calls").unwrap(),
        version: 1,
        event_type: "call".to_owned(),
        aggregation: Aggregation::Count,
        value: None,
        group_by: Vec::new(),
        filters: Vec::new(),
        unit: "calls".to_owned(),
        groups_max: GROUPS_DEFAULT,
    }
}

impl Process {
    async fn submit(&self, id: &str, command: Command) -> Option<Status> {
        let submission = Submission::new(
            StreamId::parse("acme").unwrap(),
            Issuer::parse("api").unwrap(),
            CommandId::parse(id).unwrap(),
            ActorId::parse("u-1").unwrap(),
            command,
        );
        self.platform.gateway.submit(submission, PATIENCE).await.unwrap().status()
    }

    async fn create(&self) {
        let create = Create {
            parent: TenantId::platform(),
            name: "Acme".to_owned(),
            settings: BTreeMap::new(),
            test_clock: None,
        };
        while self.submit("create", Command::Create(create.clone())).await
            == Some(Status::NotAdopted)
        {}
    }

    /// A command, which must be decided whatever stands in the log.
    async fn rename(&self, number: usize) {
        let to = format!("r-{number}");
        let rename = tenants::Command::Rename(tenants::Rename { name: to.clone() });
        let status = self.submit(&to, Command::Tenants(rename)).await;
        assert_eq!(status, Some(Status::Accepted), "{to}");
    }

    /// An event, which must get its fate.
    async fn event(&self, number: usize) {
        let id = format!("e-{number}");
        let body = Body { kind: "call", schema: "", subject: "", time: None, data: "{}" };
        let event = EventRecord { tenant: "acme", source: "/s", id: &id, body };
        let record = encode_event(&mut BytesMut::new(), self.runtime.now(), &event);
        self.meters.ports.log.append(P0, record).await.unwrap();
        let end = self.meters.ports.log.end(P0).await.unwrap();
        assert!(self.meters.wait_for(P0, end, PATIENCE).await, "{:?}", self.meters.state(P0));
    }

    async fn counted(&self) -> u64 {
        let store = self.platform.ports.store.as_ref();
        let (from, to) = (Timestamp::MIN, Timestamp::MAX);
        let told = reconcile(store, &self.meters.live, "acme", from, to).await.unwrap().0;
        told.values().map(|it| it.of(Kind::Fate(Fate::Counted))).sum()
    }

    async fn stop(self) {
        self.runtime.shut_down();
        self.runtime.stopped().await;
    }
}

/// What decides whether a record counts.
#[derive(Clone)]
struct Fields {
    epoch: u64,
    owner: [u8; 16],
    seq: u64,
    prev: Hash,
    claim: Option<Hash>,
}

/// How a log's records are read and written.
struct Format {
    read: fn(&Bytes) -> (RecordHead, Hash),
    /// The same record with other fields.
    with: fn(&Bytes, &Fields) -> Bytes,
    /// Of a partition.
    claim: fn(PartitionId, u64) -> Bytes,
    /// A record of the first epoch, which nobody has claimed.
    unclaimed: fn() -> Bytes,
}

const JOURNAL: Format = Format {
    read: |bytes| {
        let (head, hash, _) = decode_record(P0, bytes);
        (head, hash)
    },
    with: |bytes, fields| {
        let mut record = pb::Record::decode(bytes.clone()).unwrap();
        let Some(pb::record::Body::Commit(it)) = &mut record.body else { unreachable!() };
        (it.epoch, it.seq) = (fields.epoch, fields.seq);
        it.owner = Bytes::copy_from_slice(&fields.owner);
        it.prev = Bytes::copy_from_slice(&fields.prev.0);
        it.claim = fields.claim.map_or_else(Bytes::new, |it| Bytes::copy_from_slice(&it.0));
        record.encode_to_vec().into()
    },
    claim: |partition, epoch| {
        let owner = Bytes::from_static(&FORGER);
        encode_claim(partition, pb::Claim { epoch, owner, ..pb::Claim::default() })
    },
    unclaimed: || {
        let (epoch, owner) = (1, Bytes::from_static(&FORGER));
        let prev = Bytes::from_static(&[0; 32]);
        encode_commit(P0, pb::Commit { epoch, owner, seq: 1, prev, ..pb::Commit::default() }).0
    },
};

const SEALS: Format = Format {
    read: |bytes| {
        let (head, hash, _) = decode_seal(P0, bytes);
        (head, hash)
    },
    with: |bytes, fields| {
        let mut record = usage::SealRecord::decode(bytes.clone()).unwrap();
        let Some(usage::seal_record::Body::Seal(it)) = &mut record.body else { unreachable!() };
        (it.epoch, it.seq) = (fields.epoch, fields.seq);
        it.owner = Bytes::copy_from_slice(&fields.owner);
        it.prev = Bytes::copy_from_slice(&fields.prev.0);
        it.claim = fields.claim.map_or_else(Bytes::new, |it| Bytes::copy_from_slice(&it.0));
        record.encode_to_vec().into()
    },
    claim: |partition, epoch| {
        let owner = Bytes::from_static(&FORGER);
        let claim = usage::SealClaim { epoch, owner, ..usage::SealClaim::default() };
        exchequer_codec::usage::encode_claim(partition, claim)
    },
    unclaimed: || {
        let (epoch, owner) = (1, Bytes::from_static(&FORGER));
        let (prev, root) = (Bytes::from_static(&[0; 32]), Bytes::from_static(&[0; 32]));
        let seal = usage::Seal { epoch, owner, seq: 1, prev, root, ..usage::Seal::default() };
        encode_seal(P0, seal).0
    },
};

/// The log as a reader finds it.
struct Reader {
    log: KafkaJournal,
    format: Format,
    head: Head,
    /// Of each record what the fold makes of it.
    records: Vec<(Verdict, RecordHead)>,
    /// The last record that was accepted and is no claim.
    last: Bytes,
}

impl Reader {
    fn new(log: KafkaJournal, format: Format) -> Self {
        let (head, records, last) = (Head::default(), Vec::new(), Bytes::new());
        Self { log, format, head, records, last }
    }

    async fn catch_up(&mut self) {
        let end = self.log.end(P0).await.unwrap();
        while self.head.offset < end {
            for it in self.log.read(P0, self.head.offset, READ_BYTES_MAX).await.unwrap() {
                let (record, hash) = (self.format.read)(&it.bytes);
                let verdict = fold(&mut self.head, &record, &hash);
                if verdict == Verdict::Accepted && matches!(record, RecordHead::Commit { .. }) {
                    self.last = it.bytes;
                }
                self.records.push((verdict, record));
            }
        }
    }

    /// Those of a record that would be accepted.
    fn next(&self) -> Fields {
        let claim = self.head.claim.clone().unwrap();
        assert!(!claim.fresh && !claim.broken);
        let (seq, prev) = (self.head.seq + 1, self.head.hash);
        Fields { epoch: claim.epoch, owner: claim.owner, seq, prev, claim: None }
    }

    fn forged(&self, shape: Shape) -> Vec<Bytes> {
        let next = self.next();
        let with = |fields: Fields| (self.format.with)(&self.last, &fields);
        let claim = |epoch| (self.format.claim)(P0, epoch);
        // The first record under a claim that was accepted.
        let fresh = |claim| Fields { epoch: next.epoch + 1, owner: FORGER, claim, ..next.clone() };
        let ousting = claim(next.epoch + 1);
        vec![match shape {
            Shape::OlderCommit => with(Fields { epoch: next.epoch - 1, ..next }),
            Shape::OlderClaim => claim(next.epoch - 1),
            Shape::SameClaim => claim(next.epoch),
            Shape::Repetition => self.last.clone(),
            Shape::Garbage => Bytes::from_static(b"no record at all"),
            Shape::OtherPartition => (self.format.claim)(PartitionId(1), next.epoch + 1),
            Shape::FutureCommit => with(Fields { epoch: next.epoch + 1, ..next }),
            Shape::FutureClaim => claim(next.epoch + 2),
            Shape::ForeignOwner => with(Fields { owner: FORGER, ..next }),
            Shape::SkippedSeq => with(Fields { seq: next.seq + 1, ..next }),
            Shape::OtherPrev => with(Fields { prev: Hash([7; 32]), ..next }),
            Shape::NamedClaim => {
                let claim = self.head.claim.as_ref().map(|it| it.hash);
                with(Fields { claim, ..next })
            }
            Shape::NextClaim => ousting,
            Shape::ClaimNotNamed => return vec![ousting, with(fresh(None))],
            Shape::OtherClaimNamed => return vec![ousting, with(fresh(Some(Hash([7; 32]))))],
        }]
    }

    /// What would count, is garbage, or claims, if it did not stand behind a break.
    fn behind_break(&self, is_ousted: bool) -> Vec<Bytes> {
        let mut next = self.next();
        if is_ousted {
            (next.epoch, next.owner) = (next.epoch + 1, FORGER);
        }
        let garbage = Bytes::from_static(b"no record either");
        vec![
            (self.format.with)(&self.last, &next),
            garbage,
            (self.format.claim)(P0, next.epoch + 9),
        ]
    }
}

#[derive(Clone, Copy, Debug)]
enum Shape {
    OlderCommit,
    OlderClaim,
    SameClaim,
    Repetition,
    Garbage,
    OtherPartition,
    FutureCommit,
    FutureClaim,
    ForeignOwner,
    SkippedSeq,
    OtherPrev,
    NamedClaim,
    /// It is accepted, for nobody can tell it from another writer's: that writer is ousted.
    NextClaim,
    /// The same, and then a record that should name the claim.
    ClaimNotNamed,
    OtherClaimNamed,
}

const SHAPES: &[(Shape, &[Verdict])] = &[
    (Shape::OlderCommit, &[Verdict::Ignorable(Ignorable::OlderEpoch)]),
    (Shape::OlderClaim, &[Verdict::Ignorable(Ignorable::LosingClaim)]),
    (Shape::SameClaim, &[Verdict::Ignorable(Ignorable::LosingClaim)]),
    (Shape::Repetition, &[Verdict::Ignorable(Ignorable::Repetition)]),
    (Shape::Garbage, &[Verdict::Break(Break::Unreadable)]),
    (Shape::OtherPartition, &[Verdict::Break(Break::Unreadable)]),
    (Shape::FutureCommit, &[Verdict::Break(Break::UnclaimedEpoch)]),
    (Shape::FutureClaim, &[Verdict::Break(Break::UnclaimedEpoch)]),
    (Shape::ForeignOwner, &[Verdict::Break(Break::ForeignOwner)]),
    (Shape::SkippedSeq, &[Verdict::Break(Break::Seq)]),
    (Shape::OtherPrev, &[Verdict::Break(Break::Prev)]),
    (Shape::NamedClaim, &[Verdict::Break(Break::ClaimHash)]),
    (Shape::NextClaim, &[Verdict::Accepted]),
    (Shape::ClaimNotNamed, &[Verdict::Accepted, Verdict::Break(Break::ClaimHash)]),
    (Shape::OtherClaimNamed, &[Verdict::Accepted, Verdict::Break(Break::ClaimHash)]),
];

/// Work until the writer is at rest: it appended one record, with nobody else's between.
async fn rest(reader: &mut Reader, work: &mut impl AsyncFnMut()) {
    loop {
        reader.catch_up().await;
        let before = reader.records.len();
        work().await;
        reader.catch_up().await;
        let last = reader.records.last().unwrap();
        let is_work = matches!(last, (Verdict::Accepted, RecordHead::Commit { .. }));
        if is_work && reader.records.len() == before + 1 {
            return;
        }
    }
}

/// Appends every shape, and more behind a break, with work between; how many were ignored, and
/// how many broke the chain.
async fn forge(reader: &mut Reader, mut work: impl AsyncFnMut()) -> [u64; 2] {
    for (shape, expected) in SHAPES {
        rest(reader, &mut work).await;
        let epoch = reader.head.epoch();
        let mut forged = reader.forged(*shape);
        let mut expected = expected.to_vec();
        if matches!(expected.last(), Some(Verdict::Break(_))) {
            let behind = reader.behind_break(expected[0] == Verdict::Accepted);
            expected.extend(behind.iter().map(|_| Verdict::Ignorable(Ignorable::AfterBreak)));
            forged.extend(behind);
        }
        let at = reader.log.append_all(P0, forged).await.unwrap().unwrap();
        assert_eq!(at, reader.head.offset, "nobody else appends meanwhile");
        work().await;
        reader.catch_up().await;
        let records = &reader.records[at as usize..];
        let verdicts: Vec<Verdict> = records.iter().map(|it| it.0).collect();
        assert_eq!(verdicts[..expected.len()], expected, "{shape:?}");
        let mut goes_on = records[expected.len()..].iter().filter(|it| it.0 == Verdict::Accepted);
        match (expected[0], &goes_on.next().unwrap().1) {
            // What the writer appended behind it counts.
            (Verdict::Ignorable(_), RecordHead::Commit { epoch: found, .. }) => {
                assert_eq!(*found, epoch, "{shape:?}: {records:?}");
            }
            (Verdict::Break(_), RecordHead::Claim { epoch: found, .. }) => {
                assert_eq!(*found, epoch + 1, "{shape:?}: {records:?}");
            }
            (Verdict::Accepted, RecordHead::Claim { epoch: found, .. }) => {
                assert_eq!(*found, epoch + 2, "{shape:?}: {records:?}");
            }
            _ => panic!("{shape:?}: {records:?}"),
        }
    }
    rest(reader, &mut work).await;
    assert_eq!(reader.records[0].0, Verdict::Break(Break::UnclaimedEpoch));
    let count = |is: fn(&Verdict) -> bool| {
        reader.records.iter().filter(|(verdict, _)| is(verdict)).count() as u64
    };
    [count(|it| matches!(it, Verdict::Ignorable(_))), count(|it| matches!(it, Verdict::Break(_)))]
}

// REQ: KER-02, KER-08, USE-12
#[tokio::test(flavor = "multi_thread")]
async fn a_forged_record_changes_nothing_or_breaks_the_chain_and_is_named() {
    let world = World::new();
    let logs = [("journal", JOURNAL.unclaimed), ("usage-seals", SEALS.unclaimed)];
    for (name, unclaimed) in logs {
        world.log(name).append(P0, unclaimed()).await.unwrap();
    }
    let process = world.start(1).await;
    process.create().await;
    // Before the first record under a second claim nothing is of an older epoch.
    process.stop().await;
    let process = world.start(2).await;

    let (mut renames, mut events) = (0, 0);
    let mut journal = Reader::new(world.log("journal"), JOURNAL);
    let named = forge(&mut journal, async || {
        renames += 1;
        process.rename(renames).await;
    });
    let [_, breaks] = named.await;
    // Where no one claimed, and where each shape breaks the chain.
    assert_eq!(breaks, 1 + 10);
    // Operators see it.
    let state = process.platform.tail.state(P0);
    assert_eq!(state.breaks, breaks);
    assert!(state.ignored > 0, "{state:?}");

    let mut seals = Reader::new(world.log("usage-seals"), SEALS);
    let named = forge(&mut seals, async || {
        events += 1;
        process.event(events).await;
    });
    let named = named.await;
    assert_eq!(named[1], breaks);
    assert_eq!(process.counted().await, events as u64);
    let tally = process.meters.state(P0).tally;
    assert_eq!([tally.ignored, tally.breaks], named);
    process.stop().await;

    // Whoever reads the topics from zero comes to the same.
    let process = world.start(3).await;
    process.rename(renames + 1).await;
    process.event(events + 1).await;
    assert_eq!(process.counted().await, events as u64 + 1);
    let state = process.platform.tail.state(P0);
    assert_eq!(state.breaks, breaks);
    let tally = process.meters.state(P0).tally;
    assert_eq!([tally.ignored, tally.breaks], named);
    journal.catch_up().await;
    assert_eq!(state.head.hash, journal.head.hash);
    process.stop().await;
}
