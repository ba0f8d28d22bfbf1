//! The clock's reading of the view: each due timer once, in due order, and again
//! from where something was set late.

use core::time::Duration;

use exchequer_projection_timers::TIMERS_BY_DUE;
use exchequer_readstore::{Batch, Key, MemoryStore, ReadStore as _, Value, Write};
use exchequer_types::{PartitionId, Timestamp};

use super::lane::Lane;
use super::notices::Notice;

const PARTITION: PartitionId = PartitionId(2);

fn at(seconds: u64) -> Timestamp {
    Timestamp::MIN.saturating_add(Duration::from_secs(1_000_000 + seconds))
}

async fn set(store: &MemoryStore, timers: impl IntoIterator<Item = (u64, String)>, there: bool) {
    let rows = timers.into_iter().map(|(due, stream)| Write {
        table: &TIMERS_BY_DUE,
        generation: 1,
        key: Key {
            partition: vec![Value::Int(i64::from(PARTITION.0))],
            clustering: vec![
                Value::Int(at(due).micros()),
                Value::text(stream),
                Value::text("tmr_1"),
            ],
        },
        values: there.then(Vec::new),
        timestamp: 1,
    });
    store.write(Batch { rows: rows.collect(), last: Vec::new() }).await.unwrap();
}

async fn drained(lane: &mut Lane, store: &MemoryStore, now: Timestamp) -> Vec<String> {
    let mut out = Vec::new();
    while let Some(timer) = lane.next_due(store, 1, now, |_| false).await.unwrap() {
        out.push(timer.stream);
    }
    out
}

fn names(range: core::ops::Range<usize>) -> Vec<String> {
    range.map(|n| format!("t{n:05}")).collect()
}

// REQ: KER-09
#[tokio::test]
async fn each_due_timer_is_read_once_and_in_due_order() {
    let store = MemoryStore::new(true);
    let timers = names(0..3_000).into_iter().map(|name| (5, name));
    set(&store, timers.chain([(4, "z".to_owned()), (9, "a".to_owned())]), true).await;
    let mut lane = Lane::new(PARTITION);
    assert_eq!(drained(&mut lane, &store, at(3)).await, Vec::<String>::new());
    assert_eq!(lane.next(), at(4));
    let expected: Vec<_> = [String::from("z")].into_iter().chain(names(0..3_000)).collect();
    assert_eq!(drained(&mut lane, &store, at(5)).await, expected);
    assert_eq!(drained(&mut lane, &store, at(5)).await, Vec::<String>::new());
    assert_eq!(lane.next(), at(9));
    assert_eq!(drained(&mut lane, &store, at(10)).await, ["a"]);
}

// REQ: KER-09
#[tokio::test]
async fn what_is_set_while_it_reads_is_found() {
    let store = MemoryStore::new(true);
    set(&store, [(5, "b".to_owned()), (6, "c".to_owned())], true).await;
    let mut lane = Lane::new(PARTITION);
    let first = lane.next_due(&store, 1, at(9), |_| false).await.unwrap().unwrap();
    assert_eq!(first.stream, "b");
    // Behind the place that is read, and its row comes with the view's progress beyond it.
    lane.noticed(Notice { due: at(2), offset: 7 });
    assert_eq!(drained(&mut lane, &store, at(9)).await, ["c", "b", "c"]);
    set(&store, [(5, "b".to_owned()), (6, "c".to_owned())], false).await;
    lane.progressed(7);
    assert_eq!(drained(&mut lane, &store, at(9)).await, Vec::<String>::new());
    set(&store, [(2, "a".to_owned())], true).await;
    lane.progressed(8);
    assert_eq!(drained(&mut lane, &store, at(9)).await, ["a"]);
    lane.progressed(9);
    assert_eq!(drained(&mut lane, &store, at(9)).await, Vec::<String>::new());
}

// REQ: KER-09
#[tokio::test]
async fn what_was_set_is_looked_at_although_more_is_set_all_the_time() {
    let store = MemoryStore::new(true);
    let mut lane = Lane::new(PARTITION);
    let notice = |offset| Notice { due: at(2), offset };
    lane.noticed(notice(0));
    assert_eq!(drained(&mut lane, &store, at(9)).await, Vec::<String>::new());
    (1..1_000).for_each(|offset| lane.noticed(notice(offset)));
    set(&store, [(2, "a".to_owned())], true).await;
    // The pass that began with the last notice is over before the view has come anywhere.
    set(&store, [(2, "a".to_owned())], false).await;
    assert_eq!(drained(&mut lane, &store, at(9)).await, Vec::<String>::new());
    set(&store, [(2, "a".to_owned())], true).await;
    lane.progressed(1);
    assert_eq!(drained(&mut lane, &store, at(9)).await, ["a"]);
}

// REQ: KER-09
#[tokio::test]
async fn all_timers_are_looked_at_again_every_hour() {
    let store = MemoryStore::new(true);
    let mut lane = Lane::new(PARTITION);
    assert_eq!(drained(&mut lane, &store, at(0)).await, Vec::<String>::new());
    // Nobody told of it.
    set(&store, [(5, "a".to_owned())], true).await;
    assert_eq!(drained(&mut lane, &store, at(3_599)).await, Vec::<String>::new());
    assert_eq!(lane.next(), at(3_600));
    assert_eq!(drained(&mut lane, &store, at(3_600)).await, ["a"]);
}
