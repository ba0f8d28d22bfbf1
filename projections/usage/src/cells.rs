//! The cells of one window of a series in memory: what is touched with each event lies
//! close together and takes no more bytes than its aggregation needs, for there is one for
//! every subject.

use exchequer_metering::{Aggregation, Contribution};

use crate::amount::Amount;
use crate::hashing::NumberMap;
use crate::packed::{u32_of, usize_of};

/// No cell.
const NONE: u32 = u32::MAX;
/// Up to so many cells are looked through.
const FEW_MAX: usize = 8;
/// Cells are found by a map up to so many, or while names are many more.
const MAPPED_MAX: usize = 64;
const MANY_NAMES_PER_CELL_MAX: usize = 8;
/// Bytes of a place in a map.
const INDEX_BYTES: usize = 16;
/// No value yet: no quantity has it.
const VALUELESS: i128 = i128::MIN;

/// Cells by the number of their name.
#[derive(Debug)]
pub(crate) struct Cells {
    by_name: Index,
    amounts: Amounts,
    /// Beside the amounts: the name's number, and when the cell first came, less than that
    /// of cells that came later.
    heads: Vec<(u32, u32)>,
}

/// Amounts of one aggregation, without what is the same of all.
#[derive(Debug)]
enum Amounts {
    Counts(Vec<i64>),
    Sums(Vec<i128>),
    Least(Vec<i128>),
    Most(Vec<i128>),
    Others(Vec<Amount>),
}

/// Where the cell of a name is. A list by name once many names have one.
#[derive(Debug, Default)]
enum Index {
    /// Wherever its head is.
    #[default]
    Heads,
    Map(NumberMap<u32, u32>),
    List(Vec<u32>),
}

impl Cells {
    pub(crate) fn new(aggregation: Aggregation) -> Self {
        Self { by_name: Index::default(), amounts: Amounts::new(aggregation), heads: Vec::new() }
    }

    /// Returns how many bytes were allocated for it. `arrivals` counts the cells of all
    /// windows.
    pub(crate) fn add(&mut self, name: u32, it: &Contribution, arrivals: &mut u32) -> usize {
        if let Some(at) = self.find(name) {
            return self.amounts.count_in(usize_of(at), it);
        }
        *arrivals += 1;
        let mut amount = Amount::empty(it.meter.aggregation);
        amount.count_in(it.value, it.time, it.place, it.sign.is_back());
        self.insert(name, *arrivals, amount)
    }

    /// Adds a cell that is not there. Returns how many bytes were allocated for it.
    pub(crate) fn insert(&mut self, name: u32, arrival: u32, amount: Amount) -> usize {
        let heap = amount.heap_bytes();
        self.amounts.push(amount);
        self.heads.push((name, arrival));
        let at = u32_of(self.heads.len() - 1);
        // Lists grow by doubling.
        let cell_bytes = self.amounts.cell_bytes() + size_of::<(u32, u32)>();
        cell_bytes * 3 / 2 + self.index(name, at) + heap
    }

    fn find(&self, name: u32) -> Option<u32> {
        match &self.by_name {
            Index::Heads => self.heads.iter().position(|(known, _)| *known == name).map(u32_of),
            Index::Map(map) => map.get(&name).copied(),
            Index::List(list) => list.get(usize_of(name)).copied().filter(|at| *at != NONE),
        }
    }

    /// Makes the latest cell known by its name. Returns how many bytes that took.
    fn index(&mut self, name: u32, at: u32) -> usize {
        if matches!(self.by_name, Index::Heads) {
            if self.heads.len() <= FEW_MAX {
                return 0;
            }
            let heads = self.heads.iter().zip(0..).map(|((name, _), at)| (*name, at));
            self.by_name = Index::Map(heads.collect());
            return self.heads.len() * INDEX_BYTES;
        }
        self.by_name.insert(name, at)
    }

    pub(crate) fn len(&self) -> usize {
        self.heads.len()
    }

    /// The cells: number of the name, arrival, and amount.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, u32, Amount)> {
        let cells = self.heads.iter().enumerate();
        cells.filter_map(|(at, (name, arrival))| Some((*name, *arrival, self.amounts.get(at)?)))
    }
}

impl Amounts {
    fn new(aggregation: Aggregation) -> Self {
        match aggregation {
            Aggregation::Count => Self::Counts(Vec::new()),
            Aggregation::Sum => Self::Sums(Vec::new()),
            Aggregation::Min => Self::Least(Vec::new()),
            Aggregation::Max => Self::Most(Vec::new()),
            Aggregation::Average | Aggregation::Last | Aggregation::UniqueCount => {
                Self::Others(Vec::new())
            }
        }
    }

    fn cell_bytes(&self) -> usize {
        match self {
            Self::Counts(_) => size_of::<i64>(),
            Self::Sums(_) | Self::Least(_) | Self::Most(_) => size_of::<i128>(),
            Self::Others(_) => size_of::<Amount>(),
        }
    }

    fn push(&mut self, amount: Amount) {
        match self {
            Self::Counts(all) => all.push(0),
            Self::Sums(all) => all.push(0),
            Self::Least(all) | Self::Most(all) => all.push(VALUELESS),
            Self::Others(all) => return all.push(amount),
        }
        self.put(self.len() - 1, &amount);
    }

    fn len(&self) -> usize {
        match self {
            Self::Counts(all) => all.len(),
            Self::Sums(all) | Self::Least(all) | Self::Most(all) => all.len(),
            Self::Others(all) => all.len(),
        }
    }

    fn get(&self, at: usize) -> Option<Amount> {
        let value = |it: i128| (it != VALUELESS).then_some(it);
        Some(match self {
            Self::Counts(all) => Amount::Count(*all.get(at)?),
            Self::Sums(all) => Amount::Sum(*all.get(at)?),
            Self::Least(all) => Amount::Min(value(*all.get(at)?)),
            Self::Most(all) => Amount::Max(value(*all.get(at)?)),
            Self::Others(all) => all.get(at)?.clone(),
        })
    }

    /// Returns how many bytes were allocated for it.
    fn count_in(&mut self, at: usize, it: &Contribution) -> usize {
        if let Self::Others(all) = self {
            let Some(amount) = all.get_mut(at) else { return 0 };
            let held = amount.heap_bytes();
            amount.count_in(it.value, it.time, it.place, it.sign.is_back());
            return amount.heap_bytes().saturating_sub(held);
        }
        if let Some(mut amount) = self.get(at) {
            amount.count_in(it.value, it.time, it.place, it.sign.is_back());
            self.put(at, &amount);
        }
        0
    }

    fn put(&mut self, at: usize, amount: &Amount) {
        match (self, amount) {
            (Self::Counts(all), Amount::Count(count)) => all[at] = *count,
            (Self::Sums(all), Amount::Sum(sum)) => all[at] = *sum,
            (Self::Least(all), Amount::Min(value)) | (Self::Most(all), Amount::Max(value)) => {
                all[at] = value.unwrap_or(VALUELESS);
            }
            _ => {}
        }
    }
}

impl Index {
    /// Returns how many bytes it took.
    fn insert(&mut self, name: u32, at: u32) -> usize {
        let mut bytes = 0;
        if let Self::Map(map) = self
            && map.len() >= MAPPED_MAX
            && map.len() * MANY_NAMES_PER_CELL_MAX >= usize_of(name)
        {
            let names = map.keys().copied().max().unwrap_or_default().max(name);
            let mut list = vec![NONE; usize_of(names) + 1];
            for (name, at) in map.iter() {
                list[usize_of(*name)] = *at;
            }
            bytes += list.len() * size_of::<u32>();
            *self = Self::List(list);
        }
        match self {
            Self::Heads => bytes,
            Self::Map(map) => {
                map.insert(name, at);
                bytes + INDEX_BYTES
            }
            Self::List(list) => {
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
