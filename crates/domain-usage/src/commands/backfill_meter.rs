//! The current version of a meter is to count kept events that were received before it came
//! into force. Backfills of one version lie one before the other, so that no event is
//! counted by two of them.

use exchequer_kernel::Ctx;
use exchequer_types::{Slug, Timestamp};

use super::open_meter;
use crate::state::BACKFILLS_MAX;
use crate::{Backfill, Event, Rejection, State};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackfillMeter {
    pub meter: Slug,
    /// Of event time.
    pub from: Timestamp,
}

impl BackfillMeter {
    pub(crate) fn decide(&self, state: &State, ctx: &Ctx) -> Result<Vec<Event>, Rejection> {
        let meter = open_meter(state, &self.meter)?;
        if self.from >= meter.rules_set_at {
            return Err(Rejection::BackfillInTheFuture { rules_set_at: meter.rules_set_at });
        }
        let until = meter.backfills.last().map(|it| it.from);
        if let Some(from) = until.filter(|until| self.from >= *until) {
            return Err(Rejection::BackfillNotEarlier { from });
        }
        if meter.backfills.len() >= BACKFILLS_MAX {
            return Err(Rejection::BackfillsTooMany);
        }
        let (id, from, requested_at) = (ctx.mint("bfl_", 0), self.from, ctx.now);
        Ok(vec![Event::BackfillRequested {
            meter: self.meter.clone(),
            version: meter.rules.version,
            backfill: Backfill { id, from, until, requested_at },
        }])
    }
}
