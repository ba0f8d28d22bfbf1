//! A row with many cells: names and windows stand once, cells refer to them. Cells
//! stand in the order in which they first came, which is the same however the log is
//! cut into flushes; so which row a cell is in follows from the log alone.

use std::sync::Arc;

use bytes::Bytes;
use exchequer_metering::Aggregation;
use exchequer_types::{Period, Timestamp};

use crate::amount::Amount;
use crate::bytes::{Damaged, Reader, Writer};
use crate::hashing::NumberMap;
use crate::tables::Kept;
use crate::texts::{Texts, values, written};

const FORMAT: u64 = 1;
/// Cells of a row at most.
pub(crate) const CELLS_MAX: usize = 1_024;
/// A row whose names have this many bytes takes no further cell.
pub(crate) const NAME_BYTES_MAX: usize = 256 * 1_024;

/// What tells cells of a window apart: one value for each group-by, or the subject.
pub(crate) type Name = Arc<[Arc<str>]>;

/// A row that is being written.
#[derive(Debug)]
pub(crate) struct Packed {
    aggregation: Aggregation,
    /// Of the group-bys.
    by: Vec<String>,
    windows: Vec<Period>,
    window_at: NumberMap<(i64, i64), u32>,
    /// How many cells each window has.
    counts: Vec<usize>,
    names: Texts,
    /// Values of each name.
    width: usize,
    name_bytes: usize,
    /// By window and name.
    cells: Vec<(u32, u32, Amount)>,
    cell_at: NumberMap<(u32, u32), u32>,
}

impl Packed {
    pub(crate) fn new(aggregation: Aggregation, by: Vec<String>) -> Self {
        Self {
            aggregation,
            by,
            windows: Vec::new(),
            window_at: NumberMap::default(),
            counts: Vec::new(),
            names: Texts::default(),
            width: 0,
            name_bytes: 0,
            cells: Vec::new(),
            cell_at: NumberMap::default(),
        }
    }

    /// Reads what [`Self::write`] wrote.
    pub(crate) fn read(kept: Kept, bytes: &[u8]) -> Result<Self, Damaged> {
        let mut cells = Cells::read(kept, bytes)?;
        let by = cells.by.iter().map(|it| (*it).to_owned()).collect();
        let mut row = Self::new(cells.aggregation, by);
        for window in &cells.windows {
            row.window(*window);
        }
        row.names.reserve(cells.names_count());
        row.cells.reserve(cells.left);
        row.cell_at.reserve(cells.left);
        for at in 0..cells.names_count() {
            row.name(&written(cells.name(at).iter().copied()));
        }
        while let Some((window, name, amount)) = cells.next()? {
            row.push(window, name, amount);
        }
        cells.finish()?;
        Ok(row)
    }

    pub(crate) fn write(&self, kept: Kept) -> Bytes {
        let mut out = Writer::default();
        out.uint(FORMAT);
        out.uint(aggregation_number(self.aggregation));
        out.count(self.by.len());
        self.by.iter().for_each(|it| out.text(it));
        out.count(self.windows.len());
        let mut before = 0;
        for window in &self.windows {
            out.int(window.start.micros() - before);
            before = window.start.micros();
            if kept == Kept::Period {
                out.int(window.end.micros() - before);
            }
        }
        out.count(self.width);
        out.count(self.names.len());
        out.raw(self.names.bytes());
        out.count(self.cells.len());
        for (window, name, amount) in &self.cells {
            out.uint(u64::from(*window));
            out.uint(u64::from(*name));
            amount.write(&mut out);
        }
        Bytes::from(out.bytes)
    }

    pub(crate) fn is_full(&self) -> bool {
        self.cells.len() >= CELLS_MAX || self.name_bytes >= NAME_BYTES_MAX
    }

    pub(crate) fn aggregation(&self) -> Aggregation {
        self.aggregation
    }

    /// How many cells there are.
    pub(crate) fn len(&self) -> usize {
        self.cells.len()
    }

    /// Bytes of the names' values.
    pub(crate) fn name_bytes(&self) -> usize {
        self.name_bytes
    }

    /// The cell, when the row has it.
    pub(crate) fn get(&self, window: Period, name: &[u8]) -> Option<&Amount> {
        self.cells.get(self.find(window, name)?).map(|(_, _, amount)| amount)
    }

    pub(crate) fn get_mut(&mut self, window: Period, name: &[u8]) -> Option<&mut Amount> {
        let at = self.find(window, name)?;
        self.cells.get_mut(at).map(|(_, _, amount)| amount)
    }

    fn find(&self, window: Period, name: &[u8]) -> Option<usize> {
        let window = *self.window_at.get(&window_key(window))?;
        let name = self.names.find(name)?;
        self.cell_at.get(&(window, name)).map(|at| usize_of(*at))
    }

    /// All cells: window, name and amount.
    pub(crate) fn cells(&self) -> impl Iterator<Item = (Period, &[u8], &Amount)> {
        self.cells.iter().filter_map(|(window, name, amount)| {
            Some((*self.windows.get(usize_of(*window))?, self.names.text(*name), amount))
        })
    }

    /// Adds a cell that it has not.
    pub(crate) fn insert(&mut self, window: Period, name: &[u8], amount: Amount) {
        let at = (self.window(window), self.name(name));
        self.push(at.0, at.1, amount);
    }

    /// How many cells a window has here.
    pub(crate) fn count_of(&self, window: Period) -> usize {
        let Some(at) = self.window_at.get(&window_key(window)) else { return 0 };
        self.counts.get(usize_of(*at)).copied().unwrap_or_default()
    }

    fn push(&mut self, window: u32, name: u32, amount: Amount) {
        self.cell_at.insert((window, name), u32_of(self.cells.len()));
        if let Some(count) = self.counts.get_mut(usize_of(window)) {
            *count += 1;
        }
        self.cells.push((window, name, amount));
    }

    fn window(&mut self, window: Period) -> u32 {
        if let Some(at) = self.window_at.get(&window_key(window)) {
            return *at;
        }
        let at = u32_of(self.windows.len());
        self.windows.push(window);
        self.counts.push(0);
        self.window_at.insert(window_key(window), at);
        at
    }

    fn name(&mut self, name: &[u8]) -> u32 {
        if let Some(at) = self.names.find(name) {
            return at;
        }
        self.width = values(name).count();
        self.name_bytes += values(name).map(str::len).sum::<usize>();
        self.names.push(name)
    }
}

fn window_key(window: Period) -> (i64, i64) {
    (window.start.micros(), window.end.micros())
}

/// A row that is read, cell by cell, without a copy of its names.
#[derive(Debug)]
pub(crate) struct Cells<'a> {
    pub(crate) aggregation: Aggregation,
    pub(crate) by: Vec<&'a str>,
    pub(crate) windows: Vec<Period>,
    width: usize,
    names_count: usize,
    /// Of all names, one after the other.
    texts: Vec<&'a str>,
    left: usize,
    input: Reader<'a>,
}

impl<'a> Cells<'a> {
    pub(crate) fn read(kept: Kept, bytes: &'a [u8]) -> Result<Self, Damaged> {
        let mut input = Reader::new(bytes);
        if input.uint()? != FORMAT {
            return Err(Damaged);
        }
        let aggregation = aggregation_of(input.uint()?)?;
        let by = (0..input.count(1)?).map(|_| input.text()).collect::<Result<_, _>>()?;
        let mut windows = Vec::with_capacity(input.count(1)?);
        let mut before = 0;
        for _ in 0..windows.capacity() {
            before = input.int()?.checked_add(before).ok_or(Damaged)?;
            let start = Timestamp::saturating_from_micros(before);
            let window = if let Some(window) = kept.window(start) {
                window
            } else {
                let end = Timestamp::saturating_from_micros(before.saturating_add(input.int()?));
                Period { start, end }
            };
            windows.push(window);
        }
        let width = usize::try_from(input.uint()?).map_err(|_| Damaged)?;
        let names_count = input.count(width)?.min(CELLS_MAX);
        let texts = names_count.checked_mul(width).ok_or(Damaged)?;
        let texts = (0..texts).map(|_| input.text()).collect::<Result<_, _>>()?;
        let left = input.count(2)?;
        Ok(Self { aggregation, by, windows, width, names_count, texts, left, input })
    }

    pub(crate) fn names_count(&self) -> usize {
        self.names_count
    }

    /// The name with this number; no values for one that is not there.
    pub(crate) fn name(&self, at: usize) -> &[&'a str] {
        let from = at.saturating_mul(self.width);
        self.texts.get(from..from.saturating_add(self.width)).unwrap_or_default()
    }

    /// The next cell: numbers of its window and its name, which are there.
    pub(crate) fn next(&mut self) -> Result<Option<(u32, u32, Amount)>, Damaged> {
        let Some(left) = self.left.checked_sub(1) else { return Ok(None) };
        self.left = left;
        let (window, name) = (self.input.uint32()?, self.input.uint32()?);
        if usize_of(window) >= self.windows.len() || usize_of(name) >= self.names_count {
            return Err(Damaged);
        }
        Ok(Some((window, name, Amount::read(self.aggregation, &mut self.input)?)))
    }

    pub(crate) fn finish(self) -> Result<(), Damaged> {
        self.input.finish()
    }
}

pub(crate) fn aggregation_number(aggregation: Aggregation) -> u64 {
    match aggregation {
        Aggregation::Count => 1,
        Aggregation::Sum => 2,
        Aggregation::Min => 3,
        Aggregation::Max => 4,
        Aggregation::Average => 5,
        Aggregation::Last => 6,
        Aggregation::UniqueCount => 7,
    }
}

fn aggregation_of(number: u64) -> Result<Aggregation, Damaged> {
    let known = Aggregation::ALL.into_iter().find(|it| aggregation_number(*it) == number);
    known.ok_or(Damaged)
}

pub(crate) fn usize_of(at: u32) -> usize {
    usize::try_from(at).unwrap_or(usize::MAX)
}

pub(crate) fn u32_of(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX)
}
