//! What every implementation of [`Journal`] must do. An adapter's tests run
//! [`CASES`], all of them. The other ports have suites of their own below.

pub mod input;
pub mod membership;
pub mod outlet;

use bytes::Bytes;
use exchequer_types::PartitionId;
use futures::FutureExt as _;
use futures::future::{BoxFuture, join_all};

use crate::{APPEND_BYTES_MAX, FaultKind, Journal, RECORD_BYTES_MAX};

/// One case: its name, and a check that panics when the journal, which must be
/// empty and have at least 2 partitions, fails it.
pub type Case = (&'static str, fn(&dyn Journal) -> BoxFuture<'_, ()>);

pub const CASES: &[Case] = &[
    ("offsets have no gaps", |journal| offsets_have_no_gaps(journal).boxed()),
    ("partitions are apart", |journal| partitions_are_apart(journal).boxed()),
    ("reads are bounded", |journal| reads_are_bounded(journal).boxed()),
    ("many at once all land", |journal| many_at_once_all_land(journal).boxed()),
    ("what is appended together stands together", |journal| together(journal).boxed()),
    ("too much at once is refused whole", |journal| refused_whole(journal).boxed()),
    ("a waiter wakes", |journal| a_waiter_wakes(journal).boxed()),
    ("large records fit, larger ones are refused", |journal| sizes(journal).boxed()),
];

const P0: PartitionId = PartitionId(0);
const P1: PartitionId = PartitionId(1);

async fn append(journal: &dyn Journal, partition: PartitionId, record: &str) -> Option<u64> {
    let bytes = Bytes::copy_from_slice(record.as_bytes());
    match journal.append(partition, bytes).await {
        Ok(offset) => offset,
        Err(fault) => panic!("append failed: {fault}"),
    }
}

async fn read(journal: &dyn Journal, partition: PartitionId, from: u64, max: usize) -> Vec<String> {
    match journal.read(partition, from, max).await {
        Ok(records) => (from..)
            .zip(records)
            .map(|(offset, record)| {
                assert_eq!(record.offset, offset);
                String::from_utf8_lossy(&record.bytes).into_owned()
            })
            .collect(),
        Err(fault) => panic!("read failed: {fault}"),
    }
}

async fn end(journal: &dyn Journal, partition: PartitionId) -> u64 {
    match journal.end(partition).await {
        Ok(end) => end,
        Err(fault) => panic!("end failed: {fault}"),
    }
}

async fn offsets_have_no_gaps(journal: &dyn Journal) {
    assert_eq!(end(journal, P0).await, 0);
    for (expected, record) in ["a", "b", "c"].into_iter().enumerate() {
        let offset = append(journal, P0, record).await;
        assert!(offset.is_none_or(|offset| offset == expected as u64));
    }
    assert_eq!(end(journal, P0).await, 3);
    assert_eq!(read(journal, P0, 0, 1 << 20).await, ["a", "b", "c"]);
    assert_eq!(read(journal, P0, 2, 1 << 20).await, ["c"]);
    assert!(read(journal, P0, 3, 1 << 20).await.is_empty());
}

async fn partitions_are_apart(journal: &dyn Journal) {
    append(journal, P0, "a").await;
    append(journal, P1, "x").await;
    append(journal, P0, "b").await;
    assert_eq!(read(journal, P0, 0, 1 << 20).await, ["a", "b"]);
    assert_eq!(read(journal, P1, 0, 1 << 20).await, ["x"]);
}

async fn reads_are_bounded(journal: &dyn Journal) {
    for record in ["1234", "5678", "9abc"] {
        append(journal, P0, record).await;
    }
    assert_eq!(read(journal, P0, 0, 1).await, ["1234"], "at least one");
    assert_eq!(read(journal, P0, 0, 8).await, ["1234", "5678"]);
}

async fn many_at_once_all_land(journal: &dyn Journal) {
    let names: Vec<String> = (0..100).map(|n| format!("r{n}")).collect();
    join_all(names.iter().map(|name| append(journal, P1, name))).await;
    let mut found = Vec::new();
    while (found.len() as u64) < end(journal, P1).await {
        found.extend(read(journal, P1, found.len() as u64, 64).await);
    }
    found.sort();
    let mut expected = names;
    expected.sort();
    assert_eq!(found, expected);
}

async fn together(journal: &dyn Journal) {
    assert_eq!(journal.append_all(P0, Vec::new()).await.map_err(|fault| fault.kind), Ok(None));
    assert_eq!(end(journal, P0).await, 0);
    let calls = (0..20).map(|call| async move {
        let record = |n: usize| Bytes::from(format!("{call}.{n}"));
        let first = journal.append_all(P0, (0..10).map(record).collect()).await;
        (call, first.unwrap_or_else(|fault| panic!("append_all failed: {fault}")))
    });
    let firsts = join_all(calls).await;
    let found = read(journal, P0, 0, 1 << 20).await;
    assert_eq!(found.len(), 200);
    for run in found.chunks(10) {
        let (call, _) = run[0].split_once('.').unwrap_or_default();
        let expected: Vec<String> = (0..10).map(|n| format!("{call}.{n}")).collect();
        assert_eq!(run, expected, "in their order, and no other between them");
    }
    for (call, first) in firsts {
        let place = found.iter().position(|record| *record == format!("{call}.0"));
        assert!(first.is_none_or(|first| Some(first as usize) == place), "call {call}");
    }
}

async fn refused_whole(journal: &dyn Journal) {
    let small = Bytes::from_static(b"small");
    let larger = Bytes::from(vec![7; RECORD_BYTES_MAX + 1]);
    let large = Bytes::from(vec![7; RECORD_BYTES_MAX]);
    let too_many = vec![large; APPEND_BYTES_MAX / RECORD_BYTES_MAX + 1];
    for records in [vec![small.clone(), larger], too_many] {
        let refused = journal.append_all(P0, records).await.map_err(|fault| fault.kind);
        assert_eq!(refused, Err(FaultKind::TooLarge));
    }
    assert_eq!(end(journal, P0).await, 0);
}

async fn a_waiter_wakes(journal: &dyn Journal) {
    let waiting = journal.wait(P0, 0);
    let ((), _) = futures::join!(waiting, append(journal, P0, "a"));
    journal.wait(P0, 0).await;
}

async fn sizes(journal: &dyn Journal) {
    let large = Bytes::from(vec![7; RECORD_BYTES_MAX]);
    assert!(journal.append(P0, large.clone()).await.is_ok());
    let larger = Bytes::from(vec![7; RECORD_BYTES_MAX + 1]);
    let refused = journal.append(P0, larger).await.map_err(|fault| fault.kind);
    assert_eq!(refused, Err(FaultKind::TooLarge));
    assert_eq!(end(journal, P0).await, 1);
    let read = journal.read(P0, 0, 1).await.map(|records| records[0].bytes.clone());
    assert!(read.is_ok_and(|bytes| bytes == large));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MemoryJournal;

    // REQ: KER-07
    #[tokio::test]
    async fn memory_journal_conforms() {
        for (name, case) in CASES {
            println!("{name}");
            case(&MemoryJournal::new(2)).await;
        }
    }
}
