//! What came of one minute and one billing period. Where tenants are many most windows have
//! a single event: then its group, its subject and one amount for both are all there is, and
//! nothing is allocated for them.

use exchequer_metering::{Aggregation, Contribution};
use exchequer_types::{Period, Timestamp};

use crate::amount::Amount;
use crate::cells::Cells;

/// Bytes of a cell by group and one by subject, beside what they count.
const BOTH_BYTES: usize = size_of::<Both>() + 16;

/// A minute of a series, in memory.
#[derive(Debug)]
pub(crate) struct Window {
    /// None: counts in the billing period alone.
    pub(crate) minute: Option<Timestamp>,
    pub(crate) period: Option<Period>,
    contents: Contents,
}

/// Which cells of a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Of {
    /// All subjects, by group.
    Totals,
    Subjects,
}

#[derive(Debug)]
enum Contents {
    /// One group, and one subject or none: the amounts of both are the same.
    One(One),
    Many(Box<Both>),
}

#[derive(Debug)]
struct One {
    group: u32,
    subject: Option<u32>,
    /// Of the cell by group; that by subject came next.
    arrival: u32,
    amount: Amount,
}

#[derive(Debug)]
struct Both {
    totals: Cells,
    subjects: Cells,
}

impl Window {
    /// One with `it` alone, and how many bytes were allocated for it.
    pub(crate) fn new(
        minute: Option<Timestamp>,
        it: &Contribution,
        (group, subject): (u32, Option<u32>),
        arrivals: &mut u32,
    ) -> (Self, usize) {
        let mut amount = Amount::empty(it.meter.aggregation);
        amount.count_in(it.value, it.time, it.place, it.sign.is_back());
        let bytes = amount.heap_bytes();
        let arrival = *arrivals + 1;
        *arrivals += 1 + u32::from(subject.is_some());
        let one = One { group, subject, arrival, amount };
        (Self { minute, period: it.period, contents: Contents::One(one) }, bytes)
    }

    /// Returns how many bytes were allocated for it. `arrivals` counts the cells of all
    /// windows.
    pub(crate) fn add(
        &mut self,
        it: &Contribution,
        (group, subject): (u32, Option<u32>),
        arrivals: &mut u32,
    ) -> usize {
        let mut bytes = 0;
        if let Contents::One(one) = &mut self.contents {
            if (one.group, one.subject) == (group, subject) {
                let held = one.amount.heap_bytes();
                one.amount.count_in(it.value, it.time, it.place, it.sign.is_back());
                return one.amount.heap_bytes().saturating_sub(held);
            }
            bytes = BOTH_BYTES;
            let both = Box::new(one.spread(it.meter.aggregation, &mut bytes));
            self.contents = Contents::Many(both);
        }
        if let Contents::Many(both) = &mut self.contents {
            bytes += both.totals.add(group, it, arrivals);
            if let Some(subject) = subject {
                bytes += both.subjects.add(subject, it, arrivals);
            }
        }
        bytes
    }

    /// How many cells there are of both kinds.
    pub(crate) fn len(&self) -> usize {
        match &self.contents {
            Contents::One(one) => 1 + usize::from(one.subject.is_some()),
            Contents::Many(both) => both.totals.len() + both.subjects.len(),
        }
    }

    /// The cells: number of the name, arrival, and amount.
    pub(crate) fn cells(&self, of: Of) -> impl Iterator<Item = (u32, u32, Amount)> {
        let (one, many) = match (&self.contents, of) {
            (Contents::One(one), of) => (one.cell(of), None),
            (Contents::Many(both), Of::Totals) => (None, Some(&both.totals)),
            (Contents::Many(both), Of::Subjects) => (None, Some(&both.subjects)),
        };
        one.into_iter().chain(many.into_iter().flat_map(Cells::iter))
    }
}

impl One {
    fn cell(&self, of: Of) -> Option<(u32, u32, Amount)> {
        let (name, arrival) = match of {
            Of::Totals => (self.group, self.arrival),
            Of::Subjects => (self.subject?, self.arrival + 1),
        };
        Some((name, arrival, self.amount.clone()))
    }

    /// The same with room for others, and how many bytes its cells take more.
    fn spread(&self, aggregation: Aggregation, bytes: &mut usize) -> Both {
        let mut of = |which| {
            let mut cells = Cells::new(aggregation);
            if let Some((name, arrival, amount)) = self.cell(which) {
                *bytes += cells.insert(name, arrival, amount);
            }
            cells
        };
        Both { totals: of(Of::Totals), subjects: of(Of::Subjects) }
    }
}
