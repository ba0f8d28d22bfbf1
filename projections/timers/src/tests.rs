//! Fold and query on the store in memory: in any batches, replayed, and cut off
//! between any two rows.

use std::sync::Arc;

use exchequer_codec::{EVENT_TYPES, Entry, encode_event};
use exchequer_kernel::{Projection as _, Timers};
use exchequer_proto::journal::v1 as pb;
use exchequer_readstore::{
    Batch, Generation, MemoryStore, ReadStore as _, Row, RowSet, Write, load_missing,
};
use exchequer_tenant::Event;
use exchequer_types::{Hash, PartitionId, Timestamp};

use crate::rows::instant;
use crate::{DueTimer, TABLES, TimersView, due, next};

const GENERATION: Generation = 3;
const PARTITION: PartitionId = PartitionId(2);

fn set(id: &str, due: i64) -> Event {
    Event::TimerSet { id: id.to_owned(), due: instant(due) }
}

fn cleared(id: &str, due: i64) -> Event {
    Event::TimerCleared { id: id.to_owned(), due: instant(due), fired: false }
}

fn entry(seq: u64, events: &[(&str, Event)]) -> Entry {
    let events = events.iter().map(|(stream, event)| {
        let (kind, payload) = encode_event(event);
        pb::Event {
            stream: (*stream).to_owned(),
            r#type: kind.to_owned(),
            payload,
            ..pb::Event::default()
        }
    });
    let commit = pb::Commit { seq, events: events.collect(), ..pb::Commit::default() };
    Entry { partition: PARTITION, offset: seq, hash: Hash::ZERO, commit: Arc::new(commit) }
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

async fn writes(store: &MemoryStore, entries: &[Entry]) -> Vec<Write> {
    let mut rows = RowSet::default();
    for entry in entries {
        let keys = TimersView.reads(entry, &rows);
        load_missing(store, GENERATION, &mut rows, keys).await.unwrap();
        TimersView.fold(entry, &mut rows);
    }
    assert_eq!(rows.failure(), None);
    rows.into_writes(GENERATION)
}

async fn fold(store: &MemoryStore, entries: &[Entry]) {
    let rows = writes(store, entries).await;
    store.write(Batch { rows, last: Vec::new() }).await.unwrap();
}

async fn folded(entries: &[Entry]) -> MemoryStore {
    let store = MemoryStore::new(true);
    fold(&store, entries).await;
    store
}

fn snapshot(store: &MemoryStore) -> Vec<Vec<Row>> {
    TABLES.iter().map(|table| store.snapshot(table, GENERATION)).collect()
}

fn timer(due: i64, stream: &str, id: &str) -> DueTimer {
    DueTimer { due: instant(due), stream: stream.to_owned(), id: id.to_owned() }
}

// REQ: KER-06
#[tokio::test]
async fn any_batches_and_a_replay_give_the_same_rows() {
    let history = history();
    let expected = snapshot(&folded(&history).await);
    for size in 1..=history.len() {
        let store = MemoryStore::new(true);
        for _ in 0..2 {
            for entries in history.chunks(size) {
                fold(&store, entries).await;
            }
            assert_eq!(snapshot(&store), expected, "batches of {size}");
        }
    }
}

// REQ: KER-06
#[tokio::test]
async fn a_batch_cut_off_anywhere_is_made_good_by_a_replay() {
    let history = history();
    let expected = snapshot(&folded(&history).await);
    for checkpoint in 0..history.len() {
        let (before, batch) = history.split_at(checkpoint);
        let count = writes(&folded(before).await, batch).await.len();
        for applied in 0..1_u32 << count {
            let store = folded(before).await;
            let mut rows = writes(&store, batch).await;
            let mut index = 0;
            rows.retain(|_| {
                index += 1;
                applied & (1 << (index - 1)) != 0
            });
            store.write(Batch { rows, last: Vec::new() }).await.unwrap();
            for entry in batch {
                fold(&store, std::slice::from_ref(entry)).await;
            }
            assert_eq!(snapshot(&store), expected, "from {checkpoint}, rows {applied:b}");
        }
    }
}

// REQ: KER-09
#[tokio::test]
async fn what_is_due_is_what_the_kernel_has_pending() {
    let store = MemoryStore::new(true);
    let mut pending: std::collections::BTreeMap<String, Timers> = std::collections::BTreeMap::new();
    for entry in history() {
        fold(&store, std::slice::from_ref(&entry)).await;
        for event in &entry.commit.events {
            let timers = pending.entry(event.stream.clone()).or_default();
            let decoded =
                exchequer_codec::decode_event(&event.stream, &event.r#type, &event.payload);
            match decoded.unwrap() {
                Event::TimerSet { id, due } => timers.set(&id, due),
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
    let store = folded(&[entry(1, &events)]).await;
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
    assert!(crate::fold::PASSED_OVER.iter().all(|kind| EVENT_TYPES.contains(kind)));
}
