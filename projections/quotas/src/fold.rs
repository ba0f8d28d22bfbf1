//! Events into rows. A row is what the domain's own fold makes of the old one; each row keeps
//! its own position, so that a replay writes again what a batch that was cut off has lost.
//! A commit decodes and writes each row once, however many reservations it holds.

use std::collections::BTreeMap;

use exchequer_codec::{DecodeError, Entry, decode_event};
use exchequer_domain_quotas::{Event, State};
use exchequer_proto::journal::v1 as pb;
use exchequer_readstore::{Fault, Key, RowSet, Table, Value};
use exchequer_tenant::Event as Any;
use exchequer_types::{PartitionId, Slug};

use crate::rows::{
    METERED, QUOTA_TENANTS, QUOTAS, key, metered_key, quota_of, tenant_key, tenant_of,
    tenant_values_of, values_of,
};

/// Does an event of this type change a quota?
pub(crate) fn is_wanted(kind: &str) -> bool {
    kind.starts_with("quotas.") && kind != "quotas.timer-moved.v1"
}

/// The domain's event, of one that [`is_wanted`].
pub(crate) fn decode(event: &pb::Event) -> Result<Option<Event>, DecodeError> {
    match decode_event(&event.stream, &event.r#type, &event.payload)? {
        Any::Quotas(event) => Ok(Some(event)),
        _ => Ok(None),
    }
}

/// Why a commit cannot be folded.
#[derive(Debug, thiserror::Error)]
enum Unfoldable {
    #[error("event {index} ({kind}): {error}")]
    Event { index: usize, kind: String, error: DecodeError },
    #[error(transparent)]
    Row(#[from] Fault),
}

/// Events of a tenant, with their positions.
type Changes<'a> = BTreeMap<&'a str, Vec<(u64, Event)>>;

fn changes(entry: &Entry) -> Result<Changes<'_>, Unfoldable> {
    let mut changes = Changes::new();
    for (index, event) in entry.commit.events.iter().enumerate() {
        if !is_wanted(&event.r#type) {
            continue;
        }
        let decoded = decode(event).map_err(|error| {
            let kind = event.r#type.clone();
            Unfoldable::Event { index, kind, error }
        })?;
        if let Some(decoded) = decoded {
            let of_tenant = changes.entry(event.stream.as_str()).or_default();
            of_tenant.push((entry.timestamp(index), decoded));
        }
    }
    Ok(changes)
}

/// Needed: the row of each tenant and of each feature that changes.
pub(crate) fn reads(entry: &Entry) -> Vec<(&'static Table, Key)> {
    // What cannot be decoded is said by the fold.
    let Ok(changes) = changes(entry) else { return Vec::new() };
    let mut keys: Vec<(&'static Table, Key)> = Vec::new();
    for (tenant, events) in &changes {
        keys.push((&QUOTA_TENANTS, tenant_key(tenant)));
        keys.extend(
            features(events)
                .into_keys()
                .map(|it| -> (&'static Table, Key) { (&QUOTAS, key(tenant, it)) }),
        );
    }
    keys
}

pub(crate) fn fold(entry: &Entry, rows: &mut RowSet) {
    let folded = changes(entry).and_then(|changes| {
        for (tenant, events) in &changes {
            fold_tenant(tenant, events, rows)?;
            for (feature, events) in features(events) {
                fold_feature(tenant, feature, &events, rows)?;
                list_metered(entry.partition, tenant, feature, &events, rows);
            }
        }
        Ok(())
    });
    if let Err(error) = folded {
        let (partition, offset) = (entry.partition, entry.offset);
        rows.fail(format!("partition {partition}, offset {offset}: {error}"));
    }
}

/// The events of each feature.
fn features(events: &[(u64, Event)]) -> BTreeMap<&Slug, Vec<&(u64, Event)>> {
    let mut features: BTreeMap<&Slug, Vec<&(u64, Event)>> = BTreeMap::new();
    for it in events {
        for feature in it.1.features() {
            features.entry(feature).or_default().push(it);
        }
    }
    features
}

fn fold_tenant(tenant: &str, events: &[(u64, Event)], rows: &mut RowSet) -> Result<(), Unfoldable> {
    let key = tenant_key(tenant);
    let (mut state, at) = match rows.get(&QUOTA_TENANTS, &key) {
        Some((values, at)) => (tenant_of(tenant, values)?, at),
        None => (State::default(), 0),
    };
    let mut last = at;
    for (position, event) in events.iter().filter(|(position, _)| *position > at) {
        state.take_figures(event);
        last = *position;
    }
    if last > at {
        rows.put(&QUOTA_TENANTS, key, tenant_values_of(&state), last);
    }
    Ok(())
}

fn fold_feature(
    tenant: &str,
    feature: &Slug,
    events: &[&(u64, Event)],
    rows: &mut RowSet,
) -> Result<(), Unfoldable> {
    let key = key(tenant, feature);
    let mut state = State::default();
    let mut at = 0;
    if let Some((values, written)) = rows.get(&QUOTAS, &key) {
        state.put(quota_of(tenant, values)?);
        at = written;
    }
    let mut last = at;
    for (position, event) in events.iter().filter(|(position, _)| *position > at) {
        state.take_figures(event);
        last = *position;
    }
    if last > at {
        match state.quota(feature) {
            Some(quota) => rows.put(&QUOTAS, key, values_of(quota), last),
            None => rows.delete(&QUOTAS, key, last),
        }
    }
    Ok(())
}

/// By the event alone, so that a replay writes it again.
fn list_metered(
    source: PartitionId,
    tenant: &str,
    feature: &Slug,
    events: &[&(u64, Event)],
    rows: &mut RowSet,
) {
    for (position, event) in events {
        let meter = match event {
            Event::Limited { terms, .. } => terms.meter.as_ref().filter(|_| terms.is_metered()),
            Event::Lifted { .. } | Event::Closed { .. } => None,
            _ => continue,
        };
        let key = metered_key(source, tenant, feature);
        match meter {
            Some(meter) => rows.put(&METERED, key, vec![Value::text(meter.as_str())], *position),
            None => rows.delete(&METERED, key, *position),
        }
    }
}
