//! A view whose partitions several processes fold: each folds its own, and reads how far
//! the others are, and which generation is in use, where they write it.

use core::time::Duration;
use std::collections::BTreeSet;
use std::sync::Arc;

use exchequer_journal::Owned;
use exchequer_kernel::Head;
use exchequer_readstore::{Scan, Value};
use exchequer_runtime::{OnEnd, Runtime, TaskKind};
use exchequer_types::{Offset, PartitionId};
use futures::FutureExt as _;
use futures::future::{BoxFuture, select};
use tokio::sync::watch;
use tracing::warn;

use super::generations::Generations;
use super::{Projector, Unsaved, reader_of, spawn};
use crate::sharing::{self, Share};
use crate::tables::{READERS, reader_head};
use crate::view::{Generation, Progressed, ViewHandle};
use crate::{EngineError, Ports, Tail};

/// How often it is read how far other processes are, while they are behind and somebody waits
/// for them; and while nobody does.
const AWAITED_INTERVAL: Duration = Duration::from_millis(20);
const BEHIND_INTERVAL: Duration = Duration::from_millis(250);
/// How often it is read which generation is in use.
const GENERATION_INTERVAL: Duration = Duration::from_secs(1);

const WATCH: TaskKind = TaskKind { name: "view watch", on_end: OnEnd::Fine };

/// The partitions that one projector folds.
pub(super) struct Own {
    share: Share,
    owned: Option<watch::Receiver<Owned>>,
    now: BTreeSet<PartitionId>,
    /// How far others were told that each partition is.
    told: Vec<Offset>,
}

/// When it is to be read again how far others are.
pub(super) struct Hearing {
    waited_for: watch::Receiver<usize>,
    /// Not before this is over, and not later than the other one. None when it is.
    earliest: Option<Pause>,
    latest: Option<Pause>,
}

type Pause = BoxFuture<'static, ()>;

fn is_over(pause: &mut Option<Pause>) -> bool {
    if let Some(left) = pause
        && left.now_or_never().is_none()
    {
        return false;
    }
    *pause = None;
    true
}

async fn over(pause: &mut Option<Pause>) {
    if let Some(left) = pause {
        left.await;
    }
    *pause = None;
}

impl Hearing {
    pub(super) fn of(handle: &ViewHandle) -> Self {
        Self { waited_for: handle.waited_for(), earliest: None, latest: None }
    }

    fn heard(&mut self, runtime: &dyn Runtime) {
        self.earliest = Some(runtime.sleep(AWAITED_INTERVAL));
        self.latest = Some(runtime.sleep(BEHIND_INTERVAL));
    }

    fn is_due(&mut self, is_building: bool) -> bool {
        let is_wanted = is_building || *self.waited_for.borrow() > 0;
        is_over(&mut self.earliest) && (is_wanted || is_over(&mut self.latest))
    }

    async fn due(&mut self, is_building: bool) {
        if !is_building {
            let wanted = core::pin::pin!(self.waited_for.wait_for(|waiting| *waiting > 0));
            select(wanted, core::pin::pin!(over(&mut self.latest))).await;
        }
        over(&mut self.earliest).await;
    }
}

impl Own {
    pub(super) fn of(share: &Share) -> Self {
        Self { share: share.clone(), owned: share.watch(), now: BTreeSet::new(), told: Vec::new() }
    }

    /// Whatever belongs to the process: the rows are made by others.
    pub(super) fn nothing(share: &Share) -> Self {
        Self { share: share.clone(), owned: None, now: BTreeSet::new(), told: Vec::new() }
    }

    pub(super) fn has(&self, partition: PartitionId) -> bool {
        self.now.contains(&partition)
    }

    /// Has anything come or gone since it was taken over?
    pub(super) fn has_changed(&self) -> bool {
        self.owned.as_ref().is_some_and(|owned| owned.has_changed().unwrap_or(false))
    }

    /// Takes over what is its own by now; gives what has come to it. What is gone may be
    /// another's at once: rows that two write are the same.
    pub(super) fn update(&mut self, partitions: u32) -> Vec<PartitionId> {
        let Some(owned) = &mut self.owned else { return Vec::new() };
        let latest = Arc::clone(&owned.borrow_and_update());
        let gained = latest.difference(&self.now).copied().collect();
        self.share.release_others(&latest, partitions);
        self.now.clone_from(&latest);
        gained
    }
}

impl Projector {
    /// Writes how far this process is: others wait for it, whether rows came of it or not.
    pub(super) async fn tell_others(
        &self,
        own: &mut Own,
        heads: &[Head],
        unsaved: &mut Unsaved,
    ) -> Result<(), EngineError> {
        own.told.resize(heads.len(), 0);
        for partition in &own.now {
            let (head, told) = (&heads[partition.index()], &mut own.told[partition.index()]);
            unsaved.touched[partition.index()] |= head.offset > *told;
            *told = head.offset;
        }
        if unsaved.touched.contains(&true) {
            self.write(self.batch(Vec::new(), heads, unsaved)).await?;
        }
        Ok(())
    }

    /// Reads how far the others are, if it is time to.
    pub(super) async fn hear_others(
        &self,
        (own, hearing): (&Own, &mut Hearing),
        heads: &mut [Head],
        progress: &mut Progressed,
    ) -> Result<(), EngineError> {
        if own.now.len() == heads.len() || !hearing.is_due(self.is_being_built()) {
            return Ok(());
        }
        let number = self.generation.number;
        let reader = vec![Value::text(reader_of(self.handle.view.as_ref()))];
        let mut scan = Scan::of(&READERS, 0, reader, heads.len());
        scan.from = Some(vec![Value::uint(number)]);
        scan.to = Some(vec![Value::uint(number + 1)]);
        for row in self.ports.store.scan(scan).await? {
            let at = row.key.clustering.get(1).map_or(0, Value::as_int);
            let Ok(at) = u32::try_from(at).map(PartitionId) else { continue };
            let Some(head) = heads.get_mut(at.index()).filter(|_| !own.has(at)) else { continue };
            let told = reader_head(&row.values)?;
            if told.offset > progress.offsets[at.index()] {
                progress.offsets[at.index()] = told.offset;
                // When exactly is not told: it is seen now.
                progress.folded_at[at.index()] = self.ports.runtime.now();
            }
            *head = told;
        }
        hearing.heard(self.ports.runtime.as_ref());
        Ok(())
    }

    /// Has another process still to fold what this one has seen of the journal?
    pub(super) fn others_behind(&self, own: &Own, progress: &Progressed) -> bool {
        let offsets = (0..).map(PartitionId).zip(&progress.offsets);
        offsets
            .filter(|(partition, _)| !own.has(*partition))
            .any(|(partition, offset)| *offset < self.tail.offset(partition))
    }

    /// Resolves when it is to be asked again how far others are, or when partitions have
    /// come or gone.
    pub(super) async fn others_moved(
        &self,
        own: &mut Own,
        hearing: &mut Hearing,
        others_behind: bool,
    ) {
        let moved = core::pin::pin!(sharing::changed(&mut own.owned));
        if others_behind {
            let due = core::pin::pin!(hearing.due(self.is_being_built()));
            select(moved, due).await;
        } else {
            moved.await;
        }
    }
}

/// Follows which generation of a view is in use and which is being built, for as long as
/// the process runs.
pub(super) fn watch(ports: &Ports, tail: &Arc<Tail>, handle: &Arc<ViewHandle>) {
    let (own, tail, handle) = (ports.clone(), Arc::clone(tail), Arc::clone(handle));
    let watching = async move {
        loop {
            own.runtime.sleep(GENERATION_INTERVAL).await;
            if let Err(error) = look(&own, &tail, &handle).await {
                warn!(view = handle.view.name(), %error, "cannot read which generation is in use");
            }
        }
    };
    ports.runtime.spawn(WATCH, Box::pin(watching));
}

async fn look(
    ports: &Ports,
    tail: &Arc<Tail>,
    handle: &Arc<ViewHandle>,
) -> Result<(), EngineError> {
    let Some(found) = Generations::read(ports, handle.view.as_ref()).await? else { return Ok(()) };
    let (version, Generations { active, latest, .. }) = (u64::from(handle.view.version()), found);
    if found.fold != version {
        handle.knows_of(latest);
        // Another program's rows, which this one neither folds nor goes over to; one that is
        // older is about to be replaced.
        return Ok(());
    }
    if active > handle.active().number {
        let built = handle.building().filter(|it| it.number == active);
        let generation = built.unwrap_or_else(|| {
            let generation = Arc::new(Generation::new((active, version), tail.partitions()));
            spawn(ports, tail, handle, Arc::clone(&generation));
            generation
        });
        handle.swap(generation);
    }
    if found.is_built_by(version) && latest > handle.active().number && handle.building().is_none()
    {
        let generation = Arc::new(Generation::new((latest, version), tail.partitions()));
        handle.resume(Arc::clone(&generation));
        spawn(ports, tail, handle, generation);
    }
    handle.knows_of(latest);
    Ok(())
}

#[cfg(test)]
mod tests {
    use futures::future::pending;

    use super::*;

    fn lasting() -> Pause {
        pending().boxed()
    }

    fn hearing(waiting: &watch::Sender<usize>) -> Hearing {
        Hearing { waited_for: waiting.subscribe(), earliest: None, latest: Some(lasting()) }
    }

    // REQ: KER-08
    #[test]
    fn others_are_asked_soon_as_long_as_somebody_waits() {
        let waiting = watch::Sender::new(0);
        let mut hearing = hearing(&waiting);
        assert!(!hearing.is_due(false), "nobody waits");
        assert!(hearing.due(false).now_or_never().is_none());
        assert!(hearing.is_due(true), "a view that is being built waits by itself");
        waiting.send_replace(1);
        assert!(hearing.due(false).now_or_never().is_some());
        assert!(hearing.is_due(false));
        hearing.earliest = Some(lasting());
        assert!(!hearing.is_due(false), "they were asked just now");
        assert!(hearing.due(false).now_or_never().is_none());
    }

    #[test]
    fn others_are_asked_now_and_then_where_nobody_waits() {
        let waiting = watch::Sender::new(0);
        let mut hearing = hearing(&waiting);
        assert!(!hearing.is_due(false));
        hearing.latest = Some(core::future::ready(()).boxed());
        assert!(hearing.due(false).now_or_never().is_some());
        assert!(hearing.is_due(false));
    }
}
