//! The first cells of a tenant in a block of time, whatever their meter, group and subject: one
//! row, in sections. A tenant with little use has no other rows. What comes once the row is
//! full stands in rows of its meters; cells are counted in the order in which they first came,
//! so which are here follows from the log alone, however it is cut into flushes.

use std::collections::BTreeMap;

use bytes::Bytes;
use exchequer_metering::{Aggregation, OVERFLOW};
use exchequer_types::Period;

use crate::amount::Amount;
use crate::bytes::{Damaged, Reader, Writer};
use crate::packed::Packed;
use crate::tables::{Kept, Scope};
use crate::texts::{values, written};

const FORMAT: u64 = 1;
/// A row with so many cells is full; in this crate's tests it takes few.
const CELLS_MAX: usize = if cfg!(test) { 8 } else { 512 };
/// So is one whose names have so many bytes.
const NAME_BYTES_MAX: usize = 64 * 1_024;

/// Whose cells a section holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SectionOf<'n> {
    pub(crate) meter: &'n str,
    pub(crate) version: u32,
    pub(crate) scope: Scope,
}

/// A row that is being written.
#[derive(Debug, Default)]
pub(crate) struct Common {
    /// By meter, then by version and scope.
    sections: BTreeMap<String, BTreeMap<(u32, Scope), Packed>>,
    /// It has been, and stays so.
    was_full: bool,
    cells: usize,
    name_bytes: usize,
}

impl Common {
    /// Reads what [`Self::write`] wrote.
    pub(crate) fn read(kept: Kept, bytes: &[u8]) -> Result<Self, Damaged> {
        let mut sections = Sections::read(bytes)?;
        let mut row = Self { was_full: sections.is_full, ..Self::default() };
        while let Some((of, bytes)) = sections.next()? {
            let section = Packed::read(kept, bytes)?;
            row.cells += section.len();
            row.name_bytes += section.name_bytes();
            let of_meter = row.sections.entry(of.meter.to_owned()).or_default();
            if of_meter.insert((of.version, of.scope), section).is_some() {
                return Err(Damaged);
            }
        }
        Ok(row)
    }

    pub(crate) fn write(&self, kept: Kept) -> Bytes {
        let mut out = Writer::default();
        out.uint(FORMAT);
        out.uint(u64::from(self.is_full()));
        out.count(self.sections.values().map(BTreeMap::len).sum());
        for (meter, of_meter) in &self.sections {
            for ((version, scope), section) in of_meter {
                out.text(meter);
                out.uint(u64::from(*version));
                out.int(scope.number());
                let bytes = section.write(kept);
                out.count(bytes.len());
                out.raw(&bytes);
            }
        }
        Bytes::from(out.bytes)
    }

    /// Has it no room for further cells?
    pub(crate) fn is_full(&self) -> bool {
        self.was_full || self.cells >= CELLS_MAX || self.name_bytes >= NAME_BYTES_MAX
    }

    pub(crate) fn section(&self, of: SectionOf<'_>) -> Option<&Packed> {
        self.sections.get(of.meter)?.get(&(of.version, of.scope))
    }

    /// The cell, when the row has it.
    pub(crate) fn get_mut(
        &mut self,
        of: SectionOf<'_>,
        window: Period,
        name: &[u8],
    ) -> Option<&mut Amount> {
        let section = self.sections.get_mut(of.meter)?.get_mut(&(of.version, of.scope))?;
        section.get_mut(window, name)
    }

    /// Makes room for a cell that is not there, with nothing in it: of its own name, or of all
    /// others where the window tells `names_max` apart. False when it is there already, or
    /// when the row is full.
    pub(crate) fn admit(
        &mut self,
        of: SectionOf<'_>,
        (window, name, names_max): (Period, &[u8], usize),
        shape: impl FnOnce() -> (Aggregation, Vec<String>),
    ) -> bool {
        if self.is_full() {
            return false;
        }
        let known = self.section(of);
        let has = |name: &[u8]| known.is_some_and(|it| it.get(window, name).is_some());
        if has(name) {
            return false;
        }
        let other;
        let name = if known.map_or(0, |it| it.count_of(window)) < names_max {
            name
        } else {
            other = other_of(name);
            if has(&other) {
                return false;
            }
            &other
        };
        let of_meter = match self.sections.get_mut(of.meter) {
            Some(of_meter) => of_meter,
            None => self.sections.entry(of.meter.to_owned()).or_default(),
        };
        let section = of_meter.entry((of.version, of.scope)).or_insert_with(|| {
            let (aggregation, by) = shape();
            Packed::new(aggregation, by)
        });
        let names_before = section.name_bytes();
        section.insert(window, name, Amount::empty(section.aggregation()));
        self.name_bytes += section.name_bytes() - names_before;
        self.cells += 1;
        true
    }
}

/// The name of what a window does not tell apart, of as many values as `name`.
pub(crate) fn other_of(name: &[u8]) -> Vec<u8> {
    written(values(name).map(|_| OVERFLOW))
}

/// A row that is read, section by section.
#[derive(Debug)]
pub(crate) struct Sections<'a> {
    /// There may be cells of the same block elsewhere.
    pub(crate) is_full: bool,
    left: usize,
    input: Reader<'a>,
}

impl<'a> Sections<'a> {
    pub(crate) fn read(bytes: &'a [u8]) -> Result<Self, Damaged> {
        let mut input = Reader::new(bytes);
        if input.uint()? != FORMAT {
            return Err(Damaged);
        }
        let is_full = match input.uint()? {
            0 => false,
            1 => true,
            _ => return Err(Damaged),
        };
        let left = input.count(4)?;
        Ok(Self { is_full, left, input })
    }

    /// The next one, and its cells as [`Packed`] writes them.
    pub(crate) fn next(&mut self) -> Result<Option<(SectionOf<'a>, &'a [u8])>, Damaged> {
        let Some(left) = self.left.checked_sub(1) else {
            return if self.input.is_at_end() { Ok(None) } else { Err(Damaged) };
        };
        self.left = left;
        let (meter, version) = (self.input.text()?, self.input.uint32()?);
        let scope = Scope::numbered(self.input.int()?).ok_or(Damaged)?;
        Ok(Some((SectionOf { meter, version, scope }, self.input.bytes()?)))
    }
}
