//! The work is not done after all.

use exchequer_kernel::Ctx;

use super::{open, rolled};
use crate::{End, Event, Rejection, State};

/// Frees the units of a reservation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Release {
    /// Of the reservation.
    pub id: String,
}

impl Release {
    /// The same again changes nothing, nor does it when the reservation has expired: its
    /// units are free.
    pub(crate) fn decide(&self, state: &State, ctx: &Ctx) -> Result<Vec<Event>, Rejection> {
        let known = state.reservations.get(&self.id);
        if known.is_some_and(|it| matches!(it.end, Some(End::Released | End::Expired))) {
            return Ok(Vec::new());
        }
        let reservation = open(state, &self.id)?;
        let quota = state.quota(&reservation.feature).ok_or(Rejection::FeatureNotLimited)?;
        let (mut quota, mut events) = rolled(quota, ctx.now);
        quota.reserved = quota.reserved.saturating_sub(reservation.amount);
        events.push(Event::Released {
            id: self.id.clone(),
            feature: reservation.feature.clone(),
            figures: quota.figures(ctx.now),
        });
        Ok(events)
    }
}
