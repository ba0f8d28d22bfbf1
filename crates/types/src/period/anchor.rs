//! Anchors: the local date and time from which every boundary of a subscription is counted.
//! Boundary n comes from the anchor, never from boundary n-1, so nothing drifts.

use chrono::{Datelike, Days, Months, NaiveDateTime};

use super::{Cycle, CycleUnit, Period, Zone};
use crate::Timestamp;

/// A date and time on the clocks of a zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Anchor {
    pub local: NaiveDateTime,
    pub zone: Zone,
}

impl Anchor {
    /// What the clocks of `zone` show at `start`.
    pub fn of(start: Timestamp, zone: Zone) -> Self {
        Self { local: zone.local(start), zone }
    }

    /// An anchor from its stored form. None: too far away for a date.
    pub fn from_local_micros(micros: i64, zone: Zone) -> Option<Self> {
        let local = chrono::DateTime::from_timestamp_micros(micros)?.naive_utc();
        Some(Self { local, zone })
    }

    /// Its stored form: microseconds from 1970-01-01T00:00 on the same clock.
    pub fn local_micros(&self) -> i64 {
        self.local.and_utc().timestamp_micros()
    }

    /// The same local date and time elsewhere.
    #[must_use]
    pub const fn in_zone(self, zone: Zone) -> Self {
        Self { zone, ..self }
    }

    /// Where period `n` starts: the first instant at which the zone's clocks show, or have
    /// passed, the anchor's time on the day that is `n` cycles after the anchor's day. A month
    /// that lacks the day has the boundary on its last day.
    ///
    /// Boundary 0 lies up to an hour before the instant that the anchor was made of, when
    /// that lies in the second half of an overlap. A first period starts at that instant.
    ///
    /// None: outside of what a `Timestamp` holds.
    pub fn boundary(&self, cycle: Cycle, n: u32) -> Option<Timestamp> {
        let units = u64::from(n).checked_mul(u64::from(cycle.count()))?;
        let months = |units| u32::try_from(units).ok().map(Months::new);
        let date = self.local.date();
        let day = match cycle.unit() {
            CycleUnit::Day => date.checked_add_days(Days::new(units)),
            CycleUnit::Week => date.checked_add_days(Days::new(units.checked_mul(7)?)),
            CycleUnit::Month => date.checked_add_months(months(units)?),
            CycleUnit::Year => date.checked_add_months(months(units.checked_mul(12)?)?),
        }?;
        self.zone.first_instant(day.and_time(self.local.time()))
    }

    /// From boundary `n` to the next. None: out of range, or there is no time between them,
    /// which happens when a zone skips a whole day (`next_after` goes on behind it).
    pub fn period(&self, cycle: Cycle, n: u32) -> Option<Period> {
        let start = self.boundary(cycle, n)?;
        let end = self.boundary(cycle, n.checked_add(1)?)?;
        (start < end).then_some(Period { start, end })
    }

    /// The period that `at` lies in. None: before boundary 0, or out of range.
    pub fn index_at(&self, cycle: Cycle, at: Timestamp) -> Option<u32> {
        let mut index = self.index_near(cycle, at);
        while self.boundary(cycle, index).is_none_or(|start| at < start) {
            index = index.checked_sub(1)?;
        }
        while let Some(next) = index.checked_add(1)
            && self.boundary(cycle, next).is_some_and(|start| start <= at)
        {
            index = next;
        }
        Some(index)
    }

    /// The first boundary that is number `index` or a later one and lies after `after`. This
    /// is where the period that begins at `after` ends, also when the zone has changed.
    pub fn next_after(
        &self,
        cycle: Cycle,
        index: u32,
        after: Timestamp,
    ) -> Option<(u32, Timestamp)> {
        let mut index = match self.index_at(cycle, after) {
            Some(past) => index.max(past),
            None => index,
        };
        loop {
            let boundary = self.boundary(cycle, index)?;
            if boundary > after {
                return Some((index, boundary));
            }
            index = index.checked_add(1)?;
        }
    }

    /// An index at most a few away from that of `at`: by whole cycles between the local dates.
    fn index_near(&self, cycle: Cycle, at: Timestamp) -> u32 {
        let there = self.zone.local(at).date();
        let here = self.local.date();
        let units = match cycle.unit() {
            CycleUnit::Day => (there - here).num_days(),
            CycleUnit::Week => (there - here).num_weeks(),
            CycleUnit::Month => {
                let months = |date: chrono::NaiveDate| {
                    i64::from(date.year()) * 12 + i64::from(date.month0())
                };
                months(there) - months(here)
            }
            CycleUnit::Year => i64::from(there.year()) - i64::from(here.year()),
        };
        u32::try_from(units / i64::from(cycle.count())).unwrap_or(0)
    }
}
