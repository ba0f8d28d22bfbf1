//! What the clock reads, partition by partition.

use exchequer_readstore::{Fault, Generation, ReadStore, Row, Scan, Value};
use exchequer_types::{PartitionId, Timestamp};

use crate::rows::{TIMERS_BY_DUE, instant, partition};

/// A pending timer. Sorts as it is listed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DueTimer {
    pub due: Timestamp,
    pub stream: String,
    pub id: String,
}

/// Up to `limit` timers of the source partition that are due at or before
/// `until`, in due order, from behind `after` on. Go on behind the last one when
/// `limit` came: timers of a parked stream stay due until it is released.
pub async fn due(
    store: &dyn ReadStore,
    generation: Generation,
    source: PartitionId,
    until: Timestamp,
    after: Option<&DueTimer>,
    limit: usize,
) -> Result<Vec<DueTimer>, Fault> {
    let mut scan = Scan::of(&TIMERS_BY_DUE, generation, vec![partition(source)], limit);
    scan.to = Some(vec![Value::Int(until.micros().saturating_add(1))]);
    scan.after = after
        .map(|it| vec![Value::Int(it.due.micros()), Value::text(&it.stream), Value::text(&it.id)]);
    store.scan(scan).await?.into_iter().map(timer).collect()
}

/// When the first timer of the source partition is due; None when none is pending.
pub async fn next(
    store: &dyn ReadStore,
    generation: Generation,
    source: PartitionId,
) -> Result<Option<Timestamp>, Fault> {
    let scan = Scan::of(&TIMERS_BY_DUE, generation, vec![partition(source)], 1);
    let first = store.scan(scan).await?.into_iter().next().map(timer).transpose()?;
    Ok(first.map(|timer| timer.due))
}

fn timer(row: Row) -> Result<DueTimer, Fault> {
    match <[Value; 3]>::try_from(row.key.clustering) {
        Ok([Value::Int(due), Value::Text(stream), Value::Text(id)]) => {
            Ok(DueTimer { due: instant(due), stream, id })
        }
        Ok(key) => Err(damaged(&key)),
        Err(key) => Err(damaged(&key)),
    }
}

fn damaged(key: &[Value]) -> Fault {
    Fault::lasting(format!("the key {key:?} of a timer is damaged: rebuild the view"))
}
