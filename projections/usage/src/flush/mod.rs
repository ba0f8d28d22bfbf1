//! Writes a segment: reads the rows that it adds to, adds, and gives each the position
//! of the segment's last seal. A row that is there already is passed over, so that a
//! segment which was written in part can be written again.

mod notes;
mod rows;
mod tenant;

use std::sync::Mutex;

use exchequer_kernel::mutation::{self, Mutation};
use exchequer_readstore::{Batch, Fault, Key, ReadStore, Table, Value, Write};
use futures::future::BoxFuture;
use futures::{FutureExt as _, StreamExt as _, TryStreamExt as _, stream};

use crate::checkpoint::{Checkpoint, Span};
use crate::part::Part;
use crate::tables::{GENERATION, timestamp};
use tenant::{Adds, CommonRows, Share, Tenant, lock, tenants};

/// Subjects of one bucket that a window tells apart: further ones are counted together.
pub const SUBJECTS_PER_BUCKET_MAX: usize = 65_536;
/// Cells that are folded together, unless one series has more at one length of windows.
const GROUP_CELLS_MAX: usize = 4_096;
/// Common rows that are in memory, of tenants that wait for the store together.
const COMMON_ROWS_MAX: usize = 384;
/// Groups of which rows are read and added to at a time, and of each the scopes.
const GROUPS_AT_ONCE_MAX: usize = 4;
const SCOPES_AT_ONCE_MAX: usize = 4;

/// A segment cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum FlushError {
    #[error(transparent)]
    Store(#[from] Fault),
    #[error("table {0}: a packed row is damaged: delete the views, they are rebuilt")]
    Damaged(&'static str),
    /// Rows tell of seals within the segment, because one that ended there was written in
    /// part. Drop the segment, fold from the checkpoint to seal `at`, freeze and write
    /// there, then go on.
    #[error("some rows are at seal {at}, within the segment")]
    Split { at: u64 },
}

/// What writing `segment` takes: its rows, and the checkpoint behind them, which is told of
/// which times there are rows then. The segments of a partition are written in their order.
pub async fn flush(
    store: &dyn ReadStore,
    segment: &Part,
    checkpoint: &mut Checkpoint,
) -> Result<Batch, FlushError> {
    let before = crate::checkpoint(store, segment.source()).await?.unwrap_or_default();
    checkpoint.span = before.span.and(Span::of(segment));
    let mut flush = Flush::new(store, segment);
    let (mut some, mut rows) = (Vec::new(), 0);
    for share in tenants(segment).flat_map(Tenant::shares) {
        if rows + share.rows() > COMMON_ROWS_MAX {
            flush.shares(&core::mem::take(&mut some)).await?;
            rows = 0;
        }
        rows += share.rows();
        some.push(share);
    }
    flush.shares(&some).await?;
    flush.notes();
    if let Some(at) = flush.split {
        return Err(FlushError::Split { at });
    }
    Ok(Batch { rows: flush.rows, last: vec![checkpoint.put(segment)] })
}

pub(crate) fn put(table: &'static Table, key: Key, values: Vec<Value>, seq: u64) -> Write {
    Write { table, generation: GENERATION, key, values: Some(values), timestamp: timestamp(seq) }
}

struct Flush<'a> {
    store: &'a dyn ReadStore,
    segment: &'a Part,
    /// The earliest seal within the segment that rows are at.
    split: Option<u64>,
    rows: Vec<Write>,
}

impl<'a> Flush<'a> {
    fn new(store: &'a dyn ReadStore, segment: &'a Part) -> Self {
        Self { store, segment, split: None, rows: Vec::new() }
    }

    /// What some tenants add: first to their common rows, and to others what has no room
    /// there. No two scopes of a stretch of time share one of the others, so several of them
    /// wait for the store together.
    async fn shares(&mut self, shares: &[Share<'a>]) -> Result<(), FlushError> {
        let (store, segment) = (self.store, self.segment);
        let common: Vec<Mutex<CommonRows>> = shares.iter().map(|_| Mutex::default()).collect();
        let begun = shares.iter().zip(&common).map(|(share, common)| {
            async move {
                let mut own = Flush::new(store, segment);
                own.begin(share, common).await?;
                Ok(own)
            }
            .boxed()
        });
        self.take_all(begun.collect(), shares.len().max(1)).await?;
        let groups = shares.iter().zip(&common).flat_map(|(share, common)| {
            groups(&share.adds).into_iter().map(move |group| (group, common))
        });
        let written = groups.map(|(group, common)| {
            async move {
                let mut own = Flush::new(store, segment);
                own.group(group, common).await?;
                Ok(own)
            }
            .boxed()
        });
        self.take_all(written.collect(), GROUPS_AT_ONCE_MAX).await?;
        for common in &common {
            self.rows.extend(lock(common).writes(segment.to()));
        }
        Ok(())
    }

    async fn take_all(
        &mut self,
        parts: Vec<BoxFuture<'_, Result<Self, FlushError>>>,
        at_once_max: usize,
    ) -> Result<(), FlushError> {
        // In the process nothing is waited for.
        let at_once = if self.store.is_atomic() { 1 } else { at_once_max };
        let mut parts = stream::iter(parts).buffered(at_once);
        while let Some(Self { split, rows, .. }) = parts.try_next().await? {
            self.rows.extend(rows);
            if let Some(at) = split {
                self.splits_at(at);
            }
        }
        Ok(())
    }

    /// Does a row at `stamp` hold all of the segment?
    fn is_ahead(&mut self, stamp: u64) -> bool {
        if mutation::active(Mutation::AdditivePosition) {
            return false;
        }
        let at = stamp >> 16;
        if at > self.segment.from() && at < self.segment.to() {
            self.splits_at(at);
        }
        at >= self.segment.to()
    }

    fn splits_at(&mut self, at: u64) {
        self.split = Some(self.split.map_or(at, |known| known.min(at)));
    }
}

/// What series of one tenant add to windows of some lengths, in groups that are small enough
/// to be folded together; where rows lie together, they are in one group.
fn groups<'s, 'a>(mut all: &'s [Adds<'a>]) -> Vec<&'s [Adds<'a>]> {
    let mut groups = Vec::new();
    while !all.is_empty() {
        let mut cells = 0;
        let is_in = |it: &&Adds<'_>| {
            cells += it.cells();
            cells <= GROUP_CELLS_MAX
        };
        let count = all.iter().take_while(is_in).count().max(1);
        let (group, rest) = all.split_at(count);
        groups.push(group);
        all = rest;
    }
    groups
}
