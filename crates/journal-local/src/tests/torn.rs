//! A crash in the middle of a write: what was answered is there, the rest is cut,
//! kept and reported.

use std::path::Path;
use std::sync::Arc;

use super::{append, contents, copy_folder, offline, open, options, segment};
use crate::format::MARK_BYTES;
use crate::{JournalReader, LocalJournal, Opened};

/// A folder as it is after two batches, and where the last one begins.
async fn two_batches() -> (tempfile::TempDir, Vec<u8>, usize) {
    let data = tempfile::tempdir().unwrap();
    let journal = open(data.path());
    append(&journal, 0, "first").await.unwrap();
    let begins = std::fs::metadata(segment(data.path(), 0)).unwrap().len() as usize;
    append(&journal, 1, "second").await.unwrap();
    let crashed = copy_folder(data.path());
    let bytes = std::fs::read(segment(crashed.path(), 0)).unwrap();
    (crashed, bytes, begins)
}

fn reopen(data: &Path) -> (Arc<LocalJournal>, Opened) {
    LocalJournal::open(data, options()).unwrap()
}

// REQ: KER-02
#[tokio::test]
async fn a_batch_cut_at_any_byte_is_cut_off_kept_and_reported() {
    let (crashed, whole, begins) = two_batches().await;
    for length in begins..=whole.len() {
        let data = copy_folder(crashed.path());
        std::fs::write(segment(data.path(), 0), &whole[..length]).unwrap();
        let torn = JournalReader::open(data.path()).unwrap().records();
        assert!(torn.into_iter().all(|record| record.is_ok()), "{length}");

        let (journal, opened) = reopen(data.path());
        let complete = length == whole.len();
        let marked = length >= begins + MARK_BYTES;
        let kept = if marked && !complete { begins + MARK_BYTES } else { begins };
        let expected = if complete { vec!["second"] } else { vec![] };
        assert_eq!(contents(&journal).await.unwrap()[1], expected, "{length}");
        assert_eq!(contents(&journal).await.unwrap()[0], ["first"], "{length}");
        match opened.torn {
            None => assert!(complete || length == kept, "{length}"),
            Some(torn) => {
                assert_eq!((torn.at, torn.bytes), (kept as u64, (length - kept) as u64));
                assert_eq!(torn.file, segment(data.path(), 0));
                assert_eq!(std::fs::read(torn.kept_as).unwrap(), whole[kept..length]);
                assert_eq!(std::fs::metadata(torn.file).unwrap().len(), torn.at, "cut off");
            }
        }
        append(&journal, 1, "third").await.unwrap();
        journal.close();
        let (journal, opened) = reopen(data.path());
        assert_eq!(opened.torn, None, "{length}: cut once");
        assert_eq!(contents(&journal).await.unwrap()[1], [expected, vec!["third"]].concat());
        assert_eq!(offline(data.path()), contents(&journal).await.unwrap());
    }
}

// REQ: KER-02
#[tokio::test]
async fn pages_of_the_last_batch_that_never_reached_the_disk_are_no_damage() {
    let (crashed, whole, begins) = two_batches().await;
    for hole in 1..whole.len() - begins {
        let data = copy_folder(crashed.path());
        let mut bytes = whole.clone();
        bytes[begins..begins + hole].fill(0);
        std::fs::write(segment(data.path(), 0), &bytes).unwrap();
        let (journal, opened) = reopen(data.path());
        assert_eq!(opened.torn.unwrap().at, begins as u64);
        let expected = [vec!["first".to_owned()], vec![]];
        assert_eq!(contents(&journal).await.unwrap(), expected, "{hole}");
    }
}

// REQ: KER-02
#[tokio::test]
async fn tails_torn_at_the_same_place_are_all_kept() {
    let (crashed, whole, begins) = two_batches().await;
    let mut kept = Vec::new();
    for round in 0..3 {
        std::fs::write(segment(crashed.path(), 0), &whole[..begins + 5 + round]).unwrap();
        kept.push(reopen(crashed.path()).1.torn.unwrap());
    }
    for (round, torn) in kept.iter().enumerate() {
        assert_eq!(std::fs::read(&torn.kept_as).unwrap().len(), 5 + round);
    }
}
