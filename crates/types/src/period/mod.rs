//! The calendar of subscriptions: how often a price is charged, from when to when, and in
//! which time zone. `docs/reference/calendar.md` shows the hard cases.

mod anchor;
mod per;
mod zone;

pub use anchor::Anchor;
pub use per::Per;
pub use zone::Zone;

use core::fmt;

use crate::Timestamp;

/// What a cycle is counted in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CycleUnit {
    Day,
    Week,
    Month,
    Year,
}

/// How often a price is charged: every `count` units.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cycle {
    unit: CycleUnit,
    count: u32,
}

/// From `start` up to, and without, `end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Period {
    pub start: Timestamp,
    pub end: Timestamp,
}

/// Why a cycle was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CycleError {
    /// None of a unit, or more than `count_max`.
    OutOfRange { unit: CycleUnit, count_max: u32 },
    /// Not of the form `month` or `3 months`.
    Malformed,
}

impl fmt::Display for CycleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OutOfRange { unit, count_max } => {
                write!(f, "must be 1 to {count_max} {}s", unit.as_str())
            }
            Self::Malformed => f.write_str("must be of the form month, 3 months, year or 14 days"),
        }
    }
}

impl core::error::Error for CycleError {}

impl CycleUnit {
    pub const ALL: [Self; 4] = [Self::Day, Self::Week, Self::Month, Self::Year];

    /// Its name, which is stored and never changes.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Day => "day",
            Self::Week => "week",
            Self::Month => "month",
            Self::Year => "year",
        }
    }

    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.as_str() == name)
    }

    /// The most of them that a cycle can have.
    pub const fn count_max(self) -> u32 {
        match self {
            Self::Day => 366,
            Self::Week => 53,
            Self::Month => 36,
            Self::Year => 3,
        }
    }
}

impl Cycle {
    pub const MONTH: Self = Self { unit: CycleUnit::Month, count: 1 };
    pub const YEAR: Self = Self { unit: CycleUnit::Year, count: 1 };

    /// 1 to 366 days, 53 weeks, 36 months or 3 years.
    pub const fn new(unit: CycleUnit, count: u32) -> Result<Self, CycleError> {
        let count_max = unit.count_max();
        if count == 0 || count > count_max {
            return Err(CycleError::OutOfRange { unit, count_max });
        }
        Ok(Self { unit, count })
    }

    /// Reads `month`, `1 month` or `3 months`.
    pub fn parse(text: &str) -> Result<Self, CycleError> {
        let (count, unit) = text.split_once(' ').unwrap_or(("1", text));
        let is_number = !count.is_empty() && count.bytes().all(|it| it.is_ascii_digit());
        let named = CycleUnit::parse(unit.strip_suffix('s').unwrap_or(unit));
        match named {
            // `months` alone, `1 months` and `3 month` are not words.
            Some(named) if is_number && unit.ends_with('s') == (count != "1") => {
                Self::new(named, count.parse().unwrap_or(u32::MAX))
            }
            _ => Err(CycleError::Malformed),
        }
    }

    pub const fn unit(self) -> CycleUnit {
        self.unit
    }

    /// At least 1.
    pub const fn count(self) -> u32 {
        self.count
    }
}

/// `month`, `3 months`
impl fmt::Display for Cycle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.count {
            1 => f.write_str(self.unit.as_str()),
            count => write!(f, "{count} {}s", self.unit.as_str()),
        }
    }
}

impl Period {
    pub fn contains(&self, at: Timestamp) -> bool {
        self.start <= at && at < self.end
    }

    /// How many seconds of the epoch begin after its start, up to its end. Of periods that
    /// abut, the seconds add up.
    pub fn seconds(&self) -> u64 {
        let seconds = |at: Timestamp| at.micros().div_euclid(1_000_000);
        u64::try_from(seconds(self.end) - seconds(self.start)).unwrap_or(0)
    }
}
