//! What a provider counts, and which of a tenant's events were corrected.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use exchequer_metering::Meter as Rules;
use exchequer_types::{Hash, Slug, Timestamp};

/// Retired ones too: a key is never used again.
pub const METERS_MAX: usize = 500;
/// Retired ones too.
pub const SCHEMAS_MAX: usize = 500;
/// Of a meter's rules, as [`rules_bytes`](crate::rules_bytes) counts them.
pub const RULES_BYTES_MAX: usize = 16 * 1024;
pub const SCHEMA_BYTES_MAX: usize = 32 * 1024;
/// Of all meters and schemas in force: seals name them whole.
pub const DEFINITIONS_BYTES_MAX: usize = 512 * 1024;
/// Of one version of a meter.
pub const BACKFILLS_MAX: usize = 16;
/// Voided events that are known as such: the latest.
pub const VOIDED_KNOWN_MAX: usize = 1024;

/// State of a stream: meters and schemas of a provider, corrections of any tenant.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct State {
    /// Counts changes of definitions: of two sets of a provider's definitions, the one
    /// with the higher version holds.
    pub version: u64,
    pub meters: BTreeMap<Slug, Arc<Meter>>,
    /// By CloudEvents `type`.
    pub schemas: BTreeMap<String, Arc<Schema>>,
    pub corrected: Corrected,
}

/// A meter as it is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Meter {
    /// With key and version.
    pub rules: Rules,
    pub retired: bool,
    /// Counts the meter's own events.
    pub version: u64,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    /// When this version of the rules was set.
    pub rules_set_at: Timestamp,
    /// Of this version, in order: each lies before the one before it.
    pub backfills: Vec<Backfill>,
}

/// A version of a meter is to count events that were received before it came into force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backfill {
    pub id: String,
    /// Of event time.
    pub from: Timestamp,
    /// Excluded: the backfill before begins there. None: the version's coming into force
    /// is the only bound.
    pub until: Option<Timestamp>,
    pub requested_at: Timestamp,
}

/// What the data of a type of events must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schema {
    /// CloudEvents `type`.
    pub kind: String,
    /// Of the text, from 1.
    pub version: u32,
    /// JSON Schema, as it was given.
    pub text: String,
    /// Events of the type are not checked.
    pub retired: bool,
    /// Counts the events of the type's schema.
    pub changes: u64,
    /// When this version was set.
    pub set_at: Timestamp,
    pub updated_at: Timestamp,
}

/// Corrections of a tenant's events.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Corrected {
    /// All there ever were.
    pub count: u64,
    /// Of the last one.
    pub at: Timestamp,
    /// The latest events that were voided, oldest first.
    pub voided: VecDeque<Hash>,
}

impl State {
    /// Bytes of all meters and schemas in force.
    pub fn bytes(&self) -> usize {
        let meters = self.meters.values().filter(|it| !it.retired);
        let schemas = self.schemas.values().filter(|it| !it.retired);
        meters.map(|it| crate::rules_bytes(&it.rules)).sum::<usize>()
            + schemas.map(|it| crate::schema_bytes(&it.kind, &it.text)).sum::<usize>()
    }
}

impl Corrected {
    /// What an event is known by: BLAKE3 over source and id, the source behind its length.
    pub(crate) fn known_as(source: &str, id: &str) -> Hash {
        Hash::blake3(format!("{}:{source}{id}", source.len()).as_bytes())
    }

    pub(crate) fn is_voided(&self, source: &str, id: &str) -> bool {
        self.voided.contains(&Self::known_as(source, id))
    }
}
