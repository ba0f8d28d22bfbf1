//! Nothing is charged and nothing held for a while. What is unused of the period is
//! given back as the price says. A pause that runs ends at another instant.

use exchequer_kernel::Ctx;
use exchequer_types::Timestamp;

use crate::draft::Draft;
use crate::subscription::{Status, Subscription};
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
        let is_paused = subscription.status == Status::Paused;
        if subscription.word() != "active" && !is_paused {
            return Err(check::not(subscription, "active or paused"));
        }
        if let Some(at) = self.resume_at {
            check::future(at, ctx.now, "resume_at")?;
        }
        if is_paused && subscription.resumes_at() == self.resume_at {
            return Err(Rejection::Unchanged);
        }
        let mut draft = Draft::of(subscription, ctx);
        if is_paused {
            draft.push(Event::PauseMoved { resume_at: self.resume_at });
        } else {
            draft.pause(ctx.now, self.resume_at)?;
        }
        Ok(draft.finish(None))
    }
}
