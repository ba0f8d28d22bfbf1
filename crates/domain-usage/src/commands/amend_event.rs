//! An event counts as if it had come with other data.

use exchequer_kernel::Ctx;
use exchequer_metering::normal_form;

use super::{check_event_name, check_reason};
use crate::rejection::EVENT_DATA_BYTES_MAX;
use crate::{Correction, Event, Rejection, State};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AmendEvent {
    /// CloudEvents `source`.
    pub source: String,
    /// CloudEvents `id`.
    pub event: String,
    /// JSON.
    pub data: String,
    pub reason: String,
}

impl AmendEvent {
    pub(crate) fn decide(&self, state: &State, ctx: &Ctx) -> Result<Vec<Event>, Rejection> {
        let Self { source, event, data, reason } = self;
        check_event_name(source, "source")?;
        check_event_name(event, "event")?;
        check_data(data)?;
        check_reason(reason)?;
        if state.corrected.is_voided(source, event) {
            return Err(Rejection::EventVoided);
        }
        Ok(vec![Event::EventCorrected(Correction {
            id: ctx.mint("cor_", 0),
            source: source.clone(),
            event: event.clone(),
            data: Some(data.clone()),
            reason: reason.clone(),
            actor: ctx.actor.clone(),
        })])
    }
}

fn check_data(data: &str) -> Result<(), Rejection> {
    let invalid = |reason: String| Rejection::EventDataInvalid { reason };
    if data.len() > EVENT_DATA_BYTES_MAX {
        return Err(invalid(format!("it has {} bytes", data.len())));
    }
    normal_form(data).map(|_| ()).map_err(|unreadable| invalid(unreadable.reason))
}
