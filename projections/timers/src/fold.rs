//! Timers that are set and cleared, into rows.

use exchequer_codec::{DecodeError, Entry, decode_event};
use exchequer_kernel::mutation::{self, Mutation};
use exchequer_proto::journal::v1 as pb;
use exchequer_readstore::{Key, RowSet, Table};
use exchequer_tenant::Event;
use exchequer_types::{PartitionId, Timestamp};

use crate::rows::{EARLIER_MAX, TIMERS_BY_DUE, TIMERS_BY_STREAM, TimerRow, due_key, stream_key};

/// The kernel's events that are not of timers.
pub(crate) const PASSED_OVER: [&str; 2] = ["kernel.parked.v1", "kernel.released.v1"];

/// What an event does to one timer.
struct Change {
    id: String,
    /// None when it is cleared.
    due: Option<Timestamp>,
}

/// Needed: the row of each timer that is set or cleared.
pub(crate) fn reads(entry: &Entry) -> Vec<(&'static Table, Key)> {
    let mut keys: Vec<(&'static Table, Key)> = Vec::new();
    for event in entry.commit.events.iter().filter(|event| is_wanted(&event.r#type)) {
        // What cannot be decoded is told by the fold.
        if let Ok(Some(change)) = decode(event) {
            keys.push((&TIMERS_BY_STREAM, stream_key(&event.stream, &change.id)));
        }
    }
    keys
}

pub(crate) fn fold(entry: &Entry, rows: &mut RowSet) {
    for (index, event) in entry.commit.events.iter().enumerate() {
        if !is_wanted(&event.r#type) {
            continue;
        }
        let folded = match decode(event) {
            Ok(Some(change)) => {
                let timestamp = entry.timestamp(index);
                fold_change(entry.partition, &event.stream, &change, timestamp, rows)
            }
            Ok(None) => Ok(()),
            Err(error) => Err(error.to_string()),
        };
        if let Err(error) = folded {
            let (partition, offset, kind) = (entry.partition, entry.offset, &event.r#type);
            rows.fail(format!(
                "partition {partition}, offset {offset}, event {index} ({kind}): {error}"
            ));
            return;
        }
    }
}

fn is_wanted(kind: &str) -> bool {
    kind.starts_with("kernel.") && !PASSED_OVER.contains(&kind)
}

/// None for an event that changes no timer.
fn decode(event: &pb::Event) -> Result<Option<Change>, DecodeError> {
    Ok(match decode_event(&event.stream, &event.r#type, &event.payload)? {
        Event::TimerSet { id, due } => Some(Change { id, due: Some(due) }),
        Event::TimerCleared { id, .. } => Some(Change { id, due: None }),
        _ => None,
    })
}

fn fold_change(
    source: PartitionId,
    stream: &str,
    change: &Change,
    timestamp: u64,
    rows: &mut RowSet,
) -> Result<(), String> {
    let key = stream_key(stream, &change.id);
    let stands = match rows.get(&TIMERS_BY_STREAM, &key) {
        Some((values, at)) => {
            let row = TimerRow::from_values(values).ok_or_else(|| {
                format!("the row of timer {:?} is damaged: rebuild the view", change.id)
            })?;
            Some((row, at))
        }
        None => None,
    };
    let is_folded = |at: u64| at >= timestamp && !mutation::active(Mutation::DerivedPosition);
    let (row, at) = match stands {
        Some((row, at)) if is_folded(at) => (row, at),
        stands => {
            let Some(row) = evolve(stands.map(|(row, _)| row), change.due) else { return Ok(()) };
            rows.put(&TIMERS_BY_STREAM, key, row.to_values(), timestamp);
            (row, timestamp)
        }
    };
    for due in &row.earlier {
        rows.delete(&TIMERS_BY_DUE, due_key(source, *due, stream, &change.id), at);
    }
    let key = due_key(source, row.due, stream, &change.id);
    if row.pending {
        rows.put(&TIMERS_BY_DUE, key, Vec::new(), at);
    } else {
        rows.delete(&TIMERS_BY_DUE, key, at);
    }
    Ok(())
}

/// None when a timer is cleared that was never set: nothing is to be cleared.
fn evolve(row: Option<TimerRow>, due: Option<Timestamp>) -> Option<TimerRow> {
    let Some(mut row) = row else {
        return due.map(|due| TimerRow { due, pending: true, earlier: Vec::new() });
    };
    row.pending = due.is_some();
    if let Some(due) = due
        && due != row.due
    {
        row.earlier.push(row.due);
        row.earlier.retain(|earlier| *earlier != due);
        let excess = row.earlier.len().saturating_sub(EARLIER_MAX);
        row.earlier.drain(..excess);
        row.due = due;
    }
    Some(row)
}
