//! The journal, or a log of usage, as one process sees it: appends travel, and may arrive when the
//! process is gone; acknowledgements get lost, late, or come without an offset;
//! reads give a part of what is there.

use bytes::Bytes;
use exchequer_journal::{Fault, FaultKind, Journal, Record};
use exchequer_types::{Offset, PartitionId};
use futures::future::BoxFuture;
use tokio::sync::oneshot;

use crate::exec::{OUTSIDE, lock};
use crate::world::{Log, Underway, World};

#[derive(Debug)]
pub(crate) struct JournalPort(pub(crate) World, pub(crate) Log);

pub(crate) type Ack = Result<Option<Offset>, Fault>;

/// What becomes of an append.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fate {
    Fine,
    NoOffset,
    /// An error at once or later, though it lands, maybe after the error.
    Late,
    /// An error, and it does not land.
    Lost,
    Refused,
    Twice,
}

fn unknown() -> Fault {
    Fault::new(FaultKind::Unavailable, "no acknowledgement in time")
}

impl World {
    pub(crate) fn fate(&self) -> Fate {
        let rates = self.rates();
        if self.sim.chance(rates.no_offset) {
            Fate::NoOffset
        } else if self.sim.chance(rates.late) {
            Fate::Late
        } else if self.sim.chance(rates.lost) {
            if self.sim.chance(500) { Fate::Lost } else { Fate::Refused }
        } else if !self.is_embedded() && self.sim.chance(rates.twice) {
            Fate::Twice
        } else {
            Fate::Fine
        }
    }

    /// The records' way: they are known as underway, land, and are acknowledged.
    pub(crate) async fn carry(self, id: u64, fate: Fate, ack: oneshot::Sender<Ack>) {
        let mut ack = Some(ack);
        let answer = |ack: &mut Option<oneshot::Sender<Ack>>, result: Ack| {
            // The caller may be gone.
            let _ = ack.take().map(|ack| ack.send(result));
        };
        self.delay(self.rates()).await;
        if matches!(fate, Fate::Late) && self.sim.chance(600) {
            answer(&mut ack, Err(unknown()));
            let wait = self.sim.within(10, 3_000_000);
            self.sim.sleep(wait).await;
        }
        let Some(it) = lock(&self.underway).1.remove(&id) else { return };
        if matches!(fate, Fate::Lost) {
            answer(&mut ack, Err(unknown()));
            return;
        }
        let mut offset = self.land(it.log, it.partition, it.records.clone());
        self.delay(self.rates()).await;
        if matches!(fate, Fate::Twice) {
            let second = self.land(it.log, it.partition, it.records);
            offset = if self.sim.chance(500) { second } else { offset };
        }
        match fate {
            Fate::NoOffset => answer(&mut ack, Ok(None)),
            Fate::Late => answer(&mut ack, Err(unknown())),
            _ => answer(&mut ack, Ok(Some(offset))),
        }
    }
}

impl Journal for JournalPort {
    fn partitions(&self) -> u32 {
        self.0.plan.partitions
    }

    fn append(&self, partition: PartitionId, record: Bytes) -> BoxFuture<'_, Ack> {
        self.append_all(partition, vec![record])
    }

    fn append_all(&self, partition: PartitionId, records: Vec<Bytes>) -> BoxFuture<'_, Ack> {
        let (world, log) = (self.0.clone(), self.1);
        Box::pin(async move {
            let proc = world.sim.running();
            world.step("append").await;
            let fate = world.fate();
            let bytes: usize = records.iter().map(Bytes::len).sum();
            world.sim.note(|| format!("append {partition} {bytes} bytes: {fate:?}"));
            if matches!(fate, Fate::Refused) {
                return Err(Fault::new(FaultKind::Full, "no space"));
            }
            let id = {
                let mut underway = lock(&world.underway);
                // Never one that was cut off: its carrier may still come for it.
                underway.0 += 1;
                let id = underway.0;
                underway.1.insert(id, Underway { proc, log, partition, records });
                id
            };
            let (ack, acknowledged) = oneshot::channel();
            world.sim.spawn_on(OUTSIDE, world.clone().carry(id, fate, ack));
            match acknowledged.await {
                Ok(result) => {
                    world.step("acknowledged").await;
                    result
                }
                Err(_) => Err(unknown()),
            }
        })
    }

    fn end(&self, partition: PartitionId) -> BoxFuture<'_, Result<Offset, Fault>> {
        Box::pin(async move {
            self.0.step("end").await;
            self.0.log(self.1).end(partition).await
        })
    }

    fn read(
        &self,
        partition: PartitionId,
        from: Offset,
        bytes_max: usize,
    ) -> BoxFuture<'_, Result<Vec<Record>, Fault>> {
        Box::pin(async move {
            self.0.step("read").await;
            let mut records = self.0.log(self.1).read(partition, from, bytes_max).await?;
            if records.len() > 1 && self.0.sim.chance(self.0.rates().stale) {
                let kept = self.0.sim.within(1, records.len() as u64);
                records.truncate(kept as usize);
            }
            Ok(records)
        })
    }

    fn wait(&self, partition: PartitionId, offset: Offset) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            self.0.log(self.1).wait(partition, offset).await;
            self.0.step("wait").await;
        })
    }
}
