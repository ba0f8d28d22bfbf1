//! The subscription ends, now or later.

use exchequer_kernel::Ctx;

use crate::draft::Draft;
use crate::event::DropReason;
use crate::subscription::{Cancellation, EndReason, ScheduleAt, Subscription, When};
use crate::{Event, Rejection, check};

/// What is unused is given back as the price says. Changes that are scheduled for then
/// or later are dropped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cancel {
    pub when: When,
    /// Kept as given, maybe empty.
    pub reason: String,
}

impl Cancel {
    pub(crate) fn decide(
        &self,
        subscription: &Subscription,
        ctx: &Ctx,
    ) -> Result<Vec<Event>, Rejection> {
        let at = check::schedule(subscription, self.when, ctx.now)?;
        check::reason(&self.reason)?;
        let reason = self.reason.clone();
        let mut draft = Draft::of(subscription, ctx);
        match at {
            None => draft.end(ctx.now, EndReason::Cancelled { reason })?,
            Some(at) => {
                let cancellation = Cancellation { at, reason };
                if subscription.cancellation.as_ref() == Some(&cancellation) {
                    return Err(Rejection::Unchanged);
                }
                let reason = cancellation.reason;
                draft.push(Event::CancellationScheduled { at, reason });
                for id in later(subscription, at) {
                    let why = DropReason::Cancelled;
                    draft.push(Event::ScheduleDropped { id, why, refusal: None });
                }
            }
        }
        Ok(draft.finish(None))
    }
}

/// Entries that are not due before the end at `at`.
fn later(subscription: &Subscription, at: ScheduleAt) -> Vec<String> {
    let ends_at = subscription.due_of(at);
    let is_later = |due| ends_at.is_some_and(|ends_at| due >= ends_at);
    let entries = subscription.schedule.iter();
    let later = entries.filter(|it| subscription.due_of(it.at).is_none_or(is_later));
    later.map(|it| it.id.clone()).collect()
}
