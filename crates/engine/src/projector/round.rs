//! A round of a projector: what there is of the journal, up to a bound, is folded into rows.
//! In a store where writing takes a while, the rows of the round before are written meanwhile;
//! what this round reads of them it finds here.

use exchequer_kernel::Head;
use exchequer_readstore::{Batch, Key, RowSet, Table, load_missing};
use exchequer_types::PartitionId;

use super::shared::Own;
use super::{Projector, Unsaved, note};
use crate::view::Progressed;
use crate::{EngineError, TailItem, spans};

/// What a round has come to.
pub(super) struct Round {
    /// Its rows, for the round after it, where that does not wait until they are written.
    pub(super) rows: RowSet,
    pub(super) landing: Landing,
}

/// What remains to be done of a round.
pub(super) struct Landing {
    /// None when no row changed: that is folded again after a restart, to no effect.
    batch: Option<Batch>,
    /// How far the view is then.
    progress: Progressed,
    traced: Vec<spans::Folding>,
}

/// Rows that are being folded.
struct Folding<'r> {
    rows: RowSet,
    /// Those of the round before, which may not be in the store yet.
    earlier: Option<&'r RowSet>,
    traced: Vec<spans::Folding>,
}

impl Projector {
    /// Folds what there is, up to a bound. None when there is nothing new.
    pub(super) async fn fold_some(
        &self,
        own: &Own,
        (heads, progress): (&mut [Head], &mut Progressed),
        unsaved: &mut Unsaved,
        earlier: Option<&RowSet>,
    ) -> Result<Option<Round>, EngineError> {
        let mut folding = Folding { rows: RowSet::default(), earlier, traced: Vec::new() };
        let mut moved = false;
        for (index, head) in heads.iter_mut().enumerate() {
            let partition = PartitionId(index as u32);
            while own.has(partition) && folding.rows.len() < self.ports.settings.view_rows_max {
                let before = head.offset;
                let items = self.tail.next(partition, head).await?;
                self.fold_items(&items, &mut folding).await?;
                for item in &items {
                    progress.folded_at[index] = item.entry.now();
                    unsaved.add(index, item);
                }
                if head.offset == before {
                    break;
                }
                moved = true;
            }
        }
        let Folding { rows, traced, .. } = folding;
        if let Some(failure) = rows.failure() {
            return Err(EngineError::Stopped(failure.to_owned()));
        }
        if !moved {
            return Ok(None);
        }
        note(progress, heads);
        let number = self.generation.number;
        let is_due = rows.has_written() || unsaved.is_too_much();
        let (rows, writes) = if self.overlaps() {
            let writes = rows.to_writes(number);
            (rows, writes)
        } else {
            (RowSet::default(), rows.into_writes(number))
        };
        let batch = is_due.then(|| self.batch(writes, heads, unsaved));
        Ok(Some(Round { rows, landing: Landing { batch, progress: progress.clone(), traced } }))
    }

    /// Is the next round folded while one is written? In the process itself nothing waits.
    pub(super) fn overlaps(&self) -> bool {
        !self.ports.store.is_atomic()
    }

    /// Writes the rows of a round and tells readers how far the view is with them.
    pub(super) async fn land(&self, landing: Option<Landing>) -> Result<(), EngineError> {
        let Some(Landing { batch, progress, traced }) = landing else { return Ok(()) };
        if let Some(batch) = batch {
            self.write(batch).await?;
        }
        self.generation.progressed(progress);
        if !traced.is_empty() {
            let (name, number) = (self.handle.view.name(), self.generation.number);
            spans::folded(self.ports.runtime.as_ref(), name, number, traced);
        }
        Ok(())
    }

    async fn fold_items(
        &self,
        items: &[TailItem],
        folding: &mut Folding<'_>,
    ) -> Result<(), EngineError> {
        let view = &self.handle.view;
        if self.overlaps() {
            // Asked for together: each answer takes a way to the store and back.
            let reads = items.iter().flat_map(|item| view.reads(&item.entry, &folding.rows));
            let reads = reads.collect();
            self.load(folding, reads).await?;
        }
        for item in items {
            let span = spans::folding(self.ports.runtime.as_ref(), item);
            let changes = folding.rows.changes();
            while self.load(folding, view.reads(&item.entry, &folding.rows)).await? {}
            view.fold(&item.entry, &mut folding.rows);
            // Of the views that it means nothing to, the trace says nothing.
            let is_told = folding.rows.changes() > changes;
            folding.traced.extend(span.filter(|_| is_told));
            // A store in the process never waits, and callers come first.
            give_way().await;
        }
        Ok(())
    }

    /// Loads what of `keys` is not there yet. Was there any?
    async fn load(
        &self,
        folding: &mut Folding<'_>,
        keys: Vec<(&'static Table, Key)>,
    ) -> Result<bool, EngineError> {
        let rows = &mut folding.rows;
        let inherits = folding.earlier.is_some_and(|earlier| rows.inherit(earlier, &keys));
        let store = self.ports.store.as_ref();
        Ok(load_missing(store, self.generation.number, rows, keys).await? || inherits)
    }
}

/// Lets other tasks run.
async fn give_way() {
    let mut gave = false;
    let turn = core::future::poll_fn(|context| {
        if gave {
            return core::task::Poll::Ready(());
        }
        gave = true;
        context.waker().wake_by_ref();
        core::task::Poll::Pending
    });
    turn.await;
}
