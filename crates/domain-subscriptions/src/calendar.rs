//! Where the parts of a life begin and end. None everywhere: behind the last date
//! there is.

use exchequer_types::{Anchor, Cycle, CycleUnit, Timestamp, Zone};

use crate::subscription::{Counted, LifePeriod, PeriodKind, Subscription};

/// A paid period from `start`, which is the anchor of all that follow.
pub(crate) fn anchored(
    index: u32,
    start: Timestamp,
    cycle: Cycle,
    zone: Zone,
) -> Option<LifePeriod> {
    paid(index, start, Anchor::of(start, zone), cycle, 1)
}

/// The paid period behind the current one, in the zone that holds now. A price of
/// another cycle has an anchor of its own.
pub(crate) fn next(subscription: &Subscription, start: Timestamp) -> Option<LifePeriod> {
    let index = subscription.period.index.checked_add(1)?;
    let (cycle, zone) = (subscription.holding.offer.cycle, subscription.zone);
    match subscription.period.counted {
        Some(counted) if counted.cycle == cycle => {
            let boundary = counted.boundary.checked_add(1)?;
            paid(index, start, counted.anchor.in_zone(zone), cycle, boundary)
        }
        _ => anchored(index, start, cycle, zone),
    }
}

/// A trial of so many local days.
pub(crate) fn trial(start: Timestamp, days: u32, zone: Zone) -> Option<LifePeriod> {
    let cycle = Cycle::new(CycleUnit::Day, days).ok()?;
    let (_, end) = Anchor::of(start, zone).next_after(cycle, 1, start)?;
    Some(LifePeriod { index: 0, kind: PeriodKind::Trial, start, end: Some(end), counted: None })
}

fn paid(
    index: u32,
    start: Timestamp,
    anchor: Anchor,
    cycle: Cycle,
    boundary: u32,
) -> Option<LifePeriod> {
    let (boundary, end) = anchor.next_after(cycle, boundary, start)?;
    let counted = Some(Counted { anchor, cycle, boundary });
    Some(LifePeriod { index, kind: PeriodKind::Paid, start, end: Some(end), counted })
}
