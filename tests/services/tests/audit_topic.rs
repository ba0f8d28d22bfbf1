//! The audit topic on a real broker, read by a program in Python that knows only
//! `docs/reference/audit-topic.md`.

#![cfg(test)]

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Output;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use exchequer_consumer_adoption::Adoption;
use exchequer_domain_tenants as tenants;
use exchequer_engine::{
    Commanding, Forwarder, Outlets, Parts, Platform, Ports, React, Roles,
    Settings as EngineSettings, Submission,
};
use exchequer_journal::{Journal as _, MemoryInput, MemoryInputLimits, Outgoing, Outlet as _};
use exchequer_journal_kafka::topics::{self, Layout};
use exchequer_journal_kafka::{KafkaJournal, KafkaOutlet, Settings};
use exchequer_kernel::{SealKey, Status};
use exchequer_readstore::MemoryStore;
use exchequer_runtime::{Runtime as _, TokioRuntime};
use exchequer_services::{Kafka, clients};
use exchequer_tenant::{Command, Create};
use exchequer_types::{ActorId, CommandId, Issuer, PartitionId, StreamId, TenantId, partition_of};

const PARTITIONS: u32 = 3;
const PATIENCE: Duration = Duration::from_secs(30);
const TENANTS: u32 = 4;

struct World {
    kafka: Kafka,
    settings: Settings,
    layout: Layout,
    store: Arc<MemoryStore>,
    starts: u8,
}

struct Process {
    platform: Platform,
    runtime: TokioRuntime,
}

impl World {
    fn new() -> Self {
        let kafka = Kafka::start(1).unwrap();
        let settings = Settings::new(kafka.bootstrap());
        let layout = Layout { partitions: PARTITIONS, replicas: 1, ..Layout::default() };
        let specs: Vec<_> =
            ["journal", "audit"].iter().map(|name| layout.topic(name).unwrap()).collect();
        topics::create(&settings, &specs).unwrap();
        Self { kafka, settings, layout, store: Arc::new(MemoryStore::new(true)), starts: 0 }
    }

    fn journal(&self, name: &str) -> KafkaJournal {
        KafkaJournal::open(&self.settings, &self.layout.topic(name).unwrap()).unwrap()
    }

    fn outlet(&self) -> KafkaOutlet {
        KafkaOutlet::open(&self.settings, &self.layout.topic("audit").unwrap()).unwrap()
    }

    async fn start(&mut self) -> Process {
        self.starts += 1;
        let runtime = TokioRuntime::default();
        let clock = runtime.clone();
        let now = Arc::new(move || clock.now());
        let limits = MemoryInputLimits::default();
        let ports = Ports {
            journal: Arc::new(self.journal("journal")),
            inputs: Arc::new(MemoryInput::new(PARTITIONS, [self.starts; 16], limits, now)),
            store: Arc::<MemoryStore>::clone(&self.store),
            runtime: Arc::new(runtime.clone()),
            key: SealKey::new(&[3; 32]),
            settings: Arc::new(EngineSettings::default()),
            usage: None,
        };
        let consumers: Vec<Arc<dyn React>> = vec![
            Arc::new(Commanding(Adoption { partitions: PARTITIONS })),
            Arc::new(Forwarder { ports: ports.clone() }),
        ];
        let outlets = Outlets { audit: Some(Arc::new(self.outlet())), ..Outlets::default() };
        let given = Parts { consumers, outlets, ..Parts::default() };
        let platform = Platform::start_as(Roles::ALL, ports, given).await.unwrap();
        Process { platform, runtime }
    }

    /// Runs a program in Python.
    fn run(&self, name: &str, words: &[&str]) -> Output {
        let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("clients").join(name);
        let bootstrap = self.kafka.bootstrap();
        clients::python(&bootstrap, &program, &[&[bootstrap.as_str()], words].concat()).unwrap()
    }

    /// What a consumer finds in the topic: entries and repetitions, by tenant.
    fn found(&self, topic: &str) -> BTreeMap<String, (u64, u64)> {
        let output = self.run("audit_consumer.py", &[topic]);
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_str(&said).unwrap()
    }

    /// Entries that it finds, by tenant.
    fn consumed(&self) -> BTreeMap<String, u64> {
        let found = self.found("audit").into_iter();
        found.map(|(tenant, (entries, _))| (tenant, entries)).collect()
    }

    /// A copy of the topic in which something is forged.
    fn forged(&self, shape: &str) -> String {
        let topic = format!("forged-{shape}");
        let output = self.run("audit_forge.py", &["audit", &topic, shape]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        topic
    }

    /// A consumer ends with an alarm, and says so.
    fn alarms(&self, topic: &str, alarm: &str) {
        let output = self.run("audit_consumer.py", &[topic]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains(alarm), "{alarm}: {said}");
    }

    /// Entries that the journal has, by tenant.
    async fn entries(&self) -> BTreeMap<String, u64> {
        let journal = self.journal("journal");
        let mut all = BTreeMap::new();
        for partition in (0..PARTITIONS).map(PartitionId) {
            let (mut next, end) = (0, journal.end(partition).await.unwrap());
            while next < end {
                for record in journal.read(partition, next, 1 << 20).await.unwrap() {
                    next = record.offset + 1;
                    let commit = exchequer_codec::decode_record(partition, &record.bytes).2;
                    for entry in commit.map(|it| it.audit).unwrap_or_default() {
                        *all.entry(entry.tenant).or_default() += 1;
                    }
                }
            }
        }
        all
    }
}

impl Process {
    async fn submit(&self, stream: &str, id: &str, command: Command) -> Option<Status> {
        let submission = Submission::new(
            StreamId::parse(stream).unwrap(),
            Issuer::parse("api").unwrap(),
            CommandId::parse(id).unwrap(),
            ActorId::parse("u-1").unwrap(),
            command,
        );
        self.platform.gateway.submit(submission, PATIENCE).await.unwrap().status()
    }

    async fn create(&self, name: &str) {
        loop {
            let command = Command::Create(Create {
                parent: TenantId::platform(),
                name: name.to_owned(),
                settings: BTreeMap::new(),
                test_clock: None,
            });
            if self.submit(name, "create", command).await != Some(Status::NotAdopted) {
                return;
            }
        }
    }

    async fn rename(&self, name: &str, to: &str) {
        let command =
            Command::Tenants(tenants::Command::Rename(tenants::Rename { name: to.to_owned() }));
        assert_eq!(self.submit(name, to, command).await, Some(Status::Accepted));
    }

    async fn stop(self) {
        self.runtime.shut_down();
        self.runtime.stopped().await;
    }
}

/// Waits until the topic has `count` records of the tenant's partition.
async fn published(topic: &KafkaJournal, partition: PartitionId, count: u64) {
    let begun = Instant::now();
    while topic.end(partition).await.unwrap() < count {
        assert!(begun.elapsed() < PATIENCE, "an entry is not published");
    }
}

// REQ: AUD-06
#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_that_has_only_the_page_reads_every_entry_and_finds_what_was_forged() {
    let mut world = World::new();
    let topic = world.journal("audit");
    let mut waits = Vec::new();
    for round in 0..2 {
        let process = world.start().await;
        for number in 0..TENANTS {
            process.create(&format!("t-{number}")).await;
        }
        let partition = partition_of(b"t-0", PARTITIONS);
        for number in 0..50 {
            let before = topic.end(partition).await.unwrap();
            process.rename("t-0", &format!("r-{round}-{number}")).await;
            let begun = Instant::now();
            if round > 0 {
                published(&topic, partition, before + 1).await;
                waits.push(begun.elapsed());
            }
        }
        let entries = world.entries().await;
        let begun = Instant::now();
        while world.consumed() != entries {
            assert!(begun.elapsed() < PATIENCE, "{:?} of {entries:?}", world.consumed());
        }
        assert!(entries.len() > TENANTS as usize, "{entries:?}");
        // The second round goes on behind the topic's own end.
        process.stop().await;
    }
    waits.sort();
    println!("acknowledged to published: {:?} in the middle, {:?} at most", waits[25], waits[49]);

    // A sealer may publish again what it published before.
    let once = world.found("audit");
    let twice = once
        .iter()
        .map(|(tenant, (entries, repeated))| (tenant.clone(), (*entries, *entries + 2 * repeated)));
    assert_eq!(world.found(&world.forged("twice")), twice.collect());
    // Whoever may write to the topic without being a sealer is found out.
    for (shape, alarm) in [
        ("gap", "entry 11 of t-0 came after entry 9"),
        ("prev", "entry 10 of t-0 does not follow the one before"),
        ("other", "entry 10 of t-0 came again and is another one"),
        ("header", "entry 11 of t-0 has other headers"),
        ("missing", "0 headers prev"),
    ] {
        world.alarms(&world.forged(shape), alarm);
    }
    let partition = partition_of(b"t-0", PARTITIONS);
    let outlet = world.outlet();
    let mut forged: Outgoing = outlet.last(partition).await.unwrap().unwrap();
    forged.value = Bytes::from([&forged.value[..], b" "].concat());
    outlet.publish(partition, vec![forged]).await.unwrap();
    world.alarms("audit", "was changed");
}
