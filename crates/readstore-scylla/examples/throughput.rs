//! Rows a second into and out of a real server, beside the bare driver with the same batches:
//! `cargo run --release --example throughput -p exchequer-readstore-scylla -- 127.0.0.1:9042`.
#![expect(clippy::unwrap_used, reason = "a measurement: what fails ends it")]

use std::borrow::Cow;
use std::io::Write as _;
use std::time::{Duration, Instant};

use exchequer_readstore::{Batch, Column, Key, Kind, ReadStore as _, Scan, Table, Value, Write};
use exchequer_readstore_scylla::{
    Migration, Replication, ScyllaReadStore, Settings, create_table, migrate,
};
use futures::{StreamExt as _, stream};
use scylla::client::session::Session;
use scylla::client::session_builder::SessionBuilder;
use scylla::statement::Consistency;
use scylla::statement::batch::{Batch as Statements, BatchStatement, BatchType};

const PARTITIONS: i64 = 400;
const ROWS_EACH: i64 = 250;
/// As the store makes them.
const BATCH_ROWS: i64 = 100;
const AT_ONCE: usize = 64;
const READS: i64 = 20_000;

static TABLE: Table = Table {
    name: "throughput",
    partition_key: &[Column { name: "tenant", kind: Kind::Text }],
    clustering: &[Column { name: "number", kind: Kind::Int }],
    columns: &[
        Column { name: "title", kind: Kind::Text },
        Column { name: "count", kind: Kind::Int },
        Column { name: "body", kind: Kind::Bytes },
    ],
};

fn key(tenant: i64, number: i64) -> Key {
    let partition = vec![Value::text(format!("tenant-{tenant}"))];
    Key { partition, clustering: vec![Value::Int(number)] }
}

/// About 100 bytes of values.
fn row(tenant: i64, number: i64, timestamp: u64) -> Write {
    let body = Value::Bytes(vec![7; 64].into());
    let values =
        Some(vec![Value::text("a title of thirty characters.."), Value::Int(number), body]);
    Write { table: &TABLE, generation: 1, key: key(tenant, number), values, timestamp }
}

async fn adapter(store: &ScyllaReadStore, timestamp: u64) -> Duration {
    // As a projector: batches of many partition keys, one after another.
    let begun = Instant::now();
    for tenants in (0..PARTITIONS).collect::<Vec<_>>().chunks(20) {
        let rows = tenants
            .iter()
            .flat_map(|tenant| (0..ROWS_EACH).map(|number| row(*tenant, number, timestamp)));
        store.write(Batch { rows: rows.collect(), last: Vec::new() }).await.unwrap();
    }
    begun.elapsed()
}

async fn bare(session: &Session, keyspace: &str, timestamp: i64) -> Duration {
    let text = format!(
        "INSERT INTO {keyspace}.throughput (row_generation, tenant, number, row_position, title, count, body) VALUES (?, ?, ?, ?, ?, ?, ?) USING TIMESTAMP ?"
    );
    let mut insert = session.prepare(text).await.unwrap();
    insert.set_is_idempotent(true);
    insert.set_consistency(Consistency::LocalQuorum);
    let begun = Instant::now();
    for tenants in (0..PARTITIONS).collect::<Vec<_>>().chunks(20) {
        let batches = tenants.iter().flat_map(|tenant| {
            let starts = (0..ROWS_EACH).step_by(usize::try_from(BATCH_ROWS).unwrap());
            starts.map(move |start| (*tenant, start..ROWS_EACH.min(start + BATCH_ROWS)))
        });
        let sends = batches.map(|(tenant, numbers)| {
            let insert = insert.clone();
            async move {
                let values: Vec<_> = numbers
                    .map(|number| {
                        let name = format!("tenant-{tenant}");
                        let title = "a title of thirty characters..";
                        (1_i64, name, number, timestamp, title, number, vec![7_u8; 64], timestamp)
                    })
                    .collect();
                let statements = vec![BatchStatement::PreparedStatement(insert); values.len()];
                let batch = Statements::new_with_statements(BatchType::Unlogged, statements);
                session.batch(&batch, values).await.unwrap();
            }
        });
        stream::iter(sends).buffer_unordered(AT_ONCE).for_each(|()| async {}).await;
    }
    begun.elapsed()
}

async fn gets(store: &ScyllaReadStore, at_once: usize) -> Duration {
    let begun = Instant::now();
    let count = if at_once == 1 { READS / 20 } else { READS };
    let reads = (0..count).map(|n| {
        let key = key(n * 7 % PARTITIONS, n * 13 % ROWS_EACH);
        async move { assert!(store.get(&TABLE, 1, key).await.unwrap().is_some()) }
    });
    stream::iter(reads).buffer_unordered(at_once).for_each(|()| async {}).await;
    begun.elapsed()
}

async fn scans(store: &ScyllaReadStore) -> Duration {
    let begun = Instant::now();
    let scans = (0..PARTITIONS).map(|tenant| {
        let partition = vec![Value::text(format!("tenant-{tenant}"))];
        async move { store.scan(Scan::of(&TABLE, 1, partition, usize::MAX)).await.unwrap().len() }
    });
    let found: usize = stream::iter(scans).buffer_unordered(8).fold(0, async |a, b| a + b).await;
    assert_eq!(i64::try_from(found).unwrap(), PARTITIONS * ROWS_EACH);
    begun.elapsed()
}

fn say(what: &str, count: i64, took: Duration) {
    let rate = f64::from(u32::try_from(count).unwrap()) / took.as_secs_f64();
    let mut out = std::io::stdout();
    writeln!(out, "{what}: {rate:.0}/s").unwrap();
}

#[tokio::main]
async fn main() {
    let server = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:9042".to_owned());
    let keyspace = format!("throughput_{}", std::process::id());
    let settings = Settings::new(vec![server.clone()], keyspace.clone());
    let text = Cow::Owned(create_table(&TABLE));
    let migrations = [Migration { number: 1, name: Cow::Borrowed("0001-table"), text }];
    migrate(&settings, &Replication::EachDatacenter(1), &migrations).await.unwrap();
    let store = ScyllaReadStore::open(&settings, &migrations, &[&TABLE]).await.unwrap();
    let session = SessionBuilder::new().known_node(server).build().await.unwrap();
    let rows = PARTITIONS * ROWS_EACH;
    // The first round warms the server up.
    for round in 0..4 {
        let timestamp = 2 * round + 1;
        say("rows written, bare driver", rows, bare(&session, &keyspace, timestamp * 16).await);
        let timestamp = timestamp.cast_unsigned() + 1;
        say("rows written, this store", rows, adapter(&store, timestamp).await);
    }
    for at_once in [1, AT_ONCE] {
        let count = if at_once == 1 { READS / 20 } else { READS };
        say(&format!("rows read by key, {at_once} at once"), count, gets(&store, at_once).await);
    }
    for _ in 0..2 {
        say("rows scanned, 8 scans at once", rows, scans(&store).await);
    }
    session.query_unpaged(format!("DROP KEYSPACE {keyspace}"), ()).await.unwrap();
}
