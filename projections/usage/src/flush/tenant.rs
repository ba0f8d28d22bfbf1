//! The rows that all meters of a tenant share: one for each block of time at each length of
//! windows, and one for each hour of receipt. They lie together and are read in one step.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use exchequer_metering::Aggregation;
use exchequer_readstore::{Key, Keys, Row, Value, Write};
use exchequer_types::{Period, Timestamp};

use super::rows::Merged;
use super::{Flush, FlushError, SUBJECTS_PER_BUCKET_MAX, put};
use crate::amount::Amount;
use crate::bytes::Damaged;
use crate::common::{Common, SectionOf, other_of};
use crate::fold::{Added, fold, window};
use crate::members::Spilled;
use crate::names::Names;
use crate::notes::Counts;
use crate::packed::usize_of;
use crate::part::{Part, Series};
use crate::tables::{
    GENERATION, Kept, Scope, USAGE_COMMON, common_clustering, common_partition, common_stretch,
    receipt_clustering,
};
use crate::window::{Of, Window};

/// Rows that are asked for together, and of one share.
const ROWS_AT_ONCE_MAX: usize = 32;

/// What a segment has of one tenant.
#[derive(Default)]
pub(super) struct Tenant<'a> {
    name: &'a str,
    series: Vec<&'a Series>,
    hours: Vec<(Timestamp, &'a Counts)>,
}

/// Whole blocks of it.
pub(super) struct Share<'a> {
    tenant: &'a str,
    blocks: Vec<BlockOf>,
    pub(super) adds: Vec<Adds<'a>>,
    hours: Vec<(Timestamp, &'a Counts)>,
}

/// Windows of a series that count in these blocks, of one length.
pub(super) struct Adds<'a> {
    pub(super) series: &'a Series,
    pub(super) kept: Kept,
    windows: Vec<&'a Window>,
}

/// Length and block.
type BlockOf = (Kept, Timestamp);

/// All tenants of a segment, each once, by their names.
pub(super) fn tenants(segment: &Part) -> impl Iterator<Item = Tenant<'_>> {
    let mut all: BTreeMap<&str, Tenant<'_>> = BTreeMap::new();
    for series in segment.series() {
        all.entry(series.tenant.as_str()).or_default().series.push(series);
    }
    for (hour, of_hour) in &segment.notes.hours {
        for (name, counts) in of_hour {
            all.entry(name).or_default().hours.push((*hour, counts));
        }
    }
    all.into_iter().map(|(name, tenant)| Tenant { name, ..tenant })
}

impl<'a> Tenant<'a> {
    /// In shares that have few enough rows to be held in memory.
    pub(super) fn shares(self) -> Vec<Share<'a>> {
        let mut by_block: BTreeMap<BlockOf, BTreeMap<usize, Vec<&'a Window>>> = BTreeMap::new();
        for (at, series) in self.series.iter().enumerate() {
            for part in &series.windows {
                for kept in Kept::ALL {
                    let Some(window) = window(part, kept) else { continue };
                    let block = (kept, kept.block(window.start));
                    by_block.entry(block).or_default().entry(at).or_default().push(part);
                }
            }
        }
        let empty = |hours| {
            let (blocks, adds) = (Vec::new(), Vec::new());
            Share { tenant: self.name, blocks, adds, hours }
        };
        let mut shares = vec![empty(self.hours)];
        let mut by_block = by_block.into_iter().peekable();
        while by_block.peek().is_some() {
            let mut adds: BTreeMap<(Kept, usize), Vec<&'a Window>> = BTreeMap::new();
            let mut share = match shares.pop() {
                Some(first) if first.blocks.is_empty() => first,
                before => {
                    shares.extend(before);
                    empty(Vec::new())
                }
            };
            for (block, parts) in by_block.by_ref().take(ROWS_AT_ONCE_MAX) {
                share.blocks.push(block);
                for (at, windows) in parts {
                    adds.entry((block.0, at)).or_default().extend(windows);
                }
            }
            share.adds.extend(adds.into_iter().filter_map(|((kept, at), windows)| {
                Some(Adds { series: self.series.get(at)?, kept, windows })
            }));
            shares.push(share);
        }
        shares
    }
}

impl Share<'_> {
    /// How many rows it takes.
    pub(super) fn rows(&self) -> usize {
        self.blocks.len() + self.hours.len()
    }
}

impl Adds<'_> {
    /// How many cells it adds, at most.
    pub(super) fn cells(&self) -> usize {
        self.windows.iter().map(|it| it.len()).sum()
    }

    /// Cells in the order in which they first came.
    pub(super) fn fold(&self, of: Of, wants: impl Fn(Period) -> bool) -> Vec<Added> {
        fold(self.windows.iter().copied(), self.kept, of, wants)
    }
}

/// Rows of cells, as they stand and as they become.
#[derive(Default)]
pub(super) struct CommonRows {
    slots: BTreeMap<BlockOf, Slot>,
}

struct Slot {
    key: Key,
    row: Common,
    /// It is at the segment's end, or behind it.
    is_ahead: bool,
    changed: bool,
}

/// A cell: its block, its section, its window and its name.
#[derive(Clone, Copy)]
pub(super) struct CellOf<'n> {
    pub(super) block: BlockOf,
    pub(super) section: SectionOf<'n>,
    pub(super) window: Period,
    pub(super) name: &'n [u8],
}

impl<'a> Flush<'a> {
    /// Reads the common rows of a tenant's share, makes room there for what is new, as long as
    /// there is room, and adds to the counts of its hours.
    pub(super) async fn begin(
        &mut self,
        share: &Share<'a>,
        into: &Mutex<CommonRows>,
    ) -> Result<(), FlushError> {
        let cells = share
            .blocks
            .iter()
            .map(|(kept, block)| (common_stretch(*block), common_clustering(*kept, *block)));
        let hours =
            share.hours.iter().map(|(hour, _)| (common_stretch(*hour), receipt_clustering(*hour)));
        let mut rows = self.common_rows(share.tenant, cells.chain(hours)).await?;
        let mut common = CommonRows::default();
        for (kept, block) in &share.blocks {
            let key = self.key(share.tenant, *block, common_clustering(*kept, *block));
            let row = rows.remove(&key.clustering);
            common.slots.insert((*kept, *block), self.slot(*kept, key, row)?);
        }
        for (hour, counts) in &share.hours {
            let key = self.key(share.tenant, *hour, receipt_clustering(*hour));
            let row = rows.remove(&key.clustering);
            self.hour(key, row, **counts)?;
        }
        common.admit(&self.segment.names, &share.adds);
        *lock(into) = common;
        Ok(())
    }

    fn key(&self, tenant: &str, start: Timestamp, clustering: Vec<Value>) -> Key {
        let partition = common_partition(tenant, self.segment.source(), common_stretch(start));
        Key { partition, clustering }
    }

    /// Rows by their clustering keys, of which no two are the same.
    async fn common_rows(
        &self,
        tenant: &str,
        wanted: impl Iterator<Item = (i64, Vec<Value>)>,
    ) -> Result<BTreeMap<Vec<Value>, Row>, FlushError> {
        let mut by_stretch: BTreeMap<i64, Vec<Vec<Value>>> = BTreeMap::new();
        for (stretch, clustering) in wanted {
            by_stretch.entry(stretch).or_default().push(clustering);
        }
        let mut found = BTreeMap::new();
        for (stretch, all) in by_stretch {
            for some in all.chunks(ROWS_AT_ONCE_MAX) {
                let keys = Keys {
                    table: &USAGE_COMMON,
                    generation: GENERATION,
                    partition: common_partition(tenant, self.segment.source(), stretch),
                    clustering: some.to_vec(),
                };
                let rows = self.store.get_many(keys).await?;
                found.extend(rows.into_iter().map(|row| (row.key.clustering.clone(), row)));
            }
        }
        Ok(found)
    }

    fn slot(&mut self, kept: Kept, key: Key, row: Option<Row>) -> Result<Slot, FlushError> {
        let Some(row) = row else {
            return Ok(Slot { key, row: Common::default(), is_ahead: false, changed: false });
        };
        let is_ahead = self.is_ahead(row.timestamp);
        let bytes = row.values.first().map(Value::as_bytes).unwrap_or_default();
        let row = Common::read(kept, &bytes).map_err(damaged)?;
        Ok(Slot { key, row, is_ahead, changed: false })
    }

    fn hour(&mut self, key: Key, row: Option<Row>, mut counts: Counts) -> Result<(), FlushError> {
        if let Some(row) = row {
            if self.is_ahead(row.timestamp) {
                return Ok(());
            }
            let bytes = row.values.first().map(Value::as_bytes).unwrap_or_default();
            counts.add(&Counts::read(&bytes).map_err(damaged)?);
        }
        let values = vec![Value::Bytes(counts.write())];
        self.rows.push(put(&USAGE_COMMON, key, values, self.segment.to()));
        Ok(())
    }
}

impl CommonRows {
    /// Makes room for cells that are new, in the order in which they first came, until a row is
    /// full. What is ahead has them all.
    fn admit(&mut self, names: &Names, all: &[Adds<'_>]) {
        for adds in all.chunk_by(|a, b| a.kept == b.kept) {
            let mut new = Vec::new();
            for it in adds {
                let is_open = |window: Period| {
                    let slot = self.slots.get(&(it.kept, it.kept.block(window.start)));
                    slot.is_some_and(|slot| !slot.is_ahead && !slot.row.is_full())
                };
                for of in [Of::Totals, Of::Subjects] {
                    let cells = it.fold(of, is_open).into_iter();
                    new.extend(cells.map(|cell| (cell.arrival, it, of, cell.window, cell.name)));
                }
            }
            new.sort_unstable_by_key(|it| it.0);
            for (_, Adds { series, kept, .. }, of, window, name) in new {
                let cell = match of {
                    Of::Totals => Some((names.groups_of(name), Scope::Totals)),
                    Of::Subjects => names.subject_of(name),
                };
                let block = (*kept, kept.block(window.start));
                let slot = self.slots.get_mut(&block);
                let (Some((name, scope)), Some(slot)) = (cell, slot) else { continue };
                let cell = (window, name, names_max(series, scope));
                let section = section_of(series, scope);
                slot.changed |= slot.row.admit(section, cell, || shape(series, scope));
            }
        }
    }

    /// Adds to a cell, where it is here.
    pub(super) fn merge(&mut self, cell: CellOf<'_>, amount: &Amount) -> Merged {
        let Some(slot) = self.slots.get_mut(&cell.block) else { return Merged::Absent };
        let CellOf { window, name, .. } = cell;
        let Some(held) = slot.row.get_mut(cell.section, window, name) else {
            return Merged::Absent;
        };
        if slot.is_ahead {
            // Rows of members may be behind this one.
            return Merged::Done(Spilled::behind(window, name, held, amount));
        }
        slot.changed = true;
        Merged::Done(Spilled::merge(window, name, held, amount))
    }

    /// The same of a cell that must be here, as it is or with all others that its window does
    /// not tell apart: of a row that is not full. Absent of one that is.
    pub(super) fn merge_told(&mut self, cell: CellOf<'_>, amount: &Amount) -> Merged {
        match self.merge(cell, amount) {
            Merged::Absent if !self.is_full(cell.block) => {
                self.merge(CellOf { name: &other_of(cell.name), ..cell }, amount)
            }
            merged => merged,
        }
    }

    fn is_full(&self, block: BlockOf) -> bool {
        self.slots.get(&block).is_none_or(|slot| slot.row.is_full())
    }

    /// How many cells a window has here.
    pub(super) fn count_of(&self, cell: CellOf<'_>) -> usize {
        let slot = self.slots.get(&cell.block);
        let section = slot.and_then(|slot| slot.row.section(cell.section));
        section.map_or(0, |it| it.count_of(cell.window))
    }

    /// What changed, as rows of seal `to`.
    pub(super) fn writes(&self, to: u64) -> impl Iterator<Item = Write> {
        let changed = self.slots.iter().filter(|(_, slot)| slot.changed);
        changed.map(move |((kept, _), slot)| {
            let cells = Value::Bytes(slot.row.write(*kept));
            put(&USAGE_COMMON, slot.key.clone(), vec![cells], to)
        })
    }
}

pub(super) fn section_of(series: &Series, scope: Scope) -> SectionOf<'_> {
    SectionOf { meter: series.meter.key.as_str(), version: series.meter.version, scope }
}

/// How many names a window tells apart.
pub(super) fn names_max(series: &Series, scope: Scope) -> usize {
    match scope {
        Scope::Totals => usize_of(series.meter.groups_max),
        Scope::Subjects(_) => SUBJECTS_PER_BUCKET_MAX,
    }
}

/// How the cells aggregate, and what tells them apart.
pub(super) fn shape(series: &Series, scope: Scope) -> (Aggregation, Vec<String>) {
    let meter = &series.meter;
    let by = match scope {
        Scope::Totals => meter.group_by.iter().map(|it| it.name.to_string()).collect(),
        Scope::Subjects(_) => Vec::new(),
    };
    (meter.aggregation, by)
}

pub(super) fn lock<T>(it: &Mutex<T>) -> MutexGuard<'_, T> {
    it.lock().unwrap_or_else(PoisonError::into_inner)
}

fn damaged(_: Damaged) -> FlushError {
    FlushError::Damaged(USAGE_COMMON.name)
}
