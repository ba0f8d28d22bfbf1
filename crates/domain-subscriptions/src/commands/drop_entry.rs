//! A scheduled change is not to take place.

use exchequer_kernel::Ctx;

use crate::draft::Draft;
use crate::event::DropReason;
use crate::subscription::Subscription;
use crate::{Event, Rejection};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DropEntry {
    pub id: String,
}

impl DropEntry {
    pub(crate) fn decide(
        &self,
        subscription: &Subscription,
        ctx: &Ctx,
    ) -> Result<Vec<Event>, Rejection> {
        if subscription.entry(&self.id).is_none() {
            return Err(Rejection::EntryNotFound);
        }
        let mut draft = Draft::of(subscription, ctx);
        let id = self.id.clone();
        draft.push(Event::ScheduleDropped { id, why: DropReason::Asked, refusal: None });
        Ok(draft.finish(None))
    }
}
