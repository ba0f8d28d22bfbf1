//! Adds what a part holds to the rows of windows: reads them, adds, and gives each the
//! position of the part's last seal. A row that is there already is passed over.

use std::collections::BTreeMap;

use exchequer_metering::{Aggregation, OVERFLOW};
use exchequer_readstore::{Key, Keys, ReadStore, Row, Value};
use exchequer_types::{Period, TenantId, Timestamp};
use futures::FutureExt as _;
use futures::future::BoxFuture;

use super::{FlushError, Out, SUBJECTS_PER_BUCKET_MAX, all, put};
use crate::amount::Amount;
use crate::bytes::Damaged;
use crate::fold::{Added, fold};
use crate::members::{self, Sets, Spilled};
use crate::packed::{Packed, u32_of, usize_of};
use crate::part::{Part, Series};
use crate::tables::{GENERATION, Kept, Place, Scope, USAGE_WINDOWS};
use crate::texts::{values, written};
use crate::window::Of;

/// Rows of one window and scope at most.
const CHUNKS_MAX: usize = 1_024;
/// Cells that are folded together, unless one series has more at one length of windows.
const GROUP_CELLS_MAX: usize = 4_096;
/// Scopes of a group of which rows are read and added to at a time.
const SCOPES_AT_ONCE_MAX: usize = 4;
/// Blocks whose rows are asked for together.
const BLOCKS_AT_ONCE_MAX: usize = 32;

/// What `series` of `part` add, in steps that can be taken together: no two scopes of a
/// stretch of time share a row.
pub(super) fn steps<'a>(
    store: &'a dyn ReadStore,
    part: &'a Part,
    series: impl Iterator<Item = &'a Series>,
) -> Vec<BoxFuture<'a, Result<Out, FlushError>>> {
    let steps = groups(series).into_iter().map(|group| {
        async move { Rows { store, part, out: Out::default() }.group(&group).await }.boxed()
    });
    steps.collect()
}

struct Rows<'a> {
    store: &'a dyn ReadStore,
    part: &'a Part,
    out: Out,
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

impl<'a> Rows<'a> {
    /// What series of one tenant add, each to windows of one length.
    async fn group(self, group: &[(&'a Series, Kept)]) -> Result<Out, FlushError> {
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
                let (tenant, meter) = (&*series.tenant, series.shape.meter.as_str());
                let (kept, source) = (*kept, self.part.source());
                let place = Place { tenant, meter, kept, source, scope };
                let adding = Adding { series, place, start, cells };
                by_partition.entry((scope, kept.stretch(start))).or_default().push(adding);
            }
        }
        let (store, part) = (self.store, self.part);
        let written = by_partition.into_values().map(|adding| {
            async move {
                let mut own = Rows { store, part, out: Out::default() };
                let mut adding = adding.into_iter();
                loop {
                    let some: Vec<_> = adding.by_ref().take(BLOCKS_AT_ONCE_MAX).collect();
                    if some.is_empty() {
                        return Ok(own.out);
                    }
                    own.add_all(some).await?;
                }
            }
            .boxed()
        });
        all(store, written.collect(), SCOPES_AT_ONCE_MAX).await
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
        let names = &self.part.names;
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
            Scope::Totals => usize_of(series.shape.groups_max),
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
                members::write(self.store, &place, version, spilled, self.part.to()).await?;
            self.out.rows.extend(writes);
        }
        let own = block.own.into_values().flatten();
        let changed = own.chain([block.shared]).filter(|slot| slot.changed);
        self.out.rows.extend(changed.map(|slot| {
            let cells = Value::Bytes(slot.row.write(place.kept));
            put(&USAGE_WINDOWS, slot.key, vec![cells], self.part.to())
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
        let is_ahead = self.out.is_ahead(self.part, row.timestamp);
        let cells = row.values.first().map(Value::as_bytes).unwrap_or_default();
        let damaged = |Damaged| FlushError::Damaged(USAGE_WINDOWS.name);
        let packed = Packed::read(kept, &cells).map_err(damaged)?;
        Ok(Slot { key: row.key, row: packed, is_ahead, changed: false })
    }
}

impl Adding<'_> {
    fn version(&self) -> u32 {
        self.series.shape.version
    }

    /// How the cells aggregate, and what tells them apart.
    fn shape(&self) -> (Aggregation, Vec<String>) {
        let shape = &self.series.shape;
        let by = match self.place.scope {
            Scope::Totals => shape.by.clone(),
            Scope::Subjects(_) => Vec::new(),
        };
        (shape.aggregation, by)
    }
}

/// Series and lengths of windows, in groups of one tenant that are small enough to be folded
/// together; where rows lie together, they are in one group.
fn groups<'a>(all: impl Iterator<Item = &'a Series>) -> Vec<Vec<(&'a Series, Kept)>> {
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
