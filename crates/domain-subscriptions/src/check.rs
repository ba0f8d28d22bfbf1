//! What several commands ask of a holding, an instant or a text.

use core::time::Duration;

use exchequer_types::{Downgrade, Exceeded, Holding, Timestamp};

use crate::rejection::{
    ADD_ONS_MAX, PACKS_MAX, PRICE_MAX, REASON_CHARS_MAX, SCHEDULE_AHEAD_DAYS_MAX,
    SCHEDULE_ENTRIES_MAX, SEATS_MAX,
};
use crate::subscription::{ScheduleAt, Status, Subscription, When};
use crate::{Rejection, State};

/// The subscription, if there is one that has not ended.
pub(crate) fn running(state: &State) -> Result<&Subscription, Rejection> {
    let it = state.current.as_ref().ok_or(Rejection::NotFound)?;
    if it.is_ended() { Err(not(it, "trialing, active, cancelled or paused")) } else { Ok(it) }
}

/// It is in a state that the command is not for.
pub(crate) fn not(subscription: &Subscription, wanted: &'static str) -> Rejection {
    Rejection::StateInvalid { state: subscription.word(), wanted }
}

/// May so much be held?
pub(crate) fn holding(holding: &Holding) -> Result<(), Rejection> {
    let offer = &holding.offer;
    let seats_min = offer.seats_min.max(1);
    if holding.seats < seats_min {
        return Err(Rejection::SeatsTooFew { seats_min });
    }
    let seats_max = offer.seats_max.map_or(SEATS_MAX, |it| it.min(SEATS_MAX));
    if holding.seats > seats_max {
        return Err(Rejection::SeatsTooMany { seats_max });
    }
    if holding.add_ons.len() > ADD_ONS_MAX {
        return Err(Rejection::AddOnsTooMany);
    }
    for (index, it) in holding.add_ons.iter().enumerate() {
        let add_on = &it.offer.add_on;
        let is_again =
            holding.add_ons.iter().take(index).any(|other| other.offer.add_on == *add_on);
        if it.quantity == 0 || it.quantity > PACKS_MAX || is_again {
            return Err(Rejection::PacksInvalid { add_on: add_on.clone() });
        }
    }
    match exchequer_rating::price(holding) {
        Ok(price) if price <= PRICE_MAX => Ok(()),
        _ => Err(Rejection::PriceTooLarge),
    }
}

/// May `subscription` change to `wanted`, in place of `instead`, at `due` (None: not known
/// yet)?
pub(crate) fn change(
    subscription: &Subscription,
    wanted: &Holding,
    instead: &Holding,
    exceeded: &[Exceeded],
    due: Option<Timestamp>,
) -> Result<(), Rejection> {
    let currency = subscription.holding.offer.currency;
    if wanted.offer.currency != currency {
        return Err(Rejection::CurrencyFixed { currency });
    }
    holding(wanted)?;
    trial(subscription, wanted, due)?;
    if wanted == instead {
        return Err(Rejection::Unchanged);
    }
    if is_refused(wanted, exceeded) {
        return Err(Rejection::DowngradeRefused { exceeded: exceeded.to_vec() });
    }
    Ok(())
}

/// Does the plan of `wanted` refuse a change to it while these limits are exceeded?
pub(crate) fn is_refused(wanted: &Holding, exceeded: &[Exceeded]) -> bool {
    wanted.offer.downgrade == Downgrade::Refuse && !exceeded.is_empty()
}

/// A trial does not go on with a plan that has none so long.
pub(crate) fn trial(
    subscription: &Subscription,
    wanted: &Holding,
    due: Option<Timestamp>,
) -> Result<(), Rejection> {
    let days_max = wanted.offer.trial_days_max;
    let is_within = subscription.status == Status::Trialing
        && due.zip(subscription.period.end).is_some_and(|(due, end)| due < end);
    if is_within && days_max < subscription.trial_days {
        return Err(Rejection::TrialRuns { days: subscription.trial_days, days_max });
    }
    Ok(())
}

/// When something is to take place that the caller wants `when`; None: now.
pub(crate) fn schedule(
    subscription: &Subscription,
    when: When,
    now: Timestamp,
) -> Result<Option<ScheduleAt>, Rejection> {
    match when {
        When::Now => Ok(None),
        When::PeriodEnd if subscription.status == Status::Paused => Err(Rejection::PausedPeriodEnd),
        When::PeriodEnd => Ok(Some(ScheduleAt::PeriodEnd)),
        When::At(at) => future(at, now, "when").map(|()| Some(ScheduleAt::Instant(at))),
    }
}

/// Is there a place in the schedule for an entry at `at`, before the subscription ends?
pub(crate) fn before_end(subscription: &Subscription, at: ScheduleAt) -> Result<(), Rejection> {
    let Some(cancellation) = &subscription.cancellation else { return Ok(()) };
    let ends_at = subscription.due_of(cancellation.at);
    let is_before = match (subscription.due_of(at), ends_at) {
        (Some(at), Some(ends_at)) => at < ends_at,
        // Behind the pause, whose end nobody knows.
        (None, Some(_)) => false,
        (_, None) => true,
    };
    if is_before { Ok(()) } else { Err(Rejection::EndsBefore { ends_at }) }
}

pub(crate) fn has_room(subscription: &Subscription) -> Result<(), Rejection> {
    if subscription.schedule.len() >= SCHEDULE_ENTRIES_MAX {
        return Err(Rejection::ScheduleTooLong);
    }
    Ok(())
}

/// Does `at` lie behind `now`, and not too far?
pub(crate) fn future(at: Timestamp, now: Timestamp, field: &'static str) -> Result<(), Rejection> {
    if at <= now {
        return Err(Rejection::InThePast { field });
    }
    let ahead = Duration::from_secs(SCHEDULE_AHEAD_DAYS_MAX * 86_400);
    if at > now.saturating_add(ahead) {
        return Err(Rejection::OutOfRange { field });
    }
    Ok(())
}

pub(crate) fn reason(reason: &str) -> Result<(), Rejection> {
    let fits = reason.chars().count() <= REASON_CHARS_MAX;
    if fits && !reason.chars().any(char::is_control) {
        Ok(())
    } else {
        Err(Rejection::ReasonInvalid)
    }
}
