//! How often a limit is counted anew.

use super::CycleUnit;

/// Counting begins anew with each of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Per {
    Minute,
    Hour,
    Day,
    Week,
    Month,
    Year,
    /// The period that the subscription is charged for.
    Period,
}

impl Per {
    pub const ALL: [Self; 7] =
        [Self::Minute, Self::Hour, Self::Day, Self::Week, Self::Month, Self::Year, Self::Period];

    /// Its name, which is stored and never changes.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Minute => "minute",
            Self::Hour => "hour",
            Self::Day => "day",
            Self::Week => "week",
            Self::Month => "month",
            Self::Year => "year",
            Self::Period => "period",
        }
    }

    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.as_str() == name)
    }

    /// The unit of the calendar that it is, if it is one.
    pub const fn calendar(self) -> Option<CycleUnit> {
        match self {
            Self::Day => Some(CycleUnit::Day),
            Self::Week => Some(CycleUnit::Week),
            Self::Month => Some(CycleUnit::Month),
            Self::Year => Some(CycleUnit::Year),
            Self::Minute | Self::Hour | Self::Period => None,
        }
    }
}
