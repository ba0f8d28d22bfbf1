//! The pause ends now: a new full period begins, and is the anchor of what follows.

use exchequer_kernel::Ctx;

use crate::draft::Draft;
use crate::subscription::{Status, Subscription};
use crate::{Event, Rejection, check};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resume;

impl Resume {
    #[expect(clippy::unused_self, reason = "commands are decided alike")]
    pub(crate) fn decide(
        &self,
        subscription: &Subscription,
        ctx: &Ctx,
    ) -> Result<Vec<Event>, Rejection> {
        if subscription.status != Status::Paused {
            return Err(check::not(subscription, "paused"));
        }
        let mut draft = Draft::of(subscription, ctx);
        draft.resume(ctx.now)?;
        Ok(draft.finish(None))
    }
}
