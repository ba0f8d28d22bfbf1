//! The work is done, and has used so much.

use exchequer_kernel::Ctx;

use super::{conflict, open, rolled, thresholds};
use crate::{End, Event, Rejection, State, timer};

/// Counts units of a reservation as used and frees the rest. They count in the window in
/// which this is decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finalise {
    /// Of the reservation.
    pub id: String,
    /// None: all that was reserved.
    pub amount: Option<u64>,
}

impl Finalise {
    /// The same again changes nothing.
    pub(crate) fn decide(&self, state: &State, ctx: &Ctx) -> Result<Vec<Event>, Rejection> {
        if let Some(known) = state.reservations.get(&self.id)
            && let Some(End::Finalised { amount }) = known.end
        {
            let is_same = self.amount.unwrap_or(known.amount) == amount;
            return if is_same { Ok(Vec::new()) } else { Err(conflict(known, known.end)) };
        }
        let reservation = open(state, &self.id)?;
        let amount = self.amount.unwrap_or(reservation.amount);
        if amount > reservation.amount {
            return Err(Rejection::AmountInvalid { min: 0, max: reservation.amount });
        }
        let quota = state.quota(&reservation.feature).ok_or(Rejection::FeatureNotLimited)?;
        let (mut quota, mut events) = rolled(quota, ctx.now);
        quota.reserved = quota.reserved.saturating_sub(reservation.amount);
        quota.used = quota.used.saturating_add(amount);
        events.push(Event::Finalised {
            id: self.id.clone(),
            feature: reservation.feature.clone(),
            amount,
            figures: quota.figures(ctx.now),
        });
        // Of a reservation of an earlier window it is news that it counts in this one.
        let told = events.len();
        events.extend(thresholds(&quota));
        let end = quota.resets_at().filter(|_| events.len() > told || quota.is_active());
        events.extend(end.and_then(|end| timer::by(state, end, ctx)));
        Ok(events)
    }
}
