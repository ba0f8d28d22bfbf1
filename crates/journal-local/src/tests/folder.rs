//! The folder: created once, locked, its number of partitions fixed.

use super::{append, contents, copy_folder, open, open_with, options, segment};
use crate::{JournalReader, LocalJournal, LogName, OpenError, Opened, Options};

// REQ: KER-07
#[tokio::test]
async fn a_folder_is_created_once_and_counts_its_records() {
    let parent = tempfile::tempdir().unwrap();
    let data = parent.path().join("new").join("folder");
    assert!(matches!(JournalReader::open(&data), Err(OpenError::Absent { .. })));
    let (journal, opened) = LocalJournal::open(&data, options()).unwrap();
    assert_eq!(opened, Opened { created: true, torn: None, records: 0 });
    append(&journal, 0, "a").await.unwrap();
    append(&journal, 1, "b").await.unwrap();
    drop(journal);
    let (_journal, opened) = LocalJournal::open(&data, options()).unwrap();
    assert_eq!(opened, Opened { created: false, torn: None, records: 2 });
}

// REQ: KER-02
#[tokio::test]
async fn a_second_opener_is_told_who_has_the_folder() {
    let data = tempfile::tempdir().unwrap();
    let journal = open(data.path());
    let error = LocalJournal::open(data.path(), options()).unwrap_err();
    let text = error.to_string();
    assert!(text.contains(data.path().to_str().unwrap()), "{text}");
    assert!(text.contains(&format!("pid {}", std::process::id())), "{text}");
    append(&journal, 0, "still mine").await.unwrap();
    journal.close();
    assert_eq!(contents(&open(data.path())).await.unwrap()[0], ["still mine"]);
}

// REQ: KER-07
#[test]
fn another_number_of_partitions_is_refused() {
    let data = tempfile::tempdir().unwrap();
    drop(open(data.path()));
    let error = LocalJournal::open(data.path(), Options::default()).unwrap_err();
    assert!(matches!(error, OpenError::Partitions { found: 2, asked: 16, .. }), "{error}");
    for partitions in [0, 1025] {
        let error = LocalJournal::open(data.path(), Options { partitions, ..options() });
        assert!(matches!(error, Err(OpenError::Options(_))));
    }
}

// REQ: KER-02
#[tokio::test]
async fn a_creation_that_was_cut_short_is_begun_anew() {
    let data = tempfile::tempdir().unwrap();
    drop(open(data.path()));
    std::fs::remove_file(data.path().join("journal/meta")).unwrap();
    std::fs::write(data.path().join("journal/meta.tmp"), "format").unwrap();
    let (journal, opened) = LocalJournal::open(data.path(), options()).unwrap();
    assert!(opened.created);
    append(&journal, 0, "a").await.unwrap();
    drop(journal);
    assert_eq!(contents(&open(data.path())).await.unwrap()[0], ["a"]);
    assert!(!data.path().join("journal/meta.tmp").exists());
}

// REQ: KER-02
#[tokio::test]
async fn a_crash_at_any_step_of_beginning_a_segment_loses_nothing() {
    let data = tempfile::tempdir().unwrap();
    let options = super::tiny();
    let journal = open_with(data.path(), options);
    let mut n = 0;
    while !segment(data.path(), 1).exists() {
        append(&journal, 0, &format!("record {n}")).await.unwrap();
        n += 1;
    }
    let expected = contents(&journal).await.unwrap();
    // The new segment written in part under its other name; the old one's index missing.
    let crashed = copy_folder(data.path());
    let next = segment(crashed.path(), 1);
    let index = segment(crashed.path(), 0).with_extension("idx");
    std::fs::remove_file(&index).unwrap();
    assert_eq!(contents(&open_with(crashed.path(), options)).await.unwrap(), expected);
    let whole = std::fs::read(&next).unwrap();
    std::fs::write(next.with_extension("seg.tmp"), &whole[..20]).unwrap();
    std::fs::remove_file(&next).unwrap();
    let journal = open_with(crashed.path(), options);
    let kept = contents(&journal).await.unwrap()[0].len();
    assert_eq!(kept + 1, n, "all but the record whose batch began the segment");
    append(&journal, 0, "again").await.unwrap();
    assert_eq!(contents(&journal).await.unwrap()[0][kept], "again");
}

// REQ: KER-02
#[tokio::test]
async fn logs_of_one_folder_share_its_lock_and_have_one_writer_each() {
    let data = tempfile::tempdir().unwrap();
    let journal = open(data.path());
    let (usage, _) = journal.open_beside(LogName::Usage, options()).unwrap();
    let twice = journal.open_beside(LogName::Usage, options());
    assert!(matches!(twice, Err(OpenError::Twice { .. })));
    append(&usage, 0, "event").await.unwrap();
    journal.close();
    assert!(matches!(
        journal.open_beside(LogName::Seals, options()),
        Err(OpenError::Closed { .. })
    ));
    let locked = LocalJournal::open(data.path(), options());
    assert!(matches!(locked, Err(OpenError::Locked { .. })), "usage is still written");
    append(&usage, 0, "another").await.unwrap();
    usage.close();
    let journal = open(data.path());
    let (usage, opened) = journal.open_beside(LogName::Usage, options()).unwrap();
    assert_eq!((opened.created, opened.records), (false, 2));
    assert_eq!(contents(&usage).await.unwrap()[0], ["event", "another"]);
    assert!(contents(&journal).await.unwrap()[0].is_empty());
}
