//! The whole platform on in-memory ports: commands in, outcomes, views and
//! adoption out, across restarts.

#![expect(clippy::unwrap_used, reason = "a test says what failed by panicking")]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use exchequer_consumer_adoption::Adoption;
use exchequer_domain_audit as audit;
use exchequer_domain_tenants as tenants;
use exchequer_engine::decider::FEATURE_LEVEL;
use exchequer_engine::{
    Answer, Commanding, Forwarder, Parts, Platform, Ports, React, Settings, Submission,
    SubmitError, Tail, TailItem, TailListener, View, ViewOf,
};
use exchequer_journal::{Lane, MemoryInput, MemoryInputLimits, MemoryJournal};
use exchequer_kernel::{Head, SealKey, Status};
use exchequer_projection_tenants as tenants_view;
use exchequer_projection_timers as timers_view;
use exchequer_readstore::MemoryStore;
use exchequer_runtime::{Runtime as _, TokioRuntime};
use exchequer_tenant::{Command, Create};
use exchequer_types::{
    ActorId, CommandId, Issuer, PartitionId, StreamId, TenantId, TenantStatus, partition_of,
};

const PATIENCE: Duration = Duration::from_secs(20);

struct World {
    journal: Arc<MemoryJournal>,
    store: Arc<MemoryStore>,
    settings: Settings,
    starts: u8,
}

impl World {
    fn new() -> Self {
        Self {
            journal: Arc::new(MemoryJournal::new(3)),
            store: Arc::new(MemoryStore::new(true)),
            settings: Settings::default(),
            starts: 0,
        }
    }

    async fn start(&mut self) -> (Platform, TokioRuntime) {
        self.starts += 1;
        let runtime = TokioRuntime::default();
        let clock = runtime.clone();
        let inputs = MemoryInput::new(
            3,
            [self.starts; 16],
            MemoryInputLimits::default(),
            Arc::new(move || clock.now()),
        );
        let ports = Ports {
            journal: Arc::<MemoryJournal>::clone(&self.journal),
            inputs: Arc::new(inputs),
            store: Arc::<MemoryStore>::clone(&self.store),
            runtime: Arc::new(runtime.clone()),
            key: SealKey::new(&[3; 32]),
            settings: Arc::new(self.settings.clone()),
            usage: None,
        };
        let views: Vec<Arc<dyn View>> = vec![
            Arc::new(ViewOf {
                projection: tenants_view::TenantsView,
                tables: tenants_view::TABLES,
            }),
            Arc::new(ViewOf { projection: timers_view::TimersView, tables: timers_view::TABLES }),
        ];
        let consumers: Vec<Arc<dyn React>> = vec![
            Arc::new(Commanding(Adoption { partitions: 3 })),
            Arc::new(Forwarder { ports: ports.clone() }),
        ];
        let platform =
            Platform::start(ports, Parts { views, consumers, ..Parts::default() }).await.unwrap();
        (platform, runtime)
    }
}

fn submission(stream: &str, id: &str, command: Command) -> Submission {
    Submission::new(
        StreamId::parse(stream).unwrap(),
        Issuer::parse("api").unwrap(),
        CommandId::parse(id).unwrap(),
        ActorId::parse("u-1").unwrap(),
        command,
    )
}

fn create(name: &str) -> Command {
    Command::Create(Create {
        parent: TenantId::platform(),
        name: name.to_owned(),
        settings: BTreeMap::new(),
        test_clock: None,
    })
}

fn append(action: &str) -> Command {
    let draft = audit::Draft {
        action: action.to_owned(),
        actor: "u".to_owned(),
        resource_type: "thing".to_owned(),
        resource_id: "1".to_owned(),
        ..audit::Draft::default()
    };
    Command::Audit(audit::Command::Append(audit::Append { entries: vec![draft] }))
}

/// Creates a tenant as soon as the root is adopted in its partition.
async fn created(platform: &Platform, tenant: &str, id: &str) -> Answer {
    loop {
        let answer = submit(platform, submission(tenant, id, create("A"))).await;
        if answer.status() != Some(Status::NotAdopted) {
            return answer;
        }
        tokio::task::yield_now().await;
    }
}

async fn submit(platform: &Platform, submission: Submission) -> Answer {
    platform.gateway.submit(submission, PATIENCE).await.unwrap()
}

async fn stop(runtime: TokioRuntime) {
    runtime.shut_down();
    runtime.stopped().await;
}

// REQ: KER-01 KER-03 KER-08
#[tokio::test(flavor = "multi_thread")]
async fn a_command_is_decided_once_and_seen() {
    let mut world = World::new();
    let (platform, runtime) = world.start().await;
    let first = created(&platform, "acme", "c-1").await;
    assert_eq!(first.status(), Some(Status::Accepted));
    let again = submit(&platform, submission("acme", "c-1", create("A"))).await;
    assert_eq!((again.place, &again.outcome), (first.place, &first.outcome));
    let other = submit(&platform, submission("acme", "c-1", create("B"))).await;
    assert_eq!(other.status(), Some(Status::IdentityConflict));
    let view = platform.view("tenants").unwrap();
    let generation = view.at_least(&platform.ports, &first.token(), PATIENCE).await.unwrap();
    let id = TenantId::parse("acme").unwrap();
    let found = tenants_view::get(world.store.as_ref(), generation, &id).await.unwrap();
    assert!(found.is_some());
    stop(runtime).await;
}

// REQ: KER-03 KER-14
#[tokio::test(flavor = "multi_thread")]
async fn a_restart_remembers() {
    let mut world = World::new();
    world.settings.flush_interval = Duration::from_millis(1);
    let (platform, runtime) = world.start().await;
    let first = created(&platform, "acme", "c-1").await;
    for n in 0..50 {
        submit(&platform, submission("acme", &format!("a-{n}"), append("x"))).await;
    }
    stop(runtime).await;
    let (platform, runtime) = world.start().await;
    let again = submit(&platform, submission("acme", "c-1", create("A"))).await;
    assert_eq!((again.place, &again.outcome), (first.place, &first.outcome));
    let fresh = submit(&platform, submission("acme", "c-2", append("x"))).await;
    assert_eq!((fresh.status(), fresh.outcome.version), (Some(Status::Accepted), 52));
    stop(runtime).await;
}

// REQ: KER-15
#[tokio::test(flavor = "multi_thread")]
async fn an_older_journal_under_newer_views_is_named_with_what_to_do() {
    let (platform, runtime) = World::new().start().await;
    let head = Head { offset: 10_001, commit_offset: 10_000, seq: 900, ..Head::default() };
    let refused = platform.tail.check_remembered("tenants", PartitionId(0), &head).await;
    let refused = refused.unwrap_err();
    assert!(!refused.is_retryable());
    let said = refused.to_string();
    assert!(said.contains("the journal ends at") && said.contains("read it to 10001"), "{said}");
    assert!(said.contains("remove the folder `views`"), "{said}");
    stop(runtime).await;
}

// REQ: KER-09
#[tokio::test(flavor = "multi_thread")]
async fn a_timer_fires_by_itself() {
    let mut world = World::new();
    let (platform, runtime) = world.start().await;
    created(&platform, "acme", "c-1").await;
    let at = runtime.now().saturating_add(Duration::from_secs(3600));
    let schedule = tenants::Command::ScheduleClosing(tenants::ScheduleClosing { at });
    submit(&platform, submission("acme", "c-2", Command::Tenants(schedule))).await;
    runtime.travel(Duration::from_secs(3600));
    let view = platform.view("tenants").unwrap();
    let id = TenantId::parse("acme").unwrap();
    let closed = async {
        loop {
            let progress = view.active().progress();
            let found = tenants_view::get(world.store.as_ref(), 1, &id).await.unwrap();
            let tenant = found.map(|found| found.tenant);
            let closed = |it: &tenants::Tenant| it.status == TenantStatus::Closed;
            if let Some(tenant) = tenant.filter(closed) {
                return tenant.updated_at;
            }
            view.progressed(&progress).await;
        }
    };
    let updated_at = tokio::time::timeout(PATIENCE, closed).await.unwrap();
    assert_eq!(updated_at, at, "at its due instant");
    stop(runtime).await;
}

// REQ: KER-13
#[tokio::test(flavor = "multi_thread")]
async fn one_tenants_flood_is_capped() {
    let mut world = World::new();
    world.settings.tenant_commands_max = 8;
    let (platform, runtime) = world.start().await;
    created(&platform, "acme", "c-1").await;
    let flood = (0..200).map(|n| {
        platform.gateway.submit(submission("acme", &format!("f-{n}"), append("x")), PATIENCE)
    });
    let results = futures::future::join_all(flood).await;
    let refused =
        results.iter().filter(|it| matches!(it, Err(SubmitError::TenantOverloaded { .. })));
    let accepted = results.iter().filter(|it| it.is_ok()).count();
    assert_eq!(refused.count() + accepted, 200);
    assert!(accepted >= 8, "{accepted}");
    assert_eq!(platform.gateway.waiting(), 0);
    stop(runtime).await;
}

// REQ: KER-14
#[tokio::test(flavor = "multi_thread")]
async fn many_more_tenants_than_memory_holds_are_hydrated_on_demand() {
    let mut world = World::new();
    world.settings.state_bytes_max = 30_000;
    world.settings.flush_interval = Duration::from_millis(1);
    world.settings.flush_streams_max = 4;
    let (platform, runtime) = world.start().await;
    for n in 0..120 {
        created(&platform, &format!("t{n}"), "create").await;
    }
    for round in 0..3_u64 {
        for n in 0..120 {
            let append = submission(&format!("t{n}"), &format!("a-{round}"), append("x"));
            let answer = submit(&platform, append).await;
            assert_eq!(answer.outcome.version, round + 2, "the tenant's own chain goes on");
        }
    }
    stop(runtime).await;
}

// REQ: KER-13
#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_fit_a_commit_is_too_large_and_takes_no_id() {
    let mut world = World::new();
    world.settings.commit_bytes_max = 8 * 1024;
    let (platform, runtime) = world.start().await;
    created(&platform, "acme", "c-1").await;
    let entries = |count| match append("x") {
        Command::Audit(audit::Command::Append(mut it)) => {
            it.entries = vec![it.entries[0].clone(); count];
            Command::Audit(audit::Command::Append(it))
        }
        other => other,
    };
    let large = submit(&platform, submission("acme", "bulk", entries(50))).await;
    assert_eq!(large.outcome.code, "RESULT_TOO_LARGE");
    let split = submit(&platform, submission("acme", "bulk", entries(5))).await;
    assert_eq!((split.status(), split.outcome.version), (Some(Status::Accepted), 6));
    stop(runtime).await;
}

// REQ: KER-02
#[tokio::test(flavor = "multi_thread")]
async fn a_command_on_the_wrong_partition_is_sent_on() {
    let mut world = World::new();
    let (platform, runtime) = world.start().await;
    created(&platform, "acme", "c-1").await;
    let right = partition_of(b"acme", 3);
    let wrong = exchequer_types::PartitionId((right.0 + 1) % 3);
    let envelope = exchequer_proto::journal::v1::Envelope {
        stream: "acme".to_owned(),
        issuer: "api".to_owned(),
        id: "lost".to_owned(),
        r#type: "tenants.rename.v1".to_owned(),
        payload: prost::Message::encode_to_vec(&exchequer_proto::tenants::v1::Rename {
            name: "Found".to_owned(),
        })
        .into(),
        actor: "u".to_owned(),
        ..exchequer_proto::journal::v1::Envelope::default()
    };
    let sealed = exchequer_codec::seal(&platform.ports.key, envelope);
    let identity = exchequer_types::Identity::of("acme", "api", "lost");
    let stream = StreamId::parse("acme").unwrap();
    let answer = platform
        .gateway
        .submit_sealed(Lane::Commands, wrong, stream, identity, sealed, PATIENCE)
        .await
        .unwrap();
    assert_eq!((answer.status(), answer.partition), (Some(Status::Accepted), right));
    assert_eq!(platform.ports.inputs.id(Lane::Commands).0, [1; 16]);
    stop(runtime).await;
}

// REQ: KER-06
#[tokio::test(flavor = "multi_thread")]
async fn a_view_is_rebuilt_while_it_serves() {
    let mut world = World::new();
    let (platform, runtime) = world.start().await;
    let first = created(&platform, "acme", "c-1").await;
    assert_eq!(platform.rebuild("tenants").await.unwrap(), Some(2));
    assert_eq!(platform.rebuild("nothing").await.unwrap(), None);
    let view = platform.view("tenants").unwrap();
    let swapped = async {
        while view.active().number != 2 {
            view.progressed(&view.active().progress()).await;
        }
    };
    tokio::time::timeout(PATIENCE, swapped).await.unwrap();
    let generation = view.at_least(&platform.ports, &first.token(), PATIENCE).await.unwrap();
    let id = TenantId::parse("acme").unwrap();
    assert!(tenants_view::get(world.store.as_ref(), generation, &id).await.unwrap().is_some());
    stop(runtime).await;
}

/// Remembers what it is told.
#[derive(Debug, Default)]
struct Told(Mutex<Vec<u64>>);

impl TailListener for Told {
    fn accepted(&self, item: &TailItem) {
        self.0.lock().unwrap().push(item.entry.offset);
    }
}

// REQ: KER-01 KER-02
#[tokio::test(flavor = "multi_thread")]
async fn who_waits_is_told_of_what_another_writer_decided_meanwhile() {
    let mut world = World::new();
    let (platform, runtime) = world.start().await;
    created(&platform, "acme", "c-1").await;
    let partition = partition_of(b"acme", 3);
    let begun = platform.tail.state(partition).head;
    // Another process, which then comes to a checkpoint that this one has written.
    let other = Tail::new(platform.ports.clone());
    let told = Arc::new(Told::default());
    other.listen(Arc::<Told>::clone(&told));
    other.reach(partition, &begun).await.unwrap();
    let mut decided = Vec::new();
    for n in 0..5 {
        let answer = submit(&platform, submission("acme", &format!("a-{n}"), append("x"))).await;
        decided.push(answer.place.offset);
    }
    other.reach(partition, &platform.tail.state(partition).head).await.unwrap();
    let told = core::mem::take(&mut *told.0.lock().unwrap());
    assert!(decided.iter().all(|offset| told.contains(offset)), "{decided:?} of {told:?}");
    assert!(told.iter().all(|offset| *offset >= begun.offset), "nothing before it began");
    stop(runtime).await;
}

// REQ: OPS-05
#[tokio::test(flavor = "multi_thread")]
async fn what_a_newer_program_has_claimed_is_left_alone() {
    let mut world = World::new();
    let (platform, runtime) = world.start().await;
    let partition = PartitionId(1);
    while !platform.tail.state(partition).leading {
        tokio::task::yield_now().await;
    }
    stop(runtime).await;
    let claim = exchequer_proto::journal::v1::Claim {
        epoch: 2,
        owner: [9; 16].to_vec().into(),
        feature_level: FEATURE_LEVEL + 1,
        logs: Vec::new(),
    };
    let claim = exchequer_codec::encode_claim(partition, claim);
    exchequer_journal::Journal::append(world.journal.as_ref(), partition, claim).await.unwrap();
    let records = world.journal.records(partition).len();
    let (platform, runtime) = world.start().await;
    tokio::time::timeout(PATIENCE, runtime.shutting_down()).await.unwrap();
    assert!(platform.tail.state(partition).fault.is_some());
    stop(runtime).await;
    assert_eq!(world.journal.records(partition).len(), records, "nothing was written");
}
