//! What is agreed of a feature: how much, what happens beyond it, and when counting begins
//! anew.

use exchequer_types::{Anchor, Cycle, CycleUnit, Period, Slug, Timestamp, Zone};

/// Percentage of a limit at which its holder is told when the catalog names none.
pub const THRESHOLD_DEFAULT: u32 = 80;

/// The first Monday of the epoch, in microseconds: calendar weeks begin on Mondays.
const MONDAY_MICROS: i64 = 4 * 86_400 * 1_000_000;

/// What a tenant is given of a feature. The tenant root makes it of the entitlement and of
/// the feature's definition in the catalog.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    /// Units. None: as much as is wanted.
    pub limit: Option<u64>,
    pub beyond: Beyond,
    /// None: counting never begins anew, as with storage and seats.
    pub counting: Option<Counting>,
    /// What measures the use; None: only reservations are counted.
    pub meter: Option<Slug>,
    /// Percentages of the limit at which its holder is told, ascending.
    pub thresholds: Vec<u32>,
}

/// What happens at a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Beyond {
    /// No more is given: a hard limit.
    #[default]
    Refuse,
    /// More is given: a soft limit.
    Allow,
    /// More is given and billed.
    Bill,
}

/// Counting begins anew at each boundary of `unit` from `anchor`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counting {
    pub unit: CycleUnit,
    pub anchor: Anchor,
}

impl Terms {
    /// Is nothing given beyond the limit?
    pub fn is_hard(&self) -> bool {
        self.beyond == Beyond::Refuse
    }

    /// Is the use measured, and not reserved?
    pub fn is_metered(&self) -> bool {
        !self.is_hard() && self.meter.is_some()
    }
}

impl Beyond {
    pub const ALL: [Self; 3] = [Self::Refuse, Self::Allow, Self::Bill];

    /// As views and audit entries write it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Refuse => "refuse",
            Self::Allow => "allow",
            Self::Bill => "bill",
        }
    }
}

impl Counting {
    /// By the calendar of UTC: days, weeks from Monday, months, years.
    pub fn calendar(unit: CycleUnit) -> Self {
        let micros = if unit == CycleUnit::Week { MONDAY_MICROS } else { 0 };
        let start = Timestamp::saturating_from_micros(micros);
        Self { unit, anchor: Anchor::of(start, Zone::UTC) }
    }

    /// The window that `at` lies in. None: out of the range of dates.
    pub fn window_at(&self, at: Timestamp) -> Option<Period> {
        let cycle = Cycle::new(self.unit, 1).ok()?;
        let index = self.anchor.index_at(cycle, at);
        let start = match index {
            Some(index) => self.anchor.boundary(cycle, index)?,
            // In front of the anchor: the first window is a little longer.
            None => at,
        };
        let next = index.map_or(Some(0), |index| index.checked_add(1))?;
        let (_, end) = self.anchor.next_after(cycle, next, at)?;
        Some(Period { start, end })
    }

    /// Does the other count by the same clock time, maybe in another zone?
    pub(crate) fn is_like(&self, other: &Self) -> bool {
        self.unit == other.unit && self.anchor.local == other.anchor.local
    }
}
