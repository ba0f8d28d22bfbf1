//! A folder that was carried elsewhere, and one that somebody holds.

use crate::{JournalReader, LocalJournal, OpenError, check_moved, hold, write_moved};

use super::{open, options};

// REQ: KER-07
#[test]
fn a_folder_that_was_carried_elsewhere_is_not_served_from() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path();
    open(data).close();
    check_moved(data).unwrap();
    write_moved(data, "Kafka at broker-1:9092").unwrap();
    let refused = LocalJournal::open(data, options()).unwrap_err().to_string();
    for part in ["broker-1:9092", "MOVED", "remove"] {
        assert!(refused.contains(part), "{refused}");
    }
    // It can still be read.
    assert_eq!(JournalReader::open(data).unwrap().records().count(), 0);
    std::fs::remove_file(data.join("MOVED")).unwrap();
    open(data).close();
}

// REQ: KER-07
#[test]
fn a_folder_is_held_by_one() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path();
    let serving = open(data);
    assert!(matches!(hold(data), Err(OpenError::Locked { .. })));
    serving.close();
    drop(serving);
    let held = hold(data).unwrap();
    assert!(matches!(LocalJournal::open(data, options()), Err(OpenError::Locked { .. })));
    drop(held);
    open(data).close();
}
