//! Nothing is charged and nothing held for a while. What is unused of the period is
//! given back as the price says.

use exchequer_kernel::Ctx;
use exchequer_types::Timestamp;

use crate::draft::Draft;
use crate::subscription::Subscription;
use crate::{Event, Rejection, check};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pause {
    /// None: until it is resumed by command.
    pub resume_at: Option<Timestamp>,
}

impl Pause {
    pub(crate) fn decide(
        &self,
        subscription: &Subscription,
        ctx: &Ctx,
    ) -> Result<Vec<Event>, Rejection> {
        if subscription.word() != "active" {
            return Err(check::not(subscription, "active"));
        }
        if let Some(at) = self.resume_at {
            check::future(at, ctx.now, "resume_at")?;
        }
        let mut draft = Draft::of(subscription, ctx);
        draft.pause(ctx.now, self.resume_at)?;
        Ok(draft.finish(None))
    }
}
