//! Something else is to be held, now or later.

use std::sync::Arc;

use exchequer_kernel::Ctx;
use exchequer_types::{Asked, Exceeded, Holding};

use crate::draft::Draft;
use crate::subscription::{Subscription, When};
use crate::{Event, Rejection, check};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// All that is to be held.
    pub holding: Holding,
    /// What of it was asked for.
    pub asked: Asked,
    pub when: When,
    /// Limits of it that are below what is used now.
    pub exceeded: Vec<Exceeded>,
}

impl Change {
    pub(crate) fn decide(
        &self,
        subscription: &Subscription,
        ctx: &Ctx,
    ) -> Result<Vec<Event>, Rejection> {
        let at = check::schedule(subscription, self.when, ctx.now)?;
        let due = at.map_or(Some(ctx.now), |at| subscription.due_of(at));
        if let Some(at) = at {
            check::before_end(subscription, at)?;
        }
        let instead = match (at, due) {
            (Some(_), Some(due)) => subscription.held_at(due),
            _ => &subscription.holding,
        };
        check::change(subscription, &self.holding, instead, &self.exceeded, due)?;
        let holding = Arc::new(self.holding.clone());
        let mut draft = Draft::of(subscription, ctx);
        match at {
            None => draft.change(&holding, None, ctx.now)?,
            Some(at) => {
                check::has_room(subscription)?;
                let id = ctx.mint("sch_", 0);
                draft.push(Event::ChangeScheduled { id, at, asked: self.asked, holding });
            }
        }
        Ok(draft.finish(None))
    }
}
