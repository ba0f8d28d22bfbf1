//! What is agreed of a feature: how much, what happens beyond it, and when counting begins
//! anew.

use exchequer_types::{Anchor, Cycle, CycleUnit, Period, Slug, Timestamp, Zone};

/// Percentage of a limit at which its holder is told when the catalog names none.
pub const THRESHOLD_DEFAULT: u32 = 80;

/// The first Monday of the epoch, in microseconds: calendar weeks begin on Mondays.
const MONDAY_MICROS: i64 = 4 * 86_400 * 1_000_000;

/// What a tenant is given of a feature. The tenant root makes it of the entitlement and of
/// the feature's definition in the catalog.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Terms {
    /// Units. None: as much as is wanted.
    pub limit: Option<u64>,
    pub beyond: Beyond,
    /// Of the limit, in percent: so much more is given all the same. 0 of a soft limit.
    pub burst_percent: u32,
    /// How long more than the limit may be held until nothing more is given. 0: for ever.
    pub grace_seconds: u32,
    pub refusal: Refusal,
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

/// What somebody is told to do whom a limit refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Refusal {
    /// To wait where waiting helps, else to change the plan.
    #[default]
    Wait,
    /// To change the plan.
    Upgrade,
    /// Nothing: it is not to be had.
    Forbid,
}

/// When counting begins anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counting {
    /// With each minute of UTC.
    Minute,
    /// With each hour of UTC.
    Hour,
    /// At each boundary of `cycle` from `anchor`.
    Calendar { cycle: Cycle, anchor: Anchor },
}

impl Terms {
    /// Is nothing given beyond the limit, and what is allowed for bursts?
    pub fn is_hard(&self) -> bool {
        self.beyond == Beyond::Refuse
    }

    /// Is the use measured, and not reserved?
    pub fn is_metered(&self) -> bool {
        !self.is_hard() && self.meter.is_some()
    }

    /// Units beyond the limit that are given while the grace lasts.
    pub fn burst(&self) -> u64 {
        if !self.is_hard() {
            return u64::MAX;
        }
        let part = u128::from(self.limit.unwrap_or(0)) * u128::from(self.burst_percent) / 100;
        u64::try_from(part).unwrap_or(u64::MAX)
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
        Self::from(unit, Anchor::of(start, Zone::UTC))
    }

    /// At each boundary of `unit` from `anchor`.
    pub fn from(unit: CycleUnit, anchor: Anchor) -> Self {
        let cycle = Cycle::new(unit, 1).unwrap_or(Cycle::MONTH);
        Self::Calendar { cycle, anchor }
    }

    /// `minute`, `month`, `3 months`: as views show it.
    pub fn word(&self) -> String {
        match self {
            Self::Minute => "minute".to_owned(),
            Self::Hour => "hour".to_owned(),
            Self::Calendar { cycle, .. } => cycle.to_string(),
        }
    }

    /// The window that `at` lies in. None: out of the range of dates.
    pub fn window_at(&self, at: Timestamp) -> Option<Period> {
        let (cycle, anchor) = match self {
            Self::Minute => return whole(at, 60),
            Self::Hour => return whole(at, 3_600),
            Self::Calendar { cycle, anchor } => (*cycle, anchor),
        };
        let index = anchor.index_at(cycle, at);
        let start = match index {
            Some(index) => anchor.boundary(cycle, index)?,
            // In front of the anchor: the first window is a little longer.
            None => at,
        };
        let next = index.map_or(Some(0), |index| index.checked_add(1))?;
        let (_, end) = anchor.next_after(cycle, next, at)?;
        Some(Period { start, end })
    }

    /// Does the other count by the same clock time, maybe in another zone?
    pub(crate) fn is_like(&self, other: &Self) -> bool {
        match (self, other) {
            (
                Self::Calendar { cycle, anchor },
                Self::Calendar { cycle: as_often, anchor: from },
            ) => cycle == as_often && anchor.local == from.local,
            (one, other) => one == other,
        }
    }
}

/// So many whole seconds of the epoch around `at`.
fn whole(at: Timestamp, seconds: i64) -> Option<Period> {
    let micros = seconds * 1_000_000;
    let start = at.micros().div_euclid(micros) * micros;
    let end = start.checked_add(micros)?;
    let instant = Timestamp::saturating_from_micros;
    Some(Period { start: instant(start), end: instant(end) })
}
