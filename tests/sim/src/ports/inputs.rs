//! The input logs. On a cluster they are durable and shared, with the brokers'
//! clocks; embedded, each incarnation of the process has a queue of its own.

use std::collections::VecDeque;
use std::sync::Mutex;

use bytes::Bytes;
use exchequer_journal::{Fault, FaultKind, InputLog, InputRecord, Lane, MemoryInput};
use exchequer_types::{LogId, Offset, PartitionId};
use futures::future::BoxFuture;
use tokio::sync::{Notify, oneshot};

use crate::exec::{OUTSIDE, lock};
use crate::world::World;

#[derive(Debug, Default)]
struct Held {
    begins_at: Offset,
    records: VecDeque<InputRecord>,
}

#[derive(Debug, Default)]
struct Log {
    held: Mutex<Held>,
    grown: Notify,
}

/// The durable logs of a cluster.
#[derive(Debug)]
pub(crate) struct SharedInputs {
    pub(crate) ids: [LogId; 2],
    lanes: [Vec<Log>; 2],
    /// Of the broker that leads a partition.
    pub(crate) skew_micros: Mutex<Vec<i64>>,
}

impl SharedInputs {
    pub(crate) fn new(partitions: u32, ids: [LogId; 2]) -> Self {
        let lane = || (0..partitions).map(|_| Log::default()).collect();
        let skew_micros = Mutex::new(vec![0; partitions as usize]);
        Self { ids, lanes: [lane(), lane()], skew_micros }
    }

    fn log(&self, lane: Lane, partition: PartitionId) -> &Log {
        &self.lanes[lane.index()][partition.index()]
    }

    /// The offset that the next record will have.
    pub(crate) fn end(&self, lane: Lane, partition: PartitionId) -> Offset {
        let held = lock(&self.log(lane, partition).held);
        held.begins_at + held.records.len() as u64
    }

    /// Everything below `low` passes its retention.
    pub(crate) fn expire(&self, lane: Lane, partition: PartitionId, low: Offset) {
        let mut held = lock(&self.log(lane, partition).held);
        while held.begins_at < low && held.records.pop_front().is_some() {
            held.begins_at += 1;
        }
    }

    /// A record that stands in the log, if any does.
    pub(crate) fn sample(&self, lane: Lane, partition: PartitionId, nth: u64) -> Option<Bytes> {
        let held = lock(&self.log(lane, partition).held);
        let count = held.records.len() as u64;
        let index = nth.checked_rem(count)? as usize;
        held.records.get(index).map(|record| record.bytes.clone())
    }
}

impl World {
    pub(crate) fn put_input(&self, lane: Lane, partition: PartitionId, bytes: Bytes) -> Offset {
        let log = self.inputs.log(lane, partition);
        let skew = lock(&self.inputs.skew_micros)[partition.index()];
        let appended_at = self.sim.now_skewed(skew);
        let offset = {
            let mut held = lock(&log.held);
            let offset = held.begins_at + held.records.len() as u64;
            held.records.push_back(InputRecord { offset, appended_at, bytes });
            offset
        };
        self.sim.note(|| format!("{lane:?} {partition} +{offset} at {appended_at}"));
        log.grown.notify_waiters();
        offset
    }

    /// The partition that a record gets to.
    fn destination(&self, partition: PartitionId) -> PartitionId {
        if !self.sim.chance(self.rates().astray) {
            return partition;
        }
        PartitionId(self.sim.rng(|rng| rng.below(u64::from(self.plan.partitions))) as u32)
    }
}

/// A process's handle to the cluster's logs.
#[derive(Debug)]
pub(crate) struct SharedInputPort(pub(crate) World);

type Ack = Result<Option<Offset>, Fault>;

fn unknown() -> Fault {
    Fault::new(FaultKind::Unavailable, "no acknowledgement in time")
}

async fn carry(
    world: World,
    lane: Lane,
    partition: PartitionId,
    record: Bytes,
    ack: oneshot::Sender<Ack>,
) {
    let rates = world.rates();
    world.delay(rates).await;
    let partition = world.destination(partition);
    if world.sim.chance(rates.lost) {
        let _ = ack.send(Err(unknown()));
        return;
    }
    if world.sim.chance(rates.late) {
        let _ = ack.send(Err(unknown()));
        let wait = world.sim.within(10, 3_000_000);
        world.sim.sleep(wait).await;
        world.put_input(lane, partition, record);
        return;
    }
    if world.sim.chance(rates.twice) {
        world.put_input(lane, partition, record.clone());
        world.delay(rates).await;
    }
    let offset = world.put_input(lane, partition, record);
    world.delay(rates).await;
    let offset = (!world.sim.chance(rates.no_offset)).then_some(offset);
    // The gateway may be gone.
    let _ = ack.send(Ok(offset));
}

impl InputLog for SharedInputPort {
    fn id(&self, lane: Lane) -> LogId {
        self.0.inputs.ids[lane.index()]
    }

    fn submit(&self, lane: Lane, partition: PartitionId, record: Bytes) -> BoxFuture<'_, Ack> {
        let world = self.0.clone();
        Box::pin(async move {
            world.step("submit").await;
            let (ack, acknowledged) = oneshot::channel();
            world.sim.spawn_on(OUTSIDE, carry(world.clone(), lane, partition, record, ack));
            let result = acknowledged.await.unwrap_or_else(|_| Err(unknown()));
            world.step("submitted").await;
            result
        })
    }

    fn read(
        &self,
        lane: Lane,
        partition: PartitionId,
        from: Offset,
        records_max: usize,
    ) -> BoxFuture<'_, Result<Vec<InputRecord>, Fault>> {
        Box::pin(async move {
            self.0.step("read input").await;
            let held = lock(&self.0.inputs.log(lane, partition).held);
            let Some(skip) = from.checked_sub(held.begins_at) else {
                let begins_at = held.begins_at;
                let message = format!("input log begins at {begins_at}, {from} was asked for");
                return Err(Fault::new(FaultKind::Expired { begins_at }, message));
            };
            Ok(held.records.iter().skip(skip as usize).take(records_max).cloned().collect())
        })
    }

    fn wait(&self, lane: Lane, partition: PartitionId, offset: Offset) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            let log = self.0.inputs.log(lane, partition);
            let grown = log.grown.notified();
            let mut grown = core::pin::pin!(grown);
            grown.as_mut().enable();
            if self.0.inputs.end(lane, partition) <= offset {
                grown.await;
            }
            self.0.step("wait input").await;
        })
    }

    fn forget(&self, _: Lane, _: PartitionId, _: Offset) {}
}

/// The embedded queue, with time passing at each step.
#[derive(Debug)]
pub(crate) struct OwnInputPort {
    pub(crate) world: World,
    pub(crate) queue: MemoryInput,
}

impl InputLog for OwnInputPort {
    fn id(&self, lane: Lane) -> LogId {
        self.queue.id(lane)
    }

    fn submit(&self, lane: Lane, partition: PartitionId, record: Bytes) -> BoxFuture<'_, Ack> {
        Box::pin(async move {
            self.world.step("submit").await;
            let partition = self.world.destination(partition);
            let result = self.queue.submit(lane, partition, record).await;
            self.world.sim.note(|| format!("{lane:?} {partition}: {result:?}"));
            result
        })
    }

    fn read(
        &self,
        lane: Lane,
        partition: PartitionId,
        from: Offset,
        records_max: usize,
    ) -> BoxFuture<'_, Result<Vec<InputRecord>, Fault>> {
        Box::pin(async move {
            self.world.step("read input").await;
            self.queue.read(lane, partition, from, records_max).await
        })
    }

    fn wait(&self, lane: Lane, partition: PartitionId, offset: Offset) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            self.queue.wait(lane, partition, offset).await;
            self.world.step("wait input").await;
        })
    }

    fn forget(&self, lane: Lane, partition: PartitionId, low: Offset) {
        self.queue.forget(lane, partition, low);
    }
}
