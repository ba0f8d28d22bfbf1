//! The port's promises, and those of one fsync for all.

use std::sync::atomic::Ordering;

use exchequer_journal::{FaultKind, Journal as _, conformance};
use exchequer_types::PartitionId;
use futures::FutureExt as _;
use futures::future::join_all;

use super::{TestDisk, append, contents, open_with, options, tiny};
use crate::Options;

// REQ: KER-07
#[tokio::test]
async fn conforms_to_the_port() {
    let without_memory = Options { recent_bytes_max: 0, ..options() };
    for options in [options(), without_memory, tiny()] {
        for (name, case) in conformance::CASES {
            println!("{name}");
            let data = tempfile::tempdir().unwrap();
            case(&*open_with(data.path(), options)).await;
        }
    }
}

// REQ: KER-13
#[tokio::test]
async fn nothing_is_seen_before_its_sync_and_all_that_wait_share_the_next() {
    let data = tempfile::tempdir().unwrap();
    let disk = TestDisk::new();
    let journal = disk.open(data.path(), options());
    disk.shut();
    let mut first = append(&journal, 0, "first");
    assert!(first.as_mut().now_or_never().is_none());
    disk.wait_for_sync();
    assert_eq!(journal.end(PartitionId(0)).await.unwrap(), 0);
    assert_eq!(contents(&journal).await.unwrap(), [const { Vec::<String>::new() }; 2]);

    let names: Vec<String> = (0..500).map(|n| format!("r{n}")).collect();
    let mut rest = join_all((0..).zip(&names).map(|(n, name)| append(&journal, n % 2, name)));
    assert!((&mut rest).now_or_never().is_none());
    let before = disk.syncs.load(Ordering::SeqCst);
    disk.open_gate();
    assert_eq!(first.await.unwrap(), 0);
    assert!(rest.await.iter().all(Result::is_ok));
    assert_eq!(disk.syncs.load(Ordering::SeqCst) - before, 2, "one for the first, one for 500");
    let [p0, p1] = contents(&journal).await.unwrap();
    assert_eq!((p0.len(), p1.len()), (251, 250));
    assert_eq!(p1[249], "r499");
}

// REQ: KER-13
#[tokio::test]
async fn a_full_queue_refuses_and_loses_nothing() {
    let data = tempfile::tempdir().unwrap();
    let disk = TestDisk::new();
    let journal = disk.open(data.path(), Options { queue_bytes_max: 1000, ..options() });
    disk.shut();
    let mut writing = append(&journal, 0, "being written");
    assert!(writing.as_mut().now_or_never().is_none());
    disk.wait_for_sync();
    let large = "x".repeat(800);
    let mut queued = append(&journal, 0, &large);
    assert!(queued.as_mut().now_or_never().is_none());
    let refused = append(&journal, 0, &large).await.unwrap_err();
    assert_eq!((refused.kind.clone(), refused.is_retryable()), (FaultKind::Overloaded, true));
    disk.open_gate();
    assert_eq!((writing.await.unwrap(), queued.await.unwrap()), (0, 1));
    assert_eq!(append(&journal, 0, &large).await.unwrap(), 2);
}

// REQ: KER-07
#[tokio::test]
async fn records_far_apart_large_and_small_are_read_from_files() {
    let data = tempfile::tempdir().unwrap();
    let journal = open_with(data.path(), Options { recent_bytes_max: 0, ..options() });
    let mut expected = [Vec::new(), Vec::new()];
    for (n, bytes) in
        [1, 5000, 100_000, 3, 300_000, 1_000_000, 0, 17, 4086, 4087, 9].iter().enumerate()
    {
        for (partition, found) in (0..).zip(&mut expected) {
            let letter = char::from(b'a' + n as u8).to_string();
            let text = letter.repeat(bytes * (partition as usize + 1) / 2);
            append(&journal, partition, &text).await.unwrap();
            found.push(text);
        }
    }
    assert!(contents(&journal).await.unwrap() == expected);
    let all = journal.read(PartitionId(1), 0, 1 << 30).await.unwrap();
    assert_eq!(all.len(), expected[1].len(), "as many as fit");
    let two = journal.read(PartitionId(1), 0, 5001).await.unwrap();
    assert_eq!(two.len(), 2, "as many as fit, and no more");
}

// REQ: KER-07
#[tokio::test]
async fn a_closed_journal_has_stopped_and_wakes_who_waits() {
    let data = tempfile::tempdir().unwrap();
    let journal = open_with(data.path(), options());
    append(&journal, 0, "a").await.unwrap();
    let mut waiting = journal.wait(PartitionId(0), 1);
    assert!(waiting.as_mut().now_or_never().is_none());
    journal.close();
    waiting.await;
    journal.wait(PartitionId(0), 1).await;
    assert_eq!(append(&journal, 0, "b").await.unwrap_err().kind, FaultKind::Stopped);
    assert_eq!(journal.end(PartitionId(0)).await.unwrap_err().kind, FaultKind::Stopped);
    assert_eq!(contents(&journal).await.unwrap_err().kind, FaultKind::Stopped);
    let again = open_with(data.path(), options());
    assert_eq!(contents(&again).await.unwrap()[0], ["a"]);
}
