//! Cells that are put together anew, from what the meter says of a minute's events and from
//! the rows of shorter windows: of minima, maxima, latest and unique values nothing can be
//! taken away. Whatever is in memory is above the rows, and is not looked at. It is part of
//! the write that brings the rows to a seal, so that each row is all that the log comes to
//! up to its seal, whoever wrote it.

use std::collections::{BTreeMap, BTreeSet};

use exchequer_metering::{Aggregation, Contribution, Meter, OVERFLOW};
use exchequer_readstore::{Batch, Key, ReadStore, Row, Value, Write};
use exchequer_types::{PartitionId, Period, TenantId, Timestamp};

use crate::amount::Amount;
use crate::bytes::Damaged;
use crate::common::{Common, SectionOf};
use crate::flush::{FlushError, put};
use crate::members;
use crate::packed::Packed;
use crate::query::split;
use crate::tables::{
    GENERATION, Kept, Place, Scope, USAGE_COMMON, USAGE_SETS, USAGE_WINDOWS, timestamp, version_of,
};
use crate::texts::{values, written};

/// Rows of one window and scope at most.
const ROWS_MAX: usize = 1_025;

/// Amounts by group, or by subject.
pub type Amounts = BTreeMap<Vec<String>, Amount>;

/// Which cell of a window.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum CellOf {
    /// Of all subjects, with these values of the group-bys.
    Groups(Vec<String>),
    Subject(String),
}

/// Of one version of a tenant's meter in one source partition, whose rows become those of
/// `seal`: what is written of them is all that there is of this seal.
#[derive(Debug)]
pub struct Recount<'a> {
    store: &'a dyn ReadStore,
    tenant: &'a TenantId,
    meter: &'a Meter,
    source: PartitionId,
    seal: u64,
}

/// The amounts of what one event adds, put to those of others.
pub fn count(amounts: &mut Amounts, name: Vec<String>, it: &Contribution) {
    let empty = || Amount::empty(it.meter.aggregation);
    amounts.entry(name).or_insert_with(empty).count_in(it.value, it.time, it.place, false);
}

/// Whole windows of the calendar within `window`, shorter than `kept`, which cover it but for
/// the parts of minutes at both ends.
pub fn shorter(kept: Kept, window: Period) -> Vec<(Kept, Period)> {
    let lengths: &[Kept] = match kept {
        Kept::Minute => &[],
        Kept::Hour => &[Kept::Minute],
        Kept::Day => &[Kept::Hour],
        Kept::Month => &[Kept::Day],
        Kept::Period => &[Kept::Day, Kept::Hour, Kept::Minute],
    };
    let mut pieces = Vec::new();
    split(lengths, window.start, window.end, &mut pieces);
    pieces.into_iter().map(|it| (it.kept, Period { start: it.from, end: it.to })).collect()
}

impl CellOf {
    fn scope(&self) -> Scope {
        match self {
            Self::Groups(_) => Scope::Totals,
            Self::Subject(subject) => Scope::of_subject(subject),
        }
    }

    fn name(&self) -> Vec<String> {
        match self {
            Self::Groups(values) => values.clone(),
            Self::Subject(subject) => vec![subject.clone()],
        }
    }
}

/// A row as it stands.
struct Held {
    key: Key,
    cells: HeldCells,
    /// It tells of later seals.
    is_ahead: bool,
    changed: bool,
}

/// Of the meter alone, or of all of the tenant's.
enum HeldCells {
    Own(Box<Packed>),
    Common(Common),
}

impl Held {
    /// The cells of one section: all, where the row is of no other.
    fn section(&self, of: SectionOf<'_>) -> impl Iterator<Item = (Period, &[u8], &Amount)> {
        let section = match &self.cells {
            HeldCells::Own(row) => Some(row.as_ref()),
            HeldCells::Common(row) => row.section(of),
        };
        section.into_iter().flat_map(Packed::cells)
    }

    fn get_mut(&mut self, of: SectionOf<'_>, window: Period, name: &[u8]) -> Option<&mut Amount> {
        match &mut self.cells {
            HeldCells::Own(row) => row.get_mut(window, name),
            HeldCells::Common(row) => row.get_mut(of, window, name),
        }
    }

    fn write(self, kept: Kept, seal: u64) -> Write {
        let (table, cells) = match &self.cells {
            HeldCells::Own(row) => (&USAGE_WINDOWS, row.write(kept)),
            HeldCells::Common(row) => (&USAGE_COMMON, row.write(kept)),
        };
        put(table, self.key, vec![Value::Bytes(cells)], seal)
    }
}

impl<'a> Recount<'a> {
    pub fn new(
        store: &'a dyn ReadStore,
        (tenant, meter): (&'a TenantId, &'a Meter),
        (source, seal): (PartitionId, u64),
    ) -> Self {
        Self { store, tenant, meter, source, seal }
    }

    fn place(&self, kept: Kept, scope: Scope) -> Place<'a> {
        let meter = self.meter.key.as_str();
        Place { tenant: self.tenant, meter, kept, source: self.source, scope }
    }

    /// What the rows hold of the windows of length `kept` in `range`, together. False when some
    /// of it is of later seals, so that it must be done again behind those.
    pub async fn held(
        &self,
        (kept, range): (Kept, Period),
        of: &CellOf,
        into: &mut Amounts,
    ) -> Result<bool, FlushError> {
        let place = self.place(kept, of.scope());
        let range_of = (range.start, range.end);
        let mut common = place.common_rows(self.store, range_of, ROWS_MAX);
        let (mut has_others, mut is_of_seal) = (false, true);
        loop {
            let rows = common.next().await?;
            if rows.is_empty() {
                break;
            }
            for row in &rows {
                let bytes = row.values.first().map(Value::as_bytes).unwrap_or_default();
                let cells = Common::read(kept, &bytes).map_err(damaged_common)?;
                has_others |= cells.is_full();
                if let Some(section) = cells.section(self.section(of.scope())) {
                    let stamp = self.take(&place, range, section, into).await?;
                    is_of_seal &= !self.is_ahead(stamp.max(row.timestamp));
                }
            }
        }
        if !has_others {
            return Ok(is_of_seal);
        }
        let version = self.meter.version;
        let mut rows = place.rows(self.store, range_of, ROWS_MAX);
        loop {
            let rows = rows.next().await?;
            if rows.is_empty() {
                return Ok(is_of_seal);
            }
            for row in rows.iter().filter(|row| version_of(row) == version) {
                let bytes = row.values.first().map(Value::as_bytes).unwrap_or_default();
                let packed = Packed::read(kept, &bytes).map_err(damaged)?;
                let stamp = self.take(&place, range, &packed, into).await?;
                is_of_seal &= !self.is_ahead(stamp.max(row.timestamp));
            }
        }
    }

    fn section(&self, scope: Scope) -> SectionOf<'a> {
        SectionOf { meter: self.meter.key.as_str(), version: self.meter.version, scope }
    }

    /// Puts to `into` what `packed` has of windows that begin in `range`. Gives the latest
    /// timestamp of members that stand in rows of their own.
    async fn take(
        &self,
        place: &Place<'_>,
        range: Period,
        packed: &Packed,
        into: &mut Amounts,
    ) -> Result<u64, FlushError> {
        let mut latest = 0;
        let is_in = |window: Period| range.start <= window.start && window.start < range.end;
        for (window, name, amount) in packed.cells().filter(|it| is_in(it.0)) {
            let (amount, stamp) = self.whole(place, window, name, amount).await?;
            latest = latest.max(stamp);
            let name = values(name).map(str::to_owned).collect();
            into.entry(name).and_modify(|known| known.merge(&amount)).or_insert(amount);
        }
        Ok(latest)
    }

    /// A cell with those of its members that stand in rows of their own, and the latest
    /// timestamp of those.
    async fn whole(
        &self,
        place: &Place<'_>,
        window: Period,
        name: &[u8],
        amount: &Amount,
    ) -> Result<(Amount, u64), FlushError> {
        let (mut whole, mut stamp) = (amount.clone(), None);
        if let Amount::Unique(set) = &mut whole
            && set.spilled
        {
            let version = self.meter.version;
            let (more, latest) = members::stamped(self.store, place, window, version, name).await?;
            set.held.extend(more);
            stamp = latest;
        }
        Ok((whole, stamp.unwrap_or(0)))
    }

    /// The cell `of` of `window` is what `amounts` say: that of its own name or, where the
    /// window does not tell it apart, of all names that it does not. False when rows of it
    /// tell of later seals: they stay as they are, and it must be done again behind those.
    pub async fn put(
        &self,
        (kept, window): (Kept, Period),
        of: &CellOf,
        amounts: &Amounts,
    ) -> Result<bool, FlushError> {
        let place = self.place(kept, of.scope());
        let mut rows = self.rows(&place, window).await?;
        let is_own = |it: Period| match kept {
            Kept::Period => it.start == window.start,
            _ => it == window,
        };
        let section = self.section(of.scope());
        let told: BTreeSet<Vec<u8>> = rows
            .iter()
            .flat_map(|it| it.section(section))
            .filter(|(at, _, _)| is_own(*at))
            .map(|(_, name, _)| name.to_vec())
            .collect();
        let name = of.name();
        let other: Vec<&str> = name.iter().map(|_| OVERFLOW).collect();
        let (own, other) =
            (written(name.iter().map(String::as_str)), written(other.iter().copied()));
        let is_told = told.contains(&own);
        let target = if is_told { own } else { other.clone() };
        let mut amount = Amount::empty(self.meter.aggregation);
        for (name, part) in amounts {
            let name = written(name.iter().map(String::as_str));
            let is_in =
                if is_told { name == target } else { !told.contains(&name) || name == other };
            if is_in {
                amount.merge(part);
            }
        }
        let (mut writes, mut has_taken) = (Vec::new(), true);
        for held in &mut rows {
            let windows: Vec<Period> = held
                .section(section)
                .filter(|(at, name, _)| is_own(*at) && *name == target)
                .map(|it| it.0)
                .collect();
            for at in windows {
                if held.is_ahead || self.members_ahead(&place, at, &target).await? {
                    has_taken = false;
                    continue;
                }
                let whole = core::mem::replace(&mut amount, Amount::empty(self.meter.aggregation));
                let (inline, more) = self.members(&place, at, &target, whole).await?;
                writes.extend(more);
                if let Some(cell) = held.get_mut(section, at, &target) {
                    *cell = inline;
                    held.changed = true;
                }
            }
        }
        let changed = rows.into_iter().filter(|it| it.changed);
        writes.extend(changed.map(|held| held.write(kept, self.seal)));
        if !writes.is_empty() {
            self.store.write(Batch { rows: writes, last: Vec::new() }).await?;
        }
        Ok(has_taken)
    }

    /// The rows in which the window's cells may be.
    async fn rows(&self, place: &Place<'_>, window: Period) -> Result<Vec<Held>, FlushError> {
        let version = self.meter.version;
        let block = place.kept.block(window.start);
        let mut held = Vec::new();
        let common = self.store.get(&USAGE_COMMON, GENERATION, place.common(block)).await?;
        let Some(row) = common else { return Ok(held) };
        let bytes = row.values.first().map(Value::as_bytes).unwrap_or_default();
        let cells = Common::read(place.kept, &bytes).map_err(damaged_common)?;
        let has_others = cells.is_full();
        held.push(self.held_row(row, HeldCells::Common(cells)));
        if !has_others {
            return Ok(held);
        }
        let shared = place.cells(block, version, 0);
        let mut rows = Vec::new();
        rows.extend(self.store.get(&USAGE_WINDOWS, GENERATION, shared).await?);
        rows.extend(self.store.scan(place.chunks(window, version, ROWS_MAX)).await?);
        for row in rows {
            let bytes = row.values.first().map(Value::as_bytes).unwrap_or_default();
            let cells = Packed::read(place.kept, &bytes).map_err(damaged)?;
            held.push(self.held_row(row, HeldCells::Own(Box::new(cells))));
        }
        Ok(held)
    }

    fn held_row(&self, row: Row, cells: HeldCells) -> Held {
        let is_ahead = self.is_ahead(row.timestamp);
        Held { key: row.key, cells, is_ahead, changed: false }
    }

    /// Is a row at `stamp` one of later seals, of a write that was not ended?
    fn is_ahead(&self, stamp: u64) -> bool {
        stamp >= timestamp(self.seal + 1)
    }

    /// The same of what a cell has in rows of its own.
    async fn members_ahead(
        &self,
        place: &Place<'_>,
        window: Period,
        name: &[u8],
    ) -> Result<bool, FlushError> {
        if self.meter.aggregation != Aggregation::UniqueCount {
            return Ok(false);
        }
        let version = self.meter.version;
        let stamp = members::stamped(self.store, place, window, version, name).await?.1;
        Ok(stamp.is_some_and(|stamp| self.is_ahead(stamp)))
    }

    /// What of `amount` its cell holds itself, and the writes of the rest.
    async fn members(
        &self,
        place: &Place<'_>,
        window: Period,
        name: &[u8],
        amount: Amount,
    ) -> Result<(Amount, Vec<Write>), FlushError> {
        let Amount::Unique(set) = amount else { return Ok((amount, Vec::new())) };
        let version = self.meter.version;
        let (set, rows) =
            members::replace(self.store, place, (window, version, name), set.held).await?;
        let writes =
            rows.into_iter().map(|(key, members)| put(&USAGE_SETS, key, vec![members], self.seal));
        Ok((Amount::Unique(set), writes.collect()))
    }
}

/// The minutes that `window` has a part of, at its start and at its end, as stretches of it.
pub fn ends(window: Period) -> Vec<Period> {
    let minute = |at: Timestamp| Kept::Minute.window(at).unwrap_or(window);
    let (first, last) = (minute(window.start), minute(window.end));
    if first == last {
        return if window.start < window.end { vec![window] } else { Vec::new() };
    }
    let mut ends = Vec::new();
    if first.start < window.start {
        ends.push(Period { start: window.start, end: first.end });
    }
    if last.start < window.end {
        ends.push(Period { start: last.start, end: window.end });
    }
    ends
}

fn damaged_common(_: Damaged) -> FlushError {
    FlushError::Damaged(USAGE_COMMON.name)
}

fn damaged(_: Damaged) -> FlushError {
    FlushError::Damaged(USAGE_WINDOWS.name)
}
