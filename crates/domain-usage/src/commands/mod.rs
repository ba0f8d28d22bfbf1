//! One file per command: its fields, its rule, its rejections in order of precedence.

mod amend_event;
mod backfill_meter;
mod create_meter;
mod put_event_schema;
mod retire_event_schema;
mod retire_meter;
mod update_meter;
mod void_event;

pub use amend_event::AmendEvent;
pub use backfill_meter::BackfillMeter;
pub use create_meter::CreateMeter;
pub use put_event_schema::PutEventSchema;
pub use retire_event_schema::RetireEventSchema;
pub use retire_meter::RetireMeter;
pub use update_meter::{RulesField, UpdateMeter};
pub use void_event::VoidEvent;

use exchequer_metering::Meter as Rules;
use exchequer_types::Slug;

use crate::rejection::{EVENT_NAME_CHARS_MAX, REASON_CHARS_MAX};
use crate::state::{DEFINITIONS_BYTES_MAX, RULES_BYTES_MAX};
use crate::{Meter, Rejection, State, rules_bytes};

/// What can be asked: of a provider's definitions, and of a tenant's events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    CreateMeter(CreateMeter),
    UpdateMeter(UpdateMeter),
    RetireMeter(RetireMeter),
    BackfillMeter(BackfillMeter),
    PutEventSchema(PutEventSchema),
    RetireEventSchema(RetireEventSchema),
    VoidEvent(VoidEvent),
    AmendEvent(AmendEvent),
}

impl Command {
    /// The meter that it is about, if it is about one.
    pub(crate) fn meter(&self) -> Option<&Slug> {
        match self {
            Self::CreateMeter(it) => Some(&it.rules.key),
            Self::UpdateMeter(it) => Some(&it.rules.key),
            Self::RetireMeter(it) => Some(&it.meter),
            Self::BackfillMeter(it) => Some(&it.meter),
            _ => None,
        }
    }

    /// The type of events whose schema it is about, if it is about one.
    pub(crate) fn schema(&self) -> Option<&str> {
        match self {
            Self::PutEventSchema(it) => Some(&it.kind),
            Self::RetireEventSchema(it) => Some(&it.kind),
            _ => None,
        }
    }

    /// Does it correct an event? Everything else is about a provider's definitions.
    pub fn is_correction(&self) -> bool {
        matches!(self, Self::VoidEvent(_) | Self::AmendEvent(_))
    }
}

/// A meter that can be changed.
fn open_meter<'a>(state: &'a State, key: &Slug) -> Result<&'a Meter, Rejection> {
    let meter = state.meters.get(key).ok_or(Rejection::MeterNotFound)?;
    if meter.retired { Err(Rejection::MeterRetired) } else { Ok(meter) }
}

/// May the rules be used?
fn check_rules(rules: &Rules) -> Result<(), Rejection> {
    let violations = rules.check();
    if !violations.is_empty() {
        return Err(Rejection::MeterInvalid(violations));
    }
    let bytes = rules_bytes(rules);
    if bytes > RULES_BYTES_MAX { Err(Rejection::MeterTooLarge { bytes }) } else { Ok(()) }
}

/// Is there room for `after` bytes in place of `before`?
fn check_room(state: &State, before: usize, after: usize) -> Result<(), Rejection> {
    // What does not grow is always allowed.
    let grown = state.bytes().saturating_sub(before) + after;
    if after > before && grown > DEFINITIONS_BYTES_MAX {
        return Err(Rejection::DefinitionsTooLarge);
    }
    Ok(())
}

fn check_event_name(name: &str, field: &'static str) -> Result<(), Rejection> {
    if is_text(name, EVENT_NAME_CHARS_MAX) {
        Ok(())
    } else {
        Err(Rejection::EventNameInvalid { field })
    }
}

fn check_reason(reason: &str) -> Result<(), Rejection> {
    if is_text(reason, REASON_CHARS_MAX) { Ok(()) } else { Err(Rejection::ReasonInvalid) }
}

fn is_text(text: &str, chars_max: usize) -> bool {
    (1..=chars_max).contains(&text.chars().count()) && !text.chars().any(char::is_control)
}
