//! What accepted seals add to one source partition, in memory: cells by meter, minute
//! and billing period, once by group and once by subject. Coarser windows follow from
//! these when they are written or asked for. In the steady state adding allocates nothing.

use std::sync::Arc;

use exchequer_metering::{Contribution, Meter, Sign};
use exchequer_types::{PartitionId, Period, TenantId, Timestamp};

use crate::amount::Amount;
use crate::hashing::{Map, NumberMap};
use crate::names::Names;
use crate::notes::{Fated, Notes, Sealed, floor};
use crate::packed::{u32_of, usize_of};

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
    arrivals: u64,
    bytes: usize,
    changes: u64,
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

/// Cells by the number of their name.
#[derive(Debug, Default)]
pub(crate) struct Cells {
    by_name: Index,
    /// What is touched with each event lies close together.
    amounts: Vec<Amount>,
    /// Beside the amounts: the name's number, and when the cell first came, less than that
    /// of cells that came later.
    heads: Vec<(u32, u64)>,
}

/// Where the cell of a name is. A list by name once many names have one.
#[derive(Debug)]
enum Index {
    Few(NumberMap<u32, u32>),
    Many(Vec<u32>),
}

const MINUTE_MICROS: i64 = 60_000_000;
/// Bytes that a cell takes, and its place in a map. Lists grow by doubling.
const CELL_BYTES: usize = (size_of::<Amount>() + size_of::<(u32, u64)>()) * 3 / 2;
const INDEX_BYTES: usize = 16;
/// No cell.
const NONE: u32 = u32::MAX;
/// Cells are found by a map up to so many, or while names are many more.
const FEW_MAX: usize = 64;
const MANY_NAMES_PER_CELL_MAX: usize = 8;
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
        self.to = self.to.max(seq);
        self.changes += 1;
        let at = self.series_of(contribution);
        let (group, more) = self.names.group(&contribution.groups);
        self.bytes += more;
        let subject = if contribution.subject.is_empty() {
            None
        } else {
            let (subject, more) = self.names.subject(&contribution.subject);
            self.bytes += more;
            Some(subject)
        };
        let minute = match into {
            Windows::All => Some(floor(contribution.time, MINUTE_MICROS)),
            Windows::Period => None,
        };
        if let Some(series) = self.series.get_mut(usize_of(at)) {
            self.bytes += series.add(contribution, minute, (group, subject), &mut self.arrivals);
        }
    }

    /// Takes down what became of a record, by seal `seq`.
    pub fn note(&mut self, seq: u64, fated: &Fated<'_>) {
        self.to = self.to.max(seq);
        self.notes.add(seq, fated);
    }

    /// Seal `sealed.seq` is whole.
    pub fn seal(&mut self, sealed: Sealed) {
        self.to = self.to.max(sealed.seq);
        self.notes.seal(sealed);
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

    /// Returns how many bytes were allocated for it.
    fn add(
        &mut self,
        it: &Contribution,
        minute: Option<Timestamp>,
        (group, subject): (u32, Option<u32>),
        arrivals: &mut u64,
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
            let (totals, subjects) = (Cells::default(), Cells::default());
            self.windows.push(Window { minute, period, totals, subjects });
            u32_of(self.windows.len() - 1)
        });
        self.latest = at;
        usize_of(at)
    }
}

impl Cells {
    fn add(&mut self, name: u32, it: &Contribution, arrivals: &mut u64) -> usize {
        let mut bytes = 0;
        let at = self.by_name.get(name).unwrap_or_else(|| {
            *arrivals += 1;
            self.amounts.push(Amount::empty(it.meter.aggregation));
            self.heads.push((name, *arrivals));
            let at = u32_of(self.heads.len() - 1);
            bytes = CELL_BYTES + self.by_name.insert(name, at);
            at
        });
        if let Some(amount) = self.amounts.get_mut(usize_of(at)) {
            let held = amount.heap_bytes();
            amount.count_in(it.value, it.time, it.place, it.sign == Sign::TakesBack);
            bytes += amount.heap_bytes().saturating_sub(held);
        }
        bytes
    }

    pub(crate) fn len(&self) -> usize {
        self.amounts.len()
    }

    /// The cells: number of the name, arrival, and amount.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, u64, &Amount)> {
        let cells = self.heads.iter().zip(&self.amounts);
        cells.map(|((name, arrival), amount)| (*name, *arrival, amount))
    }
}

impl Default for Index {
    fn default() -> Self {
        Self::Few(NumberMap::default())
    }
}

impl Index {
    fn get(&self, name: u32) -> Option<u32> {
        match self {
            Self::Few(map) => map.get(&name).copied(),
            Self::Many(list) => list.get(usize_of(name)).copied().filter(|at| *at != NONE),
        }
    }

    /// Returns how many bytes it took.
    fn insert(&mut self, name: u32, at: u32) -> usize {
        let mut bytes = 0;
        if let Self::Few(map) = self
            && map.len() >= FEW_MAX
            && map.len() * MANY_NAMES_PER_CELL_MAX >= usize_of(name)
        {
            let names = map.keys().copied().max().unwrap_or_default().max(name);
            let mut list = vec![NONE; usize_of(names) + 1];
            for (name, at) in map.iter() {
                list[usize_of(*name)] = *at;
            }
            bytes += list.len() * size_of::<u32>();
            *self = Self::Many(list);
        }
        match self {
            Self::Few(map) => {
                map.insert(name, at);
                bytes + INDEX_BYTES
            }
            Self::Many(list) => {
                if list.len() <= usize_of(name) {
                    let more = usize_of(name) + 1 - list.len();
                    bytes += more * size_of::<u32>();
                    list.resize(usize_of(name) + 1, NONE);
                }
                list[usize_of(name)] = at;
                bytes
            }
        }
    }
}
