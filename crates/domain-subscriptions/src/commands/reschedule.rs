//! When a scheduled change takes place.

use exchequer_kernel::Ctx;

use crate::draft::Draft;
use crate::subscription::{ScheduleAt, Subscription, When};
use crate::{Event, Rejection, check};

/// The entry keeps its place in the order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reschedule {
    pub id: String,
    pub at: ScheduleAt,
}

impl Reschedule {
    pub(crate) fn decide(
        &self,
        subscription: &Subscription,
        ctx: &Ctx,
    ) -> Result<Vec<Event>, Rejection> {
        let entry = subscription.entry(&self.id).ok_or(Rejection::EntryNotFound)?;
        let when = match self.at {
            ScheduleAt::PeriodEnd => When::PeriodEnd,
            ScheduleAt::Instant(at) => When::At(at),
        };
        check::schedule(subscription, when, ctx.now)?;
        check::before_end(subscription, self.at)?;
        check::trial(subscription, &entry.holding, subscription.due_of(self.at))?;
        if entry.at == self.at {
            return Err(Rejection::Unchanged);
        }
        let mut draft = Draft::of(subscription, ctx);
        draft.push(Event::ScheduleMoved { id: self.id.clone(), at: self.at });
        Ok(draft.finish(None))
    }
}
