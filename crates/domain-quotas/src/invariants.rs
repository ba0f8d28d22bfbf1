//! Invariants by number: one pure predicate each, computed another way than what
//! they judge.

use std::collections::BTreeMap;

use exchequer_kernel::invariant::Broken;
use exchequer_types::Slug;

use crate::event::Event;
use crate::reservations::{ENDED_MAX, RESERVATIONS_MAX};
use crate::state::{QUOTAS_MAX, State};

/// All that hold for a state.
pub fn check(state: &State) -> Result<(), Broken> {
    adds_up(state)?;
    is_timed(state)?;
    is_bounded(state)
}

/// QUO-1: what is reserved of a feature is the sum of its open reservations.
pub fn adds_up(state: &State) -> Result<(), Broken> {
    let mut sums: BTreeMap<&Slug, u64> = BTreeMap::new();
    for it in state.reservations.iter().filter(|it| it.end.is_none()) {
        *sums.entry(&it.feature).or_default() += it.amount;
    }
    let stated = state.quotas().filter(|it| it.reserved > 0);
    let stated: BTreeMap<&Slug, u64> = stated.map(|it| (&it.feature, it.reserved)).collect();
    if sums == stated {
        return Ok(());
    }
    Err(Broken { name: "QUO-1", detail: format!("{stated:?} is stated, {sums:?} is reserved") })
}

/// QUO-2: a timer is pending at or before everything that ends by itself.
pub fn is_timed(state: &State) -> Result<(), Broken> {
    let due = state.timer.as_ref().map(|it| it.due);
    let is_early = |at| due.is_some_and(|due| due <= at);
    let late = state.reservations.open().find(|it| !is_early(it.expires_at));
    if let Some(late) = late {
        let detail =
            format!("{} expires at {}, the timer is due at {due:?}", late.id, late.expires_at);
        return Err(Broken { name: "QUO-2", detail });
    }
    let has_news = state.quotas().filter(|it| it.used > 0 || !it.noted.is_empty());
    for quota in has_news {
        if let Some(window) = quota.window
            && !is_early(window.end)
        {
            let detail = format!(
                "{} begins anew at {}, the timer is due at {due:?}",
                quota.feature, window.end
            );
            return Err(Broken { name: "QUO-2", detail });
        }
    }
    Ok(())
}

/// QUO-3: quotas and reservations are no more than their bounds.
pub fn is_bounded(state: &State) -> Result<(), Broken> {
    let open = state.reservations.open().count();
    let ended = state.reservations.iter().count() - open;
    let fits = open <= RESERVATIONS_MAX
        && ended <= ENDED_MAX
        && state.quotas().len() <= QUOTAS_MAX
        && (open, ended) == (state.reservations.open_count(), state.reservations.ended_count());
    if fits {
        return Ok(());
    }
    let quotas = state.quotas().len();
    Err(Broken { name: "QUO-3", detail: format!("{open} open, {ended} ended, {quotas} quotas") })
}

/// QUO-4: what is held of a hard quota exceeds its limit, with what it allows for bursts,
/// only when the limit was lowered, never by a reservation. `after` is the state behind `event`.
pub fn is_covered(after: &State, event: &Event) -> Result<(), Broken> {
    let Event::Reserved { id, feature, .. } = event else { return Ok(()) };
    let Some(quota) = after.quota(feature) else {
        return Err(Broken { name: "QUO-4", detail: format!("{id}: {feature} has no quota") });
    };
    let limit = quota.terms.limit.filter(|_| quota.terms.is_hard());
    let held = u128::from(quota.used) + u128::from(quota.reserved);
    match limit {
        Some(limit) if held > u128::from(limit) + u128::from(quota.terms.burst()) => Err(Broken {
            name: "QUO-4",
            detail: format!("{id}: {held} units of {feature} are held, the limit is {limit}"),
        }),
        _ => Ok(()),
    }
}
