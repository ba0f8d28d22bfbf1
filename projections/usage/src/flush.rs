//! Writes a segment: reads the rows that it adds to, adds, and gives each the position
//! of the segment's last seal. A row that is there already is passed over, so that a
//! segment which was written in part can be written again.

use std::collections::BTreeMap;

use exchequer_kernel::mutation::{self, Mutation};
use exchequer_metering::{Aggregation, Fate, OVERFLOW};
use exchequer_readstore::{Batch, Fault, Key, Keys, ReadStore, Row, Table, Value, Write};
use exchequer_types::{Period, TenantId, Timestamp};
use futures::future::BoxFuture;
use futures::{FutureExt as _, StreamExt as _, TryStreamExt as _, stream};

use crate::amount::Amount;
use crate::bytes::Damaged;
use crate::checkpoint::{Checkpoint, Span};
use crate::fold::{Added, fold};
use crate::members::{self, Sets, Spilled};
use crate::notes::{Counts, Kind, hour};
use crate::packed::{Packed, u32_of, usize_of};
use crate::part::{Part, Series};
use crate::tables::{
    GENERATION, Kept, Place, Scope, USAGE_FATES, USAGE_HOURS, USAGE_LISTED, USAGE_SEALS,
    USAGE_WINDOWS, timestamp,
};
use crate::texts::{values, written};
use crate::window::Of;

/// Subjects of one bucket that a window tells apart: further ones are counted together.
pub const SUBJECTS_PER_BUCKET_MAX: usize = 65_536;
/// Rows of one window and scope at most.
const CHUNKS_MAX: usize = 1_024;
/// Cells that are folded together, unless one series has more at one length of windows.
const GROUP_CELLS_MAX: usize = 4_096;
/// Groups of which rows are read and added to at a time, and of each the scopes.
const GROUPS_AT_ONCE_MAX: usize = 4;
const SCOPES_AT_ONCE_MAX: usize = 4;
/// Blocks whose rows are asked for together.
const BLOCKS_AT_ONCE_MAX: usize = 32;
/// Rows of hours that are read at a time.
const HOURS_AT_ONCE_MAX: usize = 32;

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
    flush.windows().await?;
    flush.notes().await?;
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

/// A row as it stands, and as it becomes.
struct Slot {
    key: Key,
    row: Packed,
    /// It is at the segment's end, or behind it.
    is_ahead: bool,
    changed: bool,
}

/// What became of adding to a cell.
enum Merged {
    /// The row does not have it.
    Absent,
    Done(Option<Spilled>),
}

/// What a series adds to the windows of one block, of one scope.
struct Adding<'a> {
    series: &'a Series,
    place: Place<'a>,
    start: Timestamp,
    cells: Vec<(&'a [u8], &'a Added)>,
}

/// Rows of one block of windows, of one scope.
struct Block<'p> {
    place: Place<'p>,
    version: u32,
    start: Timestamp,
    shared: Slot,
    /// By start: billing periods that differ in their ends alone share these too.
    own: BTreeMap<Timestamp, Vec<Slot>>,
}

impl<'a> Flush<'a> {
    fn new(store: &'a dyn ReadStore, segment: &'a Part) -> Self {
        Self { store, segment, split: None, rows: Vec::new() }
    }

    /// What all series add. No two scopes of a stretch of time share a row, so several of
    /// them wait for the store together.
    async fn windows(&mut self) -> Result<(), FlushError> {
        let (store, segment) = (self.store, self.segment);
        let written = groups(segment.series()).into_iter().map(|group| {
            async move {
                let mut own = Flush::new(store, segment);
                own.group(&group).await?;
                Ok(own)
            }
            .boxed()
        });
        self.take_all(written.collect(), GROUPS_AT_ONCE_MAX).await
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

    /// What series of one tenant add, each to windows of one length.
    async fn group(&mut self, group: &[(&'a Series, Kept)]) -> Result<(), FlushError> {
        let folded: Vec<_> = group
            .iter()
            .map(|(series, kept)| {
                let totals = fold(series, *kept, Of::Totals, |_| true);
                let subjects = fold(series, *kept, Of::Subjects, |_| true);
                (*series, *kept, totals, subjects)
            })
            .collect();
        let mut by_partition: BTreeMap<(Scope, i64), Vec<Adding<'_>>> = BTreeMap::new();
        for (series, kept, totals, subjects) in &folded {
            for ((scope, start), cells) in self.blocks(*kept, totals, subjects) {
                let (tenant, meter) = (&*series.tenant, series.meter.key.as_str());
                let (kept, source) = (*kept, self.segment.source());
                let place = Place { tenant, meter, kept, source, scope };
                let adding = Adding { series, place, start, cells };
                by_partition.entry((scope, kept.stretch(start))).or_default().push(adding);
            }
        }
        let (store, segment) = (self.store, self.segment);
        let written = by_partition.into_values().map(|adding| {
            async move {
                let mut own = Flush::new(store, segment);
                let mut adding = adding.into_iter();
                loop {
                    let some: Vec<_> = adding.by_ref().take(BLOCKS_AT_ONCE_MAX).collect();
                    if some.is_empty() {
                        return Ok(own);
                    }
                    own.add_all(some).await?;
                }
            }
            .boxed()
        });
        self.take_all(written.collect(), SCOPES_AT_ONCE_MAX).await
    }

    /// Cells by scope and block, in the order in which they came.
    fn blocks<'f>(
        &self,
        kept: Kept,
        totals: &'f [Added],
        subjects: &'f [Added],
    ) -> BTreeMap<(Scope, Timestamp), Vec<(&'f [u8], &'f Added)>>
    where
        'a: 'f,
    {
        let names = &self.segment.names;
        let totals = totals.iter().map(|it| (Scope::Totals, names.groups_of(it.name), it));
        let subjects = subjects.iter().filter_map(|it| {
            let (name, scope) = names.subject_of(it.name)?;
            Some((scope, name, it))
        });
        let mut blocks: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for (scope, name, it) in totals.chain(subjects) {
            let block = kept.block(it.window.start);
            blocks.entry((scope, block)).or_default().push((name, it));
        }
        blocks
    }

    /// Adds to blocks whose rows lie together.
    async fn add_all(&mut self, all: Vec<Adding<'_>>) -> Result<(), FlushError> {
        let Some(first) = all.first() else { return Ok(()) };
        let partition = first.place.partition(first.start);
        let clustering = |it: &Adding<'_>| it.place.clustering(it.start, it.version(), 0);
        let keys = all.iter().map(clustering).collect();
        let keys =
            Keys { table: &USAGE_WINDOWS, generation: GENERATION, partition, clustering: keys };
        let rows = self.store.get_many(keys).await?;
        let mut rows: BTreeMap<Vec<Value>, Row> =
            rows.into_iter().map(|row| (row.key.clustering.clone(), row)).collect();
        for adding in all {
            let row = rows.remove(&clustering(&adding));
            self.add_block(adding, row).await?;
        }
        Ok(())
    }

    /// Adds to a block whose windows share `row`.
    async fn add_block(&mut self, adding: Adding<'_>, row: Option<Row>) -> Result<(), FlushError> {
        let (version, shape) = (adding.version(), adding.shape());
        let Adding { series, place, start, cells } = adding;
        let names_max = match place.scope {
            Scope::Totals => usize_of(series.meter.groups_max),
            Scope::Subjects(_) => SUBJECTS_PER_BUCKET_MAX,
        };
        let shared = match row {
            Some(row) => self.slot(place.kept, row)?,
            None => Slot::new(place.cells(start, version, 0), &shape),
        };
        let mut block = Block { place, version, start, shared, own: BTreeMap::new() };
        let mut sets = Sets::default();
        for (name, it) in cells {
            if let Some(more) = self.add(&mut block, &shape, names_max, name, it).await? {
                sets.add(more);
            }
        }
        for spilled in sets.into_spilled() {
            let writes =
                members::write(self.store, &place, version, spilled, self.segment.to()).await?;
            self.rows.extend(writes);
        }
        let own = block.own.into_values().flatten();
        let changed = own.chain([block.shared]).filter(|slot| slot.changed);
        self.rows.extend(changed.map(|slot| {
            let cells = Value::Bytes(slot.row.write(place.kept));
            put(&USAGE_WINDOWS, slot.key, vec![cells], self.segment.to())
        }));
        Ok(())
    }

    /// Adds one cell: to the row that has it, else to the first one with room.
    async fn add(
        &mut self,
        block: &mut Block<'_>,
        shape: &(Aggregation, Vec<String>),
        names_max: usize,
        name: &[u8],
        it: &Added,
    ) -> Result<Option<Spilled>, FlushError> {
        if let Merged::Done(spilled) = block.shared.merge(it.window, name, &it.amount) {
            return Ok(spilled);
        }
        if block.shared.row.is_full() && !block.own.contains_key(&it.window.start) {
            let own = self.load_own(block, it.window).await?;
            block.own.insert(it.window.start, own);
        }
        let mut count = block.shared.row.count_of(it.window);
        for slot in block.own.get_mut(&it.window.start).into_iter().flatten() {
            if let Merged::Done(spilled) = slot.merge(it.window, name, &it.amount) {
                return Ok(spilled);
            }
            count += slot.row.count_of(it.window);
        }
        let mut other = Vec::new();
        let name = if count < names_max {
            name
        } else {
            other.extend(written(values(name).map(|_| OVERFLOW)));
            other.as_slice()
        };
        if count >= names_max {
            let own = block.own.get_mut(&it.window.start).into_iter().flatten();
            for slot in [&mut block.shared].into_iter().chain(own) {
                if let Merged::Done(spilled) = slot.merge(it.window, name, &it.amount) {
                    return Ok(spilled);
                }
            }
        }
        let slot = block.room(it.window, shape);
        Ok(slot.insert(it.window, name, &it.amount))
    }

    /// Rows of windows with one start alone.
    async fn load_own(
        &mut self,
        block: &Block<'_>,
        window: Period,
    ) -> Result<Vec<Slot>, FlushError> {
        let rows = self.store.scan(block.place.chunks(window, block.version, CHUNKS_MAX)).await?;
        rows.into_iter().map(|row| self.slot(block.place.kept, row)).collect()
    }

    fn slot(&mut self, kept: Kept, row: Row) -> Result<Slot, FlushError> {
        let is_ahead = self.is_ahead(row.timestamp);
        let cells = row.values.first().map(Value::as_bytes).unwrap_or_default();
        let damaged = |Damaged| FlushError::Damaged(USAGE_WINDOWS.name);
        let packed = Packed::read(kept, &cells).map_err(damaged)?;
        Ok(Slot { key: row.key, row: packed, is_ahead, changed: false })
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

    async fn notes(&mut self) -> Result<(), FlushError> {
        let (notes, source) = (&self.segment.notes, Value::Int(i64::from(self.segment.source().0)));
        for note in &notes.listed {
            let (tenant, kind) = (Value::text(&*note.tenant), Value::text(note.kind.as_str()));
            let (received_at, offset) = (note.received_at, Value::uint(note.offset));
            let detail = Value::Bytes(note.detail.clone().into());
            let identity = Value::Bytes(bytes::Bytes::copy_from_slice(&note.identity.0));
            let partition = vec![tenant.clone(), identity];
            let key = Key { partition, clustering: vec![source.clone(), offset.clone()] };
            let (seal, at) = (Value::uint(note.seal), Value::Int(received_at.micros()));
            let values = vec![kind.clone(), seal.clone(), at.clone(), detail.clone()];
            // Beside the record's own fate it stands in the list alone.
            if note.kind != Kind::Unusable {
                self.rows.push(put(&USAGE_FATES, key, values, note.seal));
            }
            let hour = Value::Int(hour(received_at).micros());
            let clustering = vec![at, source.clone(), offset];
            if note.kind == Kind::Matched {
                // It is no longer one of those that are without a meter.
                let unmatched = Value::text(Fate::Unmatched.as_str());
                let partition = vec![tenant.clone(), unmatched, hour.clone()];
                let key = Key { partition, clustering: clustering.clone() };
                let delete = put(&USAGE_LISTED, key, Vec::new(), note.seal);
                self.rows.push(Write { values: None, ..delete });
            }
            let key = Key { partition: vec![tenant, kind, hour], clustering };
            self.rows.push(put(&USAGE_LISTED, key, vec![seal, detail], note.seal));
        }
        for seal in &notes.seals {
            let key =
                Key { partition: vec![source.clone()], clustering: vec![Value::uint(seal.from)] };
            let times = seal.times.unwrap_or((Timestamp::MAX, Timestamp::MIN));
            let values = vec![
                Value::uint(seal.seq),
                Value::uint(seal.offset),
                Value::uint(seal.to),
                Value::Int(seal.through.micros()),
                Value::Int(times.0.micros()),
                Value::Int(times.1.micros()),
            ];
            self.rows.push(put(&USAGE_SEALS, key, values, seal.seq));
        }
        let (store, segment, source) = (self.store, self.segment, &source);
        let hours = notes.hours.iter().flat_map(|(hour, tenants)| {
            tenants.iter().map(move |(tenant, counts)| {
                async move {
                    let mut own = Flush::new(store, segment);
                    own.hour(source, *hour, tenant, counts).await?;
                    Ok(own)
                }
                .boxed()
            })
        });
        self.take_all(hours.collect(), HOURS_AT_ONCE_MAX).await
    }

    async fn hour(
        &mut self,
        source: &Value,
        hour: Timestamp,
        tenant: &str,
        counts: &Counts,
    ) -> Result<(), FlushError> {
        let partition = vec![Value::text(tenant), source.clone()];
        let key = Key { partition, clustering: vec![Value::Int(hour.micros())] };
        let mut counts = *counts;
        if let Some(row) = self.store.get(&USAGE_HOURS, GENERATION, key.clone()).await? {
            if self.is_ahead(row.timestamp) {
                return Ok(());
            }
            let bytes = row.values.first().map(Value::as_bytes).unwrap_or_default();
            let damaged = |Damaged| FlushError::Damaged(USAGE_HOURS.name);
            counts.add(&Counts::read(&bytes).map_err(damaged)?);
        }
        let values = vec![Value::Bytes(counts.write())];
        self.rows.push(put(&USAGE_HOURS, key, values, self.segment.to()));
        Ok(())
    }
}

impl Adding<'_> {
    fn version(&self) -> u32 {
        self.series.meter.version
    }

    /// How the cells aggregate, and what tells them apart.
    fn shape(&self) -> (Aggregation, Vec<String>) {
        let meter = &self.series.meter;
        let by = match self.place.scope {
            Scope::Totals => meter.group_by.iter().map(|it| it.name.to_string()).collect(),
            Scope::Subjects(_) => Vec::new(),
        };
        (meter.aggregation, by)
    }
}

/// Series and lengths of windows, in groups of one tenant that are small enough to be folded
/// together; where rows lie together, they are in one group.
fn groups(all: &[Series]) -> Vec<Vec<(&Series, Kept)>> {
    let mut by_tenant: BTreeMap<&TenantId, Vec<&Series>> = BTreeMap::new();
    for series in all {
        by_tenant.entry(&series.tenant).or_default().push(series);
    }
    let mut groups = Vec::new();
    for series in by_tenant.into_values() {
        let (mut group, mut cells) = (Vec::new(), 0);
        for kept in Kept::ALL {
            for series in &series {
                if !group.is_empty() && cells + series.cells() > GROUP_CELLS_MAX {
                    groups.push(core::mem::take(&mut group));
                    cells = 0;
                }
                cells += series.cells();
                group.push((*series, kept));
            }
        }
        groups.push(group);
    }
    groups
}

impl Block<'_> {
    /// The first row with room for another cell of `window`.
    fn room(&mut self, window: Period, shape: &(Aggregation, Vec<String>)) -> &mut Slot {
        if !self.shared.row.is_full() {
            return &mut self.shared;
        }
        debug_assert!(self.start <= window.start);
        let own = self.own.entry(window.start).or_default();
        if own.last().is_none_or(|slot| slot.row.is_full()) {
            let chunk = u32_of(own.len() + 1);
            own.push(Slot::new(self.place.cells(window.start, self.version, chunk), shape));
        }
        let last = own.len() - 1;
        &mut own[last]
    }
}

impl Slot {
    fn new(key: Key, (aggregation, by): &(Aggregation, Vec<String>)) -> Self {
        let row = Packed::new(*aggregation, by.clone());
        Self { key, row, is_ahead: false, changed: false }
    }

    /// Adds to the cell, when the row has it.
    fn merge(&mut self, window: Period, name: &[u8], amount: &Amount) -> Merged {
        let Some(held) = self.row.get_mut(window, name) else { return Merged::Absent };
        if self.is_ahead {
            // Rows of members may be behind this one.
            return Merged::Done(Spilled::behind(window, name, held, amount));
        }
        self.changed = true;
        Merged::Done(Spilled::merge(window, name, held, amount))
    }

    fn insert(&mut self, window: Period, name: &[u8], amount: &Amount) -> Option<Spilled> {
        self.changed = true;
        let mut held = Amount::empty(amount.aggregation());
        let spilled = Spilled::merge(window, name, &mut held, amount);
        self.row.insert(window, name, held);
        spilled
    }
}
