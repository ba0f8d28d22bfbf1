//! What a scheduled change is to hold.

use std::sync::Arc;

use exchequer_kernel::Ctx;
use exchequer_types::{Asked, Exceeded, Holding};

use crate::draft::Draft;
use crate::subscription::Subscription;
use crate::{Event, Rejection, check};

/// The entry keeps its time and its place in the order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Amend {
    pub id: String,
    /// All that is to be held.
    pub holding: Holding,
    /// What of it was asked for now.
    pub asked: Asked,
    /// Limits of it that are below what is used now.
    pub exceeded: Vec<Exceeded>,
}

impl Amend {
    pub(crate) fn decide(
        &self,
        subscription: &Subscription,
        ctx: &Ctx,
    ) -> Result<Vec<Event>, Rejection> {
        let entry = subscription.entry(&self.id).ok_or(Rejection::EntryNotFound)?;
        let due = subscription.due_of(entry.at);
        check::change(subscription, &self.holding, &entry.holding, &self.exceeded, due)?;
        let mut draft = Draft::of(subscription, ctx);
        let holding = Arc::new(self.holding.clone());
        let asked = entry.asked.or(self.asked);
        draft.push(Event::ScheduleAmended { id: self.id.clone(), asked, holding });
        Ok(draft.finish(None))
    }
}
