//! What accepted seals add to one source partition, in memory: cells by meter, minute
//! and billing period, once by group and once by subject. Coarser windows follow from
//! these when they are written or asked for. In the steady state adding allocates nothing.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use exchequer_metering::{Contribution, Meter};
use exchequer_types::{PartitionId, Period, TenantId, Timestamp};

use crate::hashing::{Map, NumberMap};
use crate::names::Names;
use crate::notes::{Fated, Kind, Notes, Sealed, floor};
use crate::packed::{u32_of, usize_of};
use crate::touched::{MeterOf, TouchedSeries};
use crate::window::Window;

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
    by_meter: Map<MeterKey, u32>,
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

/// A version of a meter, by its name: definitions of one version lie in several places.
#[derive(Debug)]
struct MeterKey(Arc<TenantId>, Arc<Meter>);

const MINUTE_MICROS: i64 = 60_000_000;
/// Up to so many windows of a series are looked through.
const FEW_WINDOWS_MAX: usize = 8;
/// Bytes of a place in a map of windows.
const INDEX_BYTES: usize = 48;
/// Bytes that an address of a meter takes.
const ADDRESS_BYTES: usize = 64;
/// Bytes that a window takes, and a series.
const WINDOW_BYTES: usize = size_of::<Window>() * 3 / 2;
const SERIES_BYTES: usize = size_of::<Series>() * 3 / 2 + 64;

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
        let key = MeterKey(Arc::clone(&it.tenant), Arc::clone(&it.meter));
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

impl MeterKey {
    fn name(&self) -> (&TenantId, &str, u32) {
        (&self.0, self.1.key.as_str(), self.1.version)
    }
}

impl PartialEq for MeterKey {
    fn eq(&self, other: &Self) -> bool {
        self.name() == other.name()
    }
}

impl Eq for MeterKey {}

impl Hash for MeterKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name().hash(state);
    }
}

impl Series {
    fn new(tenant: Arc<TenantId>, meter: Arc<Meter>) -> Self {
        let windows = Vec::with_capacity(1);
        Self { tenant, meter, windows, by_window: NumberMap::default(), latest: 0 }
    }

    /// Returns how many bytes were allocated for it.
    fn add(
        &mut self,
        it: &Contribution,
        minute: Option<Timestamp>,
        names: (u32, Option<u32>),
        arrivals: &mut u32,
    ) -> usize {
        if let Some(at) = self.find(minute, it.period) {
            self.latest = u32_of(at);
            return self.windows.get_mut(at).map_or(0, |window| window.add(it, names, arrivals));
        }
        let (window, bytes) = Window::new(minute, it, names, arrivals);
        self.latest = u32_of(self.windows.len());
        self.windows.push(window);
        bytes + WINDOW_BYTES + self.index()
    }

    /// Where the window is, if there is one.
    fn find(&self, minute: Option<Timestamp>, period: Option<Period>) -> Option<usize> {
        let is_same = |it: &Window| it.minute == minute && it.period == period;
        let latest = usize_of(self.latest);
        if self.windows.get(latest).is_some_and(is_same) {
            return Some(latest);
        }
        if self.by_window.is_empty() {
            return self.windows.iter().position(is_same);
        }
        self.by_window.get(&window_key(minute, period)).map(|at| usize_of(*at))
    }

    /// Makes the latest window known by its key, once there are many. Returns how many bytes
    /// were allocated for it.
    fn index(&mut self) -> usize {
        let unknown = match self.windows.len() {
            count if count <= FEW_WINDOWS_MAX => return 0,
            count if self.by_window.is_empty() => 0..count,
            count => count - 1..count,
        };
        let count = unknown.len();
        for at in unknown {
            if let Some(window) = self.windows.get(at) {
                self.by_window.insert(window_key(window.minute, window.period), u32_of(at));
            }
        }
        count * INDEX_BYTES
    }
}

fn window_key(minute: Option<Timestamp>, period: Option<Period>) -> (i64, i64, i64) {
    let micros = |at: Option<Timestamp>| at.map_or(-1, Timestamp::micros);
    (micros(minute), micros(period.map(|it| it.start)), micros(period.map(|it| it.end)))
}
