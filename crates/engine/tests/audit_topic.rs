//! The audit topic: every accepted entry of every tenant, in order and without a gap,
//! through restarts, two publishers at once, and appends of which nobody knows whether
//! they landed.

#![expect(clippy::unwrap_used, reason = "a test says what failed by panicking")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use exchequer_consumer_adoption::Adoption;
use exchequer_domain_tenants as tenants;
use exchequer_engine::{
    Commanding, Forwarder, Outlets, Parts, Platform, Ports, React, Roles, Settings, Submission,
};
use exchequer_journal::{
    Fault, FaultKind, Group, Membership, MemoryGroups, MemoryInput, MemoryInputLimits,
    MemoryJournal, MemoryOutlet, Outgoing, Outlet,
};
use exchequer_kernel::{SealKey, Status};
use exchequer_readstore::MemoryStore;
use exchequer_runtime::{Runtime as _, TokioRuntime};
use exchequer_tenant::{Command, Create};
use exchequer_types::{ActorId, CommandId, Hash, Issuer, PartitionId, StreamId, TenantId};
use futures::future::BoxFuture;
use sha2::{Digest as _, Sha256};

const PARTITIONS: u32 = 3;
const PATIENCE: Duration = Duration::from_secs(20);

struct World {
    journal: Arc<MemoryJournal>,
    store: Arc<MemoryStore>,
    topic: Arc<MemoryOutlet>,
    /// With whom partitions are shared; nobody if it is not set.
    membership: Option<Arc<dyn Membership>>,
    starts: u8,
}

struct Process {
    platform: Platform,
    runtime: TokioRuntime,
}

/// Each third append fails, after a part of it has landed.
#[derive(Debug)]
struct Flaky {
    topic: Arc<MemoryOutlet>,
    calls: AtomicU64,
}

impl Outlet for Flaky {
    fn partitions(&self) -> u32 {
        self.topic.partitions()
    }

    fn publish(
        &self,
        partition: PartitionId,
        mut records: Vec<Outgoing>,
    ) -> BoxFuture<'_, Result<(), Fault>> {
        let call = self.calls.fetch_add(1, Ordering::Relaxed);
        if call % 3 < 2 {
            return self.topic.publish(partition, records);
        }
        if call.is_multiple_of(2) {
            records.truncate(records.len() / 2);
        }
        Box::pin(async move {
            self.topic.publish(partition, records).await?;
            Err(Fault::new(FaultKind::Unavailable, "nobody knows"))
        })
    }

    fn last(&self, partition: PartitionId) -> BoxFuture<'_, Result<Option<Outgoing>, Fault>> {
        self.topic.last(partition)
    }
}

impl World {
    fn new() -> Self {
        Self {
            journal: Arc::new(MemoryJournal::new(PARTITIONS)),
            store: Arc::new(MemoryStore::new(true)),
            topic: Arc::new(MemoryOutlet::new(PARTITIONS)),
            membership: None,
            starts: 0,
        }
    }

    async fn start(&mut self) -> Process {
        let topic: Arc<dyn Outlet> = Arc::<MemoryOutlet>::clone(&self.topic);
        self.start_as(Roles::ALL, topic).await
    }

    async fn start_as(&mut self, roles: Roles, topic: Arc<dyn Outlet>) -> Process {
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
            settings: Arc::new(Settings {
                claim_retry: Duration::from_millis(5),
                ..Settings::default()
            }),
            usage: None,
        };
        let consumers: Vec<Arc<dyn React>> = if roles.decides {
            vec![
                Arc::new(Commanding(Adoption { partitions: PARTITIONS })),
                Arc::new(Forwarder { ports: ports.clone() }),
            ]
        } else {
            Vec::new()
        };
        let outlets = Outlets { audit: Some(topic), ..Outlets::default() };
        let membership = self.membership.clone();
        let given = Parts { consumers, outlets, membership, ..Parts::default() };
        let platform = Platform::start_as(roles, ports, given).await.unwrap();
        Process { platform, runtime }
    }

    /// What the journal has, by tenant, read from its bytes.
    fn entries(&self) -> BTreeMap<String, Vec<Vec<u8>>> {
        let mut all: BTreeMap<String, Vec<Vec<u8>>> = BTreeMap::new();
        for partition in (0..PARTITIONS).map(PartitionId) {
            for bytes in self.journal.records(partition) {
                let commit = exchequer_codec::decode_record(partition, &bytes).2;
                for entry in commit.map(|it| it.audit).unwrap_or_default() {
                    all.entry(entry.tenant).or_default().push(entry.leaf.to_vec());
                }
            }
        }
        all
    }

    /// What a reader of the topic has when it knows nothing but its headers: entries by
    /// tenant, each checked, without repetitions. Also how many repetitions there were.
    fn consumed(&self) -> (BTreeMap<String, Vec<Vec<u8>>>, usize) {
        let mut all: BTreeMap<String, Vec<Vec<u8>>> = BTreeMap::new();
        let mut repeated = 0;
        let mut ends: BTreeMap<String, String> = BTreeMap::new();
        for partition in (0..PARTITIONS).map(PartitionId) {
            for record in self.topic.records(partition) {
                let text = |name| String::from_utf8(record.header(name).unwrap().to_vec()).unwrap();
                let tenant = text("tenant");
                assert_eq!(record.key, tenant, "one partition for each tenant");
                let leaf = Hash(Sha256::digest(&record.value).into()).to_hex();
                assert_eq!(text("leaf"), leaf);
                let seq: usize = text("seq").parse().unwrap();
                let known = all.entry(tenant.clone()).or_default();
                if seq <= known.len() {
                    assert_eq!(known[seq - 1], record.value, "a repetition is the same");
                    repeated += 1;
                    continue;
                }
                assert_eq!(seq, known.len() + 1, "no gap in {tenant}");
                let end = ends.entry(tenant).or_insert_with(|| "0".repeat(64));
                assert_eq!(text("prev"), *end);
                *end = leaf;
                known.push(record.value.to_vec());
            }
        }
        (all, repeated)
    }

    /// Waits until the topic has all that the journal has.
    async fn published(&self) {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        while self.consumed().0 != self.entries() {
            assert!(tokio::time::Instant::now() < deadline, "entries are not published");
            tokio::task::yield_now().await;
        }
    }
}

impl Process {
    /// Creates tenants, each as soon as the root is adopted in its partition.
    async fn create(&self, names: impl IntoIterator<Item = String>) {
        for name in names {
            loop {
                let command = Command::Create(Create {
                    parent: TenantId::platform(),
                    name: name.clone(),
                    settings: BTreeMap::new(),
                    test_clock: None,
                });
                if self.submit(&name, "create", command).await != Some(Status::NotAdopted) {
                    break;
                }
            }
        }
    }

    async fn rename(&self, name: &str, times: u32) {
        for time in 0..times {
            let to = format!("{name} {time} {}", self.runtime.now());
            let command =
                Command::Tenants(tenants::Command::Rename(tenants::Rename { name: to.clone() }));
            let status = self.submit(name, &to.replace(' ', "-"), command).await;
            assert_eq!(status, Some(Status::Accepted));
        }
    }

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

    async fn stop(self) {
        self.runtime.shut_down();
        self.runtime.stopped().await;
    }
}

fn names(count: u32) -> impl Iterator<Item = String> {
    (0..count).map(|n| format!("t-{n}"))
}

// REQ: AUD-06
#[tokio::test(flavor = "multi_thread")]
async fn every_entry_is_published_once_in_order_through_restarts() {
    let mut world = World::new();
    for _ in 0..3 {
        let process = world.start().await;
        process.create(names(5)).await;
        for name in names(5) {
            process.rename(&name, 3).await;
        }
        world.published().await;
        process.stop().await;
    }
    let (consumed, repeated) = world.consumed();
    let counts: Vec<usize> = names(5).map(|name| consumed[&name].len()).collect();
    assert_eq!(counts, [10; 5]);
    assert_eq!(repeated, 0, "nothing went wrong, so nothing comes twice");
}

// REQ: AUD-06
#[tokio::test(flavor = "multi_thread")]
async fn what_was_not_published_before_a_stop_is_published_after_it() {
    let mut world = World::new();
    let gone = Arc::new(MemoryOutlet::new(PARTITIONS));
    let process = world.start_as(Roles::ALL, gone).await;
    process.create(names(3)).await;
    process.stop().await;
    assert!(world.consumed().0.is_empty());
    let process = world.start().await;
    world.published().await;
    process.stop().await;
}

// REQ: AUD-06
#[tokio::test(flavor = "multi_thread")]
async fn two_publishers_at_once_leave_nothing_out() {
    let mut world = World::new();
    let process = world.start().await;
    let follower = Roles { decides: false, bootstraps: false, meters: false };
    let topic: Arc<dyn Outlet> = Arc::<MemoryOutlet>::clone(&world.topic);
    let other = world.start_as(follower, topic).await;
    process.create(names(4)).await;
    for name in names(4) {
        process.rename(&name, 10).await;
    }
    world.published().await;
    other.stop().await;
    process.stop().await;
    let process = world.start().await;
    process.rename("t-0", 1).await;
    world.published().await;
    process.stop().await;
}

// REQ: AUD-06
#[tokio::test(flavor = "multi_thread")]
async fn an_append_of_unknown_outcome_leaves_nothing_out() {
    let mut world = World::new();
    let topic = Arc::<MemoryOutlet>::clone(&world.topic);
    let flaky = Arc::new(Flaky { topic, calls: AtomicU64::new(0) });
    let process = world.start_as(Roles::ALL, flaky).await;
    process.create(names(2)).await;
    world.published().await;
    process.stop().await;
}

// REQ: AUD-06
#[tokio::test(flavor = "multi_thread")]
async fn a_topic_of_another_journal_is_not_written_to() {
    let mut world = World::new();
    let process = world.start().await;
    process.create(names(3)).await;
    world.published().await;
    process.stop().await;
    let before: Vec<usize> =
        (0..PARTITIONS).map(|it| world.topic.records(PartitionId(it)).len()).collect();

    world.journal = Arc::new(MemoryJournal::new(PARTITIONS));
    world.store = Arc::new(MemoryStore::new(true));
    let process = world.start().await;
    process.create(names(3)).await;
    process.stop().await;
    for (partition, before) in (0..PARTITIONS).map(PartitionId).zip(before) {
        if before > 0 {
            assert_eq!(world.topic.records(partition).len(), before);
        }
    }
}

// REQ: AUD-06
#[tokio::test(flavor = "multi_thread")]
async fn a_partition_whose_publisher_stopped_goes_to_another_process() {
    let mut world = World::new();
    let process = world.start().await;
    process.create(names(10)).await;
    world.published().await;
    process.stop().await;
    assert!((0..PARTITIONS).all(|it| !world.topic.records(PartitionId(it)).is_empty()));

    // Its publishers stop at once: the topic is that of another journal.
    world.journal = Arc::new(MemoryJournal::new(PARTITIONS));
    world.store = Arc::new(MemoryStore::new(true));
    let groups = MemoryGroups::new(PARTITIONS);
    world.membership = Some(Arc::new(groups.join(Group::ALL)));
    let process = world.start().await;
    process.create(names(3)).await;
    let other = groups.join([Group::Sealers]);
    let mut owned = other.owned(Group::Sealers);
    let gets = owned.wait_for(|owned| owned.contains(&PartitionId(1)));
    assert!(tokio::time::timeout(PATIENCE, gets).await.is_ok_and(|it| it.is_ok()));
    process.stop().await;
}
