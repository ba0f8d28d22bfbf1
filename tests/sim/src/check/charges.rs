//! SIM-18: what a period was charged is the price of what was held in it, second by
//! second. The sums here share nothing with the code that makes the lines: they
//! are the published rules of each policy, from the history of holdings.

use exchequer_domain_subscriptions::Charge;
use exchequer_rating::{Held, net};
use exchequer_types::{ComponentKind, Holding, Period, Proration, Ratio, Timestamp, Zone};

use super::lives::Part;

/// What does not hold of the charges of one part of a life.
pub(crate) fn check(part: &Part) -> Result<(), String> {
    let lines = || part.charges.iter().flat_map(|charge| &charge.lines);
    for charge in &part.charges {
        check_sums(charge)?;
    }
    let (Some(planned), true) = (part.planned, part.is_paid) else {
        return match part.charges.first() {
            None => Ok(()),
            Some(charge) => Err(format!("{:?} was charged where nothing is", charge.cause)),
        };
    };
    let period = Period { start: part.start, end: planned };
    let until = part.end.unwrap_or(planned);
    let count = lines().count() as i128;
    let charged: i128 = lines().map(|line| i128::from(line.amount)).sum();
    let price = price(part, period, until).ok_or("the price is more than can be told")?;
    // Each line is rounded once, to the nearest minor unit.
    let off = (charged * price.den() - price.num()).abs();
    if 2 * off > count * price.den() {
        return Err(format!(
            "{count} lines sum to {charged}, what was held costs {}/{}: {:?}",
            price.num(),
            price.den(),
            part.told()
        ));
    }
    let history: Vec<Held<'_>> =
        part.held.iter().map(|(from, holding)| Held { from: *from, holding }).collect();
    let lines: Vec<_> = lines().cloned().collect();
    match net(&history, until, period, part.zone, &lines) {
        Ok(net) if net.is_right() && net.price == price => Ok(()),
        told => Err(format!(
            "the published check says {told:?}, the sums here {}/{}: {:?}",
            price.num(),
            price.den(),
            part.told()
        )),
    }
}

fn check_sums(charge: &Charge) -> Result<(), String> {
    let total: i128 = charge.lines.iter().map(|line| i128::from(line.amount)).sum();
    if total != i128::from(charge.total) {
        return Err(format!("the lines of {} sum to {total}, not {}", charge.id, charge.total));
    }
    match charge.lines.iter().find(|line| !line.adds_up()) {
        None if charge.lines.is_empty() => Err(format!("{} has no lines", charge.id)),
        None => Ok(()),
        Some(line) => Err(format!("the working of a line of {} is wrong: {line:?}", charge.id)),
    }
}

/// The exact price of what was held, in minor units.
fn price(part: &Part, period: Period, until: Timestamp) -> Option<Ratio> {
    let policy = |holding: &Holding| holding.offer.proration;
    if part.held.iter().all(|(_, holding)| policy(holding) == Proration::BySecond) {
        return by_second(part, period, until);
    }
    let (_, first) = part.held.first()?;
    let mut sum = Ratio::of(full(first)?);
    for pair in part.held.windows(2) {
        let ((_, old), (at, new)) = (&pair[0], &pair[1]);
        let more = match policy(new) {
            Proration::None => Ratio::ZERO,
            Proration::Full => Ratio::of(added(old, new)?),
            way => {
                let rest = rest(way, *at, period, part.zone)?;
                let credit = if gives_back(old) { full(old)? } else { 0 };
                rest.checked_mul(Ratio::of(full(new)?.checked_sub(credit)?)).ok()?
            }
        };
        sum = sum.checked_add(more).ok()?;
    }
    let (_, last) = part.held.last()?;
    if until < period.end && gives_back(last) {
        let rest = rest(policy(last), until, period, part.zone)?;
        sum = sum.checked_sub(rest.checked_mul(Ratio::of(full(last)?)).ok()?).ok()?;
    }
    Some(sum)
}

/// Each second costs the price of what is held in it, divided by the period's seconds.
fn by_second(part: &Part, period: Period, until: Timestamp) -> Option<Ratio> {
    let seconds = |from: Timestamp, to: Timestamp| {
        to.micros().div_euclid(1_000_000) - from.micros().div_euclid(1_000_000)
    };
    let all = seconds(period.start, period.end);
    let Some((_, last)) = part.held.last().filter(|_| all == 0) else {
        let ends = part.held.iter().skip(1).map(|(from, _)| *from).chain([until]);
        let sum = part.held.iter().zip(ends).try_fold(0_i128, |sum, ((from, holding), to)| {
            let seconds = i128::from(seconds(*from, to));
            sum.checked_add(i128::from(full(holding)?).checked_mul(seconds)?)
        })?;
        return Ratio::new(sum, i128::from(all)).ok();
    };
    // Within one second nothing has passed: what is held last is what is paid for.
    Some(Ratio::of(if until < period.end { 0 } else { full(last)? }))
}

fn gives_back(holding: &Holding) -> bool {
    matches!(holding.offer.proration, Proration::BySecond | Proration::ByDay)
}

/// How much of the period is left.
fn rest(way: Proration, at: Timestamp, period: Period, zone: Zone) -> Option<Ratio> {
    let count = |from: Timestamp, to: Timestamp| match way {
        Proration::ByDay => zone.day_number(to) - zone.day_number(from),
        _ => to.micros().div_euclid(1_000_000) - from.micros().div_euclid(1_000_000),
    };
    let (left, all) = (count(at, period.end), count(period.start, period.end));
    if all == 0 { Some(Ratio::ONE) } else { Ratio::new(left.into(), all.into()).ok() }
}

/// Of one whole cycle, in minor units.
fn full(holding: &Holding) -> Option<i64> {
    let components = holding.offer.components.iter().map(|it| match it.kind {
        ComponentKind::Flat => Some(it.amount),
        ComponentKind::PerSeat => it.amount.checked_mul(i64::try_from(holding.seats).ok()?),
    });
    let add_ons = holding
        .add_ons
        .iter()
        .map(|it| it.offer.amount.checked_mul(i64::try_from(it.quantity).ok()?));
    components.chain(add_ons).try_fold(0_i64, |sum, it| sum.checked_add(it?))
}

/// What of `new` was not held before: of the same price what is more, else all.
fn added(old: &Holding, new: &Holding) -> Option<i64> {
    let (was, is) = (&old.offer, &new.offer);
    if was.plan != is.plan || was.price != is.price || was.components != is.components {
        return full(new);
    }
    let mut sum = 0_i64;
    for it in &is.components {
        if it.kind == ComponentKind::PerSeat {
            let more = i64::try_from(new.seats.saturating_sub(old.seats)).ok()?;
            sum = sum.checked_add(it.amount.checked_mul(more)?)?;
        }
    }
    for it in &new.add_ons {
        let held = old.add_ons.iter().find(|had| had.offer == it.offer);
        let more = it.quantity.saturating_sub(held.map_or(0, |had| had.quantity));
        sum = sum.checked_add(it.offer.amount.checked_mul(i64::try_from(more).ok()?)?)?;
    }
    Some(sum)
}
