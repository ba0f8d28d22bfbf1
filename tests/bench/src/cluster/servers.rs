//! A broker, a node of the store, and platforms on them in this process.

use std::sync::Arc;
use std::time::{Duration, Instant};

use exchequer_consumer_adoption::Adoption;
use exchequer_engine::{
    Commanding, Forwarder, Outlets, Parts, Platform, Ports, React, Roles, Settings as Bounds, View,
};
use exchequer_journal::{Alone, Membership};
use exchequer_journal_kafka::topics::{self, Known, Layout};
use exchequer_journal_kafka::{KafkaInput, KafkaJournal, KafkaOutlet, Settings};
use exchequer_kernel::SealKey;
use exchequer_readstore::ReadStore;
use exchequer_readstore_scylla::{
    MIGRATIONS, Replication, ScyllaReadStore, Settings as StoreSettings, migrate,
};
use exchequer_runtime::TokioRuntime;
use exchequer_services::{Cassandra, Kafka, Users};

use crate::Failure;

const READY_WAIT_MAX: Duration = Duration::from_secs(60);

/// Two seconds of a calm machine, in hundredths of a second of all its processors.
const LOOK: Duration = Duration::from_secs(2);
const BUSY_TICKS_MAX: u64 = 30;
const CALM_WAIT_MAX: Duration = Duration::from_secs(60);

pub(crate) struct Servers {
    pub(super) kafka: Kafka,
    pub(super) store: Cassandra,
}

impl Servers {
    /// They end with the value.
    pub(super) fn start() -> Result<Self, Failure> {
        let servers = Self { kafka: Kafka::start(1)?, store: Cassandra::start(Users::Anybody)? };
        calm()?;
        Ok(servers)
    }

    /// Of a deployment of its own, whose topics begin with `prefix`.
    pub(super) fn settings(&self, prefix: &str) -> Settings {
        Settings { prefix: format!("{prefix}-"), ..Settings::new(self.kafka.bootstrap()) }
    }

    /// A keyspace with all tables.
    pub(super) async fn read_store(&self, keyspace: &str) -> Result<ScyllaReadStore, Failure> {
        let settings = self.store_settings(keyspace);
        migrate(&settings, &Replication::EachDatacenter(1), MIGRATIONS).await?;
        Ok(ScyllaReadStore::open(&settings, MIGRATIONS, &[]).await?)
    }

    pub(super) fn store_settings(&self, keyspace: &str) -> StoreSettings {
        let nodes = vec![self.store.address()];
        let request_timeout = Duration::from_secs(30);
        StoreSettings { request_timeout, ..StoreSettings::new(nodes, keyspace) }
    }

    /// A deployment's topics.
    pub(super) fn topics(&self, prefix: &str, partitions: u32) -> Result<Topics, Failure> {
        let settings = self.settings(prefix);
        let layout = Layout { partitions, replicas: 1, ..Layout::default() };
        topics::create(&settings, &layout.topics())?;
        let known = topics::check(&settings, &layout.topics())?;
        Ok(Topics { settings, known, partitions })
    }
}

pub(crate) struct Topics {
    pub(super) settings: Settings,
    known: Vec<Known>,
    pub(super) partitions: u32,
}

impl Topics {
    pub(super) fn known(&self, name: &str) -> Result<&Known, Failure> {
        let known = self.known.iter().find(|it| it.spec.name == name);
        known.ok_or_else(|| format!("there is no topic {name}").into())
    }

    pub(super) fn journal(&self, name: &str) -> Result<KafkaJournal, Failure> {
        Ok(KafkaJournal::open(&self.settings, &self.known(name)?.spec)?)
    }
}

/// Waits until what servers do after a start, which takes whole cores, is done.
fn calm() -> Result<(), Failure> {
    let (begun, mut before) = (Instant::now(), busy_ticks()?);
    while begun.elapsed() < CALM_WAIT_MAX {
        std::thread::sleep(LOOK);
        let now = busy_ticks()?;
        if now.saturating_sub(before) < BUSY_TICKS_MAX {
            break;
        }
        before = now;
    }
    Ok(())
}

/// How long processors were at work since the machine started: proc(5), `/proc/stat`.
fn busy_ticks() -> Result<u64, Failure> {
    let text = std::fs::read_to_string("/proc/stat")?;
    let fields = text.lines().next().unwrap_or_default().split_whitespace().skip(1);
    let ticks: Vec<u64> = fields.map(str::parse).collect::<Result<_, _>>()?;
    // User, nice and system; what is idle or waits for a disk is not at work.
    Ok(ticks.iter().take(3).sum())
}

/// What a process does.
pub(crate) struct Work {
    pub(super) roles: Roles,
    pub(super) views: Vec<Arc<dyn View>>,
    /// Does it publish audit entries?
    pub(super) publishes: bool,
}

impl Work {
    /// It decides, and nothing else.
    pub(super) fn deciding() -> Self {
        Self { roles: Roles::ALL, views: Vec::new(), publishes: false }
    }

    /// It follows the journal, and answers whoever submits through it.
    pub(super) fn gateway() -> Self {
        let roles = Roles { decides: false, bootstraps: false, meters: false };
        Self { roles, ..Self::deciding() }
    }
}

/// A process's part, within this one.
pub(crate) struct World {
    pub(super) platform: Platform,
    runtime: TokioRuntime,
}

impl World {
    /// Starts on clients of its own and waits until it is ready.
    pub(super) async fn start(
        topics: &Topics,
        store: Arc<dyn ReadStore>,
        work: Work,
    ) -> Result<Self, Failure> {
        let world = Self::begin(topics, store, work).await?;
        world.ready().await?;
        Ok(world)
    }

    /// The same, and waits for nothing.
    pub(super) async fn begin(
        topics: &Topics,
        store: Arc<dyn ReadStore>,
        work: Work,
    ) -> Result<Self, Failure> {
        let runtime = TokioRuntime::default();
        let (commands, internal) = (topics.known("commands")?, topics.known("commands-internal")?);
        let inputs = KafkaInput::open(&topics.settings, commands, internal)?;
        let ports = Ports {
            journal: Arc::new(topics.journal("journal")?),
            inputs: Arc::new(inputs),
            store,
            runtime: Arc::new(runtime.clone()),
            key: SealKey::new(&[7; 32]),
            settings: Arc::new(Bounds::default()),
            usage: None,
        };
        let consumers: Vec<Arc<dyn React>> = if work.roles.decides {
            vec![
                Arc::new(Commanding(Adoption { partitions: topics.partitions })),
                Arc::new(Forwarder { ports: ports.clone() }),
            ]
        } else {
            Vec::new()
        };
        let mut outlets = Outlets::default();
        if work.publishes {
            let outlet = KafkaOutlet::open(&topics.settings, &topics.known("audit")?.spec)?;
            outlets.audit = Some(Arc::new(outlet));
        }
        // What does not decide follows what another process decides.
        let alone = || Arc::new(Alone::new(topics.partitions)) as Arc<dyn Membership>;
        let membership = (!work.roles.decides).then(alone);
        let given = Parts { views: work.views, consumers, outlets, membership, ..Parts::default() };
        let platform = Platform::start_as(work.roles, ports, given).await?;
        Ok(Self { platform, runtime })
    }

    async fn ready(&self) -> Result<(), Failure> {
        let mut changes = self.platform.tail.changes();
        let ready = async {
            while !self.platform.is_ready() {
                let _ = tokio::time::timeout(Duration::from_millis(5), changes.changed()).await;
            }
        };
        let ready = tokio::time::timeout(READY_WAIT_MAX, ready).await;
        ready.map_err(|_| format!("it is not ready: {:?}", self.platform.unready()).into())
    }

    pub(super) async fn stop(self) {
        self.runtime.shut_down();
        self.runtime.stopped().await;
    }
}
