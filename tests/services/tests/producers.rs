//! Usage that clients nobody here wrote produce to a real broker, metered, and the programs
//! of `docs/guides/kafka-producers.md` as they are printed there.

#![cfg(test)]

mod programs;

use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use exchequer_codec::usage::encode_event;
use exchequer_engine::meter::{MemoryDefinitions, Meters};
use exchequer_engine::{
    Outlets, Parts, Platform, Ports, Roles, Settings as EngineSettings, UsageIntake, UsagePorts,
};
use exchequer_journal::{Journal, MemoryInput, MemoryInputLimits, MemoryJournal};
use exchequer_journal_kafka::topics::{self, Layout};
use exchequer_journal_kafka::{KafkaJournal, KafkaOutlet, Settings};
use exchequer_kernel::SealKey;
use exchequer_metering::{
    Aggregation, Body, EventRecord, Fate, GROUPS_DEFAULT, Meter, Path, Terms, partition_of_event,
};
use exchequer_projection_usage::{Kind, Query, Step, query, reconcile};
use exchequer_readstore::MemoryStore;
use exchequer_runtime::{Runtime as _, TokioRuntime};
use exchequer_services::{Folder, Kafka};
use exchequer_types::{PartitionId, Slug, TenantId, Timestamp};
use programs::Guide;

const PARTITIONS: u32 = 3;
const PATIENCE: Duration = Duration::from_secs(60);

/// A meter on a broker's topics.
struct World {
    kafka: Kafka,
    settings: Settings,
    layout: Layout,
}

struct Process {
    platform: Platform,
    meters: Meters,
    runtime: TokioRuntime,
}

fn tenant(id: &str) -> TenantId {
    TenantId::parse(id).unwrap()
}

fn tokens() -> Meter {
    Meter {
        key: Slug::parse("tokens").unwrap(),
        version: 1,
        event_type: "tokens.used".to_owned(),
        aggregation: Aggregation::Sum,
        value: Some(Path::parse("$.tokens").unwrap()),
        group_by: Vec::new(),
        filters: Vec::new(),
        unit: "tokens".to_owned(),
        groups_max: GROUPS_DEFAULT,
    }
}

impl World {
    fn new() -> Self {
        let kafka = Kafka::start(1).unwrap();
        let settings = Settings::new(kafka.bootstrap());
        let layout = Layout { partitions: PARTITIONS, replicas: 1, ..Layout::default() };
        let names = ["usage", "usage-seals", "dead-letters"];
        let specs: Vec<_> = names.iter().map(|name| layout.topic(name).unwrap()).collect();
        topics::create(&settings, &specs).unwrap();
        Self { kafka, settings, layout }
    }

    /// A process with an empty store: everything is read from the topics again.
    async fn start(&self) -> Process {
        let spec = |name: &str| self.layout.topic(name).unwrap();
        let settings = &self.settings;
        let log =
            KafkaJournal::open_produced(settings, &spec("usage"), Arc::new(UsageIntake)).unwrap();
        let seals = KafkaJournal::open(settings, &spec("usage-seals")).unwrap();
        let letters = KafkaOutlet::open(settings, &spec("dead-letters")).unwrap();
        let runtime = TokioRuntime::default();
        let clock = runtime.clone();
        let now = Arc::new(move || clock.now());
        let limits = MemoryInputLimits::default();
        let mut bounds = EngineSettings::default();
        bounds.usage.seal_linger = Duration::from_millis(5);
        let ports = Ports {
            journal: Arc::new(MemoryJournal::new(PARTITIONS)),
            inputs: Arc::new(MemoryInput::new(PARTITIONS, [1; 16], limits, now)),
            store: Arc::new(MemoryStore::new(true)),
            runtime: Arc::new(runtime.clone()),
            key: SealKey::new(&[3; 32]),
            settings: Arc::new(bounds),
            usage: Some(UsagePorts { log: Arc::new(log), seals: Arc::new(seals) }),
        };
        let definitions = MemoryDefinitions::default();
        definitions.put_tenant(&tenant("acme"), &tenant("platform"), Vec::new());
        definitions.put_meters(&tenant("platform"), vec![tokens()], Terms::default());
        let roles = Roles { decides: false, bootstraps: false, meters: true };
        let outlets = Outlets { dead_letters: Some(Arc::new(letters)), ..Outlets::default() };
        let definitions = Arc::new(definitions);
        let given = Parts { definitions: Some(definitions), outlets, ..Parts::default() };
        let platform = Platform::start_as(roles, ports, given).await.unwrap();
        let meters = platform.meters.clone().unwrap();
        Process { platform, meters, runtime }
    }
}

impl Process {
    fn log(&self) -> &dyn Journal {
        self.meters.ports.log.as_ref()
    }

    /// Everything that is in the topic has a fate.
    async fn settled(&self) {
        for partition in (0..PARTITIONS).map(PartitionId) {
            let end = self.log().end(partition).await.unwrap();
            let is_there = self.meters.wait_for(partition, end, PATIENCE).await;
            assert!(is_there, "{:?}", self.meters.state(partition));
        }
    }

    /// The same, and what was sent on has one too.
    async fn figure(&self) -> String {
        self.settled().await;
        self.settled().await;
        let day = 24 * 3_600_000_000;
        let start = self.runtime.now().micros() / day * day;
        let acme = tenant("acme");
        let asked = Query {
            tenant: &acme,
            meter: "tokens",
            version: None,
            from: Timestamp::from_micros(start - 2 * day).unwrap(),
            to: Timestamp::from_micros(start + 2 * day).unwrap(),
            step: Step::Whole,
            subject: None,
            by_subject: false,
            group_by: Vec::new(),
            filters: Vec::new(),
            top: 10,
            lateness: Duration::ZERO,
            seen: &[],
        };
        let store = self.platform.ports.store.as_ref();
        let answer = query(store, &self.meters.live, &asked).await.unwrap();
        let figure = answer.windows.first().and_then(|it| it.groups.first()?.figure);
        figure.map(|it| it.to_string()).unwrap_or_default()
    }

    async fn count(&self, kind: Kind) -> u64 {
        let store = self.platform.ports.store.as_ref();
        let (from, to) = (Timestamp::MIN, Timestamp::MAX);
        let told = reconcile(store, &self.meters.live, "acme", from, to).await.unwrap().0;
        told.values().map(|it| it.of(kind)).sum()
    }

    /// What a gateway appends of the guide's event `id`.
    async fn send(&self, id: &str) {
        let data = r#"{"tokens":2,"model":"large"}"#;
        let body = Body { kind: "tokens.used", schema: "", subject: "user-17", time: None, data };
        let event = EventRecord { tenant: "acme", source: "/inference/eu-1", id, body };
        let partition = partition_of_event("acme", id, PARTITIONS, &mut Vec::new());
        let record = encode_event(&mut BytesMut::new(), self.runtime.now(), &event);
        self.log().append(partition, record).await.unwrap();
    }

    async fn stop(self) {
        self.runtime.shut_down();
        self.runtime.stopped().await;
    }
}

// REQ: USE-02 USE-03
#[tokio::test(flavor = "multi_thread")]
async fn programs_of_the_guide_count_once_and_mend_what_was_refused() {
    let world = World::new();
    let folder = Folder::temporary("producers").unwrap();
    let guide = Guide::read("docs/guides/kafka-producers.md", folder.path());
    let bootstrap = world.kafka.bootstrap();
    let process = world.start().await;

    // By HTTP before, and by HTTP afterwards.
    for number in 0..10 {
        process.send(&format!("req-{number}")).await;
    }
    guide.run("structured.py", &bootstrap);
    assert_eq!(process.figure().await, "200");
    guide.run("binary.py", &bootstrap);
    assert_eq!(process.figure().await, "300");
    guide.run("Produce.java", &bootstrap);
    for number in 190..200 {
        process.send(&format!("req-{number}")).await;
    }
    assert_eq!(process.figure().await, "400");
    assert_eq!(process.count(Kind::Fate(Fate::Counted)).await, 200);
    assert_eq!(process.count(Kind::Fate(Fate::Duplicate)).await, 10 + 50 + 50 + 10);
    assert_eq!(process.count(Kind::Fate(Fate::Forwarded)).await, 0, "all partitioners agree");

    // What this one writes is wrong in several ways.
    let told = programs::run_own("producers_wrong.py", &bootstrap, &[]);
    let wrong: u64 = told.trim().parse().unwrap();
    assert_eq!(process.figure().await, "404", "two stood on another partition, and count");
    // Of the wrong ones, the event that is too old stood elsewhere as well.
    assert_eq!(process.count(Kind::Fate(Fate::Forwarded)).await, 3);
    // Those whose tenant can be read are listed to it.
    assert_eq!(process.count(Kind::Refused).await, 5);
    let replayed = guide.run("letters.py", &bootstrap);
    assert_eq!(replayed.stdout.trim(), "4", "{}", replayed.stderr);
    let reasons: Vec<&str> = replayed.stderr.lines().collect();
    assert_eq!(reasons.len() as u64, wrong - 4, "{reasons:?}");
    for reason in ["EVENT_MALFORMED: ", "EVENT_ATTRIBUTE_INVALID: tenant ", "must be at most"] {
        assert!(reasons.iter().any(|it| it.starts_with(reason)), "{reason}: {reasons:?}");
    }
    assert_eq!(process.figure().await, "412", "mended, they count");
    // What was not mended is there still, and what is written twice counts once.
    let again = guide.run("letters.py", &bootstrap);
    assert_eq!(again.stderr.lines().count(), reasons.len(), "{}", again.stderr);
    assert_eq!(process.figure().await, "412");
    process.stop().await;

    // From the topics alone, all comes to the same.
    let process = world.start().await;
    assert_eq!(process.figure().await, "412");
    process.stop().await;
}
