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
    /// Nothing happens when it was noted before, belongs to a window that is neither the
    /// present one nor the last before it, or the limit is another one by now and the use is
    /// below that percentage of it.
    pub(crate) fn decide(&self, state: &State, ctx: &Ctx) -> Result<Vec<Event>, Rejection> {
        let quota = state.quota(&self.feature).ok_or(Rejection::FeatureNotLimited)?;
        let (quota, mut events) = rolled(quota, ctx.now);
        let limit = quota.terms.limit.filter(|limit| reaches(self.used, *limit, self.percent));
        let is_agreed = quota.terms.thresholds.contains(&self.percent);
        let (Some(limit), true) = (limit, is_agreed) else { return Ok(Vec::new()) };
        let before = quota.before.as_ref();
        let before = before.filter(|it| Some(it.window.start) == self.window_start);
        let (window, noted) = match before {
            Some(before) => (Some(before.window), &before.noted),
            None => (quota.window, &quota.noted),
        };
        let is_of_window = window.map(|it| it.start) == self.window_start;
        if !is_of_window || noted.contains(&self.percent) {
            return Ok(Vec::new());
        }
        events.push(Event::ThresholdReached {
            feature: self.feature.clone(),
            percent: self.percent,
            window,
            limit,
            held: self.used,
        });
        let end = quota.resets_at().filter(|_| before.is_none() || quota.is_active());
        events.extend(end.and_then(|end| timer::by(state, end, ctx)));
        Ok(events)
    }
}
