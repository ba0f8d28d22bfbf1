//! A full disk refuses and goes on; a broken one stops the journal.

use std::sync::atomic::Ordering;

use exchequer_journal::{FaultKind, Journal as _};
use exchequer_types::PartitionId;

use super::{TestDisk, append, contents, copy_folder, open, options, segment, tiny};

// REQ: KER-13
#[tokio::test]
async fn a_full_disk_refuses_writes_nothing_and_goes_on_with_space() {
    let data = tempfile::tempdir().unwrap();
    let disk = TestDisk::new();
    let journal = disk.open(data.path(), options());
    append(&journal, 0, "a").await.unwrap();
    let before = std::fs::read(segment(data.path(), 0)).unwrap();
    for room in [0, 1, 33, 40] {
        disk.room.store(room, Ordering::SeqCst);
        let fault = append(&journal, 1, "refused").await.unwrap_err();
        assert_eq!((fault.kind.clone(), fault.is_retryable()), (FaultKind::Full, true));
        assert_eq!(std::fs::read(segment(data.path(), 0)).unwrap(), before, "{room} bytes");
        assert_eq!(contents(&journal).await.unwrap()[0], ["a"], "reads go on");
    }
    disk.room.store(i64::MAX, Ordering::SeqCst);
    assert_eq!(append(&journal, 1, "b").await.unwrap(), 0);
    let crashed = copy_folder(data.path());
    let expected = [vec!["a".to_owned()], vec!["b".to_owned()]];
    assert_eq!(contents(&open(crashed.path())).await.unwrap(), expected);
}

// REQ: KER-13
#[tokio::test]
async fn a_disk_full_at_the_begin_of_a_segment_refuses_and_goes_on() {
    let data = tempfile::tempdir().unwrap();
    let disk = TestDisk::new();
    let journal = disk.open(data.path(), tiny());
    let mut expected = Vec::new();
    for n in 0..60 {
        let text = format!("record {n}");
        if n % 3 == 0 {
            // Less than a header with a batch: each roll fails at some byte.
            disk.room.store(n * 5, Ordering::SeqCst);
            while let Err(fault) = append(&journal, 0, &text).await {
                assert_eq!(fault.kind, FaultKind::Full);
                disk.room.store(i64::MAX, Ordering::SeqCst);
            }
        } else {
            append(&journal, 0, &text).await.unwrap();
        }
        disk.room.store(i64::MAX, Ordering::SeqCst);
        expected.push(text);
    }
    assert_eq!(contents(&journal).await.unwrap()[0], expected);
    journal.close();
    assert_eq!(contents(&open(data.path())).await.unwrap()[0], expected);
}

// REQ: KER-02
#[tokio::test]
async fn after_a_failed_sync_the_journal_never_answers_again() {
    let data = tempfile::tempdir().unwrap();
    let disk = TestDisk::new();
    let journal = disk.open(data.path(), options());
    append(&journal, 0, "a").await.unwrap();
    disk.sync_fails.store(true, Ordering::SeqCst);
    let fault = append(&journal, 0, "b").await.unwrap_err();
    assert_eq!((fault.kind.clone(), fault.is_retryable()), (FaultKind::Stopped, false));
    assert!(fault.message.contains("syncing failed"), "{fault}");
    disk.sync_fails.store(false, Ordering::SeqCst);
    let syncs = disk.syncs.load(Ordering::SeqCst);
    assert_eq!(append(&journal, 0, "c").await.unwrap_err().kind, FaultKind::Stopped);
    assert_eq!(journal.read(PartitionId(0), 0, 1).await.unwrap_err().kind, FaultKind::Stopped);
    journal.wait(PartitionId(0), 99).await;
    journal.close();
    assert_eq!(disk.syncs.load(Ordering::SeqCst), syncs, "not tried again");
    // Opened anew, what was not marked is written again, and is there or is not.
    let again = disk.open(data.path(), options());
    assert!(disk.syncs.load(Ordering::SeqCst) > syncs);
    assert_eq!(contents(&again).await.unwrap()[0], ["a", "b"]);
}
