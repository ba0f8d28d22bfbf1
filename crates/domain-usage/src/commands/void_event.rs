//! An event does not count any more. Whether there is one of this identity is known where
//! it was counted, and shows in its fate.

use exchequer_kernel::Ctx;

use super::{check_event_name, check_reason};
use crate::{Correction, Event, Rejection, State};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VoidEvent {
    /// CloudEvents `source`.
    pub source: String,
    /// CloudEvents `id`.
    pub event: String,
    pub reason: String,
}

impl VoidEvent {
    pub(crate) fn decide(&self, state: &State, ctx: &Ctx) -> Result<Vec<Event>, Rejection> {
        let Self { source, event, reason } = self;
        check_event_name(source, "source")?;
        check_event_name(event, "event")?;
        check_reason(reason)?;
        if state.corrected.is_voided(source, event) {
            return Err(Rejection::EventVoided);
        }
        Ok(vec![Event::EventCorrected(Correction {
            id: ctx.mint("cor_", 0),
            source: source.clone(),
            event: event.clone(),
            data: None,
            reason: reason.clone(),
            actor: ctx.actor.clone(),
        })])
    }
}
