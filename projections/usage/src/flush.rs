//! Writes a segment: reads the rows that it adds to, adds, and gives each the position
//! of the segment's last seal. A row that is there already is passed over, so that a
//! segment which was written in part can be written again.

use std::collections::BTreeMap;

use exchequer_kernel::mutation::{self, Mutation};
use exchequer_metering::{Aggregation, Fate, OVERFLOW};
use exchequer_readstore::{Batch, Fault, Key, ReadStore, Row, Scan, Table, Value, Write};
use exchequer_types::{Period, Timestamp};
use futures::future::BoxFuture;
use futures::{FutureExt as _, StreamExt as _, TryStreamExt as _, stream};

use crate::amount::Amount;
use crate::bytes::Damaged;
use crate::fold::{Added, fold};
use crate::members::{self, Sets, Spilled};
use crate::notes::{Counts, Kind, hour};
use crate::packed::{Packed, u32_of, usize_of};
use crate::part::{Part, Series};
use crate::tables::{
    GENERATION, Kept, Place, Scope, USAGE_CELLS, USAGE_CHECKPOINTS, USAGE_FATES, USAGE_HOURS,
    USAGE_LISTED, USAGE_SEALS, checkpoint_key, clustering, timestamp,
};
use crate::texts::{values, written};

/// Subjects of one bucket that a window tells apart: further ones are counted together.
pub const SUBJECTS_PER_BUCKET_MAX: usize = 65_536;
/// Rows of one window and scope at most.
const CHUNKS_MAX: usize = 1_024;
/// Scopes whose rows are read and added to at a time.
const SCOPES_AT_ONCE_MAX: usize = 8;

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

/// Where a meter's partition is, to be written with the rows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Checkpoint {
    pub seal: u64,
    /// Offset of the usage log up to which the rows tell.
    pub offset: u64,
    pub through: Timestamp,
    /// The meter's own.
    pub meter: bytes::Bytes,
}

impl Checkpoint {
    /// The write of it, behind the rows of `segment`.
    pub fn put(&self, segment: &Part) -> Write {
        let values = vec![
            Value::uint(self.seal),
            Value::uint(self.offset),
            Value::Int(self.through.micros()),
            Value::Bytes(self.meter.clone()),
        ];
        put(&USAGE_CHECKPOINTS, checkpoint_key(segment.source()), values, segment.to())
    }
}

/// What writing `segment` takes: its rows, and the checkpoint behind them. The segments
/// of a partition are written in their order.
pub async fn flush(
    store: &dyn ReadStore,
    segment: &Part,
    checkpoint: &Checkpoint,
) -> Result<Batch, FlushError> {
    let mut flush = Flush::new(store, segment);
    for series in segment.series() {
        for kept in Kept::ALL {
            flush.series(series, kept).await?;
        }
    }
    flush.notes().await?;
    if let Some(at) = flush.split {
        return Err(FlushError::Split { at });
    }
    Ok(Batch { rows: flush.rows, last: vec![checkpoint.put(segment)] })
}

/// Where a partition's rows are; none before the first.
pub async fn checkpoint(
    store: &dyn ReadStore,
    source: exchequer_types::PartitionId,
) -> Result<Option<Checkpoint>, Fault> {
    let row = store.get(&USAGE_CHECKPOINTS, GENERATION, checkpoint_key(source)).await?;
    Ok(row.map(|row| {
        let at = |index: usize| row.values.get(index);
        Checkpoint {
            seal: at(0).map_or(0, Value::as_uint),
            offset: at(1).map_or(0, Value::as_uint),
            through: Timestamp::saturating_from_micros(at(2).map_or(0, Value::as_int)),
            meter: at(3).map(Value::as_bytes).unwrap_or_default(),
        }
    }))
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

/// Rows of one block of windows, of one scope.
struct Block<'p> {
    place: Place<'p>,
    version: u32,
    start: Timestamp,
    shared: Slot,
    own: BTreeMap<Period, Vec<Slot>>,
}

impl<'a> Flush<'a> {
    fn new(store: &'a dyn ReadStore, segment: &'a Part) -> Self {
        Self { store, segment, split: None, rows: Vec::new() }
    }

    /// What `series` adds to rows of that length: totals, and subjects by their buckets. No
    /// two of them share a row, so several wait for the store together.
    async fn series(&mut self, series: &'a Series, kept: Kept) -> Result<(), FlushError> {
        let totals = fold(series, kept, |it| &it.totals, |_| true);
        let subjects = fold(series, kept, |it| &it.subjects, |_| true);
        let mut by_scope: BTreeMap<Scope, Vec<(&[u8], &Added)>> = BTreeMap::new();
        for it in &totals {
            let name = self.segment.names.groups_of(it.name);
            by_scope.entry(Scope::Totals).or_default().push((name, it));
        }
        for it in &subjects {
            if let Some((name, scope)) = self.segment.names.subject_of(it.name) {
                by_scope.entry(scope).or_default().push((name, it));
            }
        }
        let (store, segment) = (self.store, self.segment);
        let written = by_scope.into_iter().map(|(scope, added)| {
            let names_max = match scope {
                Scope::Totals => usize_of(series.meter.groups_max),
                Scope::Subjects(_) => SUBJECTS_PER_BUCKET_MAX,
            };
            let mut own = Flush::new(store, segment);
            async move {
                own.scope(series, kept, scope, names_max, added).await?;
                Ok(own)
            }
            .boxed()
        });
        let written: Vec<BoxFuture<'_, Result<Self, FlushError>>> = written.collect();
        // In the process nothing is waited for.
        let at_once = if store.is_atomic() { 1 } else { SCOPES_AT_ONCE_MAX };
        let mut written = stream::iter(written).buffered(at_once);
        while let Some(Self { split, rows, .. }) = written.try_next().await? {
            self.rows.extend(rows);
            if let Some(at) = split {
                self.splits_at(at);
            }
        }
        Ok(())
    }

    /// Adds `added`, in the order in which it came, to the rows of one scope.
    async fn scope(
        &mut self,
        series: &Series,
        kept: Kept,
        scope: Scope,
        names_max: usize,
        added: Vec<(&[u8], &Added)>,
    ) -> Result<(), FlushError> {
        let mut blocks: BTreeMap<Timestamp, Vec<(&[u8], &Added)>> = BTreeMap::new();
        for (name, it) in added {
            blocks.entry(kept.block(it.window.start)).or_default().push((name, it));
        }
        let (tenant, meter) = (&*series.tenant, series.meter.key.as_str());
        let place = Place { tenant, meter, kept, source: self.segment.source(), scope };
        let by: Vec<String> = match scope {
            Scope::Totals => series.meter.group_by.iter().map(|it| it.name.to_string()).collect(),
            Scope::Subjects(_) => Vec::new(),
        };
        let shape = (series.meter.aggregation, by);
        for (start, added) in blocks {
            let version = series.meter.version;
            let shared = self.load(&place, start, version, &shape).await?;
            let mut block = Block { place, version, start, shared, own: BTreeMap::new() };
            let mut sets = Sets::default();
            for (name, it) in added {
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
                let cells = Value::Bytes(slot.row.write(kept));
                put(&USAGE_CELLS, slot.key, vec![cells], self.segment.to())
            }));
        }
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
        if block.shared.row.is_full() && !block.own.contains_key(&it.window) {
            let own = self.load_own(block, it.window).await?;
            block.own.insert(it.window, own);
        }
        let mut count = block.shared.row.count_of(it.window);
        for slot in block.own.get_mut(&it.window).into_iter().flatten() {
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
            let own = block.own.get_mut(&it.window).into_iter().flatten();
            for slot in [&mut block.shared].into_iter().chain(own) {
                if let Merged::Done(spilled) = slot.merge(it.window, name, &it.amount) {
                    return Ok(spilled);
                }
            }
        }
        let slot = block.room(it.window, shape);
        Ok(slot.insert(it.window, name, &it.amount))
    }

    /// The row that the windows of a block share.
    async fn load(
        &mut self,
        place: &Place<'_>,
        start: Timestamp,
        version: u32,
        shape: &(Aggregation, Vec<String>),
    ) -> Result<Slot, FlushError> {
        let key = place.cells(start, version, 0);
        let row = self.store.get(&USAGE_CELLS, GENERATION, key.clone()).await?;
        match row {
            Some(row) => self.slot(place.kept, row),
            None => Ok(Slot::new(key, shape)),
        }
    }

    /// Rows of one window alone.
    async fn load_own(
        &mut self,
        block: &Block<'_>,
        window: Period,
    ) -> Result<Vec<Slot>, FlushError> {
        let chunk = |chunk| clustering(window.start, block.version, chunk);
        let mut scan = Scan::of(&USAGE_CELLS, GENERATION, block.place.partition(), CHUNKS_MAX);
        (scan.from, scan.to) = (Some(chunk(1)), Some(chunk(u32::MAX)));
        let rows = self.store.scan(scan).await?;
        rows.into_iter().map(|row| self.slot(block.place.kept, row)).collect()
    }

    fn slot(&mut self, kept: Kept, row: Row) -> Result<Slot, FlushError> {
        let is_ahead = self.is_ahead(row.timestamp);
        let cells = row.values.first().map(Value::as_bytes).unwrap_or_default();
        let damaged = |Damaged| FlushError::Damaged(USAGE_CELLS.name);
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
        for (hour, tenants) in &notes.hours {
            for (tenant, counts) in tenants {
                self.hour(&source, *hour, tenant, counts).await?;
            }
        }
        Ok(())
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

impl Block<'_> {
    /// The first row with room for another cell of `window`.
    fn room(&mut self, window: Period, shape: &(Aggregation, Vec<String>)) -> &mut Slot {
        if !self.shared.row.is_full() {
            return &mut self.shared;
        }
        debug_assert!(self.start <= window.start);
        let own = self.own.entry(window).or_default();
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
