//! Reads what one source partition has of a query: its rows, and what is in memory above
//! them. Each row says of which seal it is, and memory adds to it what came behind that one:
//! nothing is counted twice and nothing left out while the meter writes, be the batch in the
//! store whole yet or not. A row that is further than memory knows is of another moment; then
//! it is tried anew. Where the checkpoint knows of no rows none are read: what may be there
//! came behind it.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use exchequer_metering::{Aggregation, OVERFLOW};
use exchequer_readstore::{ReadStore, Row, Value};
use exchequer_types::{PartitionId, Period, Timestamp};

use crate::amount::Amount;
use crate::checkpoint::{Span, checkpoint};
use crate::common::Sections;
use crate::flush::SUBJECTS_PER_BUCKET_MAX;
use crate::fold::{Added, fold, window};
use crate::gather::{Gathered, Grouping};
use crate::live::{LiveUsage, Position};
use crate::members;
use crate::packed::{Cells, Name, usize_of};
use crate::part::{Part, Series};
use crate::query::{Piece, Query, QueryError, ROWS_READ_MAX};
use crate::tables::{BUCKETS, Place, Scope, version_of};
use crate::texts::{values, written};
use crate::window::Of;

/// Rows read in one step.
const CHUNK_ROWS_MAX: usize = 256;

/// What `partition` has of the query, and how far it is; None when that moved meanwhile.
pub(crate) async fn source(
    store: &dyn ReadStore,
    live: &LiveUsage,
    query: &Query<'_>,
    grouping: &Grouping<'_>,
    pieces: &[Piece],
    partition: PartitionId,
) -> Result<Option<(Gathered, Position)>, QueryError> {
    let before = checkpoint(store, partition).await?.unwrap_or_default();
    let Some(memory) = in_memory(live, query, pieces, partition, before.seal) else {
        return Ok(None);
    };
    let Memory { held, ends, position: live_position } = memory;
    let stored = Position { seal: before.seal, offset: before.offset, through: before.through };
    let position = if live_position.seal >= stored.seal { live_position } else { stored };
    if !query.has_seen(partition, &position) {
        return Ok(None);
    }
    let mut reading = Reading {
        store,
        query,
        grouping,
        partition,
        stored: before.seal,
        span: before.span,
        ends,
        ahead: BTreeMap::new(),
        gathered: Gathered::new(query.step),
        held: &held,
        names: BTreeMap::new(),
        spilled: Vec::new(),
        rows: 0,
        moved: false,
    };
    for (at, piece) in pieces.iter().enumerate() {
        // Other rows have what had no room in the common ones.
        let Some(full) = reading.common_of(at, *piece).await? else { continue };
        for scope in scopes(query) {
            reading.rows_of(at, (*piece, full), scope).await?;
        }
        if needs_versions(query) {
            reading.versions_of(*piece, full).await?;
        }
    }
    reading.spilled().await?;
    reading.memory()?;
    let after = checkpoint(store, partition).await?.unwrap_or_default();
    let is_unsettled = before.is_unsettled && !reading.gathered.can_subtract();
    if reading.moved || is_unsettled || after.seal != before.seal {
        return Ok(None);
    }
    Ok(Some((reading.gathered, position)))
}

/// Cells of a series that are not in the rows, with their names.
struct Held {
    /// The last seal of the part that they are of.
    to: u64,
    piece: usize,
    version: u32,
    aggregation: Aggregation,
    names_max: usize,
    by: Vec<String>,
    cells: Vec<(Scope, Name, Added)>,
    /// In which the version has counted, whomever.
    windows: BTreeSet<Period>,
}

/// What is not in the store, as of one moment.
struct Memory {
    held: Vec<Held>,
    /// The last seals of its parts.
    ends: BTreeSet<u64>,
    position: Position,
}

fn in_memory(
    live: &LiveUsage,
    query: &Query<'_>,
    pieces: &[Piece],
    partition: PartitionId,
    stored: u64,
) -> Option<Memory> {
    let source = live.source(partition)?;
    let (mut held, mut ends) = (Vec::new(), BTreeSet::new());
    for part in source.behind(stored)? {
        ends.insert(part.to());
        let is_wanted = |it: &&Series| {
            *it.tenant == *query.tenant
                && it.meter.key.as_str() == query.meter
                && query.version.is_none_or(|version| it.meter.version == version)
        };
        for series in part.series().iter().filter(is_wanted) {
            let pieces = pieces.iter().enumerate();
            held.extend(pieces.map(|(at, piece)| of_series(part, series, query, at, *piece)));
        }
    }
    Some(Memory { held, ends, position: source.position() })
}

fn of_series(part: &Part, series: &Series, query: &Query<'_>, at: usize, piece: Piece) -> Held {
    let wants = |window: Period| piece.from <= window.start && window.start < piece.to;
    let meter = &series.meter;
    let of_subjects = query.by_subject || query.subject.is_some();
    let cells = if of_subjects {
        let added = fold(series.windows.iter(), piece.kept, Of::Subjects, wants);
        let is_wanted =
            |name: &Name| query.subject.is_none_or(|wanted| name.iter().any(|it| **it == *wanted));
        let named = added.into_iter().filter_map(|it| {
            let (name, scope) = part.names.subject_of(it.name)?;
            let name = read_name(name);
            is_wanted(&name).then_some((scope, name, it))
        });
        named.collect()
    } else {
        let added = fold(series.windows.iter(), piece.kept, Of::Totals, wants);
        let name = |it: &Added| read_name(part.names.groups_of(it.name));
        added.into_iter().map(|it| (Scope::Totals, name(&it), it)).collect()
    };
    let (names_max, by) = if of_subjects {
        (SUBJECTS_PER_BUCKET_MAX, Vec::new())
    } else {
        let by = meter.group_by.iter().map(|it| it.name.to_string()).collect();
        (usize_of(meter.groups_max), by)
    };
    let (version, aggregation) = (meter.version, meter.aggregation);
    // Totals are there whenever a subject is.
    let own = series.windows.iter().filter_map(|it| window(it, piece.kept));
    let windows: BTreeSet<Period> = own.filter(|it| wants(*it)).collect();
    Held { to: part.to(), piece: at, version, aggregation, names_max, by, cells, windows }
}

fn scopes(query: &Query<'_>) -> Vec<Scope> {
    match (query.subject, query.by_subject) {
        (Some(subject), _) => vec![Scope::of_subject(subject)],
        (None, true) => (0..BUCKETS).map(Scope::Subjects).collect(),
        (None, false) => vec![Scope::Totals],
    }
}

/// Which version tells a window does not depend on whose use is asked for.
fn needs_versions(query: &Query<'_>) -> bool {
    query.version.is_none() && (query.by_subject || query.subject.is_some())
}

/// Piece, scope, version and window.
type Windowed = (usize, Scope, u32, Period);

struct Reading<'a> {
    store: &'a dyn ReadStore,
    query: &'a Query<'a>,
    grouping: &'a Grouping<'a>,
    partition: PartitionId,
    stored: u64,
    /// Where rows up to `stored` are.
    span: Span,
    /// At which seals parts in memory end.
    ends: BTreeSet<u64>,
    /// Cells of rows that are further than `stored`, with their seals: of a batch that is
    /// not whole yet. A cell never leaves its row.
    ahead: BTreeMap<Windowed, HashMap<Name, u64>>,
    gathered: Gathered,
    held: &'a [Held],
    /// Names that the rows tell apart, of windows to which memory adds.
    names: BTreeMap<Windowed, HashSet<Name>>,
    /// Sets of which the rows hold more than their cells.
    spilled: Vec<(Piece, Scope, u32, Period, Name, u32, u32)>,
    rows: usize,
    moved: bool,
}

impl Reading<'_> {
    fn place(&self, piece: Piece, scope: Scope) -> Place<'_> {
        let Query { tenant, meter, .. } = *self.query;
        Place { tenant, meter, kept: piece.kept, source: self.partition, scope }
    }

    /// Adds what the rows have that all meters share. Gives the range whose windows may have
    /// further cells in rows of their meter: of the blocks whose row is full.
    async fn common_of(
        &mut self,
        at: usize,
        piece: Piece,
    ) -> Result<Option<(Timestamp, Timestamp)>, QueryError> {
        for held in self.held.iter().filter(|it| it.piece == at) {
            for (scope, _, added) in &held.cells {
                self.names.entry((at, *scope, held.version, added.window)).or_default();
            }
        }
        let (wanted, mut full) = (scopes(self.query), None);
        let range = self.span.within(piece.kept, (piece.from, piece.to));
        let store = self.store;
        let mut rows = self.place(piece, Scope::Totals).common_rows(store, range, CHUNK_ROWS_MAX);
        loop {
            let rows = rows.next().await?;
            if rows.is_empty() {
                return Ok(full);
            }
            self.count(&rows)?;
            for row in &rows {
                let bytes = row.values.first().map(Value::as_bytes).unwrap_or_default();
                let mut sections = Sections::read(&bytes)?;
                if sections.is_full {
                    let block = row.key.clustering.get(1).map_or(0, Value::as_int);
                    let block = Timestamp::saturating_from_micros(block);
                    let block = piece.kept.whole_block(block);
                    let (from, _) = full.unwrap_or_else(|| (range.0.max(block.start), block.end));
                    full = Some((from, range.1.min(block.end)));
                }
                while let Some((of, cells)) = sections.next()? {
                    if of.meter != self.query.meter {
                        continue;
                    }
                    let ahead = self.is_ahead(row).then_some(row.timestamp >> 16);
                    if wanted.contains(&of.scope) {
                        self.cells((at, piece, of.scope), (of.version, ahead), cells)?;
                    } else if of.scope == Scope::Totals && needs_versions(self.query) {
                        self.versions(piece, of.version, cells)?;
                    }
                }
            }
        }
    }

    async fn rows_of(
        &mut self,
        at: usize,
        (piece, range): (Piece, (Timestamp, Timestamp)),
        scope: Scope,
    ) -> Result<(), QueryError> {
        let store = self.store;
        let mut rows = self.place(piece, scope).rows(store, range, CHUNK_ROWS_MAX);
        loop {
            let rows = rows.next().await?;
            if rows.is_empty() {
                return Ok(());
            }
            self.count(&rows)?;
            for row in &rows {
                let ahead = self.is_ahead(row).then_some(row.timestamp >> 16);
                let bytes = row.values.first().map(Value::as_bytes).unwrap_or_default();
                self.cells((at, piece, scope), (version_of(row), ahead), &bytes)?;
            }
        }
    }

    fn count(&mut self, rows: &[Row]) -> Result<(), QueryError> {
        self.rows += rows.len();
        if self.rows > ROWS_READ_MAX {
            return Err(QueryError::TooLarge { what: "rows", max: ROWS_READ_MAX });
        }
        Ok(())
    }

    /// Adds packed cells of one version; `ahead` is the seal of their row where it is further
    /// than the checkpoint.
    fn cells(
        &mut self,
        (at, piece, scope): (usize, Piece, Scope),
        (version, ahead): (u32, Option<u64>),
        bytes: &[u8],
    ) -> Result<(), QueryError> {
        if self.query.version.is_some_and(|wanted| wanted != version) {
            return Ok(());
        }
        let mut cells = Cells::read(piece.kept, bytes)?;
        self.gathered.meet(version, cells.aggregation, cells.by.iter().copied());
        let is_in = |it: &Period| piece.from <= it.start && it.start < piece.to;
        let mut windows = Vec::with_capacity(cells.windows.len());
        for window in &cells.windows {
            let at = is_in(window).then(|| self.gathered.window(*window));
            windows.push(at);
            if let Some(at) = at {
                self.gathered.has_counted(at, version);
            }
        }
        let mut groups = Vec::with_capacity(cells.names_count());
        for at in 0..cells.names_count() {
            let values = self.grouping.values(&cells.by, cells.name(at));
            groups.push(values.map(|values| self.gathered.group(&values)));
        }
        while let Some((window_at, name_at, amount)) = cells.next()? {
            let (window_at, name_at) = (usize_of(window_at), usize_of(name_at));
            let Some(window) = windows.get(window_at).copied().flatten() else { continue };
            let period = cells.windows.get(window_at).copied();
            if !self.names.is_empty()
                && let Some(known) = period.map(|period| (at, scope, version, period))
                && let Some(names) = self.names.get_mut(&known)
            {
                let name = name_of(&cells, name_at);
                if let Some(seal) = ahead {
                    let cells_there = self.ahead.entry(known).or_default();
                    cells_there.insert(Arc::clone(&name), seal);
                }
                names.insert(name);
            }
            let Some(group) = groups.get(name_at).copied().flatten() else { continue };
            if let (Amount::Unique(set), Some(period)) = (&amount, period)
                && set.spilled
            {
                // Whether its members are there too cannot be told from the cell.
                self.moved |= ahead.is_some();
                let name = name_of(&cells, name_at);
                self.spilled.push((piece, scope, version, period, name, window, group));
            }
            self.gathered.add((window, version, group), amount)?;
        }
        cells.finish()?;
        Ok(())
    }

    /// Is the row further than the checkpoint, of a batch that is not whole yet? A part in
    /// memory must end where it does, or what to add to it cannot be told.
    fn is_ahead(&mut self, row: &Row) -> bool {
        let seal = row.timestamp >> 16;
        let is_ahead = seal > self.stored;
        self.moved |= is_ahead && !self.ends.contains(&seal);
        is_ahead
    }

    /// Notes which versions have counted in the windows of `piece`.
    async fn versions_of(
        &mut self,
        piece: Piece,
        range: (Timestamp, Timestamp),
    ) -> Result<(), QueryError> {
        let store = self.store;
        let mut rows = self.place(piece, Scope::Totals).rows(store, range, CHUNK_ROWS_MAX);
        loop {
            let rows = rows.next().await?;
            if rows.is_empty() {
                return Ok(());
            }
            self.count(&rows)?;
            for row in &rows {
                self.is_ahead(row);
                let bytes = row.values.first().map(Value::as_bytes).unwrap_or_default();
                self.versions(piece, version_of(row), &bytes)?;
            }
        }
    }

    fn versions(&mut self, piece: Piece, version: u32, bytes: &[u8]) -> Result<(), QueryError> {
        let cells = Cells::read(piece.kept, bytes)?;
        self.gathered.meet(version, cells.aggregation, core::iter::empty());
        let is_in = |it: &&Period| piece.from <= it.start && it.start < piece.to;
        for window in cells.windows.iter().filter(is_in) {
            let at = self.gathered.window(*window);
            self.gathered.has_counted(at, version);
        }
        Ok(())
    }

    async fn spilled(&mut self) -> Result<(), QueryError> {
        for (piece, scope, version, period, name, window, group) in
            core::mem::take(&mut self.spilled)
        {
            let (held, latest) = members::stamped(
                self.store,
                &self.place(piece, scope),
                period,
                version,
                &written(name.iter().map(AsRef::as_ref)),
            )
            .await?;
            // What a recount has moved between cell and rows is one step for neither.
            self.moved |= latest.is_some_and(|latest| latest >> 16 > self.stored);
            let members = crate::amount::Members { held, spilled: true };
            self.gathered.add((window, version, group), Amount::Unique(members))?;
        }
        Ok(())
    }

    /// Adds what is in memory, into the groups into which it will be written.
    fn memory(&mut self) -> Result<(), QueryError> {
        for held in self.held {
            let by: Vec<&str> = held.by.iter().map(String::as_str).collect();
            for window in &held.windows {
                let at = self.gathered.window(*window);
                self.gathered.has_counted(at, held.version);
            }
            if !held.windows.is_empty() {
                self.gathered.meet(held.version, held.aggregation, by.iter().copied());
            }
            for (scope, name, added) in &held.cells {
                let known = (held.piece, *scope, held.version, added.window);
                let names = self.names.entry(known).or_default();
                let mut values: Vec<&str> = name.iter().map(|it| &**it).collect();
                let mut written_as = name;
                let other: Name = name.iter().map(|_| Arc::from(OVERFLOW)).collect();
                let told = names.len() - usize::from(!name.is_empty() && names.contains(&other));
                if !names.contains(name) && told >= held.names_max {
                    values.fill(OVERFLOW);
                    written_as = &other;
                } else {
                    names.insert(Arc::clone(name));
                }
                let written = self.ahead.get(&known).and_then(|it| it.get(written_as));
                if written.is_some_and(|seal| held.to <= *seal) {
                    continue;
                }
                let Some(values) = self.grouping.values(&by, &values) else { continue };
                let (window, group) =
                    (self.gathered.window(added.window), self.gathered.group(&values));
                self.gathered.has_counted(window, held.version);
                let place = (window, held.version, group);
                self.gathered.add(place, added.amount.clone())?;
            }
        }
        Ok(())
    }
}

fn read_name(name: &[u8]) -> Name {
    values(name).map(Arc::from).collect()
}

fn name_of(cells: &Cells<'_>, at: usize) -> Name {
    cells.name(at).iter().map(|it| Arc::from(*it)).collect()
}
