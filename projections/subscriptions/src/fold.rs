//! Events into rows. A subscription's row is what the domain's own `evolve` makes of the
//! old one; a charge's row is its event.

use exchequer_codec::{DecodeError, Entry, decode_event};
use exchequer_domain_subscriptions::{Event, State, Subscriptions};
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
    kind.starts_with("subscriptions.")
}

fn fold_event(
    entry: &Entry,
    index: usize,
    event: &pb::Event,
    rows: &mut RowSet,
) -> Result<(), Unfoldable> {
    let decoded = decode_event(&event.stream, &event.r#type, &event.payload)?;
    let exchequer_tenant::Event::Subscriptions(decoded) = decoded else { return Ok(()) };
    let timestamp = entry.timestamp(index);
    if let Event::ChargeRecorded(charge) = &decoded {
        let key = charge_key(&event.stream, timestamp);
        rows.put(&SUBSCRIPTION_CHARGES, key, charge_values(charge), timestamp);
    }
    let key = subscription_key(&event.stream);
    let current = match rows.get(&SUBSCRIPTIONS, &key) {
        Some((_, at)) if is_folded(at, timestamp) => return Ok(()),
        Some((values, _)) => Some(subscription_of(&event.stream, values)?),
        None => None,
    };
    let mut state = State { current, ..State::default() };
    Subscriptions::evolve(&mut state, &decoded, Timestamp::saturating_from_micros(event.at));
    let current = state.current;
    let current = current.ok_or_else(|| Unfoldable::NoSubscription(event.stream.clone()))?;
    rows.put(&SUBSCRIPTIONS, key, subscription_values(&current), timestamp);
    Ok(())
}

/// Does a row at position `at` hold the event at `timestamp` already?
fn is_folded(at: u64, timestamp: u64) -> bool {
    at >= timestamp && !mutation::active(Mutation::DerivedPosition)
}
