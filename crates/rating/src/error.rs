//! Why something could not be rated.

use core::fmt;

use exchequer_types::{Currency, Cycle, MoneyError, Period, Timestamp};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RatingError {
    /// An amount is more than 64 bits of minor units hold.
    Overflow,
    /// The instant lies before the period or after its end.
    OutsidePeriod { at: Timestamp, period: Period },
    /// The period has no time in it.
    EmptyPeriod { period: Period },
    /// A subscription never changes its currency.
    CurrencyMismatch { held: Currency, wanted: Currency },
    /// A change to another cycle begins a new period; it is an end and a full charge.
    CycleMismatch { held: Cycle, wanted: Cycle },
}

impl fmt::Display for RatingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Overflow => f.write_str("the amount is more than can be charged"),
            Self::OutsidePeriod { at, period } => {
                write!(f, "{at} does not lie between {} and {}", period.start, period.end)
            }
            Self::EmptyPeriod { period } => {
                write!(f, "the period from {} to {} is empty", period.start, period.end)
            }
            Self::CurrencyMismatch { held, wanted } => {
                write!(f, "what is held is charged in {held}, not in {wanted}")
            }
            Self::CycleMismatch { held, wanted } => {
                write!(f, "what is held is charged every {held}, not every {wanted}")
            }
        }
    }
}

impl core::error::Error for RatingError {}

impl From<MoneyError> for RatingError {
    /// Rating divides by checked periods only, so what is left is overflow.
    fn from(_: MoneyError) -> Self {
        Self::Overflow
    }
}
