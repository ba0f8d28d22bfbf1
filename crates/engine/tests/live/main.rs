//! Live snapshots on in-memory ports: in the reply, loaded in mid-traffic, evicted,
//! across rebuilds and restarts, each compared with the journal folded from zero.

#![expect(clippy::unwrap_used, reason = "a test says what failed by panicking")]

mod toy;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use exchequer_codec::{Entry, decode_record};
use exchequer_consumer_adoption::Adoption;
use exchequer_domain_tenants as tenants;
use exchequer_engine::{
    Answer, Commanding, LiveView, Parts, Platform, Ports, Seen, Settings, Submission, Token,
    ViewOf, live_of,
};
use exchequer_journal::{Journal as _, MemoryInput, MemoryInputLimits, MemoryJournal};
use exchequer_kernel::{Live as _, SealKey, Status};
use exchequer_readstore::{LoadLive, MemoryStore};
use exchequer_runtime::{Runtime as _, TokioRuntime};
use exchequer_tenant::{Command, Create};
use exchequer_types::{ActorId, CommandId, Issuer, PartitionId, StreamId, TenantId};
use futures::FutureExt as _;
use futures::future::join_all;
use tokio::sync::Semaphore;
use toy::{Gate, Toy, ToyView};

const PATIENCE: Duration = Duration::from_secs(20);
const PARTITIONS: u32 = 3;

type Lists = LiveView<Toy<false>>;
type Rows = LiveView<Toy<true>>;

struct World {
    journal: Arc<MemoryJournal>,
    store: Arc<MemoryStore>,
    settings: Settings,
    gate: Arc<Gate>,
    starts: u8,
}

impl World {
    fn new() -> Self {
        Self {
            journal: Arc::new(MemoryJournal::new(PARTITIONS)),
            store: Arc::new(MemoryStore::new(true)),
            settings: Settings::default(),
            gate: Gate::open(),
            starts: 0,
        }
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
            settings: Arc::new(self.settings.clone()),
            usage: None,
        };
        let given = Parts {
            views: vec![Arc::new(ViewOf { projection: ToyView, tables: toy::TABLES })],
            lives: vec![
                live_of(Toy::<false>(Arc::clone(&self.gate))),
                live_of(Toy::<true>(Arc::clone(&self.gate))),
            ],
            consumers: vec![Arc::new(Commanding(Adoption { partitions: PARTITIONS }))],
            ..Parts::default()
        };
        (Platform::start(ports, given).await.unwrap(), runtime)
    }

    /// Every tenant's list, from the journal alone.
    async fn folded_from_zero(&self) -> BTreeMap<TenantId, String> {
        let toy = Toy::<false>(Gate::open());
        let mut lists: BTreeMap<TenantId, String> = BTreeMap::new();
        for partition in (0..PARTITIONS).map(PartitionId) {
            for record in self.journal.read(partition, 0, usize::MAX).await.unwrap() {
                let (_, hash, commit) = decode_record(partition, &record.bytes);
                let Some(commit) = commit.map(Arc::new) else { continue };
                let entry = Entry { partition, offset: record.offset, hash, commit };
                for key in toy.keys(&entry) {
                    let list = lists.entry(key.clone()).or_default();
                    *list = toy.fold(&key, list, &entry).unwrap();
                }
            }
        }
        lists
    }

    async fn check_all(&self, platform: &Platform) {
        let (lists, rows) = (lists(platform), rows(platform));
        for (tenant, expected) in self.folded_from_zero().await {
            assert_eq!(*ask(&lists, &tenant).await.snapshot, expected, "{tenant} of one row");
            assert_eq!(*ask(&rows, &tenant).await.snapshot, expected, "{tenant} of many");
        }
    }
}

fn lists(platform: &Platform) -> Arc<Lists> {
    platform.live().unwrap()
}

fn rows(platform: &Platform) -> Arc<Rows> {
    platform.live().unwrap()
}

async fn ask<L>(live: &LiveView<L>, tenant: &TenantId) -> Seen<String>
where
    L: LoadLive<Entry = Entry, Key = TenantId, Snapshot = String> + Send + Sync + 'static,
{
    live.get(tenant, &Token::default(), PATIENCE).await.unwrap()
}

fn tenant(number: usize) -> TenantId {
    TenantId::parse(format!("t{number}")).unwrap()
}

async fn submit(platform: &Platform, tenant: &TenantId, id: &str, command: Command) -> Answer {
    let submission = Submission::new(
        StreamId::Tenant(tenant.clone()),
        Issuer::parse("api").unwrap(),
        CommandId::parse(id).unwrap(),
        ActorId::parse("u-1").unwrap(),
        command,
    );
    platform.gateway.submit(submission, PATIENCE).await.unwrap()
}

/// Creates a tenant as soon as the root is adopted in its partition.
async fn create(platform: &Platform, number: usize) {
    let command = Command::Create(Create {
        parent: TenantId::platform(),
        name: "A".to_owned(),
        settings: BTreeMap::new(),
        test_clock: None,
    });
    while submit(platform, &tenant(number), "create", command.clone()).await.status()
        == Some(Status::NotAdopted)
    {
        tokio::task::yield_now().await;
    }
}

async fn rename(platform: &Platform, number: usize, name: &str) -> Answer {
    let rename = tenants::Rename { name: name.to_owned() };
    let command = Command::Tenants(tenants::Command::Rename(rename));
    let answer = submit(platform, &tenant(number), name, command).await;
    assert_eq!(answer.status(), Some(Status::Accepted));
    answer
}

async fn stop(runtime: TokioRuntime) {
    runtime.shut_down();
    runtime.stopped().await;
}

// REQ: FLG-09 ENT-02
#[tokio::test(flavor = "multi_thread")]
async fn the_next_question_sees_what_the_reply_told_of() {
    let mut world = World::new();
    let (platform, runtime) = world.start().await;
    create(&platform, 1).await;
    let (lists, rows) = (lists(&platform), rows(&platform));
    let mut last = ask(&lists, &tenant(1)).await.snapshot;
    ask(&rows, &tenant(1)).await;
    for number in 0..50 {
        let answer = rename(&platform, 1, &format!("name-{number}")).await;
        let seen = ask(&lists, &tenant(1)).now_or_never().unwrap();
        assert!(seen.snapshot.len() > last.len(), "without waiting, and without a token");
        assert!(seen.offset > answer.place.offset);
        assert_eq!(seen.snapshot, ask(&rows, &tenant(1)).now_or_never().unwrap().snapshot);
        last = seen.snapshot;
    }
    assert_eq!(world.gate.loads.load(Ordering::SeqCst), 2, "each was loaded once");
    world.check_all(&platform).await;
    stop(runtime).await;
}

// REQ: FLG-09 KER-07
#[tokio::test(flavor = "multi_thread")]
async fn a_miss_during_traffic_is_exact() {
    let mut world = World::new();
    // Room for one snapshot or two, so that most questions are misses.
    world.settings.live_bytes_max = 2_000;
    let (platform, runtime) = world.start().await;
    join_all((0..6).map(|n| create(&platform, n))).await;
    let (lists, rows) = (lists(&platform), rows(&platform));
    let writers = (0..6).map(|n| {
        let platform = &platform;
        let write = async move {
            for number in 0..60 {
                rename(platform, n, &format!("name-{number}")).await;
            }
            Vec::new()
        };
        write.boxed_local()
    });
    let readers = (0..6).map(|n| {
        let (lists, rows) = (&lists, &rows);
        let read = async move {
            let mut seen = Vec::new();
            for _ in 0..40 {
                seen.push((tenant(n), ask(lists, &tenant(n)).await.snapshot));
                seen.push((tenant(n), ask(rows, &tenant(n)).await.snapshot));
                tokio::task::yield_now().await;
            }
            seen
        };
        read.boxed_local()
    });
    let seen = join_all(writers.chain(readers)).await;
    let whole = world.folded_from_zero().await;
    for (tenant, snapshot) in seen.into_iter().flatten() {
        assert!(whole[&tenant].starts_with(snapshot.as_str()), "{tenant}: {snapshot}");
    }
    world.check_all(&platform).await;
    let loads = world.gate.loads.load(Ordering::SeqCst);
    assert!(loads > 12, "what was evicted is loaded again: {loads}");
    stop(runtime).await;
}

/// Loads `tenant(1)` by both kinds, and does `meanwhile` when the rows are read and
/// not yet brought in; gives how often rows were read then.
async fn held_up(
    world: &World,
    platform: &Platform,
    meanwhile: impl Future<Output = ()>,
) -> (String, String, usize) {
    world.gate.behind.forget_permits(Semaphore::MAX_PERMITS);
    let (lists, rows) = (lists(platform), rows(platform));
    let (of_list, of_rows) = (tenant(1), tenant(1));
    let asked = async { tokio::join!(ask(&lists, &of_list), ask(&rows, &of_rows)) };
    let released = async {
        while world.gate.loads.load(Ordering::SeqCst) < 2 {
            tokio::task::yield_now().await;
        }
        meanwhile.await;
        world.gate.behind.add_permits(1_000);
    };
    let ((list, rows), ()) = tokio::join!(asked, released);
    let loads = world.gate.loads.load(Ordering::SeqCst);
    ((*list.snapshot).clone(), (*rows.snapshot).clone(), loads)
}

// REQ: FLG-09 KER-07
#[tokio::test(flavor = "multi_thread")]
async fn what_comes_while_rows_are_read_is_folded_once() {
    let mut world = World::new();
    let (platform, runtime) = world.start().await;
    create(&platform, 1).await;
    let meanwhile = async {
        rename(&platform, 1, "one").await;
        rename(&platform, 1, "two").await;
    };
    let (list, rows, loads) = held_up(&world, &platform, meanwhile).await;
    let expected = &world.folded_from_zero().await[&tenant(1)];
    assert_eq!((&list, &rows), (expected, expected));
    assert_eq!(loads, 3, "one row says what it holds; several are read again");
    stop(runtime).await;
}

// REQ: FLG-09 KER-06
#[tokio::test(flavor = "multi_thread")]
async fn a_view_swapped_while_its_rows_are_read_is_read_again() {
    let mut world = World::new();
    let (platform, runtime) = world.start().await;
    create(&platform, 1).await;
    let meanwhile = async {
        let view = platform.view("toy").unwrap();
        let number = platform.rebuild("toy").await.unwrap().unwrap();
        while view.active().number != number {
            tokio::task::yield_now().await;
        }
    };
    let (list, rows, loads) = held_up(&world, &platform, meanwhile).await;
    let expected = &world.folded_from_zero().await[&tenant(1)];
    assert_eq!((&list, &rows), (expected, expected));
    assert_eq!(loads, 4);
    stop(runtime).await;
}

// REQ: FLG-09 KER-06
#[tokio::test(flavor = "multi_thread")]
async fn rebuilds_in_traffic_change_no_answer() {
    let mut world = World::new();
    world.settings.live_bytes_max = 1_000;
    let (platform, runtime) = world.start().await;
    join_all((0..4).map(|n| create(&platform, n))).await;
    for round in 0..8 {
        let rebuild = async {
            platform.rebuild("toy").await.unwrap();
        };
        let write = (0..4).map(|n| {
            let (platform, world) = (&platform, &world);
            let write = async move {
                rename(platform, n, &format!("name-{round}")).await;
                // The others write on.
                let expected = world.folded_from_zero().await.remove(&tenant(n)).unwrap();
                assert_eq!(*ask(&lists(platform), &tenant(n)).await.snapshot, expected);
                assert_eq!(*ask(&rows(platform), &tenant(n)).await.snapshot, expected);
            };
            write.boxed_local()
        });
        tokio::join!(rebuild, join_all(write));
        world.check_all(&platform).await;
    }
    stop(runtime).await;
}

// REQ: FLG-09 KER-14
#[tokio::test(flavor = "multi_thread")]
async fn memory_is_bounded_and_nothing_is_lost_by_it() {
    let mut world = World::new();
    world.settings.live_bytes_max = 20_000;
    let (platform, runtime) = world.start().await;
    join_all((0..100).map(|n| create(&platform, n))).await;
    for round in 0..3 {
        world.check_all(&platform).await;
        join_all((0..100).map(|n| {
            let platform = &platform;
            async move { rename(platform, n, &format!("name-{round}")).await }
        }))
        .await;
    }
    let (lists, rows) = (lists(&platform).size(), rows(&platform).size());
    for (entries, bytes) in [lists, rows] {
        assert!((10..100).contains(&entries) && bytes <= 10_000, "{entries} of {bytes} bytes");
    }
    stop(runtime).await;
}

// REQ: KER-07
#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_waited_for_and_no_longer_than_asked() {
    let mut world = World::new();
    let (platform, runtime) = world.start().await;
    create(&platform, 1).await;
    let lists = lists(&platform);
    let answer = rename(&platform, 1, "one").await;
    let seen = lists.get(&tenant(1), &answer.token(), PATIENCE).await.unwrap();
    assert_eq!(seen.token().offset(seen.partition), seen.offset);
    let ahead = Token(vec![(seen.partition, seen.offset + 1)]);
    let behind = lists.get(&tenant(1), &ahead, Duration::from_millis(5)).await.unwrap_err();
    assert_eq!(behind.view, "toy-list");
    let own = tenant(1);
    let waiting = lists.get(&own, &ahead, PATIENCE);
    let (seen, _) = tokio::join!(waiting, rename(&platform, 1, "two"));
    assert_eq!(*seen.unwrap().snapshot, world.folded_from_zero().await[&tenant(1)]);
    stop(runtime).await;
}

// REQ: KER-14
#[tokio::test(flavor = "multi_thread")]
async fn a_restart_answers_the_same() {
    let mut world = World::new();
    world.settings.flush_interval = Duration::from_millis(1);
    let (platform, runtime) = world.start().await;
    join_all((0..10).map(|n| create(&platform, n))).await;
    stop(runtime).await;
    let (platform, runtime) = world.start().await;
    world.check_all(&platform).await;
    rename(&platform, 1, "one").await;
    world.check_all(&platform).await;
    stop(runtime).await;
}

// REQ: FLG-09
#[tokio::test(flavor = "multi_thread")]
async fn who_goes_while_loading_keeps_nobody_waiting() {
    let mut world = World::new();
    let (platform, runtime) = world.start().await;
    create(&platform, 1).await;
    world.gate.before.forget_permits(Semaphore::MAX_PERMITS);
    let lists = lists(&platform);
    let (first, second) = (tenant(1), tenant(1));
    let mut loading = Box::pin(ask(&lists, &first));
    let mut waiting = Box::pin(ask(&lists, &second));
    assert!((&mut loading).now_or_never().is_none());
    assert!((&mut waiting).now_or_never().is_none());
    drop(loading);
    world.gate.before.add_permits(1_000);
    assert_eq!(*waiting.await.snapshot, world.folded_from_zero().await[&tenant(1)]);
    stop(runtime).await;
}

// REQ: FLG-09
#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_folded_is_never_served_without_it() {
    let mut world = World::new();
    let (platform, runtime) = world.start().await;
    create(&platform, 1).await;
    world.check_all(&platform).await;
    let before = lists(&platform).size().0;
    world.gate.failures.store(2, Ordering::SeqCst);
    rename(&platform, 1, "one").await;
    assert_eq!((lists(&platform).size().0, rows(&platform).size().0), (before - 1, before - 1));
    world.check_all(&platform).await;
    stop(runtime).await;
}
