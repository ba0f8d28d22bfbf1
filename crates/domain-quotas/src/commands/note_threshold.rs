//! Who watches the meters has seen that a percentage of a soft limit is used.

use exchequer_kernel::Ctx;
use exchequer_types::{Quantity, Slug, Timestamp};

use super::rolled;
use crate::{Event, Rejection, State, reaches, timer};

/// Tells that `used` was measured in the window that began at `window_start`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoteThreshold {
    pub feature: Slug,
    /// None: counting never begins anew.
    pub window_start: Option<Timestamp>,
    pub percent: u32,
    pub used: Quantity,
}

impl NoteThreshold {
    /// Nothing happens when it was noted before, belongs to another window, or the limit is
    /// another one by now and the use is below that percentage of it.
    pub(crate) fn decide(&self, state: &State, ctx: &Ctx) -> Result<Vec<Event>, Rejection> {
        let quota = state.quota(&self.feature).ok_or(Rejection::FeatureNotLimited)?;
        let (quota, mut events) = rolled(quota, ctx.now);
        let is_of_window = quota.window.map(|it| it.start) == self.window_start;
        let limit = quota.terms.limit.filter(|limit| reaches(self.used, *limit, self.percent));
        let is_agreed = quota.terms.thresholds.contains(&self.percent);
        let (Some(limit), true, true) = (limit, is_of_window, is_agreed) else {
            return Ok(Vec::new());
        };
        if quota.noted.contains(&self.percent) {
            return Ok(Vec::new());
        }
        events.push(Event::ThresholdReached {
            feature: self.feature.clone(),
            percent: self.percent,
            window: quota.window,
            limit,
            held: self.used,
        });
        events.extend(quota.resets_at().and_then(|end| timer::by(state, end, ctx)));
        Ok(events)
    }
}
