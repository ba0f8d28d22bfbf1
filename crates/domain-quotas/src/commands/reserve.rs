//! Units of a feature are set aside before the work that will use them.

use core::time::Duration;

use exchequer_kernel::Ctx;
use exchequer_types::{Slug, Timestamp};

use super::{conflict, rolled, thresholds};
use crate::rejection::{RESERVATION_ID_CHARS_MAX, TTL_SECONDS_MAX, UNITS_MAX};
use crate::reservations::RESERVATIONS_MAX;
use crate::{End, Event, Rejection, State, timer};

/// Sets `amount` units of `feature` aside for `ttl_seconds`. The same id, feature and amount
/// again change nothing while the reservation is open or finalised.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reserve {
    /// Given by the caller, for itself.
    pub id: String,
    pub feature: Slug,
    pub amount: u64,
    pub ttl_seconds: u32,
}

impl Reserve {
    pub(crate) fn decide(&self, state: &State, ctx: &Ctx) -> Result<Vec<Event>, Rejection> {
        self.check()?;
        if let Some(known) = state.reservations.get(&self.id) {
            let is_same = known.feature == self.feature && known.amount == self.amount;
            return match known.end {
                None | Some(End::Finalised { .. }) if is_same => Ok(Vec::new()),
                end => Err(conflict(known, end)),
            };
        }
        let quota = state.quota(&self.feature).ok_or(Rejection::FeatureNotLimited)?;
        if state.reservations.open_count() >= RESERVATIONS_MAX {
            return Err(Rejection::ReservationsTooMany);
        }
        let (mut quota, mut events) = rolled(quota, ctx.now);
        quota.check(self.amount, ctx.now)?;
        quota.reserved += self.amount;
        let expires_at = expiry(ctx.now, self.ttl_seconds);
        events.push(Event::Reserved {
            id: self.id.clone(),
            feature: self.feature.clone(),
            amount: self.amount,
            expires_at,
            figures: quota.figures(ctx.now),
        });
        let told = events.len();
        events.extend(thresholds(&quota));
        // What was told of is to be told of again in the next window.
        let end = quota.resets_at().filter(|_| events.len() > told || quota.is_active());
        let due = end.map_or(expires_at, |end| end.min(expires_at));
        events.extend(timer::by(state, due, ctx));
        Ok(events)
    }

    fn check(&self) -> Result<(), Rejection> {
        let is_visible = self.id.bytes().all(|it| it.is_ascii_graphic());
        if !is_visible || !(1..=RESERVATION_ID_CHARS_MAX).contains(&self.id.len()) {
            return Err(Rejection::ReservationIdInvalid);
        }
        if !(1..=UNITS_MAX).contains(&self.amount) {
            return Err(Rejection::AmountInvalid { min: 1, max: UNITS_MAX });
        }
        if !(1..=TTL_SECONDS_MAX).contains(&self.ttl_seconds) {
            return Err(Rejection::TtlInvalid);
        }
        Ok(())
    }
}

/// Up to a second later than asked for, on a whole one: whatever expires within a second
/// is one timer.
fn expiry(now: Timestamp, seconds: u32) -> Timestamp {
    const SECOND: i64 = 1_000_000;
    let at = now.saturating_add(Duration::from_secs(u64::from(seconds))).micros();
    let rest = at.rem_euclid(SECOND);
    let whole = if rest == 0 { at } else { at.saturating_add(SECOND - rest) };
    Timestamp::saturating_from_micros(whole)
}
