//! A scheduled cancellation is taken back. Changes that it dropped stay dropped.

use exchequer_kernel::Ctx;

use crate::draft::Draft;
use crate::subscription::Subscription;
use crate::{Event, Rejection, check};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reactivate;

impl Reactivate {
    #[expect(clippy::unused_self, reason = "commands are decided alike")]
    pub(crate) fn decide(
        &self,
        subscription: &Subscription,
        ctx: &Ctx,
    ) -> Result<Vec<Event>, Rejection> {
        if subscription.cancellation.is_none() {
            return Err(check::not(subscription, "cancelled"));
        }
        let mut draft = Draft::of(subscription, ctx);
        draft.push(Event::Reactivated);
        Ok(draft.finish(None))
    }
}
