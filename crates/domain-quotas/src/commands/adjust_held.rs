//! Units that were used are free again: a file was deleted, a seat was given up.

use exchequer_kernel::Ctx;
use exchequer_types::{Quantity, Slug};

use super::rolled;
use crate::rejection::REASON_CHARS_MAX;
use crate::{Event, Rejection, State, reaches};

/// Frees `units` of what was finalised.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdjustHeld {
    pub feature: Slug,
    pub units: u64,
    pub reason: String,
}

impl AdjustHeld {
    pub(crate) fn decide(&self, state: &State, ctx: &Ctx) -> Result<Vec<Event>, Rejection> {
        let fits = (1..=REASON_CHARS_MAX).contains(&self.reason.chars().count());
        if !fits || self.reason.chars().any(char::is_control) {
            return Err(Rejection::ReasonInvalid);
        }
        let quota = state.quota(&self.feature).ok_or(Rejection::FeatureNotLimited)?;
        let (mut quota, mut events) = rolled(quota, ctx.now);
        if !(1..=quota.used).contains(&self.units) {
            return Err(Rejection::UnitsInvalid { used: quota.used });
        }
        quota.used -= self.units;
        // Without a window nothing else makes it news again that a percentage is reached.
        if quota.window.is_none()
            && !quota.terms.is_metered()
            && let Some(limit) = quota.terms.limit
        {
            let held = Quantity::whole(quota.held());
            quota.noted.retain(|percent| reaches(held, limit, *percent));
        }
        events.push(Event::Adjusted {
            feature: self.feature.clone(),
            units: self.units,
            reason: self.reason.clone(),
            figures: quota.figures(ctx.now),
            noted: quota.noted,
        });
        Ok(events)
    }
}
