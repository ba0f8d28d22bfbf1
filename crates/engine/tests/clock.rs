//! Many timers that are due at once, on in-memory ports: each stream is woken, and
//! once, also when more is set meanwhile, a stream is parked, or the process stops.

#![expect(clippy::unwrap_used, reason = "a test says what failed by panicking")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use exchequer_codec::decode_record;
use exchequer_consumer_adoption::Adoption;
use exchequer_domain_tenants as tenants;
use exchequer_engine::{Answer, Commanding, Parts, Platform, Ports, Settings, Submission, ViewOf};
use exchequer_journal::{Journal as _, MemoryInput, MemoryInputLimits, MemoryJournal};
use exchequer_kernel::{SealKey, Status};
use exchequer_projection_timers as timers_view;
use exchequer_readstore::MemoryStore;
use exchequer_runtime::{Runtime as _, TokioRuntime};
use exchequer_tenant::{Command, Create};
use exchequer_types::{ActorId, CommandId, Issuer, PartitionId, StreamId, TenantId, Timestamp};
use futures::future::join_all;

const PATIENCE: Duration = Duration::from_secs(20);
const PARTITIONS: u32 = 3;
const DAY: Duration = Duration::from_secs(24 * 3600);

struct World {
    journal: Arc<MemoryJournal>,
    store: Arc<MemoryStore>,
    starts: u8,
}

impl World {
    fn new() -> Self {
        let journal = Arc::new(MemoryJournal::new(PARTITIONS));
        Self { journal, store: Arc::new(MemoryStore::new(true)), starts: 0 }
    }

    async fn start(&mut self) -> (Platform, TokioRuntime) {
        self.starts += 1;
        let runtime = TokioRuntime::default();
        let clock = runtime.clone();
        let now = Arc::new(move || clock.now());
        let limits = MemoryInputLimits::default();
        let ports = Ports {
            journal: Arc::<MemoryJournal>::clone(&self.journal),
            inputs: Arc::new(MemoryInput::new(PARTITIONS, [self.starts; 16], limits, now)),
            store: Arc::<MemoryStore>::clone(&self.store),
            runtime: Arc::new(runtime.clone()),
            key: SealKey::new(&[3; 32]),
            settings: Arc::new(Settings::default()),
            usage: None,
        };
        let given = Parts {
            views: vec![Arc::new(ViewOf {
                projection: timers_view::TimersView,
                tables: timers_view::TABLES,
            })],
            consumers: vec![Arc::new(Commanding(Adoption { partitions: PARTITIONS }))],
            ..Parts::default()
        };
        (Platform::start(ports, given).await.unwrap(), runtime)
    }

    /// How often each stream was woken, and how many timers have fired.
    async fn history(&self) -> (BTreeMap<String, usize>, usize) {
        let (mut wakes, mut fired) = (BTreeMap::new(), 0);
        for partition in (0..PARTITIONS).map(PartitionId) {
            for record in self.journal.read(partition, 0, usize::MAX).await.unwrap() {
                let (_, _, Some(commit)) = decode_record(partition, &record.bytes) else {
                    continue;
                };
                for input in &commit.inputs {
                    let opened =
                        exchequer_codec::open(&SealKey::new(&[3; 32]), &input.command, PARTITIONS);
                    let request = opened.unwrap().request;
                    if matches!(request.command, Command::Wake) {
                        *wakes.entry(request.stream.to_string()).or_default() += 1;
                    }
                }
                let cleared = |kind: &str| kind == "kernel.timer-cleared.v1";
                fired += commit.events.iter().filter(|event| cleared(&event.r#type)).count();
            }
        }
        (wakes, fired)
    }

    async fn until_fired(&self, platform: &Platform, count: usize) {
        let mut changes = platform.tail.changes();
        let reached = async {
            while self.history().await.1 < count {
                changes.changed().await.unwrap();
            }
        };
        tokio::time::timeout(PATIENCE, reached).await.unwrap();
    }
}

async fn submit(platform: &Platform, tenant: usize, id: &str, command: Command) -> Answer {
    let submission = Submission::new(
        StreamId::Tenant(TenantId::parse(format!("t{tenant}")).unwrap()),
        Issuer::parse("api").unwrap(),
        CommandId::parse(id).unwrap(),
        ActorId::parse("u-1").unwrap(),
        command,
    );
    platform.gateway.submit(submission, PATIENCE).await.unwrap()
}

/// Creates a tenant as soon as the root is adopted in its partition.
async fn create(platform: &Platform, tenant: usize) {
    let command = Command::Create(Create {
        parent: TenantId::platform(),
        name: "A".to_owned(),
        settings: BTreeMap::new(),
        test_clock: None,
    });
    while submit(platform, tenant, "create", command.clone()).await.status()
        == Some(Status::NotAdopted)
    {
        tokio::task::yield_now().await;
    }
}

async fn close_at(platform: &Platform, tenant: usize, id: &str, at: Timestamp) {
    let schedule = tenants::Command::ScheduleClosing(tenants::ScheduleClosing { at });
    let answer = submit(platform, tenant, id, Command::Tenants(schedule)).await;
    assert_eq!(answer.status(), Some(Status::Accepted));
}

async fn stop(runtime: TokioRuntime) {
    runtime.shut_down();
    runtime.stopped().await;
}

// REQ: KER-09
#[tokio::test(flavor = "multi_thread")]
async fn many_timers_of_one_instant_all_fire_and_each_stream_is_woken_once() {
    let mut world = World::new();
    let (platform, runtime) = world.start().await;
    join_all((0..1_500).map(|n| create(&platform, n))).await;
    let at = runtime.now().saturating_add(DAY);
    join_all((0..1_500).map(|n| close_at(&platform, n, "close", at))).await;
    runtime.travel(DAY);
    world.until_fired(&platform, 1_500).await;
    let (wakes, _) = world.history().await;
    assert_eq!(wakes.len(), 1_500);
    let twice: Vec<_> = wakes.iter().filter(|(_, count)| **count > 1).collect();
    assert!(twice.is_empty(), "{twice:?}");
    stop(runtime).await;
}

// REQ: KER-09
#[tokio::test(flavor = "multi_thread")]
async fn what_is_set_while_others_fire_is_not_forgotten() {
    let mut world = World::new();
    let (platform, runtime) = world.start().await;
    join_all((0..600).map(|n| create(&platform, n))).await;
    let at = runtime.now().saturating_add(DAY);
    join_all((0..300).map(|n| close_at(&platform, n, "close", at))).await;
    runtime.travel(DAY);
    let others = (300..600).map(|n| {
        let soon = runtime.now().saturating_add(Duration::from_millis(n as u64 % 7));
        close_at_soon(&platform, n, soon)
    });
    join_all(others).await;
    world.until_fired(&platform, 600).await;
    stop(runtime).await;
}

/// An instant that has passed when the command is decided is refused: then a later one.
async fn close_at_soon(platform: &Platform, tenant: usize, mut at: Timestamp) {
    for attempt in 0.. {
        let schedule = tenants::Command::ScheduleClosing(tenants::ScheduleClosing { at });
        let id = format!("close-{attempt}");
        let answer = submit(platform, tenant, &id, Command::Tenants(schedule)).await;
        if answer.status() == Some(Status::Accepted) {
            return;
        }
        at = platform.ports.runtime.now().saturating_add(Duration::from_millis(1 << attempt));
    }
}

// REQ: KER-09 KER-14
#[tokio::test(flavor = "multi_thread")]
async fn a_restart_goes_on_where_the_clock_was() {
    let mut world = World::new();
    let (platform, runtime) = world.start().await;
    join_all((0..400).map(|n| create(&platform, n))).await;
    let at = runtime.now().saturating_add(DAY);
    join_all((0..400).map(|n| close_at(&platform, n, "close", at))).await;
    runtime.travel(DAY);
    world.until_fired(&platform, 1).await;
    stop(runtime).await;
    let (platform, runtime) = world.start().await;
    runtime.travel(DAY);
    world.until_fired(&platform, 400).await;
    stop(runtime).await;
}
