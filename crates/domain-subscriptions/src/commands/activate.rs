//! The trial ends now, and the first paid period begins.

use exchequer_kernel::Ctx;

use crate::draft::Draft;
use crate::subscription::Subscription;
use crate::{Event, Rejection, check};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Activate;

impl Activate {
    #[expect(clippy::unused_self, reason = "commands are decided alike")]
    pub(crate) fn decide(
        &self,
        subscription: &Subscription,
        ctx: &Ctx,
    ) -> Result<Vec<Event>, Rejection> {
        if subscription.word() != "trialing" {
            return Err(check::not(subscription, "trialing"));
        }
        let mut draft = Draft::of(subscription, ctx);
        draft.activate(ctx.now)?;
        Ok(draft.finish(None))
    }
}
