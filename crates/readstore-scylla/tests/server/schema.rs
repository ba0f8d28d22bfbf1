//! What `migrate` makes of a keyspace, what the check at the start says of one that is not as
//! this program needs it, and what is said when no server answers.

use std::borrow::Cow;
use std::collections::BTreeMap;

use exchequer_readstore::conformance::example::{NARROW, TABLE, WIDE, put};
use exchequer_readstore::{Batch, ReadStore as _, Scan, Value};
use exchequer_readstore_scylla::{
    Credentials, MIGRATIONS, Migration, OpenError, Replication, ScyllaReadStore, Settings,
    create_table, migrate,
};

use crate::support::{Keyspace, migration};

async fn refused(keyspace: &Keyspace) -> OpenError {
    let tables = [TABLE, WIDE];
    ScyllaReadStore::open(&keyspace.settings, &keyspace.migrations, &tables).await.unwrap_err()
}

async fn run(keyspace: &Keyspace) -> Result<Vec<String>, OpenError> {
    let migrated = migrate(&keyspace.settings, &keyspace.replication, &keyspace.migrations).await;
    migrated.map(|migrated| migrated.applied)
}

async fn statement(keyspace: &Keyspace, statement: &str) {
    let statement = statement.replace("KS", &keyspace.settings.keyspace);
    keyspace.session().await.query_unpaged(statement, ()).await.unwrap();
}

// REQ: KER-11
#[tokio::test]
async fn a_keyspace_is_created_brought_up_to_date_and_checked() {
    let mut keyspace = Keyspace::planned("migrated", vec![migration(1, &[TABLE])]);
    let error = refused(&keyspace).await;
    assert!(matches!(error, OpenError::NoKeyspace { .. }), "{error}");
    assert!(error.to_string().ends_with("run `exchequer admin migrate`"), "{error}");
    assert_eq!(run(&keyspace).await.unwrap(), ["0001-test"]);
    assert!(run(&keyspace).await.unwrap().is_empty());

    let error = refused(&keyspace).await.to_string();
    assert!(error.contains("table conformance_wide is missing"), "{error}");
    assert!(error.ends_with("run `exchequer admin migrate`"), "{error}");

    let old = keyspace.open(&[TABLE]).await;
    let rows = vec![put("t", 1, "kept", 1)];
    old.write(Batch { rows, last: Vec::new() }).await.unwrap();
    keyspace.migrations.push(migration(2, &[WIDE]));
    let error = refused(&keyspace).await.to_string();
    assert!(error.contains("0002-test is not applied"), "{error}");
    assert_eq!(run(&keyspace).await.unwrap(), ["0002-test"]);
    let store = keyspace.open(&[TABLE, WIDE]).await;
    let rows = store.scan(Scan::of(TABLE, 0, vec![Value::text("t")], 9)).await.unwrap();
    assert_eq!(rows.len(), 1);

    // An older program.
    keyspace.migrations.pop();
    for error in [refused(&keyspace).await, run(&keyspace).await.unwrap_err()] {
        assert!(matches!(error, OpenError::Newer { found: 2, known: 1, .. }), "{error}");
        assert!(!error.is_retryable());
    }
    keyspace.drop().await;
}

// REQ: KER-11
#[tokio::test]
async fn the_files_of_this_program_apply() {
    let keyspace = Keyspace::planned("files", MIGRATIONS.to_vec());
    let applied = run(&keyspace).await.unwrap();
    let names: Vec<_> = MIGRATIONS.iter().map(|it| it.name.as_ref()).collect();
    assert_eq!(applied, names);
    keyspace.open(&[]).await;
    // What the guide shows a person at a CQL shell.
    let guide = include_str!("../../../../docs/guides/cluster.md");
    let shown = guide.split("```sql\n").nth(1).unwrap().split("```").next().unwrap();
    assert!(shown.lines().count() > 1, "{shown}");
    for select in shown.lines() {
        statement(&keyspace, &select.replace("FROM exchequer.", "FROM KS.")).await;
    }
    keyspace.drop().await;
}

// REQ: KER-11
#[tokio::test]
async fn a_migration_that_was_cut_off_goes_on() {
    let keyspace = Keyspace::planned("cut_off", vec![migration(1, &[TABLE, WIDE, NARROW])]);
    run(&keyspace).await.unwrap();
    statement(&keyspace, "DROP TABLE KS.conformance_wide").await;
    statement(&keyspace, "DELETE FROM KS.store_migrations WHERE part = 'store'").await;
    assert!(matches!(refused(&keyspace).await, OpenError::Behind { .. }));
    assert_eq!(run(&keyspace).await.unwrap(), ["0001-test"]);
    keyspace.open(&[TABLE, WIDE, NARROW]).await;
    keyspace.drop().await;
}

// REQ: KER-11
#[tokio::test]
async fn a_column_is_added_once_and_reads_as_empty_where_it_was_not_written() {
    let without = create_table(WIDE).replace("  \"count\" bigint,\n", "");
    let first = Migration { text: Cow::Owned(without), ..migration(1, &[]) };
    let mut keyspace = Keyspace::planned("added", vec![first]);
    run(&keyspace).await.unwrap();
    let error = refused(&keyspace).await.to_string();
    assert!(error.contains("column count of table conformance_wide is missing"), "{error}");
    statement(
        &keyspace,
        "INSERT INTO KS.conformance_wide (row_generation, tenant, shard, name, number, digest, row_position, title, body) VALUES (0, 't', 1, 'n', 2, 0x, 5, 'old', 0x01) USING TIMESTAMP 80",
    )
    .await;
    let add = Cow::Borrowed("ALTER TABLE \"conformance_wide\" ADD \"count\" bigint;");
    keyspace.migrations.push(Migration { text: add, ..migration(2, &[]) });
    run(&keyspace).await.unwrap();
    statement(&keyspace, "DELETE FROM KS.store_migrations WHERE part = 'store' AND number = 2")
        .await;
    assert_eq!(run(&keyspace).await.unwrap(), ["0002-test"]);
    let store = keyspace.open(&[WIDE]).await;
    let partition = vec![Value::text("t"), Value::Int(1)];
    let rows = store.scan(Scan::of(WIDE, 0, partition, 9)).await.unwrap();
    assert_eq!(rows[0].values, [Value::text("old"), Value::Int(0), Value::Bytes(vec![1].into())]);
    assert_eq!(rows[0].timestamp, 5);
    keyspace.drop().await;
}

// REQ: KER-11
#[tokio::test]
async fn a_file_that_was_changed_after_it_was_applied_is_refused() {
    let mut keyspace = Keyspace::create("changed", &[TABLE]).await;
    keyspace.migrations[0].text.to_mut().push_str("-- harmless, and yet\n");
    for error in [refused(&keyspace).await, run(&keyspace).await.unwrap_err()] {
        assert!(matches!(error, OpenError::Changed { number: 1, .. }), "{error}");
    }
    keyspace.drop().await;
}

// REQ: KER-11
#[tokio::test]
async fn another_replication_than_the_settings_say_is_named() {
    let mut keyspace = Keyspace::create("replicated", &[TABLE]).await;
    keyspace.replication = Replication::EachDatacenter(3);
    let error = run(&keyspace).await.unwrap_err();
    assert!(matches!(error, OpenError::Replication { .. }), "{error}");
    let factors = BTreeMap::from([("datacenter1".to_owned(), 1)]);
    keyspace.replication = Replication::Datacenters(factors);
    assert!(run(&keyspace).await.unwrap().is_empty());
    keyspace.drop().await;
}

// REQ: KER-13
#[tokio::test]
async fn where_no_server_answers_one_line_says_so() {
    let settings = Settings::new(vec!["127.0.0.1:1".to_owned()], "exchequer");
    let error = ScyllaReadStore::open(&settings, &[], &[]).await.unwrap_err();
    assert!(matches!(error, OpenError::Unreachable { .. }), "{error}");
    assert!(error.is_retryable());
    let text = error.to_string();
    assert!(text.contains("127.0.0.1:1") && !text.contains('\n'), "{text}");
    let bad = Settings { keyspace: "Not a word".to_owned(), ..settings };
    let error = ScyllaReadStore::open(&bad, &[], &[]).await.unwrap_err();
    assert!(matches!(error, OpenError::Keyspace { .. }), "{error}");
    // A server without users takes any.
    let credentials = Credentials { user: "u".to_owned(), password: "p".to_owned() };
    let keyspace = Keyspace::create("users", &[TABLE]).await;
    let settings = Settings { credentials: Some(credentials), ..keyspace.settings.clone() };
    ScyllaReadStore::open(&settings, &keyspace.migrations, &[TABLE]).await.unwrap();
    keyspace.drop().await;
}
