//! Events into rows. A subscription's row is what the domain's own `evolve` makes of the
//! old one; a charge's row is its event.

use exchequer_codec::{DecodeError, Entry, decode_event};
use exchequer_domain_subscriptions::{Event, State, Subscription, Subscriptions};
use exchequer_kernel::Decider as _;
use exchequer_kernel::mutation::{self, Mutation};
use exchequer_proto::journal::v1 as pb;
use exchequer_readstore::{Fault, Key, RowSet, Table};
use exchequer_types::Timestamp;

use crate::rows::{
    SUBSCRIPTION_CHARGES, SUBSCRIPTIONS, charge_key, charge_values, subscription_key,
    subscription_of, subscription_values,
};

/// Why an event cannot be folded.
#[derive(Debug, thiserror::Error)]
enum Unfoldable {
    #[error(transparent)]
    Event(#[from] DecodeError),
    #[error(transparent)]
    Row(#[from] Fault),
    #[error("tenant {0:?} never subscribed: the view is damaged, rebuild it")]
    NoSubscription(String),
}

/// Needed: the row of each tenant whose subscription changes.
pub(crate) fn reads(entry: &Entry) -> Vec<(&'static Table, Key)> {
    let wanted = entry.commit.events.iter().filter(|event| is_wanted(&event.r#type));
    wanted.map(|event| (&SUBSCRIPTIONS, subscription_key(&event.stream))).collect()
}

/// A subscription between two events of its tenant, so that its row is read and
/// written once for all that a commit does to it.
struct Held<'a> {
    tenant: &'a str,
    current: Option<Subscription>,
    /// Position of the last event folded into it.
    at: u64,
    changed: bool,
}

pub(crate) fn fold(entry: &Entry, rows: &mut RowSet) {
    let mut held: Option<Held<'_>> = None;
    for (index, event) in entry.commit.events.iter().enumerate() {
        if !is_wanted(&event.r#type) {
            continue;
        }
        if let Err(error) = fold_event(entry, index, event, rows, &mut held) {
            let (partition, offset, kind) = (entry.partition, entry.offset, &event.r#type);
            rows.fail(format!(
                "partition {partition}, offset {offset}, event {index} ({kind}): {error}"
            ));
            return;
        }
    }
    put(rows, held);
}

fn put(rows: &mut RowSet, held: Option<Held<'_>>) {
    if let Some(Held { tenant, current: Some(current), at, changed: true }) = held {
        rows.put(&SUBSCRIPTIONS, subscription_key(tenant), subscription_values(&current), at);
    }
}

fn is_wanted(kind: &str) -> bool {
    kind.starts_with("subscriptions.")
}

fn fold_event<'a>(
    entry: &Entry,
    index: usize,
    event: &'a pb::Event,
    rows: &mut RowSet,
    held: &mut Option<Held<'a>>,
) -> Result<(), Unfoldable> {
    let decoded = decode_event(&event.stream, &event.r#type, &event.payload)?;
    let exchequer_tenant::Event::Subscriptions(decoded) = decoded else { return Ok(()) };
    let timestamp = entry.timestamp(index);
    if let Event::ChargeRecorded(charge) = &decoded {
        let key = charge_key(&event.stream, timestamp);
        rows.put(&SUBSCRIPTION_CHARGES, key, charge_values(charge), timestamp);
    }
    if held.as_ref().is_none_or(|held| held.tenant != event.stream) {
        put(rows, held.take());
    }
    let held = match held {
        Some(held) => held,
        None => held.insert(hold(&event.stream, rows)?),
    };
    if is_folded(held.at, timestamp) {
        return Ok(());
    }
    let mut state = State { current: held.current.take(), ..State::default() };
    Subscriptions::evolve(&mut state, &decoded, Timestamp::saturating_from_micros(event.at));
    let current = state.current;
    held.current = Some(current.ok_or_else(|| Unfoldable::NoSubscription(event.stream.clone()))?);
    held.at = timestamp;
    held.changed = true;
    Ok(())
}

fn hold<'a>(tenant: &'a str, rows: &RowSet) -> Result<Held<'a>, Unfoldable> {
    let (current, at) = match rows.get(&SUBSCRIPTIONS, &subscription_key(tenant)) {
        Some((values, at)) => (Some(subscription_of(tenant, values)?), at),
        None => (None, 0),
    };
    Ok(Held { tenant, current, at, changed: false })
}

/// Does a row at position `at` hold the event at `timestamp` already?
fn is_folded(at: u64, timestamp: u64) -> bool {
    at >= timestamp && !mutation::active(Mutation::DerivedPosition)
}
