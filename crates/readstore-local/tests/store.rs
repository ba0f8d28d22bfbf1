//! The embedded read store keeps the port's promises, agrees with the store in
//! memory, and says what to do when its folder is in use or damaged.

#![cfg(test)]

use std::path::Path;

use exchequer_readstore::conformance::example::{TABLE, delete, key, put};
use exchequer_readstore::conformance::{CASES, example};
use exchequer_readstore::{Batch, MemoryStore, ReadStore, Row, Scan, Value, Write};
use exchequer_readstore_local::{LocalReadStore, OpenError, Settings, discard};
use proptest::prelude::*;

fn open(folder: &Path) -> LocalReadStore {
    LocalReadStore::open(folder, &Settings::default()).unwrap()
}

async fn write(store: &dyn ReadStore, rows: Vec<Write>) {
    store.write(Batch { rows, last: Vec::new() }).await.unwrap();
}

async fn scan(store: &dyn ReadStore, tenant: &str) -> Vec<Row> {
    store.scan(Scan::of(TABLE, 0, vec![Value::text(tenant)], usize::MAX)).await.unwrap()
}

// REQ: KER-07
#[tokio::test]
async fn conforms() {
    for (name, case) in CASES {
        println!("{name}");
        let folder = tempfile::tempdir().unwrap();
        case(&open(folder.path())).await;
    }
}

// REQ: KER-06
#[tokio::test]
async fn rows_and_tombstones_stand_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    {
        let store = open(folder.path());
        write(&store, vec![put("t", 1, "one", 7), put("t", 2, "two", 7), delete("t", 3, 7)]).await;
        store.sync().await.unwrap();
    }
    let store = open(folder.path());
    write(&store, vec![put("t", 2, "older", 6), put("t", 3, "older", 6)]).await;
    let rows = scan(&store, "t").await;
    let titles: Vec<_> = rows.iter().map(|row| row.values[0].as_text()).collect();
    assert_eq!(titles, ["one", "two"]);
}

// REQ: KER-06
#[tokio::test]
async fn readers_see_all_of_a_batch_or_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let batch = |n: u64| (0..200).map(|row| put("t", row, &n.to_string(), n)).collect();
    write(&store, batch(0)).await;
    let writes = async {
        for n in 1..200 {
            write(&store, batch(n)).await;
        }
    };
    let reads = async {
        let mut newest = 0;
        while newest < 199 {
            let rows = scan(&store, "t").await;
            assert_eq!(rows.len(), 200);
            assert!(rows.iter().all(|row| row.timestamp == rows[0].timestamp), "torn batch");
            assert!(rows[0].timestamp >= newest, "went back");
            newest = rows[0].timestamp;
            let one = store.get(TABLE, 0, key("t", 199)).await.unwrap().unwrap();
            assert!(one.timestamp >= newest, "went back");
            tokio::task::yield_now().await;
        }
    };
    tokio::join!(writes, reads);
}

#[tokio::test]
async fn a_second_opening_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let second = LocalReadStore::open(folder.path(), &Settings::default());
    let error = second.unwrap_err();
    assert!(matches!(error, OpenError::InUse { .. }), "{error}");
    assert!(error.to_string().contains("another process"), "{error}");
    drop(store);
    open(folder.path());
}

/// Flips one byte in the middle of every file that `is_hit`.
fn damage(folder: &Path, is_hit: &dyn Fn(&Path) -> bool) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            damage(&path, is_hit);
        } else if is_hit(&path) {
            let mut bytes = std::fs::read(&path).unwrap();
            let middle = bytes.len() / 2;
            bytes[middle] ^= 0xff;
            std::fs::write(&path, bytes).unwrap();
        }
    }
}

// REQ: KER-15
#[tokio::test]
async fn a_damaged_folder_is_named_and_can_be_discarded() {
    let folder = tempfile::tempdir().unwrap();
    write(&open(folder.path()), vec![put("t", 1, "one", 1)]).await;
    std::fs::write(folder.path().join("mine.txt"), "not of the store").unwrap();
    damage(folder.path(), &|path| path.components().any(|part| part.as_os_str() == "0"));
    let error = LocalReadStore::open(folder.path(), &Settings::default()).unwrap_err();
    assert!(matches!(error, OpenError::Damaged { .. }), "{error}");
    assert!(error.to_string().contains("rebuilt from the journal"), "{error}");
    discard(folder.path()).unwrap();
    assert!(folder.path().join("mine.txt").exists());
    assert!(scan(&open(folder.path()), "t").await.is_empty());
}

// REQ: KER-15
#[tokio::test]
async fn a_first_start_that_was_cut_off_can_be_discarded() {
    let folder = tempfile::tempdir().unwrap();
    drop(open(folder.path()));
    std::fs::remove_file(folder.path().join("version")).unwrap();
    let error = LocalReadStore::open(folder.path(), &Settings::default()).unwrap_err();
    assert!(matches!(error, OpenError::Damaged { .. }), "{error}");
    discard(folder.path()).unwrap();
    open(folder.path());
}

/// One step of a history that both stores take.
#[derive(Clone, Debug)]
enum Action {
    Write(Vec<Write>),
    Drop(u64),
    Scan { from: Option<i64>, to: Option<i64>, after: Option<i64>, reverse: bool, rows_max: usize },
    Reopen,
}

fn a_write() -> impl Strategy<Value = Write> {
    let title = proptest::option::of("[a-z]{0,3}");
    let tenant = prop_oneof![Just("t"), Just("t\0"), Just("")];
    (tenant, -4_i64..4, title, 0..20_u64, 0..2_u64).prop_map(
        |(tenant, number, title, timestamp, generation)| {
            let values = title.map(|title| vec![Value::Text(title)]);
            Write { generation, values, ..put(tenant, number, "", timestamp) }
        },
    )
}

fn action() -> impl Strategy<Value = Action> {
    let bound = || proptest::option::of(-5_i64..5);
    prop_oneof![
        6 => proptest::collection::vec(a_write(), 1..12).prop_map(Action::Write),
        1 => (0..2_u64).prop_map(Action::Drop),
        6 => (bound(), bound(), bound(), any::<bool>(), 0..9_usize).prop_map(
            |(from, to, after, reverse, rows_max)| Action::Scan { from, to, after, reverse, rows_max }
        ),
        1 => Just(Action::Reopen),
    ]
}

async fn agree(actions: Vec<Action>) {
    let folder = tempfile::tempdir().unwrap();
    let memory = MemoryStore::new(true);
    let mut store = open(folder.path());
    for action in actions {
        match action {
            Action::Write(rows) => {
                write(&memory, rows.clone()).await;
                write(&store, rows).await;
            }
            Action::Drop(generation) => {
                memory.drop_generation(TABLE, generation).await.unwrap();
                store.drop_generation(TABLE, generation).await.unwrap();
            }
            Action::Scan { from, to, after, reverse, rows_max } => {
                let bound = |bound: Option<i64>| bound.map(|number| vec![Value::Int(number)]);
                let (from, to, after) = (bound(from), bound(to), bound(after));
                let all = Scan::of(example::TABLE, 0, vec![Value::text("t")], rows_max);
                let scan = Scan { from, to, after, reverse, ..all };
                let expected = memory.scan(scan.clone()).await.unwrap();
                assert_eq!(store.scan(scan).await.unwrap(), expected);
            }
            Action::Reopen => {
                drop(store);
                store = open(folder.path());
            }
        }
    }
    for row in memory.snapshot(TABLE, 0) {
        assert_eq!(store.get(TABLE, 0, row.key.clone()).await.unwrap(), Some(row));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..Default::default() })]

    // REQ: KER-07
    #[test]
    fn agrees_with_the_store_in_memory(actions in proptest::collection::vec(action(), 1..40)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(agree(actions));
    }
}
