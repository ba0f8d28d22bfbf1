//! Whether the lines of a period net to the price of what was held in it. Tests and the
//! simulation ask this of every period; it shares no code with what makes the lines but the
//! share of the period that is left.

use exchequer_types::{Holding, Period, Proration, Ratio, Timestamp, Zone};

use crate::prorate::{credits, left};
use crate::rate::{added, price};
use crate::{Line, LineKind, RatingError};

/// What was held from an instant on, until the next one.
#[derive(Clone, Copy, Debug)]
pub struct Held<'a> {
    pub from: Timestamp,
    pub holding: &'a Holding,
}

/// What the lines of a period sum to, and what they should.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Net {
    /// Minor units.
    pub charged: i128,
    /// Minor units, exact.
    pub price: Ratio,
    pub lines: u64,
    /// Lines whose own working is wrong.
    pub wrong: u64,
}

impl Net {
    /// Whether each line is right, and they sum to the price within half a minor unit for each
    /// of them, which is what rounding each line once can be off.
    pub fn is_right(&self) -> bool {
        if self.wrong > 0 {
            return false;
        }
        let Some(charged) = self.charged.checked_mul(self.price.den()) else { return false };
        let Some(off) = charged.checked_sub(self.price.num()) else { return false };
        let twice = off.checked_abs().and_then(|off| off.checked_mul(2));
        let bound = i128::from(self.lines).checked_mul(self.price.den());
        matches!((twice, bound), (Some(twice), Some(bound)) if twice <= bound)
    }
}

/// Compares the `lines` of `period` with the price of what was held in it.
pub fn net(
    history: &[Held<'_>],
    until: Timestamp,
    period: Period,
    zone: Zone,
    lines: &[Line],
) -> Result<Net, RatingError> {
    let charged = lines.iter().map(|line| i128::from(line.amount)).sum();
    let price = held_price(history, until, period, zone)?;
    let count = |lines: usize| u64::try_from(lines).unwrap_or(u64::MAX);
    let wrong = lines.iter().filter(|line| !is_line_right(line, period, zone)).count();
    Ok(Net { charged, price, lines: count(lines.len()), wrong: count(wrong) })
}

/// Whether the line's amount is what its working gives, and its working is that of `period`.
fn is_line_right(line: &Line, period: Period, zone: Zone) -> bool {
    let is_whole = line.kind == LineKind::Charge && line.from == period.start;
    let is_share = left(line.policy, line.from, period, zone).is_ok_and(|share| {
        u128::from(share.num) * u128::from(line.den) == u128::from(line.num) * u128::from(share.den)
    });
    line.adds_up() && line.to == period.end && (is_share || (is_whole && line.num == line.den))
}

/// The exact price of what was held in `period`, in minor units. `history` begins with what
/// the period was charged for at its start; instants ascend. `until` is the end of the period,
/// or when it was left by a cancellation, a pause or a change to another cycle.
///
/// By second and by day this is the sum of each holding's price by its time in the period.
/// What begins under `none` is not charged in the period; what begins under `full` is charged
/// whole; neither is given back.
pub fn held_price(
    history: &[Held<'_>],
    until: Timestamp,
    period: Period,
    zone: Zone,
) -> Result<Ratio, RatingError> {
    let mut sum = Ratio::ZERO;
    for (index, Held { from, holding }) in history.iter().enumerate() {
        let policy = holding.offer.proration;
        let whole = Ratio::of(price(holding)?);
        let before = index.checked_sub(1).and_then(|index| history.get(index));
        let charged = match (before, policy) {
            (None, _) => whole,
            (_, Proration::None) => Ratio::ZERO,
            (Some(before), Proration::Full) => {
                let more = added(before.holding, holding).try_fold(0_i64, |sum, part| {
                    sum.checked_add(part.full_amount()?).ok_or(RatingError::Overflow)
                });
                Ratio::of(more?)
            }
            (_, Proration::BySecond | Proration::ByDay) => {
                whole.checked_mul(fraction(policy, *from, period, zone)?)?
            }
        };
        sum = sum.checked_add(charged)?;
        let (ended_by, end) = match history.get(index + 1) {
            Some(next) => (next.holding.offer.proration, next.from),
            None => (policy, until),
        };
        if credits(policy) && credits(ended_by) {
            let unused = whole.checked_mul(fraction(ended_by, end, period, zone)?)?;
            sum = sum.checked_sub(unused)?;
        }
    }
    Ok(sum)
}

/// What is left of `period` at `at`, as a fraction of it.
fn fraction(
    policy: Proration,
    at: Timestamp,
    period: Period,
    zone: Zone,
) -> Result<Ratio, RatingError> {
    let share = left(policy, at, period, zone)?;
    Ok(Ratio::new(i128::from(share.num), i128::from(share.den))?)
}
