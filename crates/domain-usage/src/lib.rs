//! What a provider counts, its meters and the schemas of its events, and what is
//! corrected of a tenant's events. Pure: `decide` per command in `commands/`, `evolve` in
//! `evolve.rs`. The events themselves never come here: meters read them from their log.

#![deny(clippy::as_conversions, clippy::float_arithmetic)]

mod commands;
mod event;
mod evolve;
mod json;
mod rejection;
mod shown;
mod size;
mod state;
#[cfg(test)]
mod tests;

pub use commands::{
    AmendEvent, BackfillMeter, Command, CreateMeter, PutEventSchema, RetireEventSchema,
    RetireMeter, RulesField, UpdateMeter, VoidEvent,
};
pub use event::{Correction, Event};
pub use rejection::{REASON_CHARS_MAX, Rejection, codes};
pub use shown::shown;
pub use size::{rules_bytes, schema_bytes, weight};
pub use state::{
    BACKFILLS_MAX, Backfill, Corrected, DEFINITIONS_BYTES_MAX, METERS_MAX, Meter, RULES_BYTES_MAX,
    SCHEMA_BYTES_MAX, SCHEMAS_MAX, Schema, State, VOIDED_KNOWN_MAX,
};

use std::sync::Arc;

use exchequer_kernel::{Ctx, Decider};
use exchequer_types::{Fact, Timestamp};

/// The domain's rules over one stream.
#[derive(Clone, Copy, Debug)]
pub struct Usage;

/// What an accepted command is answered with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    Nothing,
    Meter(Arc<Meter>),
    Schema(Arc<Schema>),
    /// With the instant it was recorded at.
    Correction(Correction, Timestamp),
}

impl Decider for Usage {
    type State = State;
    type Command = Command;
    type Event = Event;
    type Rejection = Rejection;

    fn decide(state: &State, command: &Command, ctx: &Ctx) -> Result<Vec<Event>, Rejection> {
        match command {
            Command::CreateMeter(it) => it.decide(state),
            Command::UpdateMeter(it) => it.decide(state),
            Command::RetireMeter(it) => it.decide(state),
            Command::BackfillMeter(it) => it.decide(state, ctx),
            Command::PutEventSchema(it) => it.decide(state),
            Command::RetireEventSchema(it) => it.decide(state),
            Command::VoidEvent(it) => it.decide(state, ctx),
            Command::AmendEvent(it) => it.decide(state, ctx),
        }
    }

    fn evolve(state: &mut State, event: &Event, at: Timestamp) {
        evolve::evolve(state, event, at);
    }
}

/// The small public form of `event`: no domain follows meters.
pub fn facts(_: &Event) -> Vec<Fact> {
    Vec::new()
}

/// Version of what `command` is addressed to, 0 when it is not there. That of an event is
/// the number of corrections that the tenant has had.
pub fn version(state: &State, command: &Command) -> u64 {
    match (command.meter(), command.schema()) {
        (Some(key), _) => state.meters.get(key).map_or(0, |it| it.version),
        (_, Some(kind)) => state.schemas.get(kind).map_or(0, |it| it.changes),
        _ => state.corrected.count,
    }
}

/// What the accepted `command` is answered with, given the state after it and its events.
pub fn reply(after: &State, command: &Command, events: &[Event]) -> Reply {
    if let Some(meter) = command.meter().and_then(|key| after.meters.get(key)) {
        return Reply::Meter(Arc::clone(meter));
    }
    if let Some(schema) = command.schema().and_then(|kind| after.schemas.get(kind)) {
        return Reply::Schema(Arc::clone(schema));
    }
    let correction = events.iter().find_map(|event| match event {
        Event::EventCorrected(correction) => Some(correction.clone()),
        _ => None,
    });
    correction.map_or(Reply::Nothing, |it| Reply::Correction(it, after.corrected.at))
}
