//! Later boundaries are counted in another time zone.

use exchequer_kernel::Ctx;
use exchequer_types::Zone;

use crate::draft::Draft;
use crate::subscription::Subscription;
use crate::{Event, Rejection};

/// The current period keeps its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetZone {
    pub zone: Zone,
}

impl SetZone {
    pub(crate) fn decide(
        &self,
        subscription: &Subscription,
        ctx: &Ctx,
    ) -> Result<Vec<Event>, Rejection> {
        if self.zone == subscription.zone {
            return Err(Rejection::Unchanged);
        }
        let mut draft = Draft::of(subscription, ctx);
        draft.push(Event::ZoneChanged { zone: self.zone });
        Ok(draft.finish(None))
    }
}
