//! A subscription begins, with or without a trial.

use std::sync::Arc;

use exchequer_kernel::Ctx;
use exchequer_kernel::mutation::{self, Mutation};
use exchequer_types::{Holding, Zone};

use crate::charge::Cause;
use crate::draft::Draft;
use crate::rejection::TRIAL_DAYS_MAX;
use crate::subscription::Subscription;
use crate::{Event, Rejection, State, calendar, check};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscribe {
    pub holding: Holding,
    /// None or 0: no trial, the first paid period begins now.
    pub trial_days: Option<u32>,
    pub zone: Zone,
}

impl Subscribe {
    pub(crate) fn decide(&self, state: &State, ctx: &Ctx) -> Result<Vec<Event>, Rejection> {
        let current = state.current.as_ref().filter(|it| !it.is_ended());
        if let Some(state) = current.map(Subscription::word)
            && !mutation::active(Mutation::OneCurrent)
        {
            return Err(Rejection::Exists { state });
        }
        check::holding(&self.holding)?;
        let trial_days = self.trial_days.unwrap_or(0);
        let days_max = self.holding.offer.trial_days_max.min(TRIAL_DAYS_MAX);
        if trial_days > days_max {
            return Err(Rejection::TrialTooLong { days_max });
        }
        if trial_days > 0 && state.trial_used {
            return Err(Rejection::TrialUsed);
        }
        let period = match trial_days {
            0 => calendar::anchored(0, ctx.now, self.holding.offer.cycle, self.zone),
            days => calendar::trial(ctx.now, days, self.zone),
        };
        let period = period.ok_or(Rejection::OutOfRange { field: "trial_days" })?;
        let first = Event::Subscribed {
            id: ctx.mint("sub_", 0),
            holding: Arc::new(self.holding.clone()),
            zone: self.zone,
            trial_days,
            period: period.clone(),
        };
        let mut draft = Draft::begin(state, first, ctx).ok_or(Rejection::NotFound)?;
        draft.charge_full(Cause::Subscribed, &period)?;
        Ok(draft.finish(None))
    }
}
