//! Several processes over the same logs and the same store: partitions are shared, handed
//! over and taken over, and each process sees what another has done.

#![expect(clippy::unwrap_used, reason = "a test says what failed by panicking")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use exchequer_codec::Entry;
use exchequer_consumer_adoption::Adoption;
use exchequer_domain_tenants as tenants;
use exchequer_engine::{
    Answer, Commanding, Forwarder, Parts, Platform, Ports, React, Roles, Settings, Submission,
    Unready, View, ViewOf,
};
use exchequer_journal::{
    Fault, FaultKind, Group, InputLog as _, Journal, Lane, Membership, MemoryGroups, MemoryInput,
    MemoryInputLimits, MemoryJournal, Record,
};
use exchequer_kernel::{SealKey, Status};
use exchequer_projection_tenants as tenants_view;
use exchequer_projection_timers as timers_view;
use exchequer_readstore::{Key, MemoryStore, RowSet, Table};
use exchequer_runtime::{Runtime as _, TokioRuntime};
use exchequer_tenant::{Command, Create};
use exchequer_types::{
    ActorId, CommandId, Issuer, Offset, PartitionId, StreamId, TenantId, TenantStatus, Timestamp,
};
use futures::future::BoxFuture;
use tokio::sync::watch;

const PARTITIONS: u32 = 4;
const PATIENCE: Duration = Duration::from_secs(20);

struct Cluster {
    journal: Arc<MemoryJournal>,
    inputs: Arc<MemoryInput>,
    store: Arc<MemoryStore>,
    groups: MemoryGroups,
}

struct Process {
    platform: Platform,
    runtime: TokioRuntime,
}

impl Cluster {
    fn new() -> Self {
        let clock = TokioRuntime::default();
        let now = Arc::new(move || clock.now());
        let limits = MemoryInputLimits::default();
        Self {
            journal: Arc::new(MemoryJournal::new(PARTITIONS)),
            inputs: Arc::new(MemoryInput::new(PARTITIONS, [7; 16], limits, now)),
            // Rows and checkpoints are not one step.
            store: Arc::new(MemoryStore::new(false)),
            groups: MemoryGroups::new(PARTITIONS),
        }
    }

    async fn start(&self, groups: impl IntoIterator<Item = Group>) -> Process {
        let tenants =
            ViewOf { projection: tenants_view::TenantsView, tables: tenants_view::TABLES };
        self.start_with(Arc::new(tenants), groups).await
    }

    async fn start_with(
        &self,
        tenants: Arc<dyn View>,
        groups: impl IntoIterator<Item = Group>,
    ) -> Process {
        let journal = Arc::<MemoryJournal>::clone(&self.journal);
        self.start_on(journal, tenants, groups).await
    }

    /// A process that reaches the journal this way.
    async fn start_on(
        &self,
        journal: Arc<dyn Journal>,
        tenants: Arc<dyn View>,
        groups: impl IntoIterator<Item = Group>,
    ) -> Process {
        let runtime = TokioRuntime::default();
        let ports = Ports {
            journal,
            inputs: Arc::<MemoryInput>::clone(&self.inputs),
            store: Arc::<MemoryStore>::clone(&self.store),
            runtime: Arc::new(runtime.clone()),
            key: SealKey::new(&[3; 32]),
            settings: Arc::new(Settings {
                flush_interval: Duration::from_millis(20),
                claim_retry: Duration::from_millis(5),
                ..Settings::default()
            }),
            usage: None,
        };
        let views: Vec<Arc<dyn View>> = vec![
            tenants,
            Arc::new(ViewOf { projection: timers_view::TimersView, tables: timers_view::TABLES }),
        ];
        let consumers: Vec<Arc<dyn React>> = vec![
            Arc::new(Commanding(Adoption { partitions: PARTITIONS })),
            Arc::new(Forwarder { ports: ports.clone() }),
        ];
        let membership: Arc<dyn Membership> = Arc::new(self.groups.join(groups));
        let given = Parts { views, consumers, membership: Some(membership), ..Parts::default() };
        let platform = Platform::start_as(Roles::ALL, ports, given).await.unwrap();
        Process { platform, runtime }
    }
}

impl Process {
    /// Ends it; what it shared is free.
    async fn stop(self) {
        self.runtime.shut_down();
        self.runtime.stopped().await;
    }

    async fn submit(&self, stream: &str, id: &str, command: Command) -> Answer {
        let submission = Submission::new(
            StreamId::parse(stream).unwrap(),
            Issuer::parse("api").unwrap(),
            CommandId::parse(id).unwrap(),
            ActorId::parse("u-1").unwrap(),
            command,
        );
        self.platform.gateway.submit(submission, PATIENCE).await.unwrap()
    }

    /// Creates a tenant as soon as the root is adopted in its partition.
    async fn create(&self, tenant: &str) -> Answer {
        loop {
            let command = Command::Create(Create {
                parent: TenantId::platform(),
                name: tenant.to_owned(),
                settings: BTreeMap::new(),
                test_clock: None,
            });
            let answer = self.submit(tenant, &format!("create-{tenant}"), command).await;
            if answer.status() != Some(Status::NotAdopted) {
                return answer;
            }
            tokio::task::yield_now().await;
        }
    }

    /// The tenant as this process reads it, behind `answer`.
    async fn read(&self, tenant: &str, answer: &Answer) -> Option<tenants::Tenant> {
        let ports = &self.platform.ports;
        let view = self.platform.view("tenants").unwrap();
        let generation = view.at_least(ports, &answer.token(), PATIENCE).await.unwrap();
        let id = TenantId::parse(tenant).unwrap();
        tenants_view::get(ports.store.as_ref(), generation, &id).await.unwrap().map(|it| it.tenant)
    }

    fn leads(&self) -> Vec<u32> {
        let states = (0..PARTITIONS).filter(|it| {
            let state = self.platform.tail.state(PartitionId(*it));
            state.leading && state.own
        });
        states.collect()
    }

    async fn until(&self, what: impl Fn(&Self) -> bool) {
        let met = async {
            while !what(self) {
                tokio::task::yield_now().await;
            }
        };
        let met = tokio::time::timeout(PATIENCE, met).await;
        assert!(met.is_ok(), "{:?}", self.platform.unready());
    }
}

// REQ: KER-07
#[tokio::test(flavor = "multi_thread")]
async fn processes_share_partitions_and_take_over_from_one_that_ends() {
    let cluster = Cluster::new();
    let first = cluster.start(Group::ALL).await;
    first.until(|it| it.leads().len() == 4).await;
    let answers = [first.create("a").await, first.create("b").await, first.create("c").await];
    assert!(answers.iter().all(|it| it.status() == Some(Status::Accepted)));
    let second = cluster.start(Group::ALL).await;
    second.until(|it| it.leads() == [1, 3]).await;
    assert_eq!(first.leads(), [0, 2]);
    // Whoever is asked answers, wherever it is decided and folded.
    for (index, process) in [&first, &second].into_iter().cycle().take(12).enumerate() {
        let tenant = format!("t-{index}");
        let answer = process.create(&tenant).await;
        assert_eq!(answer.status(), Some(Status::Accepted), "{answer:?}");
        for reader in [&first, &second] {
            assert!(reader.read(&tenant, &answer).await.is_some());
        }
    }
    first.stop().await;
    second.until(|it| it.leads().len() == 4).await;
    for tenant in ["a", "b", "c", "t-0", "t-11"] {
        let again = second.create(tenant).await;
        assert_eq!(again.status(), Some(Status::Accepted), "the first outcome again");
        assert!(second.read(tenant, &again).await.is_some());
    }
    second.until(|it| it.platform.is_ready()).await;
    second.stop().await;
}

// REQ: KER-07
#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_decides_and_folds_nothing_and_answers_all() {
    let cluster = Cluster::new();
    let gateway = cluster.start([]).await;
    assert!(!gateway.platform.is_ready() || gateway.leads().is_empty());
    let decider = cluster.start([Group::Deciders]).await;
    let rest = cluster.start([Group::Projectors, Group::Consumers]).await;
    let answer = gateway.create("acme").await;
    assert_eq!(answer.status(), Some(Status::Accepted));
    assert_eq!(gateway.read("acme", &answer).await.unwrap().status, TenantStatus::Active);
    assert!(gateway.leads().is_empty() && rest.leads().is_empty());
    gateway.until(|it| it.platform.is_ready()).await;
    let closes = Command::Tenants(tenants::Command::ScheduleClosing(tenants::ScheduleClosing {
        at: Timestamp::saturating_from_micros(gateway.runtime.now().micros() + 500_000),
    }));
    let answer = gateway.submit("acme", "close", closes).await;
    assert_eq!(answer.status(), Some(Status::Accepted), "{answer:?}");
    // The clock of whoever folds the timers wakes it.
    let view = gateway.platform.view("tenants").unwrap();
    loop {
        let progress = view.active().progress();
        if gateway.read("acme", &answer).await.unwrap().status == TenantStatus::Closed {
            break;
        }
        tokio::time::timeout(PATIENCE, view.progressed(&progress)).await.unwrap();
    }
    for process in [gateway, decider, rest] {
        process.stop().await;
    }
}

// REQ: KER-10
#[tokio::test(flavor = "multi_thread")]
async fn a_rebuild_at_one_process_is_built_and_read_by_all() {
    let cluster = Cluster::new();
    let first = cluster.start(Group::ALL).await;
    let second = cluster.start(Group::ALL).await;
    let answer = first.create("acme").await;
    let before = first.platform.view("tenants").unwrap().active().number;
    let built = first.platform.rebuild("tenants").await.unwrap().unwrap();
    assert!(built > before);
    for process in [&first, &second] {
        process.until(|it| it.platform.view("tenants").unwrap().active().number == built).await;
        assert!(process.read("acme", &answer).await.is_some());
    }
    first.stop().await;
    second.stop().await;
}

/// A journal in which nobody can read yet.
#[derive(Debug)]
struct Shut {
    inner: Arc<MemoryJournal>,
    is_open: watch::Receiver<bool>,
}

impl Journal for Shut {
    fn partitions(&self) -> u32 {
        self.inner.partitions()
    }

    fn append(
        &self,
        partition: PartitionId,
        record: Bytes,
    ) -> BoxFuture<'_, Result<Option<Offset>, Fault>> {
        self.inner.append(partition, record)
    }

    fn append_all(
        &self,
        partition: PartitionId,
        records: Vec<Bytes>,
    ) -> BoxFuture<'_, Result<Option<Offset>, Fault>> {
        self.inner.append_all(partition, records)
    }

    fn end(&self, partition: PartitionId) -> BoxFuture<'_, Result<Offset, Fault>> {
        self.inner.end(partition)
    }

    fn read(
        &self,
        partition: PartitionId,
        from: Offset,
        bytes_max: usize,
    ) -> BoxFuture<'_, Result<Vec<Record>, Fault>> {
        let mut is_open = self.is_open.clone();
        Box::pin(async move {
            is_open.wait_for(|is_open| *is_open).await.unwrap();
            self.inner.read(partition, from, bytes_max).await
        })
    }

    fn wait(&self, partition: PartitionId, offset: Offset) -> BoxFuture<'_, ()> {
        self.inner.wait(partition, offset)
    }
}

// REQ: KER-10
#[tokio::test(flavor = "multi_thread")]
async fn a_view_is_not_taken_for_built_before_the_journal_is_read() {
    let mut cluster = Cluster::new();
    let first = cluster.start(Group::ALL).await;
    let answer = first.create("acme").await;
    first.stop().await;
    // Without any checkpoint.
    cluster.store = Arc::new(MemoryStore::new(false));
    let (open, is_open) = watch::channel(false);
    let shut = Shut { inner: Arc::<MemoryJournal>::clone(&cluster.journal), is_open };
    let tenants = ViewOf { projection: tenants_view::TenantsView, tables: tenants_view::TABLES };
    let second = cluster.start_on(Arc::new(shut), Arc::new(tenants), Group::ALL).await;
    let built = second.platform.rebuild("tenants").await.unwrap().unwrap();
    let view = Arc::clone(second.platform.view("tenants").unwrap());
    // Whoever builds it has looked what there is.
    second.until(|_| view.building().is_none_or(|it| it.progress().known)).await;
    for _ in 0..1_000 {
        tokio::task::yield_now().await;
    }
    open.send_replace(true);
    second.until(|_| view.active().number == built).await;
    let progress = view.active().progress();
    for (partition, offset) in answer.token().0 {
        assert!(progress.offsets[partition.index()] >= offset, "{progress:?}");
    }
    assert!(second.read("acme", &answer).await.is_some());
    second.stop().await;
}

/// The view of tenants as the next version of the program folds it: in capitals.
#[derive(Debug)]
struct Louder(ViewOf<tenants_view::TenantsView>);

impl View for Louder {
    fn name(&self) -> &'static str {
        self.0.name()
    }

    fn version(&self) -> u32 {
        self.0.version() + 1
    }

    fn tables(&self) -> &'static [&'static Table] {
        self.0.tables()
    }

    fn reads(&self, entry: &Entry, rows: &RowSet) -> Vec<(&'static Table, Key)> {
        self.0.reads(entry, rows)
    }

    fn fold(&self, entry: &Entry, rows: &mut RowSet) {
        let mut louder = entry.clone();
        let commit = Arc::make_mut(&mut louder.commit);
        for event in &mut commit.events {
            let text = String::from_utf8_lossy(&event.payload).replace("acme", "ACME");
            event.payload = text.into_bytes().into();
        }
        self.0.fold(&louder, rows);
    }
}

// REQ: KER-10, KER-20
#[tokio::test(flavor = "multi_thread")]
async fn what_a_newer_program_builds_an_older_one_leaves_alone() {
    let cluster = Cluster::new();
    let old = cluster.start(Group::ALL).await;
    let answer = old.create("acme").await;
    let number = |it: &Process| it.platform.view("tenants").unwrap().active().number;
    let before = number(&old);
    let view = ViewOf { projection: tenants_view::TenantsView, tables: tenants_view::TABLES };
    let new = cluster.start_with(Arc::new(Louder(view)), Group::ALL).await;
    let built = new.platform.view("tenants").unwrap().building().unwrap().number;
    // By then it would build it, were it of its own fold.
    old.until(|it| it.platform.view("tenants").unwrap().latest() == built).await;
    assert!(old.platform.view("tenants").unwrap().building().is_none());
    assert_eq!(old.read("acme", &answer).await.unwrap().name, "acme");
    assert_eq!(number(&old), before);
    assert_eq!(new.read("acme", &answer).await.unwrap().name, "acme", "rows of before");
    old.stop().await;
    new.until(|it| number(it) == built).await;
    assert_eq!(new.read("acme", &answer).await.unwrap().name, "ACME");
    new.stop().await;
}

// REQ: KER-07
#[tokio::test(flavor = "multi_thread")]
async fn nobody_decides_where_no_decider_is() {
    let cluster = Cluster::new();
    let gateway = cluster.start([]).await;
    let end = exchequer_journal::Journal::end(cluster.journal.as_ref(), PartitionId(0)).await;
    assert_eq!(end.unwrap(), 0, "no claim");
    gateway
        .until(|it| {
            !it.platform.unready().iter().any(|why| matches!(why, Unready::Starting { .. }))
        })
        .await;
    let waiting = exchequer_journal::InputLog::read(
        cluster.inputs.as_ref(),
        Lane::Internal,
        PartitionId(0),
        0,
        10,
    );
    assert!(waiting.await.is_ok());
    gateway.stop().await;
}

// REQ: KER-08
#[tokio::test(flavor = "multi_thread")]
async fn what_is_gone_undecided_stops_its_partition_and_is_named() {
    let cluster = Cluster::new();
    let (inputs, partition) = (&cluster.inputs, PartitionId(2));
    let command = Bytes::from_static(b"whatever it was");
    inputs.submit(Lane::Commands, partition, command).await.unwrap();
    inputs.forget(Lane::Commands, partition, 1);
    let decider = cluster.start([Group::Deciders]).await;
    let stopped = |it: &Process| {
        it.platform.tail.state(partition).fault.filter(|it| it.kind == FaultKind::Stopped)
    };
    decider.until(|it| stopped(it).is_some()).await;
    let fault = stopped(&decider).unwrap();
    let named = "records 0 to 0 were deleted before they were read";
    assert!(fault.message.contains(named), "{fault}");
    decider.stop().await;
}
