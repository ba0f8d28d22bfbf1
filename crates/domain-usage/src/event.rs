//! All events of the domain.

use exchequer_metering::Meter as Rules;
use exchequer_types::{ActorId, Slug};

use crate::Backfill;

/// What happened to a meter, a schema, or an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    MeterCreated {
        /// Version 1.
        rules: Rules,
    },
    /// Another version of its rules.
    MeterUpdated {
        rules: Rules,
    },
    MeterRetired {
        meter: Slug,
    },
    BackfillRequested {
        meter: Slug,
        /// Of the rules.
        version: u32,
        backfill: Backfill,
    },
    EventSchemaSet {
        /// CloudEvents `type`.
        kind: String,
        version: u32,
        text: String,
    },
    EventSchemaRetired {
        kind: String,
    },
    EventCorrected(Correction),
}

/// What is changed of an event, and who says so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Correction {
    /// Made from the command: what is applied twice under it is applied once.
    pub id: String,
    /// CloudEvents `source`.
    pub source: String,
    /// CloudEvents `id`.
    pub event: String,
    /// JSON of what counts in place of the event's data. None: the event does not count.
    pub data: Option<String>,
    pub reason: String,
    pub actor: ActorId,
}

impl Event {
    /// Does it change what a provider counts?
    pub fn is_of_definitions(&self) -> bool {
        !matches!(self, Self::EventCorrected(_))
    }
}
