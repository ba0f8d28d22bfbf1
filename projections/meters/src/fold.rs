//! Events into rows. A provider's and a tenant's row are what the snapshots' own `take`
//! makes of the old ones; rows of versions come from their events alone.

use exchequer_codec::{DecodeError, Entry, decode_event};
use exchequer_domain_usage::Event;
use exchequer_kernel::mutation::{self, Mutation};
use exchequer_proto::journal::v1 as pb;
use exchequer_readstore::{Fault, Key, RowSet, Table, Value};
use exchequer_tenant::Event as Any;
use exchequer_types::Timestamp;

use crate::rows::{
    EVENT_SCHEMA_VERSIONS, METER_VERSIONS, USAGE_DEFINITIONS, USAGE_TENANTS, definitions_from,
    definitions_values, key, meter_version_values, schema_version_values, terms_from, terms_values,
    version_key,
};

/// Events that begin, move or end a billing period.
const OF_PERIODS: [&str; 9] = [
    "subscriptions.subscribed.v1",
    "subscriptions.activated.v1",
    "subscriptions.changed.v1",
    "subscriptions.paused.v1",
    "subscriptions.pause-moved.v1",
    "subscriptions.resumed.v1",
    "subscriptions.renewed.v1",
    "subscriptions.ended.v1",
    "subscriptions.cancellation-scheduled.v1",
];
const CREATED: &str = "tenants.created.v1";
const SETTINGS_CHANGED: &str = "tenants.settings-changed.v1";

/// Why an event cannot be folded.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unfoldable {
    #[error(transparent)]
    Event(#[from] DecodeError),
    #[error(transparent)]
    Row(#[from] Fault),
}

/// Does an event of this type change definitions?
pub(crate) fn is_of_definitions(kind: &str) -> bool {
    let is_definition = kind.starts_with("usage.") && kind != exchequer_codec::EVENT_CORRECTED;
    is_definition || kind == SETTINGS_CHANGED || kind == CREATED
}

/// Does an event of this type change what meters know of a tenant?
pub(crate) fn is_of_terms(kind: &str) -> bool {
    kind == CREATED || OF_PERIODS.contains(&kind)
}

pub(crate) fn decode(event: &pb::Event) -> Result<Any, DecodeError> {
    decode_event(&event.stream, &event.r#type, &event.payload)
}

/// Needed: the rows that events change.
pub(crate) fn reads(entry: &Entry) -> Vec<(&'static Table, Key)> {
    let mut found: Vec<(&'static Table, Key)> = Vec::new();
    for event in &entry.commit.events {
        if is_of_definitions(&event.r#type) {
            found.push((&USAGE_DEFINITIONS, key(&event.stream)));
        }
        if is_of_terms(&event.r#type) {
            found.push((&USAGE_TENANTS, key(&event.stream)));
        }
    }
    found
}

pub(crate) fn fold(entry: &Entry, rows: &mut RowSet) {
    for (index, event) in entry.commit.events.iter().enumerate() {
        let (definitions, terms) = (is_of_definitions(&event.r#type), is_of_terms(&event.r#type));
        if !definitions && !terms {
            continue;
        }
        let folded = decode(event).map_err(Unfoldable::from).and_then(|decoded| {
            let at = Timestamp::saturating_from_micros(event.at);
            let one = One {
                stream: &event.stream,
                event: &decoded,
                at,
                timestamp: entry.timestamp(index),
            };
            if definitions {
                one.fold_definitions(rows)?;
            }
            if terms { one.fold_terms(rows) } else { Ok(()) }
        });
        if let Err(error) = folded {
            let (partition, offset, kind) = (entry.partition, entry.offset, &event.r#type);
            rows.fail(format!(
                "partition {partition}, offset {offset}, event {index} ({kind}): {error}"
            ));
            return;
        }
    }
}

/// An event at its place.
struct One<'a> {
    stream: &'a str,
    event: &'a Any,
    at: Timestamp,
    timestamp: u64,
}

impl One<'_> {
    fn fold_definitions(&self, rows: &mut RowSet) -> Result<(), Unfoldable> {
        let key = key(self.stream);
        let (mut definitions, at) = match rows.get(&USAGE_DEFINITIONS, &key) {
            Some((values, at)) => (definitions_from(self.stream, values)?, at),
            None => Default::default(),
        };
        if self.is_newer_than(at) && definitions.take(self.event, self.at) {
            rows.put(&USAGE_DEFINITIONS, key, definitions_values(&definitions), self.timestamp);
        }
        if let Some((table, key, values)) = self.version_row() {
            rows.put(table, key, values, self.timestamp);
        }
        Ok(())
    }

    fn fold_terms(&self, rows: &mut RowSet) -> Result<(), Unfoldable> {
        let key = key(self.stream);
        let (mut terms, at) = match rows.get(&USAGE_TENANTS, &key) {
            Some((values, at)) => (terms_from(self.stream, values)?, at),
            None => Default::default(),
        };
        if self.is_newer_than(at) && terms.take(self.event) {
            rows.put(&USAGE_TENANTS, key, terms_values(&terms), self.timestamp);
        }
        Ok(())
    }

    fn is_newer_than(&self, at: u64) -> bool {
        at < self.timestamp || mutation::active(Mutation::DerivedPosition)
    }

    /// What the event says by itself. Writing it once more changes nothing.
    fn version_row(&self) -> Option<(&'static Table, Key, Vec<Value>)> {
        let Any::Usage(event) = self.event else { return None };
        Some(match event {
            Event::MeterCreated { rules } | Event::MeterUpdated { rules } => {
                let key = version_key(self.stream, rules.key.as_str(), rules.version);
                (&METER_VERSIONS, key, meter_version_values(rules, self.at))
            }
            Event::EventSchemaSet { kind, version, text } => {
                let key = version_key(self.stream, kind, *version);
                let values = schema_version_values(kind, *version, text, self.at);
                (&EVENT_SCHEMA_VERSIONS, key, values)
            }
            _ => return None,
        })
    }
}
