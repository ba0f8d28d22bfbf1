//! Events into rows. A tenant's row is what the domain's own `evolve` makes of
//! the old one; the counts follow from the changes of status.

use exchequer_codec::{DecodeError, Entry, decode_event};
use exchequer_domain_tenants::{Event, State, Tenants};
use exchequer_kernel::Decider as _;
use exchequer_kernel::mutation::{self, Mutation};
use exchequer_proto::journal::v1 as pb;
use exchequer_readstore::{Fault, Key, RowSet, Table};
use exchequer_types::{TenantId, TenantStatus, Timestamp};

use crate::rows::{
    ChildCounts, TENANT_CHILDREN, TENANTS, TENANTS_BY_PARENT, TenantRow, child_key, children_key,
    tenant_key,
};

/// Events of the domain that change no tenant.
pub(crate) const PASSED_OVER: [&str; 2] =
    ["tenants.provider-profiled.v1", "tenants.provider-adopted.v1"];

/// Why an event cannot be folded.
#[derive(Debug, thiserror::Error)]
enum Unfoldable {
    #[error(transparent)]
    Event(#[from] DecodeError),
    #[error(transparent)]
    Row(#[from] Fault),
    #[error("tenant {0:?} was never created: the view is damaged, rebuild it")]
    NoTenant(String),
}

/// Needed: each tenant's row, and its parent's counts where they change.
pub(crate) fn reads(entry: &Entry, rows: &RowSet) -> Vec<(&'static Table, Key)> {
    let mut keys: Vec<(&'static Table, Key)> = Vec::new();
    for event in entry.commit.events.iter().filter(|event| is_wanted(&event.r#type)) {
        let key = tenant_key(&event.stream);
        // What cannot be decoded is told by the fold.
        if let Ok(Some(decoded)) = decode(event)
            && changes_status(&decoded)
        {
            let parent = match &decoded {
                Event::Created { parent, .. } => parent.as_ref().map(TenantId::as_str),
                _ => rows.get(&TENANTS, &key).and_then(|(values, _)| TenantRow::parent_of(values)),
            };
            let children = parent.map(|parent| children_key(parent, entry.partition));
            keys.extend(children.map(|key| (&TENANT_CHILDREN, key)));
        }
        keys.push((&TENANTS, key));
    }
    keys
}

pub(crate) fn fold(entry: &Entry, rows: &mut RowSet) {
    for (index, event) in entry.commit.events.iter().enumerate() {
        if !is_wanted(&event.r#type) {
            continue;
        }
        if let Err(error) = fold_event(entry, index, event, rows) {
            let (partition, offset, kind) = (entry.partition, entry.offset, &event.r#type);
            rows.fail(format!(
                "partition {partition}, offset {offset}, event {index} ({kind}): {error}"
            ));
            return;
        }
    }
}

fn is_wanted(kind: &str) -> bool {
    kind.starts_with("tenants.") && !PASSED_OVER.contains(&kind)
}

/// None for an event that changes no tenant.
fn decode(event: &pb::Event) -> Result<Option<Event>, DecodeError> {
    use exchequer_tenant::Event as Any;
    Ok(match decode_event(&event.stream, &event.r#type, &event.payload)? {
        Any::Tenants(Event::ProviderProfiled(_) | Event::ProviderAdopted(_)) => None,
        Any::Tenants(event) => Some(event),
        _ => None,
    })
}

fn fold_event(
    entry: &Entry,
    index: usize,
    event: &pb::Event,
    rows: &mut RowSet,
) -> Result<(), Unfoldable> {
    let Some(decoded) = decode(event)? else { return Ok(()) };
    let timestamp = entry.timestamp(index);
    let key = tenant_key(&event.stream);
    let stands = match rows.get(&TENANTS, &key) {
        Some((values, at)) => Some((TenantRow::from_values(&event.stream, values)?, at)),
        None => None,
    };
    let (row, values, at) = match stands {
        Some((row, at)) if is_folded(at, timestamp) => {
            let values = row.to_values();
            (row, values, at)
        }
        stands => {
            let at = Timestamp::saturating_from_micros(event.at);
            let row = evolve(stands.map(|(row, _)| row), &decoded, at)
                .ok_or_else(|| Unfoldable::NoTenant(event.stream.clone()))?;
            let values = row.to_values();
            rows.put(&TENANTS, key, values.clone(), timestamp);
            (row, values, timestamp)
        }
    };
    let Some(parent) = &row.tenant.parent else { return Ok(()) };
    rows.put(&TENANTS_BY_PARENT, child_key(parent.as_str(), &event.stream), values, at);
    if let Some((from, to)) = status_change(&decoded, &row) {
        count(children_key(parent.as_str(), entry.partition), from, to, timestamp, rows);
    }
    Ok(())
}

/// Does a row at position `at` hold the event at `timestamp` already?
fn is_folded(at: u64, timestamp: u64) -> bool {
    at >= timestamp && !mutation::active(Mutation::DerivedPosition)
}

fn evolve(row: Option<TenantRow>, event: &Event, at: Timestamp) -> Option<TenantRow> {
    let closed_from = match (event, &row) {
        (Event::Closed { .. }, Some(row)) => Some(row.tenant.status),
        (_, Some(row)) => row.closed_from,
        (_, None) => None,
    };
    let mut state = State { tenant: row.map(|row| row.tenant), ..State::default() };
    Tenants::evolve(&mut state, event, at);
    state.tenant.map(|tenant| TenantRow { tenant, closed_from })
}

fn changes_status(event: &Event) -> bool {
    use Event::{Closed, Created, Reinstated, Suspended};
    matches!(event, Created { .. } | Suspended { .. } | Reinstated | Closed { .. })
}

/// The statuses before and after the event. `row` has the event in it, and maybe
/// later ones: on a replay it is ahead of the counts, and its status tells nothing.
fn status_change(event: &Event, row: &TenantRow) -> Option<(Option<TenantStatus>, TenantStatus)> {
    match event {
        Event::Created { .. } => Some((None, TenantStatus::Active)),
        Event::Suspended { .. } => Some((Some(TenantStatus::Active), TenantStatus::Suspended)),
        Event::Reinstated => Some((Some(TenantStatus::Suspended), TenantStatus::Active)),
        Event::Closed { .. } => Some((row.closed_from, TenantStatus::Closed)),
        _ => None,
    }
}

fn count(
    key: Key,
    from: Option<TenantStatus>,
    to: TenantStatus,
    timestamp: u64,
    rows: &mut RowSet,
) {
    let (mut counts, at) = match rows.get(&TENANT_CHILDREN, &key) {
        Some((values, at)) => (ChildCounts::from_values(values), at),
        None => (ChildCounts::default(), 0),
    };
    if is_folded(at, timestamp) {
        return;
    }
    if let Some(from) = from {
        let count = counts.of(from);
        *count = count.saturating_sub(1);
    }
    *counts.of(to) += 1;
    rows.put(&TENANT_CHILDREN, key, counts.to_values(), timestamp);
}
