//! The cluster read store keeps the port's promises on a real server, agrees with the store in
//! memory, and shows its columns to whoever asks the server itself.

use exchequer_readstore::conformance::CASES;
use exchequer_readstore::conformance::example::{NARROW, TABLE, WIDE, delete, put};
use exchequer_readstore::{Batch, MemoryStore, ReadStore, Row, Scan, Table, Value, Write};
use proptest::prelude::*;

use crate::support::{Apart, Keyspace};

const TABLES: &[&Table] = &[TABLE, WIDE, NARROW];

async fn write(store: &dyn ReadStore, rows: Vec<Write>) {
    store.write(Batch { rows, last: Vec::new() }).await.unwrap();
}

async fn scan(store: &dyn ReadStore, tenant: &str) -> Vec<Row> {
    store.scan(Scan::of(TABLE, 0, vec![Value::text(tenant)], usize::MAX)).await.unwrap()
}

// REQ: KER-07
#[tokio::test]
async fn conforms() {
    let keyspace = Keyspace::create("conforms", TABLES).await;
    let store = keyspace.open(TABLES).await;
    for (name, case) in CASES {
        let begun = std::time::Instant::now();
        case(&Apart::new(&store)).await;
        println!("{name}: {:?}", begun.elapsed());
    }
    keyspace.drop().await;
}

// REQ: KER-07
#[tokio::test]
async fn rows_are_readable_columns_with_their_position_as_timestamp() {
    let keyspace = Keyspace::create("columns", TABLES).await;
    let store = keyspace.open(TABLES).await;
    write(&store, vec![put("acme", 7, "a title", 3 << 16 | 2)]).await;
    let session = keyspace.session().await;
    let name = &keyspace.settings.keyspace;
    let query = format!(
        "SELECT row_generation, tenant, number, title, row_position, writetime(title) FROM {name}.conformance"
    );
    let found = session.query_unpaged(query, ()).await.unwrap().into_rows_result().unwrap();
    let row = found.single_row::<(i64, String, i64, String, i64, i64)>().unwrap();
    let position = 3 << 16 | 2;
    let expected = (0, "acme".to_owned(), 7, "a title".to_owned(), position, position << 4);
    assert_eq!(row, expected);
    keyspace.drop().await;
}

// REQ: KER-06
#[tokio::test]
async fn late_and_repeated_batches_change_nothing() {
    let keyspace = Keyspace::create("late", TABLES).await;
    let store = keyspace.open(TABLES).await;
    let other = keyspace.open(TABLES).await;
    let batch = |n: u64| {
        (0..300).map(move |row| match (row + n) % 3 {
            0 => delete("t", row.cast_signed(), n),
            _ => put("t", row.cast_signed(), &n.to_string(), n),
        })
    };
    for n in [1, 2, 3] {
        write(&store, batch(n).collect()).await;
    }
    let expected = scan(&store, "t").await;
    assert_eq!(expected.len(), 200);
    for n in [3, 1, 2, 3, 1] {
        write(&store, batch(n).collect()).await;
        // By another process, which knows nothing of what the first wrote.
        write(&other, batch(n).collect()).await;
        assert_eq!(scan(&store, "t").await, expected, "after batch {n}");
    }
    keyspace.drop().await;
}

/// One step of a history that both stores take.
#[derive(Clone, Debug)]
enum Action {
    Write(Vec<Write>),
    Scan { from: Option<i64>, to: Option<i64>, after: Option<i64>, reverse: bool, rows_max: usize },
}

fn a_write() -> impl Strategy<Value = Write> {
    let title = proptest::option::of("[a-z]{0,3}");
    let tenant = prop_oneof![Just("t"), Just("t\0"), Just("")];
    (tenant, -4_i64..4, title, 0..20_u64).prop_map(|(tenant, number, title, timestamp)| {
        let values = title.map(|title| vec![Value::Text(title)]);
        Write { values, ..put(tenant, number, "", timestamp) }
    })
}

fn action() -> impl Strategy<Value = Action> {
    let bound = || proptest::option::of(-5_i64..5);
    prop_oneof![
        proptest::collection::vec(a_write(), 1..12).prop_map(Action::Write),
        (bound(), bound(), bound(), any::<bool>(), 0..9_usize).prop_map(
            |(from, to, after, reverse, rows_max)| Action::Scan {
                from,
                to,
                after,
                reverse,
                rows_max
            }
        ),
    ]
}

async fn agree(store: &dyn ReadStore, actions: Vec<Action>) {
    let memory = MemoryStore::new(false);
    for action in actions {
        match action {
            Action::Write(rows) => {
                write(&memory, rows.clone()).await;
                write(store, rows).await;
            }
            Action::Scan { from, to, after, reverse, rows_max } => {
                let bound = |bound: Option<i64>| bound.map(|number| vec![Value::Int(number)]);
                let (from, to, after) = (bound(from), bound(to), bound(after));
                let all = Scan::of(TABLE, 0, vec![Value::text("t")], rows_max);
                let scan = Scan { from, to, after, reverse, ..all };
                let expected = memory.scan(scan.clone()).await.unwrap();
                assert_eq!(store.scan(scan).await.unwrap(), expected);
            }
        }
    }
    for row in memory.snapshot(TABLE, 0) {
        assert_eq!(store.get(TABLE, 0, row.key.clone()).await.unwrap(), Some(row));
    }
}

// REQ: KER-07
#[test]
fn agrees_with_the_store_in_memory() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let keyspace = runtime.block_on(Keyspace::create("agrees", TABLES));
    let store = runtime.block_on(keyspace.open(TABLES));
    let config = ProptestConfig { cases: 60, failure_persistence: None, ..Default::default() };
    proptest!(config, |(actions in proptest::collection::vec(action(), 1..40))| {
        runtime.block_on(agree(&Apart::new(&store), actions));
    });
    runtime.block_on(keyspace.drop());
}
