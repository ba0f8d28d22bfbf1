//! The share of a period that is left at an instant, and an amount's part of it.

use exchequer_types::{MoneyError, Period, Proration, Ratio, Timestamp, Zone};

use crate::line::Share;
use crate::{LINE_ROUNDING, RatingError};

/// An amount's part of what is left of a period.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prorated {
    /// Seconds or days that are left; 0 by the policy none, 1 by the policy full.
    pub num: u64,
    /// Seconds or days of the period; 1 by the policies none and full.
    pub den: u64,
    /// What is given back of an amount that was charged for the whole period, negative.
    pub unused: i64,
    /// What is charged of an amount for the whole period.
    pub rest: i64,
}

impl Prorated {
    /// In lowest terms.
    pub fn ratio(&self) -> Result<Ratio, MoneyError> {
        Ratio::new(i128::from(self.num), i128::from(self.den))
    }
}

/// What `policy` credits and charges of `amount`, in minor units, when what it pays for ends
/// or begins at `at`, in `period`. `zone` is the one that the period was begun in; only days
/// depend on it.
pub fn prorate(
    amount: i64,
    policy: Proration,
    at: Timestamp,
    period: Period,
    zone: Zone,
) -> Result<Prorated, RatingError> {
    let Share { num, den, .. } = left(policy, at, period, zone)?;
    let rest = LINE_ROUNDING.scale(amount, num, den)?;
    let unused = match policy {
        Proration::BySecond | Proration::ByDay => {
            rest.checked_neg().ok_or(RatingError::Overflow)?
        }
        Proration::None | Proration::Full => 0,
    };
    Ok(Prorated { num, den, unused, rest })
}

/// Whether the policy gives back what was not used.
pub(crate) fn credits(policy: Proration) -> bool {
    matches!(policy, Proration::BySecond | Proration::ByDay)
}

/// What `policy` counts as left of `period` at `at`.
pub(crate) fn left(
    policy: Proration,
    at: Timestamp,
    period: Period,
    zone: Zone,
) -> Result<Share, RatingError> {
    if period.end <= period.start {
        return Err(RatingError::EmptyPeriod { period });
    }
    if at < period.start || at > period.end {
        return Err(RatingError::OutsidePeriod { at, period });
    }
    let rest = Period { start: at, end: period.end };
    let (num, den) = match policy {
        Proration::BySecond => match period.seconds() {
            // Within one second nothing of it has passed before its end.
            0 => (u64::from(at < period.end), 1),
            seconds => (rest.seconds(), seconds),
        },
        Proration::ByDay => {
            let instant = at;
            let [start, at, end] = [period.start, at, period.end].map(|it| zone.day_number(it));
            // A clock that is put back over midnight shows the date before again, so that `at`
            // may lie on an earlier date than the start, or on a later one than the end.
            let days = |from: i64| u64::try_from(end - from).unwrap_or(0);
            match days(start) {
                // Within one date, which belongs to whatever is held last on it.
                0 => (u64::from(instant < period.end), 1),
                whole => (days(at).min(whole), whole),
            }
        }
        Proration::None => (0, 1),
        Proration::Full => (1, 1),
    };
    Ok(Share { policy, num, den })
}
