//! What accepted seals add to one source partition, in memory: cells by meter, minute
//! and billing period, once by group and once by subject. Coarser windows follow from
//! these when they are written or asked for. In the steady state adding allocates nothing.

use std::sync::Arc;

use exchequer_metering::{Contribution, Meter};
use exchequer_types::{PartitionId, Period, TenantId, Timestamp};

use crate::cells::Cells;
use crate::hashing::{Map, NumberMap};
use crate::names::Names;
use crate::notes::{Fated, Kind, Notes, Sealed, floor};
use crate::packed::{u32_of, usize_of};
use crate::touched::{MeterOf, TouchedSeries};

/// Into which windows a contribution goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Windows {
    /// Of the calendar and of the billing period.
    All,
    /// Of the billing period alone: when periods move.
    Period,
}

/// Cells and fates of the seals from `from` (excluded) to `to`.
#[derive(Debug)]
pub struct Part {
    source: PartitionId,
    from: u64,
    to: u64,
    series: Vec<Series>,
    by_meter: Map<(TenantId, String, u32), u32>,
    by_address: NumberMap<(usize, usize), u32>,
    /// Keeps addresses from being given to others.
    known: Vec<(Arc<TenantId>, Arc<Meter>)>,
    pub(crate) names: Names,
    pub(crate) notes: Notes,
    /// In what order cells first came.
    arrivals: u32,
    bytes: usize,
    changes: u64,
    touched: TouchedSeries,
}

/// A part that no longer changes.
pub type Segment = Part;

/// A version of a meter, of one tenant.
#[derive(Debug)]
pub(crate) struct Series {
    pub(crate) tenant: Arc<TenantId>,
    pub(crate) meter: Arc<Meter>,
    pub(crate) windows: Vec<Window>,
    by_window: NumberMap<(i64, i64, i64), u32>,
    latest: u32,
}

/// What came of one minute and one billing period.
#[derive(Debug)]
pub(crate) struct Window {
    /// None: counts in the billing period alone.
    pub(crate) minute: Option<Timestamp>,
    pub(crate) period: Option<Period>,
    pub(crate) totals: Cells,
    pub(crate) subjects: Cells,
}

const MINUTE_MICROS: i64 = 60_000_000;
/// Bytes that an address of a meter takes.
const ADDRESS_BYTES: usize = 64;
/// Bytes that a window takes, and a series.
const WINDOW_BYTES: usize = size_of::<Window>() + 64;
const SERIES_BYTES: usize = size_of::<Series>() + 256;

impl Part {
    /// Nothing yet, behind seal `from`.
    pub fn new(source: PartitionId, from: u64) -> Self {
        Self {
            source,
            from,
            to: from,
            series: Vec::new(),
            by_meter: Map::default(),
            by_address: NumberMap::default(),
            known: Vec::new(),
            names: Names::default(),
            notes: Notes::default(),
            arrivals: 0,
            bytes: 0,
            changes: 0,
            touched: TouchedSeries::default(),
        }
    }

    pub fn source(&self) -> PartitionId {
        self.source
    }

    /// Seq of the last seal before it.
    pub fn from(&self) -> u64 {
        self.from
    }

    /// Seq of the last seal in it.
    pub fn to(&self) -> u64 {
        self.to
    }

    /// About how much memory it takes.
    pub fn bytes(&self) -> usize {
        self.bytes + self.notes.bytes()
    }

    /// Is there anything in it but the position?
    pub fn is_empty(&self) -> bool {
        self.series.is_empty() && self.notes.is_empty()
    }

    /// How often something was added.
    pub fn changes(&self) -> u64 {
        self.changes
    }

    /// Adds what seal `seq` counts. Seals come in their order.
    pub fn add(&mut self, seq: u64, contribution: &Contribution, into: Windows) {
        self.add_all(seq, core::iter::once((contribution, into)));
    }

    /// The same of many: what they share is looked up once.
    pub fn add_all<'c>(
        &mut self,
        seq: u64,
        contributions: impl Iterator<Item = (&'c Contribution, Windows)>,
    ) {
        self.to = self.to.max(seq);
        let (names_before, mut cells) = (self.names.size(), 0);
        // Of the last event: its subject stands in several contributions.
        let mut last: Option<(&Arc<str>, u32)> = None;
        // Whatever has an address here keeps it until the end.
        let mut groups_at: NumberMap<usize, u32> = NumberMap::default();
        for (it, into) in contributions {
            self.changes += 1;
            let at = self.series_of(it);
            self.touched.note(usize_of(at));
            let names = &mut self.names;
            let address = Arc::as_ptr(&it.groups).addr();
            let group = *groups_at.entry(address).or_insert_with(|| names.group(it));
            let subject = match last {
                _ if it.subject.is_empty() => None,
                Some((known, at)) if Arc::ptr_eq(known, &it.subject) => Some(at),
                _ => Some(names.subject(it)),
            };
            last = subject.map(|at| (&it.subject, at));
            let minute = match into {
                Windows::All => Some(floor(it.time, MINUTE_MICROS)),
                Windows::Period => None,
            };
            if let Some(series) = self.series.get_mut(usize_of(at)) {
                cells += series.add(it, minute, (group, subject), &mut self.arrivals);
            }
        }
        self.bytes += cells + self.names.size().saturating_sub(names_before);
    }

    /// Takes down what became of a record, by seal `seq`.
    pub fn note(&mut self, seq: u64, fated: &Fated<'_>) {
        self.to = self.to.max(seq);
        self.notes.add(seq, fated);
    }

    /// Takes down how many records became what, of which nothing more is told: tenant, what
    /// became of it, and when it was received.
    pub fn tally<'t>(
        &mut self,
        seq: u64,
        records: impl Iterator<Item = (&'t str, Kind, Timestamp)>,
    ) {
        self.to = self.to.max(seq);
        self.notes.tally(records);
    }

    /// Seal `sealed.seq` is whole.
    pub fn seal(&mut self, sealed: Sealed) {
        self.to = self.to.max(sealed.seq);
        self.notes.seal(sealed);
    }

    /// Meters that have counted something since this was last asked.
    pub(crate) fn take_touched(&mut self) -> impl Iterator<Item = MeterOf> {
        let numbers = self.touched.take().into_iter();
        numbers.filter_map(|at| {
            let series = self.series.get(usize_of(at))?;
            Some((Arc::clone(&series.tenant), Arc::clone(&series.meter)))
        })
    }

    pub(crate) fn series(&self) -> &[Series] {
        &self.series
    }

    fn series_of(&mut self, it: &Contribution) -> u32 {
        let address = (Arc::as_ptr(&it.tenant).addr(), Arc::as_ptr(&it.meter).addr());
        if let Some(at) = self.by_address.get(&address) {
            return *at;
        }
        let key = ((*it.tenant).clone(), it.meter.key.as_str().to_owned(), it.meter.version);
        let at = *self.by_meter.entry(key).or_insert_with(|| {
            self.bytes += SERIES_BYTES;
            self.series.push(Series::new(Arc::clone(&it.tenant), Arc::clone(&it.meter)));
            u32_of(self.series.len() - 1)
        });
        self.bytes += ADDRESS_BYTES;
        self.known.push((Arc::clone(&it.tenant), Arc::clone(&it.meter)));
        self.by_address.insert(address, at);
        at
    }
}

impl Series {
    fn new(tenant: Arc<TenantId>, meter: Arc<Meter>) -> Self {
        Self { tenant, meter, windows: Vec::new(), by_window: NumberMap::default(), latest: 0 }
    }

    /// How many cells it adds to windows of one length, at most.
    pub(crate) fn cells(&self) -> usize {
        self.windows.iter().map(|it| it.totals.len() + it.subjects.len()).sum()
    }

    /// Returns how many bytes were allocated for it.
    fn add(
        &mut self,
        it: &Contribution,
        minute: Option<Timestamp>,
        (group, subject): (u32, Option<u32>),
        arrivals: &mut u32,
    ) -> usize {
        let mut bytes = 0;
        let at = self.window(minute, it.period, &mut bytes);
        let Some(window) = self.windows.get_mut(at) else { return bytes };
        bytes += window.totals.add(group, it, arrivals);
        if let Some(subject) = subject {
            bytes += window.subjects.add(subject, it, arrivals);
        }
        bytes
    }

    fn window(
        &mut self,
        minute: Option<Timestamp>,
        period: Option<Period>,
        bytes: &mut usize,
    ) -> usize {
        let is_same = |it: &Window| it.minute == minute && it.period == period;
        let latest = usize_of(self.latest);
        if self.windows.get(latest).is_some_and(is_same) {
            return latest;
        }
        let micros = |at: Option<Timestamp>| at.map_or(-1, Timestamp::micros);
        let key =
            (micros(minute), micros(period.map(|it| it.start)), micros(period.map(|it| it.end)));
        let at = *self.by_window.entry(key).or_insert_with(|| {
            *bytes += WINDOW_BYTES;
            let cells = || Cells::new(self.meter.aggregation);
            let (totals, subjects) = (cells(), cells());
            self.windows.push(Window { minute, period, totals, subjects });
            u32_of(self.windows.len() - 1)
        });
        self.latest = at;
        usize_of(at)
    }
}
