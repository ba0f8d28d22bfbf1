//! From holdings to lines. Always from the full price of what is held, never from earlier
//! lines, so that the n-th change of a period is as exact as the first.

use exchequer_types::{ComponentKind, Holding, Period, Proration, Timestamp, Zone};

use crate::RatingError;
use crate::line::{Line, LineKind, Part, PartOf, Share};
use crate::prorate::{credits, left};

/// What `holding` costs for one whole cycle, in minor units.
pub fn price(holding: &Holding) -> Result<i64, RatingError> {
    parts(holding).try_fold(0_i64, |sum, part| {
        sum.checked_add(part.full_amount()?).ok_or(RatingError::Overflow)
    })
}

/// The charges for the whole of `period`: a start, a renewal, or a change to another cycle.
pub fn full(holding: &Holding, period: Period) -> Result<Vec<Line>, RatingError> {
    let share = Share { policy: holding.offer.proration, num: 1, den: 1 };
    price(holding)?;
    lines(LineKind::Charge, parts(holding), period, share)
}

/// The credits for what is left of `period` at `at`, when `holding` ends or pauses there.
/// Nothing by the policies none and full.
pub fn unused(
    holding: &Holding,
    at: Timestamp,
    period: Period,
    zone: Zone,
) -> Result<Vec<Line>, RatingError> {
    let policy = holding.offer.proration;
    let share = left(policy, at, period, zone)?;
    if !credits(policy) {
        return Ok(Vec::new());
    }
    lines(LineKind::Credit, parts(holding), Period { start: at, end: period.end }, share)
}

/// The credits for the unused part of `old` and the charges for the rest of `new`, when one
/// follows the other at `at` and the period stays. It goes by the policy of what is changed
/// to; a price that gives nothing back is not credited. Parts that stay the same have no line.
pub fn change(
    old: &Holding,
    new: &Holding,
    at: Timestamp,
    period: Period,
    zone: Zone,
) -> Result<Vec<Line>, RatingError> {
    let (held, wanted) = (old.offer.currency, new.offer.currency);
    if held != wanted {
        return Err(RatingError::CurrencyMismatch { held, wanted });
    }
    let (held, wanted) = (old.offer.cycle, new.offer.cycle);
    if held != wanted {
        return Err(RatingError::CycleMismatch { held, wanted });
    }
    let policy = new.offer.proration;
    let share = left(policy, at, period, zone)?;
    let rest = Period { start: at, end: period.end };
    price(new)?;
    match policy {
        Proration::None => Ok(Vec::new()),
        Proration::Full => lines(LineKind::Charge, added(old, new), rest, share),
        Proration::BySecond | Proration::ByDay if credits(old.offer.proration) => {
            let mut all = lines(LineKind::Credit, differing(old, new), rest, share)?;
            all.extend(lines(LineKind::Charge, differing(new, old), rest, share)?);
            Ok(all)
        }
        Proration::BySecond | Proration::ByDay => lines(LineKind::Charge, parts(new), rest, share),
    }
}

/// What of `new` was not held before, by the policy full: of the same price only what is
/// more, of another price all.
pub(crate) fn added<'a>(old: &'a Holding, new: &'a Holding) -> impl Iterator<Item = Part<'a>> {
    let is_same = is_same_price(old, new);
    parts(new).map(move |part| {
        let held = twin(&part, old, is_same).filter(|_| is_same).map_or(0, |it| it.quantity);
        Part { quantity: part.quantity.saturating_sub(held), ..part }
    })
}

/// The parts of `one` that `other` does not hold just so.
fn differing<'a>(one: &'a Holding, other: &'a Holding) -> impl Iterator<Item = Part<'a>> {
    let is_same = is_same_price(one, other);
    parts(one).filter(move |part| {
        twin(part, other, is_same).is_none_or(|twin| twin.quantity != part.quantity)
    })
}

/// The part of `holding` that is the same thing at the same amount as `part`.
fn twin<'a>(part: &Part<'_>, holding: &'a Holding, is_same_price: bool) -> Option<Part<'a>> {
    parts(holding).find(|it| match (it.of, part.of) {
        (PartOf::Component(..), PartOf::Component(..)) => is_same_price && it.of == part.of,
        (PartOf::AddOn(_), PartOf::AddOn(_)) => {
            it.of == part.of && it.unit_amount == part.unit_amount
        }
        _ => false,
    })
}

/// Whether both are held at the same price of the same plan.
fn is_same_price(one: &Holding, other: &Holding) -> bool {
    let (one, other) = (&one.offer, &other.offer);
    one.plan == other.plan && one.price == other.price && one.components == other.components
}

pub(crate) fn parts(holding: &Holding) -> impl Iterator<Item = Part<'_>> {
    let components = holding.offer.components.iter().enumerate().map(|(index, it)| Part {
        of: PartOf::Component(index, it.kind),
        quantity: match it.kind {
            ComponentKind::Flat => 1,
            ComponentKind::PerSeat => holding.seats,
        },
        unit_amount: it.amount,
    });
    let add_ons = holding.add_ons.iter().map(|it| Part {
        of: PartOf::AddOn(&it.offer.add_on),
        quantity: it.quantity,
        unit_amount: it.offer.amount,
    });
    components.chain(add_ons)
}

fn lines<'a>(
    kind: LineKind,
    parts: impl Iterator<Item = Part<'a>>,
    service: Period,
    share: Share,
) -> Result<Vec<Line>, RatingError> {
    parts.filter_map(|part| part.line(kind, service, share).transpose()).collect()
}
