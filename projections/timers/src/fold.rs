//! Timers that are set and cleared, into rows. A clearing says when the timer was
//! due, so no row is ever read.

use exchequer_codec::{DecodeError, Entry, decode_event};
use exchequer_proto::journal::v1 as pb;
use exchequer_readstore::RowSet;
use exchequer_tenant::Event;

use crate::rows::{TIMERS_BY_DUE, due_key};

/// The kernel's events that are not of timers.
pub(crate) const PASSED_OVER: [&str; 2] = ["kernel.parked.v1", "kernel.released.v1"];

pub(crate) fn fold(entry: &Entry, rows: &mut RowSet) {
    for (index, event) in entry.commit.events.iter().enumerate() {
        if !event.r#type.starts_with("kernel.") || PASSED_OVER.contains(&event.r#type.as_str()) {
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

fn fold_event(
    entry: &Entry,
    index: usize,
    event: &pb::Event,
    rows: &mut RowSet,
) -> Result<(), DecodeError> {
    let timestamp = entry.timestamp(index);
    match decode_event(&event.stream, &event.r#type, &event.payload)? {
        // A sandbox is woken by commands alone.
        Event::TimerSet { id, due, own_time: false } => {
            let key = due_key(entry.partition, due, &event.stream, &id);
            rows.put(&TIMERS_BY_DUE, key, Vec::new(), timestamp);
        }
        Event::TimerCleared { id, due, .. } => {
            let key = due_key(entry.partition, due, &event.stream, &id);
            rows.delete(&TIMERS_BY_DUE, key, timestamp);
        }
        _ => {}
    }
    Ok(())
}
