//! What every implementation of [`InputLog`] must do. An adapter's tests run [`CASES`],
//! all of them.

use bytes::Bytes;
use exchequer_types::{Offset, PartitionId};
use futures::FutureExt as _;
use futures::future::{BoxFuture, join_all};

use crate::{FaultKind, InputLog, InputRecord, Lane, RECORD_BYTES_MAX};

/// One case: its name, and a check that panics when the log, which must be empty and have
/// at least 2 partitions, fails it.
pub type Case = (&'static str, fn(&dyn InputLog) -> BoxFuture<'_, ()>);

pub const CASES: &[Case] = &[
    ("lanes have ids of their own, which stay", |log| ids(log).boxed()),
    ("offsets have no gaps", |log| offsets_have_no_gaps(log).boxed()),
    ("lanes and partitions are apart", |log| apart(log).boxed()),
    ("reads are bounded", |log| reads_are_bounded(log).boxed()),
    ("times of append never go back", |log| times_never_go_back(log).boxed()),
    ("many at once all land", |log| many_at_once_all_land(log).boxed()),
    ("a waiter wakes", |log| a_waiter_wakes(log).boxed()),
    ("large records fit, larger ones are refused", |log| sizes(log).boxed()),
    ("what is not forgotten stays", |log| what_is_not_forgotten_stays(log).boxed()),
];

const P0: PartitionId = PartitionId(0);
const P1: PartitionId = PartitionId(1);
const COMMANDS: Lane = Lane::Commands;
const INTERNAL: Lane = Lane::Internal;

async fn submit(log: &dyn InputLog, lane: Lane, partition: PartitionId, text: &str) {
    let bytes = Bytes::copy_from_slice(text.as_bytes());
    if let Err(fault) = log.submit(lane, partition, bytes).await {
        panic!("submit failed: {fault}");
    }
}

/// All records from `from` on: at most `records_max` at once, ascending, without gaps.
async fn records(
    log: &dyn InputLog,
    (lane, partition): (Lane, PartitionId),
    from: Offset,
    records_max: usize,
) -> Vec<InputRecord> {
    let read = log.read(lane, partition, from, records_max).await;
    let read = read.unwrap_or_else(|fault| panic!("read failed: {fault}"));
    assert!(read.len() <= records_max, "{} records, {records_max} were wanted", read.len());
    for (offset, record) in (from..).zip(&read) {
        assert_eq!(record.offset, offset);
    }
    read
}

async fn texts(
    log: &dyn InputLog,
    place: (Lane, PartitionId),
    from: Offset,
    records_max: usize,
) -> Vec<String> {
    let read = records(log, place, from, records_max).await;
    read.iter().map(|it| String::from_utf8_lossy(&it.bytes).into_owned()).collect()
}

async fn ids(log: &dyn InputLog) {
    let ids = Lane::ALL.map(|lane| log.id(lane));
    assert_ne!(ids[0], ids[1]);
    submit(log, COMMANDS, P0, "a").await;
    assert_eq!(Lane::ALL.map(|lane| log.id(lane)), ids);
}

async fn offsets_have_no_gaps(log: &dyn InputLog) {
    assert!(texts(log, (COMMANDS, P0), 0, 10).await.is_empty());
    for (expected, text) in (0..).zip(["a", "b", "c"]) {
        let told = log.submit(COMMANDS, P0, Bytes::from(text)).await;
        let told = told.unwrap_or_else(|fault| panic!("submit failed: {fault}"));
        assert!(told.is_none_or(|offset| offset == expected));
    }
    assert_eq!(texts(log, (COMMANDS, P0), 0, 10).await, ["a", "b", "c"]);
    assert_eq!(texts(log, (COMMANDS, P0), 2, 10).await, ["c"]);
    assert!(texts(log, (COMMANDS, P0), 3, 10).await.is_empty());
}

async fn apart(log: &dyn InputLog) {
    for (lane, partition, text) in
        [(COMMANDS, P0, "a"), (INTERNAL, P0, "b"), (COMMANDS, P1, "c"), (COMMANDS, P0, "d")]
    {
        submit(log, lane, partition, text).await;
    }
    assert_eq!(texts(log, (COMMANDS, P0), 0, 10).await, ["a", "d"]);
    assert_eq!(texts(log, (INTERNAL, P0), 0, 10).await, ["b"]);
    assert_eq!(texts(log, (COMMANDS, P1), 0, 10).await, ["c"]);
    assert!(texts(log, (INTERNAL, P1), 0, 10).await.is_empty());
}

async fn reads_are_bounded(log: &dyn InputLog) {
    for text in ["a", "b", "c"] {
        submit(log, INTERNAL, P1, text).await;
    }
    assert!(texts(log, (INTERNAL, P1), 0, 0).await.is_empty());
    assert_eq!(texts(log, (INTERNAL, P1), 0, 1).await, ["a"]);
    assert_eq!(texts(log, (INTERNAL, P1), 1, 2).await, ["b", "c"]);
}

async fn times_never_go_back(log: &dyn InputLog) {
    for number in 0..20 {
        submit(log, COMMANDS, P0, &number.to_string()).await;
    }
    let read = records(log, (COMMANDS, P0), 0, 100).await;
    assert_eq!(read.len(), 20);
    assert!(read.is_sorted_by_key(|it| it.appended_at));
    let again = records(log, (COMMANDS, P0), 0, 100).await;
    assert_eq!(read, again, "the same record has the same time");
}

async fn many_at_once_all_land(log: &dyn InputLog) {
    let names: Vec<String> = (0..100).map(|n| format!("r{n:03}")).collect();
    join_all(names.iter().map(|name| submit(log, COMMANDS, P1, name))).await;
    let mut found = Vec::new();
    while found.len() < names.len() {
        let from = found.len() as u64;
        let read = texts(log, (COMMANDS, P1), from, 64).await;
        assert!(!read.is_empty(), "record {from} is acknowledged, and is not there");
        found.extend(read);
    }
    found.sort();
    assert_eq!(found, names);
}

async fn a_waiter_wakes(log: &dyn InputLog) {
    let waiting = log.wait(INTERNAL, P0, 0);
    let ((), ()) = futures::join!(waiting, submit(log, INTERNAL, P0, "a"));
    log.wait(INTERNAL, P0, 0).await;
    assert_eq!(texts(log, (INTERNAL, P0), 0, 10).await, ["a"]);
}

async fn sizes(log: &dyn InputLog) {
    let large = Bytes::from(vec![7; RECORD_BYTES_MAX]);
    assert!(log.submit(COMMANDS, P0, large.clone()).await.is_ok());
    let larger = Bytes::from(vec![7; RECORD_BYTES_MAX + 1]);
    let refused = log.submit(COMMANDS, P0, larger).await.map_err(|fault| fault.kind);
    assert_eq!(refused, Err(FaultKind::TooLarge));
    submit(log, COMMANDS, P0, "small").await;
    let read = records(log, (COMMANDS, P0), 0, 10).await;
    let sizes: Vec<usize> = read.iter().map(|it| it.bytes.len()).collect();
    assert_eq!(sizes, [RECORD_BYTES_MAX, 5]);
    assert_eq!(read[0].bytes, large);
}

async fn what_is_not_forgotten_stays(log: &dyn InputLog) {
    for text in ["a", "b", "c"] {
        submit(log, COMMANDS, P0, text).await;
    }
    log.forget(COMMANDS, P0, 2);
    assert_eq!(texts(log, (COMMANDS, P0), 2, 10).await, ["c"]);
    // What may go is there whole, or the log says where it begins.
    match log.read(COMMANDS, P0, 0, 10).await {
        Ok(read) => assert_eq!((read[0].offset, &*read[0].bytes), (0, &b"a"[..])),
        Err(fault) => assert_eq!(fault.kind, FaultKind::Expired { begins_at: 2 }),
    }
    submit(log, COMMANDS, P0, "d").await;
    assert_eq!(texts(log, (COMMANDS, P0), 2, 10).await, ["c", "d"]);
    log.forget(COMMANDS, P0, 1);
    assert_eq!(texts(log, (COMMANDS, P0), 3, 10).await, ["d"], "forgetting never goes back");
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicI64, Ordering};

    use exchequer_types::Timestamp;

    use super::*;
    use crate::{MemoryInput, MemoryInputLimits};

    // REQ: KER-07
    #[tokio::test]
    async fn the_queue_in_memory_conforms() {
        for (name, case) in CASES {
            println!("{name}");
            let ticks = AtomicI64::new(0);
            let now =
                move || Timestamp::saturating_from_micros(ticks.fetch_add(1, Ordering::Relaxed));
            let limits = MemoryInputLimits::default();
            case(&MemoryInput::new(2, [1; 16], limits, Arc::new(now))).await;
        }
    }
}
