//! Projectors: fold the journal into a view's rows, each generation with its own
//! checkpoints. Rows and checkpoint are one batch. A generation that is built
//! beside the one in use takes over when it has caught up.

mod generations;
mod round;
mod shared;

use core::time::Duration;
use std::collections::BTreeSet;
use std::sync::Arc;

use exchequer_kernel::Head;
use exchequer_kernel::mutation::{self, Mutation};
use exchequer_readstore::{Batch, Scan, Value, Write};
use exchequer_runtime::{Metric, OnEnd, TaskError, TaskKind};
use exchequer_types::PartitionId;
use futures::future::{join, select};
use tracing::{error, info, warn};

use crate::backoff::Backoff;
use crate::sharing::Share;
use crate::tables::{READERS, reader_head, reader_key, reader_write};
use crate::view::{Generation, Progressed, View, ViewHandle};
use crate::{EngineError, Ports, Tail, TailItem};
use generations::Generations;
use round::Round;
use shared::{Hearing, Own};

/// Readers of a replaced generation have this long to finish.
const GRACE: Duration = Duration::from_secs(30);

/// Journal that changed no row, after which checkpoints are written all the same:
/// it is what a start folds again.
const UNSAVED_COMMITS_MAX: usize = 1_024;
const UNSAVED_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Rounds after which a projector that always finds something new looks up all the same:
/// others wait for it, and it for them.
const ROUNDS_AT_ONCE: usize = 8;

/// Readers of replaced generations that one start looks at.
const READERS_MAX: usize = 4_096;

const PROJECTOR: TaskKind = TaskKind { name: "projector", on_end: OnEnd::Fine };

/// Reads which generation of `view` is in use, and starts folding it; goes on
/// with one that was being built, or begins one when the view's fold has changed.
pub(crate) async fn start(
    ports: &Ports,
    tail: &Arc<Tail>,
    view: Arc<dyn View>,
    share: Share,
) -> Result<Arc<ViewHandle>, EngineError> {
    let partitions = tail.partitions();
    let version = u64::from(view.version());
    let found = Generations::read(ports, view.as_ref()).await?;
    let first = Generations { active: 1, latest: 1, fold: version, latest_fold: version };
    let stored = found.unwrap_or(first);
    if found.is_none() {
        stored.write(ports, view.as_ref()).await?;
    }
    let Generations { active, latest, .. } = stored;
    let generation = Arc::new(Generation::new((active, stored.fold), partitions));
    let handle = Arc::new(ViewHandle::new(view, share, Arc::clone(&generation), latest));
    if handle.share.are_others() {
        shared::watch(ports, tail, &handle);
    }
    if stored.is_built_by(version) {
        let building = Arc::new(Generation::new((latest, version), partitions));
        handle.resume(Arc::clone(&building));
        spawn(ports, tail, &handle, building);
    }
    spawn(ports, tail, &handle, generation);
    if stored.fold == version {
        // Generations that were replaced and not dropped before the process ended.
        for number in left_behind(ports, handle.view.as_ref(), active).await? {
            spawn(ports, tail, &handle, Arc::new(Generation::new((number, version), partitions)));
        }
    } else {
        // The old rows are served as they are until those of the new fold are there.
        rebuild(ports, tail, &handle).await?;
    }
    Ok(handle)
}

/// Begins a generation beside the one in use; gives its number, or that of the
/// one that is being built already.
pub(crate) async fn rebuild(
    ports: &Ports,
    tail: &Arc<Tail>,
    handle: &Arc<ViewHandle>,
) -> Result<u64, EngineError> {
    let active = handle.active().number;
    let generation = match handle.begin(tail.partitions()) {
        Ok(generation) => generation,
        Err(number) => return Ok(number),
    };
    let number = generation.number;
    // From here on it is being built, whatever becomes of this call.
    spawn(ports, tail, handle, generation);
    announce(ports, handle.view.as_ref(), active, number).await?;
    Ok(number)
}

/// Says that generation `latest` is being built, so that a restart, and other processes with
/// this fold, go on with it.
async fn announce(
    ports: &Ports,
    view: &dyn View,
    active: u64,
    latest: u64,
) -> Result<(), EngineError> {
    let fold = Generations::read(ports, view).await?.map_or(0, |it| it.fold);
    let latest_fold = u64::from(view.version());
    Generations { active, latest, fold, latest_fold }.write(ports, view).await
}

/// Generations below `active` that still have a place in the journal.
async fn left_behind(
    ports: &Ports,
    view: &dyn View,
    active: u64,
) -> Result<BTreeSet<u64>, EngineError> {
    let reader = vec![Value::text(reader_of(view))];
    let mut scan = Scan::of(&READERS, 0, reader, READERS_MAX);
    scan.to = Some(vec![Value::uint(active)]);
    let rows = ports.store.scan(scan).await?;
    Ok(rows.iter().filter_map(|row| row.key.clustering.first()).map(Value::as_uint).collect())
}

fn reader_of(view: &dyn View) -> String {
    format!("view/{}", view.name())
}

fn spawn(ports: &Ports, tail: &Arc<Tail>, handle: &Arc<ViewHandle>, generation: Arc<Generation>) {
    let projector = Projector {
        ports: ports.clone(),
        tail: Arc::clone(tail),
        handle: Arc::clone(handle),
        generation,
    };
    ports.runtime.spawn(PROJECTOR, Box::pin(projector.run()));
}

/// What was folded since the checkpoints were last written.
struct Unsaved {
    commits: usize,
    bytes: usize,
    /// By partition.
    touched: Vec<bool>,
}

impl Unsaved {
    fn add(&mut self, index: usize, item: &TailItem) {
        self.commits += 1;
        self.bytes += item.bytes;
        self.touched[index] = true;
    }

    fn is_too_much(&self) -> bool {
        self.commits >= UNSAVED_COMMITS_MAX || self.bytes >= UNSAVED_BYTES_MAX
    }

    fn new(partitions: usize) -> Self {
        Self { commits: 0, bytes: 0, touched: vec![false; partitions] }
    }
}

struct Projector {
    ports: Ports,
    tail: Arc<Tail>,
    handle: Arc<ViewHandle>,
    generation: Arc<Generation>,
}

impl Projector {
    async fn run(self) -> Result<(), TaskError> {
        let name = self.handle.view.name();
        let mut backoff = Backoff::default();
        loop {
            match self.follow().await {
                Ok(()) => return Ok(()),
                Err(error) if error.is_retryable() => {
                    warn!(view = name, %error, "view pauses");
                    backoff.pause(self.ports.runtime.as_ref()).await;
                }
                Err(error) => {
                    error!(view = name, %error, "view stopped");
                    return Err(TaskError(format!("view {name}: {error}")));
                }
            }
        }
    }

    /// Is it this program's fold that makes the generation?
    fn folds(&self) -> bool {
        self.generation.fold == u64::from(self.handle.view.version())
    }

    fn own(&self) -> Own {
        let share = &self.handle.share;
        if self.folds() { Own::of(share) } else { Own::nothing(share) }
    }

    /// Folds for as long as this generation is wanted.
    async fn follow(&self) -> Result<(), EngineError> {
        let active = self.handle.active().number;
        if active < self.generation.number {
            announce(&self.ports, self.handle.view.as_ref(), active, self.generation.number)
                .await?;
        }
        let mut heads = self.load_heads().await?;
        let mut unsaved = Unsaved::new(heads.len());
        let mut progress = self.generation.progress();
        note(&mut progress, &heads);
        self.generation.progressed(progress.clone());
        let mut changes = self.tail.changes();
        let mut swaps = self.handle.swaps();
        let mut own = self.own();
        let mut hearing = Hearing::of(&self.handle);
        let mut before: Option<Round> = None;
        let mut rounds = 0_usize;
        loop {
            changes.borrow_and_update();
            swaps.borrow_and_update();
            if self.handle.is_retired(&self.generation) {
                return self.retire().await;
            }
            let (earlier, landing) = before.take().map(|it| (it.rows, it.landing)).unzip();
            let is_landing = landing.is_some();
            if is_landing && own.has_changed() {
                // Before anything is given up; and whoever had what came may have written.
                self.land(landing).await?;
                continue;
            }
            if !is_landing {
                for gained in own.update(self.tail.partitions()) {
                    heads[gained.index()] = self.load_head(gained).await?;
                    note(&mut progress, &heads);
                    self.generation.progressed(progress.clone());
                }
            }
            let served = self.handle.active().progress();
            // Asked before it is folded: what was the end until then is in what follows.
            let knows_end = self.tail.has_caught_up();
            let at = (&mut heads[..], &mut progress);
            let folding = self.fold_some(&own, at, &mut unsaved, earlier.as_ref());
            let (folded, landed) = join(folding, self.land(landing)).await;
            landed?;
            let folded = folded?;
            let has_folded = folded.is_some();
            if let Some(round) = folded {
                rounds += 1;
                let looks_up = rounds.is_multiple_of(ROUNDS_AT_ONCE);
                if self.overlaps() && !looks_up {
                    before = Some(round);
                    continue;
                }
                self.land(Some(round.landing)).await?;
                if !looks_up {
                    continue;
                }
            } else if is_landing {
                continue;
            }
            let served = (knows_end, has_folded.then_some(&served));
            let standing = (&mut heads[..], &mut progress, &mut unsaved);
            let others_behind = self.look_up((&mut own, &mut hearing), standing, served).await?;
            if has_folded {
                continue;
            }
            let news = core::pin::pin!(changes.changed());
            let swapped = core::pin::pin!(swaps.changed());
            let shared = core::pin::pin!(self.others_moved(&mut own, &mut hearing, others_behind));
            select(news, select(swapped, shared)).await;
        }
    }

    /// Tells others how far this one is and hears of them, and takes over when its rows are as
    /// new as those that readers have: `served`, where there is always something new to fold.
    /// Before the journal's end is known here, there seems to be nothing.
    /// Are others behind?
    async fn look_up(
        &self,
        (own, hearing): (&mut Own, &mut Hearing),
        (heads, progress, unsaved): (&mut [Head], &mut Progressed, &mut Unsaved),
        (knows_end, served): (bool, Option<&Progressed>),
    ) -> Result<bool, EngineError> {
        if self.handle.share.are_others() {
            self.tell_others(own, heads, unsaved).await?;
            self.hear_others((own, hearing), heads, progress).await?;
            self.generation.progressed(progress.clone());
        }
        let others_behind = self.others_behind(own, progress);
        let is_there = match served {
            None => !others_behind,
            Some(served) => served.known && progress.is_at_least(served),
        };
        if self.is_being_built() && knows_end && is_there {
            if unsaved.commits > 0 {
                self.write(self.batch(Vec::new(), heads, unsaved)).await?;
            }
            self.take_over().await?;
        }
        Ok(others_behind)
    }

    /// Is another generation read until this one is as far?
    fn is_being_built(&self) -> bool {
        self.handle.building().is_some_and(|it| it.number == self.generation.number)
    }

    fn reader(&self) -> String {
        reader_of(self.handle.view.as_ref())
    }

    async fn load_heads(&self) -> Result<Vec<Head>, EngineError> {
        let mut heads = Vec::new();
        for partition in (0..self.tail.partitions()).map(PartitionId) {
            heads.push(self.load_head(partition).await?);
        }
        Ok(heads)
    }

    async fn load_head(&self, partition: PartitionId) -> Result<Head, EngineError> {
        let key = reader_key(&self.reader(), self.generation.number, partition);
        let head = match self.ports.store.get(&READERS, 0, key).await? {
            Some(row) => reader_head(&row.values)?,
            None => Head::default(),
        };
        self.tail.check_remembered(self.handle.view.name(), partition, &head).await?;
        Ok(head)
    }

    /// The rows, and how far they are folded.
    fn batch(&self, rows: Vec<Write>, heads: &[Head], unsaved: &mut Unsaved) -> Batch {
        let (reader, number) = (self.reader(), self.generation.number);
        let touched = core::mem::replace(unsaved, Unsaved::new(heads.len())).touched;
        let checkpoints = (0..).map(PartitionId).zip(heads).zip(touched);
        let last = checkpoints
            .filter(|(_, touched)| *touched)
            .map(|((partition, head), _)| reader_write(&reader, number, partition, head))
            .collect();
        let written = Metric::ViewRowsWritten.counter(&[self.handle.view.name()]);
        written.increment(rows.len() as u64);
        Batch { rows, last }
    }

    /// A generation has one projector, which begins where its last batch ended.
    async fn write(&self, batch: Batch) -> Result<(), EngineError> {
        if mutation::active(Mutation::CheckpointBatch) {
            self.ports.store.write(Batch { rows: batch.last, last: Vec::new() }).await?;
            self.ports.store.write(Batch { rows: batch.rows, last: Vec::new() }).await?;
            return Ok(());
        }
        self.ports.store.write_in_order(batch).await?;
        Ok(())
    }

    /// This generation has caught up: readers go over to it.
    async fn take_over(&self) -> Result<(), EngineError> {
        let number = self.generation.number;
        let fold = u64::from(self.handle.view.version());
        let taken = Generations { active: number, latest: number, fold, latest_fold: fold };
        taken.write(&self.ports, self.handle.view.as_ref()).await?;
        self.handle.swap(Arc::clone(&self.generation));
        info!(view = self.handle.view.name(), generation = number, "view rebuilt");
        Ok(())
    }

    /// Another generation is read: this one's rows go, when nobody reads them any more.
    async fn retire(&self) -> Result<(), EngineError> {
        if !self.folds() {
            // What another version has made goes at the next start.
            return Ok(());
        }
        self.ports.runtime.sleep(GRACE).await;
        for table in self.handle.view.tables() {
            self.ports.store.drop_generation(table, self.generation.number).await?;
        }
        let reader = self.reader();
        let rows = (0..self.tail.partitions()).map(|partition| Write {
            table: &READERS,
            generation: 0,
            key: reader_key(&reader, self.generation.number, PartitionId(partition)),
            values: None,
            timestamp: i64::MAX as u64,
        });
        self.ports.store.write(Batch { rows: rows.collect(), last: Vec::new() }).await?;
        Ok(())
    }
}

fn note(progress: &mut Progressed, heads: &[Head]) {
    progress.known = true;
    for (offset, head) in progress.offsets.iter_mut().zip(heads) {
        *offset = head.offset;
    }
}
