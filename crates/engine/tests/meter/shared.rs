//! Partitions that go from one process to another, and what a meter waits for.

use core::time::Duration;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

use exchequer_codec::usage::decode_seal;
use exchequer_engine::failures_of;
use exchequer_engine::meter::Meters;
use exchequer_journal::{
    Fault, FaultKind, Group, Journal as _, Membership, MemoryGroups, MemoryMember, MemoryOutlet,
    Outgoing, Outlet, Owned,
};
use exchequer_kernel::RecordHead;
use exchequer_readstore::StepHook;
use exchequer_types::{Offset, PartitionId};
use futures::future::BoxFuture;
use tokio::sync::{Semaphore, watch};

use crate::world::{PARTITIONS, Process, World, now, own_of};
use crate::{DATA, until};

/// A member that notes what it is told of a group.
#[derive(Debug)]
struct Noting {
    member: MemoryMember,
    lows: Mutex<Vec<(PartitionId, Offset)>>,
}

impl Membership for Noting {
    fn owned(&self, group: Group) -> watch::Receiver<Owned> {
        self.member.owned(group)
    }

    fn released(&self, group: Group, partition: PartitionId) {
        self.member.released(group, partition);
    }

    fn confirm(
        &self,
        group: Group,
        partition: PartitionId,
        low: Offset,
    ) -> BoxFuture<'_, Result<bool, Fault>> {
        self.lows.lock().unwrap_or_else(PoisonError::into_inner).push((partition, low));
        self.member.confirm(group, partition, low)
    }
}

// REQ: KER-07
#[tokio::test(flavor = "multi_thread")]
async fn a_group_is_told_where_the_checkpoint_stands_also_by_a_process_that_just_started() {
    let mut world = World::new();
    let process = world.start().await;
    for n in 0..40 {
        world.send(&format!("e-{n}"), DATA);
    }
    process.settled().await;
    process.written().await;
    process.stop().await;
    let member = MemoryGroups::new(PARTITIONS).join([Group::Meters]);
    let noting = Arc::new(Noting { member, lows: Mutex::default() });
    world.membership = Some(Arc::<Noting>::clone(&noting));
    let process = world.start().await;
    until(async || process.meters.states().iter().all(|it| it.leading)).await;
    process.stop().await;
    let lows = noting.lows.lock().unwrap().clone();
    for partition in (0..PARTITIONS).map(PartitionId) {
        let end = world.log.end(partition).await.unwrap();
        assert!(end > 0);
        assert!(lows.contains(&(partition, end)), "{lows:?}");
        assert!(!lows.contains(&(partition, 0)), "{lows:?}");
    }
}

// REQ: USE-05 KER-07
#[tokio::test(flavor = "multi_thread")]
async fn figures_that_others_read_are_written_while_events_come() {
    let mut world = World::new();
    world.settings.usage.flush_interval = Duration::from_secs(3_600);
    world.settings.usage.idle_flush_interval = Duration::from_millis(500);
    world.settings.usage.read_by_others = true;
    let process = world.start().await;
    let count = AtomicU64::new(0);
    until(async || {
        // Sealed one after the other: nothing is full, and nowhere nothing comes for long.
        for of in (0..PARTITIONS).map(PartitionId) {
            let mut ids = (0..).map(|_| format!("e-{}", count.fetch_add(1, Ordering::SeqCst)));
            let id = ids.find(|id| own_of(id) == of);
            world.send(&id.unwrap_or_default(), DATA);
        }
        process.settled().await;
        let store = world.store.as_ref();
        for of in (0..PARTITIONS).map(PartitionId) {
            let stored = exchequer_projection_usage::checkpoint(store, of).await.unwrap();
            if stored.is_none_or(|it| it.offset == 0) {
                return false;
            }
        }
        true
    })
    .await;
    process.stop().await;
}

// REQ: USE-05 KER-07
#[tokio::test(flavor = "multi_thread")]
async fn what_came_a_while_ago_is_judged_before_anything_is_written_for_others() {
    let mut world = World::new();
    world.settings.usage.flush_interval = Duration::from_secs(3_600);
    world.settings.usage.idle_flush_interval = Duration::from_millis(1);
    world.settings.usage.read_by_others = true;
    // A read brings less than a seal takes: again and again nothing is held for a moment.
    world.settings.usage.batch_records_max = 8;
    world.settings.usage.read_bytes_max = 512;
    let received_at = now().saturating_sub(Duration::from_secs(60));
    for n in 0..4_000 {
        world.send_as(&crate::world::event("acme", &format!("e-{n}"), DATA), received_at);
    }
    let mut ends = Vec::new();
    for of in (0..PARTITIONS).map(PartitionId) {
        ends.push(world.log.end(of).await.unwrap());
    }
    // Whether some partition was through with what had come when something was written.
    let written: Arc<Mutex<Vec<bool>>> = Arc::default();
    let meters: Arc<OnceLock<Meters>> = Arc::default();
    let hook: StepHook = {
        let (written, meters) = (Arc::clone(&written), Arc::clone(&meters));
        Arc::new(move |_| {
            let states = meters.get().map(Meters::states).unwrap_or_default();
            let is_through = states.iter().zip(&ends).any(|(state, end)| state.next >= *end);
            written.lock().unwrap_or_else(PoisonError::into_inner).push(is_through);
            Box::pin(async {})
        })
    };
    world.store = Arc::new(exchequer_readstore::MemoryStore::with_steps(true, hook));
    let process = world.start().await;
    assert!(meters.set(process.meters.clone()).is_ok());
    process.settled().await;
    process.written().await;
    process.stop().await;
    let written = written.lock().unwrap().clone();
    assert!(!written.is_empty() && written.iter().all(|is_through| *is_through), "{written:?}");
}

// REQ: KER-07
#[tokio::test(flavor = "multi_thread")]
async fn a_partition_that_stopped_goes_to_another_process_that_goes_on() {
    let mut world = World::new();
    // The second of two members gets it.
    let damaged = PartitionId(1);
    let ids: Vec<String> =
        (0..40).map(|n| format!("e-{n}")).filter(|id| own_of(id) == damaged).collect();
    let process = world.start().await;
    for id in &ids {
        world.send(id, DATA);
    }
    process.settled().await;
    process.stop().await;
    // What is read is not what was sealed.
    world.store = Arc::new(exchequer_readstore::MemoryStore::new(true));
    let records = world.log.records(damaged);
    world.log.truncate(damaged, 0);
    for record in records.iter().rev() {
        world.log.push(damaged, record.clone());
    }
    let groups = MemoryGroups::new(PARTITIONS);
    world.membership = Some(Arc::new(groups.join([Group::Meters])));
    world.process = "one:1".to_owned();
    let stopped = world.start().await;
    let fault = async || stopped.meters.state(damaged).fault.map(|it| it.kind);
    until(async || fault().await == Some(FaultKind::Stopped)).await;
    let store = Arc::clone(&world.store);
    let told = async || failures_of(store.as_ref(), "one:1").await.unwrap();
    until(async || !told().await.is_empty()).await;
    let all = told().await;
    assert_eq!((&*all[0].work, &*all[0].stream), ("meter", "~partition-1"));
    let message = &all[0].failure.message;
    assert!(message.contains("has another root than its records"), "{message}");
    // It is mended, and another process comes.
    world.log.truncate(damaged, 0);
    for record in &records {
        world.log.push(damaged, record.clone());
    }
    world.membership = Some(Arc::new(groups.join([Group::Meters])));
    world.process = "other:1".to_owned();
    let other = world.start().await;
    until(async || other.meters.state(damaged).leading).await;
    assert_eq!(other.meters.state(damaged).next, records.len() as u64);
    until(async || fault().await.is_none()).await;
    until(async || told().await.is_empty()).await;
    other.stop().await;
    stopped.stop().await;
}

/// Fails as long as it is told to.
#[derive(Debug)]
struct Failing {
    topic: Arc<MemoryOutlet>,
    fails: AtomicBool,
    calls: AtomicU64,
}

impl Outlet for Failing {
    fn partitions(&self) -> u32 {
        self.topic.partitions()
    }

    fn publish(
        &self,
        partition: PartitionId,
        records: Vec<Outgoing>,
    ) -> BoxFuture<'_, Result<(), Fault>> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        if self.fails.load(Ordering::SeqCst) {
            let fault = Fault::new(FaultKind::Damaged, "the topic is not what it was");
            return Box::pin(core::future::ready(Err(fault)));
        }
        self.topic.publish(partition, records)
    }

    fn last(&self, partition: PartitionId) -> BoxFuture<'_, Result<Option<Outgoing>, Fault>> {
        self.topic.last(partition)
    }
}

fn claims(world: &World, partition: PartitionId) -> usize {
    let heads = world.seals.records(partition).into_iter();
    let is_claim =
        |bytes: &bytes::Bytes| matches!(decode_seal(partition, bytes).0, RecordHead::Claim { .. });
    heads.filter(is_claim).count()
}

// REQ: USE-02 KER-11
#[tokio::test(flavor = "multi_thread")]
async fn counting_waits_for_the_topic_of_dead_letters_and_drops_nothing() {
    let mut world = World::new();
    let topic = Arc::<MemoryOutlet>::clone(&world.letters);
    let fails = AtomicBool::new(true);
    let failing = Arc::new(Failing { topic, fails, calls: AtomicU64::new(0) });
    world.outlet = Some(Arc::<Failing>::clone(&failing));
    let process = world.start().await;
    let broken = own_of("broken");
    world.produce(broken, &[("content-type", b"application/cloudevents+json")], "{");
    until(async || failing.calls.load(Ordering::SeqCst) >= 3).await;
    let ids: Vec<String> = (0..20).map(|n| format!("e-{n}")).collect();
    for id in &ids {
        world.send(id, DATA);
    }
    // The other partition goes on.
    let sound = PartitionId((broken.0 + 1) % PARTITIONS);
    let end = world.log.end(sound).await.unwrap();
    until(async || process.meters.state(sound).next == end).await;
    let state = process.meters.state(broken);
    assert_eq!((state.next, state.fault.map(|it| it.kind)), (0, Some(FaultKind::Damaged)));
    failing.fails.store(false, Ordering::SeqCst);
    process.settled().await;
    assert_eq!(process.shown("tokens").await, "40");
    assert_eq!(world.letters().len(), 1);
    assert!(process.meters.state(broken).fault.is_none());
    assert_eq!(claims(&world, broken), 1, "nothing was claimed anew");
    process.stop().await;
}

// REQ: OPS-05 KER-11
#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_are_told_once_each_whoever_meters() {
    let mut world = World::new();
    let partition = own_of("e-0");
    let wrong = |world: &World, times: usize| {
        for _ in 0..times {
            world.produce(partition, &[("content-type", b"application/cloudevents+json")], "{");
        }
    };
    let told = |process: &Process| process.meters.state(partition).tally.dead_letters;
    let process = world.start().await;
    world.send("e-0", DATA);
    wrong(&world, 3);
    process.settled().await;
    process.written().await;
    assert_eq!(told(&process), 3);
    process.stop().await;
    // Some stand in the checkpoint, and some in seals behind it that nobody has written.
    world.settings.usage.flush_interval = Duration::from_secs(3_600);
    world.settings.usage.idle_flush_interval = Duration::from_secs(3_600);
    let process = world.start().await;
    wrong(&world, 2);
    process.settled().await;
    assert_eq!(told(&process), 5);
    process.stop().await;
    let process = world.start().await;
    process.settled().await;
    until(async || told(&process) == 5).await;
    process.stop().await;
    world.store = Arc::new(exchequer_readstore::MemoryStore::new(true));
    let process = world.start().await;
    process.settled().await;
    until(async || told(&process) == 5).await;
    process.stop().await;
    assert_eq!(world.letters().len(), 5);
}

// REQ: KER-02 USE-03
#[tokio::test(flavor = "multi_thread")]
async fn a_write_that_waits_for_its_turn_is_given_up_with_the_claim() {
    let mut world = World::new();
    world.settings.usage.flushes_max = 1;
    // The first write that comes waits until it may go on, and no other.
    let (arrived, may) = (Arc::new(AtomicU64::new(0)), Arc::new(Semaphore::new(0)));
    let hook: StepHook = {
        let (arrived, may) = (Arc::clone(&arrived), Arc::clone(&may));
        Arc::new(move |_| {
            let is_first = arrived.fetch_add(1, Ordering::SeqCst) == 0;
            let may = Arc::clone(&may);
            Box::pin(async move {
                if is_first {
                    drop(may.acquire().await);
                }
            })
        })
    };
    world.store = Arc::new(exchequer_readstore::MemoryStore::with_steps(true, hook));
    let (one, other) = (PartitionId(0), PartitionId(1));
    let ids = |of: PartitionId| (0..).map(|n| format!("e-{n}")).filter(move |id| own_of(id) == of);
    let process = world.start().await;
    world.send(&ids(one).next().unwrap(), DATA);
    until(async || arrived.load(Ordering::SeqCst) > 0).await;
    // The other partition has something to write too, and then loses its claim.
    world.send(&ids(other).next().unwrap(), DATA);
    process.settled().await;
    let due = now().saturating_add(world.settings.usage.idle_flush_interval * 3);
    until(async || now() > due).await;
    let rival = world.start().await;
    until(async || claims(&world, other) >= 2).await;
    for (n, id) in ids(other).skip(1).take(200).enumerate() {
        world.send(&id, DATA);
        let end = n as u64 + 2;
        until(async || rival.meters.state(other).next >= end || claims(&world, other) >= 3).await;
        if claims(&world, other) >= 3 {
            break;
        }
    }
    until(async || claims(&world, other) >= 3).await;
    may.add_permits(1);
    rival.stop().await;
    process.settled().await;
    process.stop().await;
}
