//! Fold and query on the store in memory: in any batches, replayed, and cut off
//! between any two rows.

use std::sync::Arc;

use exchequer_codec::{Entry, event_types};
use exchequer_kernel::{Projection as _, Timers};
use exchequer_readstore::views::{GENERATION, Suite};
use exchequer_readstore::{MemoryStore, RowSet};
use exchequer_tenant::Event;
use exchequer_types::{PartitionId, Timestamp};

use crate::rows::instant;
use crate::{DueTimer, TABLES, TimersView, due, next};

const VIEW: Suite<TimersView> = Suite { projection: TimersView, tables: TABLES };
const PARTITION: PartitionId = PartitionId(2);

fn set(id: &str, due: i64) -> Event {
    Event::TimerSet { id: id.to_owned(), due: instant(due), own_time: false }
}

fn cleared(id: &str, due: i64) -> Event {
    Event::TimerCleared { id: id.to_owned(), due: instant(due), fired: false }
}

fn entry(seq: u64, events: &[(&str, Event)]) -> Entry {
    Entry::of_events(PARTITION, seq, Timestamp::MIN, events)
}

/// Timers that are set, moved by a new one, and cleared.
fn history() -> Vec<Entry> {
    let parked = Event::Parked { reason: String::new() };
    vec![
        entry(1, &[("a", set("t1", 10)), ("b", set("t1", 10)), ("a", parked)]),
        entry(2, &[("a", set("t2", 5))]),
        entry(3, &[("a", cleared("t1", 10)), ("a", set("t3", 30))]),
        entry(4, &[("b", cleared("t1", 10)), ("b", set("t4", 20))]),
        entry(5, &[("a", cleared("t2", 5)), ("c", cleared("never", 1))]),
        entry(6, &[("a", cleared("t3", 30)), ("a", set("t5", 7)), ("a", cleared("t5", 7))]),
        entry(7, &[("a", set("t6", 40)), ("b", set("t7", 10))]),
    ]
}

fn timer(due: i64, stream: &str, id: &str) -> DueTimer {
    DueTimer { due: instant(due), stream: stream.to_owned(), id: id.to_owned() }
}

// REQ: KER-06
#[tokio::test]
async fn any_batches_and_a_replay_give_the_same_rows() {
    VIEW.check_batches(&history()).await;
}

// REQ: KER-06
#[tokio::test]
async fn a_batch_cut_off_anywhere_is_made_good_by_a_replay() {
    VIEW.check_cut_offs(&history()).await;
}

// REQ: KER-09
#[tokio::test]
async fn what_is_due_is_what_the_kernel_has_pending() {
    let store = MemoryStore::new(true);
    let mut pending: std::collections::BTreeMap<String, Timers> = std::collections::BTreeMap::new();
    for entry in history() {
        VIEW.fold(&store, std::slice::from_ref(&entry)).await;
        for event in &entry.commit.events {
            let timers = pending.entry(event.stream.clone()).or_default();
            let decoded =
                exchequer_codec::decode_event(&event.stream, &event.r#type, &event.payload);
            match decoded.unwrap() {
                Event::TimerSet { id, due, .. } => timers.set(&id, due),
                Event::TimerCleared { id, .. } => timers.clear(&id),
                _ => {}
            }
        }
        let mut expected: Vec<DueTimer> = pending
            .iter()
            .flat_map(|(stream, timers)| {
                timers.iter().map(|(due, id)| timer(due.micros(), stream, id))
            })
            .collect();
        expected.sort();
        let found = due(&store, GENERATION, PARTITION, Timestamp::MAX, None, 100).await.unwrap();
        assert_eq!(found, expected, "after {}", entry.offset);
        let first = next(&store, GENERATION, PARTITION).await.unwrap();
        assert_eq!(first, expected.first().map(|timer| timer.due));
    }
}

// REQ: KER-09
#[tokio::test]
async fn due_timers_come_in_due_order_until_the_instant_and_page_by_page() {
    let events =
        [("b", set("x", 20)), ("a", set("y", 20)), ("a", set("z", 10)), ("a", set("w", 21))];
    let store = VIEW.folded(&[entry(1, &events)]).await;
    let until = instant(20);
    let found = due(&store, GENERATION, PARTITION, until, None, 2).await.unwrap();
    assert_eq!(found, [timer(10, "a", "z"), timer(20, "a", "y")]);
    let rest = due(&store, GENERATION, PARTITION, until, found.last(), 2).await.unwrap();
    assert_eq!(rest, [timer(20, "b", "x")]);
    assert_eq!(due(&store, GENERATION, PARTITION, instant(9), None, 2).await.unwrap(), []);
    assert_eq!(next(&store, GENERATION, PartitionId(9)).await.unwrap(), None);
    assert_eq!(next(&store, GENERATION, PARTITION).await.unwrap(), Some(instant(10)));
}

fn failure(kind: &str) -> Option<String> {
    let mut entry = entry(9, &[("a", set("t", 1))]);
    let event = &mut Arc::make_mut(&mut entry.commit).events[0];
    kind.clone_into(&mut event.r#type);
    event.payload = b"\xff".as_slice().into();
    let mut rows = RowSet::default();
    TimersView.fold(&entry, &mut rows);
    rows.failure().map(str::to_owned)
}

// REQ: KER-10
#[test]
fn what_is_not_understood_stops_the_view() {
    let unknown = failure("kernel.frozen.v1").unwrap();
    assert!(
        unknown.starts_with("partition 2, offset 9, event 0 (kernel.frozen.v1): "),
        "{unknown}"
    );
    assert!(failure("kernel.timer-set.v1").is_some());
    for other in ["audit.appended.v1", "kernel.parked.v1", "billing.paid.v7"] {
        assert_eq!(failure(other), None, "{other}");
    }
    assert!(crate::fold::PASSED_OVER.iter().all(|kind| event_types().contains(kind)));
}
