//! Rows of one meter and scope: of the cells for which the rows that all meters share have no
//! room.

use std::collections::BTreeMap;
use std::sync::Mutex;

use exchequer_metering::Aggregation;
use exchequer_readstore::{Key, Keys, Row, Value};
use exchequer_types::{Period, Timestamp};
use futures::FutureExt as _;

use super::tenant::{Adds, CellOf, CommonRows, lock, names_max, section_of, shape};
use super::{Flush, FlushError, SCOPES_AT_ONCE_MAX, put};
use crate::amount::Amount;
use crate::bytes::Damaged;
use crate::common::other_of;
use crate::fold::Added;
use crate::members::{self, Sets, Spilled};
use crate::packed::{Packed, u32_of};
use crate::part::Series;
use crate::tables::{GENERATION, Kept, Place, Scope, USAGE_WINDOWS};
use crate::window::Of;

/// Rows of one window and scope at most.
const CHUNKS_MAX: usize = 1_024;
/// Blocks whose rows are asked for together.
const BLOCKS_AT_ONCE_MAX: usize = 32;

/// A row as it stands, and as it becomes.
struct Slot {
    key: Key,
    row: Packed,
    /// It is at the segment's end, or behind it.
    is_ahead: bool,
    changed: bool,
}

/// What became of adding to a cell.
pub(super) enum Merged {
    /// The row does not have it.
    Absent,
    Done(Option<Spilled>),
}

/// What a series adds to the windows of one block, of one scope, beside the common row.
struct Adding<'a> {
    series: &'a Series,
    place: Place<'a>,
    start: Timestamp,
    cells: Vec<(&'a [u8], &'a Added)>,
    /// Members that have no room in their cells.
    sets: Sets,
    common: &'a Mutex<CommonRows>,
}

/// Rows of one block of windows, of one scope.
struct Block<'p> {
    series: &'p Series,
    place: Place<'p>,
    start: Timestamp,
    shared: Slot,
    /// By start: billing periods that differ in their ends alone share these too.
    own: BTreeMap<Timestamp, Vec<Slot>>,
    common: &'p Mutex<CommonRows>,
}

impl<'a> Flush<'a> {
    /// What series of one tenant add: to the common rows, and to others what these have no
    /// room for.
    pub(super) async fn group(
        &mut self,
        group: &[Adds<'a>],
        common: &Mutex<CommonRows>,
    ) -> Result<(), FlushError> {
        let folded: Vec<_> = group
            .iter()
            .map(|it| {
                let (totals, subjects) =
                    (it.fold(Of::Totals, |_| true), it.fold(Of::Subjects, |_| true));
                (it.series, it.kept, totals, subjects)
            })
            .collect();
        let mut by_partition: BTreeMap<(Scope, i64), Vec<Adding<'_>>> = BTreeMap::new();
        for (series, kept, totals, subjects) in &folded {
            for ((scope, start), cells) in self.blocks(*kept, totals, subjects) {
                let (tenant, meter) = (&*series.tenant, series.meter.key.as_str());
                let (kept, source) = (*kept, self.segment.source());
                let place = Place { tenant, meter, kept, source, scope };
                let mut adding =
                    Adding { series, place, start, cells, sets: Sets::default(), common };
                adding.add_to_common();
                if !adding.cells.is_empty() || !adding.sets.is_empty() {
                    by_partition.entry((scope, kept.stretch(start))).or_default().push(adding);
                }
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
        let clustering = |it: &Adding<'_>| it.place.clustering(it.start, it.version(), 0);
        let with_cells = || all.iter().filter(|it| !it.cells.is_empty());
        let mut rows: BTreeMap<Vec<Value>, Row> = BTreeMap::new();
        if let Some(first) = with_cells().next() {
            let keys = Keys {
                table: &USAGE_WINDOWS,
                generation: GENERATION,
                partition: first.place.partition(first.start),
                clustering: with_cells().map(clustering).collect(),
            };
            let found = self.store.get_many(keys).await?;
            rows.extend(found.into_iter().map(|row| (row.key.clustering.clone(), row)));
        }
        for adding in all {
            let row = rows.remove(&clustering(&adding));
            self.add_block(adding, row).await?;
        }
        Ok(())
    }

    /// Adds to a block whose windows share `row`.
    async fn add_block(&mut self, adding: Adding<'_>, row: Option<Row>) -> Result<(), FlushError> {
        let version = adding.version();
        let Adding { series, place, start, cells, mut sets, common } = adding;
        let shape = shape(series, place.scope);
        let shared = match row {
            Some(row) => self.row_slot(place.kept, row)?,
            None => Slot::new(place.cells(start, version, 0), &shape),
        };
        let mut block = Block { series, place, start, shared, own: BTreeMap::new(), common };
        for (name, it) in cells {
            if let Some(more) = self.add(&mut block, &shape, name, it).await? {
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

    /// Adds one cell that the common row does not have: to the row that has it, else to the
    /// first one with room.
    async fn add(
        &mut self,
        block: &mut Block<'_>,
        shape: &(Aggregation, Vec<String>),
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
        let cell = block.cell(it.window, name);
        let mut count = lock(block.common).count_of(cell) + block.shared.row.count_of(it.window);
        for slot in block.own.get_mut(&it.window.start).into_iter().flatten() {
            if let Merged::Done(spilled) = slot.merge(it.window, name, &it.amount) {
                return Ok(spilled);
            }
            count += slot.row.count_of(it.window);
        }
        if count < names_max(block.series, block.place.scope) {
            let slot = block.room(it.window, shape);
            return Ok(slot.insert(it.window, name, &it.amount));
        }
        let other = other_of(name);
        let cell = block.cell(it.window, &other);
        if let Merged::Done(spilled) = lock(block.common).merge(cell, &it.amount) {
            return Ok(spilled);
        }
        let own = block.own.get_mut(&it.window.start).into_iter().flatten();
        for slot in [&mut block.shared].into_iter().chain(own) {
            if let Merged::Done(spilled) = slot.merge(it.window, &other, &it.amount) {
                return Ok(spilled);
            }
        }
        let slot = block.room(it.window, shape);
        Ok(slot.insert(it.window, &other, &it.amount))
    }

    /// Rows of windows with one start alone.
    async fn load_own(
        &mut self,
        block: &Block<'_>,
        window: Period,
    ) -> Result<Vec<Slot>, FlushError> {
        let version = block.series.meter.version;
        let rows = self.store.scan(block.place.chunks(window, version, CHUNKS_MAX)).await?;
        rows.into_iter().map(|row| self.row_slot(block.place.kept, row)).collect()
    }

    fn row_slot(&mut self, kept: Kept, row: Row) -> Result<Slot, FlushError> {
        let is_ahead = self.is_ahead(row.timestamp);
        let cells = row.values.first().map(Value::as_bytes).unwrap_or_default();
        let damaged = |Damaged| FlushError::Damaged(USAGE_WINDOWS.name);
        let packed = Packed::read(kept, &cells).map_err(damaged)?;
        Ok(Slot { key: row.key, row: packed, is_ahead, changed: false })
    }
}

impl Adding<'_> {
    fn version(&self) -> u32 {
        self.series.meter.version
    }

    /// Adds what the common row has or must have: other cells are left.
    fn add_to_common(&mut self) {
        let Self { series, place, start, sets, .. } = self;
        let mut common = lock(self.common);
        self.cells.retain(|(name, it)| {
            let section = section_of(series, place.scope);
            let cell = CellOf { block: (place.kept, *start), section, window: it.window, name };
            let Merged::Done(spilled) = common.merge_told(cell, &it.amount) else { return true };
            if let Some(more) = spilled {
                sets.add(more);
            }
            false
        });
    }
}

impl Block<'_> {
    fn cell<'n>(&'n self, window: Period, name: &'n [u8]) -> CellOf<'n> {
        let section = section_of(self.series, self.place.scope);
        CellOf { block: (self.place.kept, self.start), section, window, name }
    }

    /// The first row with room for another cell of `window`.
    fn room(&mut self, window: Period, shape: &(Aggregation, Vec<String>)) -> &mut Slot {
        if !self.shared.row.is_full() {
            return &mut self.shared;
        }
        debug_assert!(self.start <= window.start);
        let version = self.series.meter.version;
        let own = self.own.entry(window.start).or_default();
        if own.last().is_none_or(|slot| slot.row.is_full()) {
            let chunk = u32_of(own.len() + 1);
            own.push(Slot::new(self.place.cells(window.start, version, chunk), shape));
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
