//! A store that dies, hangs or refuses: errors say whether to try again, nothing that was
//! acknowledged is gone, and what was tried again stands once.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use exchequer_readstore::conformance::example::{TABLE, WIDE, key, put};
use exchequer_readstore::{Batch, Fault, ReadStore as _, Scan, Value};
use exchequer_readstore_scylla::{Credentials, OpenError, ScyllaReadStore, Settings, migrate};
use exchequer_services::{Cassandra, Users};
use scylla::client::session_builder::SessionBuilder;

use crate::support::{Keyspace, migration};

const WAIT_MAX: Duration = Duration::from_secs(90);
/// Between one try and the next.
const PACE: Duration = Duration::from_millis(100);

/// Rows of many partition keys, and a checkpoint behind them.
fn batch(n: u64) -> Batch {
    let title = n.to_string();
    let tenant = |row: i64| format!("t{}", row % 20);
    let rows = (0..400).map(|row| put(&tenant(row), row, &title, n)).collect();
    Batch { rows, last: vec![put("checkpoint", 0, &title, n)] }
}

/// Number of the last batch of which the checkpoint stands; its rows must, too.
async fn checkpoint(store: &ScyllaReadStore) -> u64 {
    let row = again(async || store.get(TABLE, 0, key("checkpoint", 0)).await).await.unwrap();
    for tenant in 0..20 {
        let partition = vec![Value::text(format!("t{tenant}"))];
        let rows = store.scan(Scan::of(TABLE, 0, partition, usize::MAX)).await.unwrap();
        assert_eq!(rows.len(), 20);
        assert!(rows.iter().all(|it| it.timestamp >= row.timestamp), "a row is behind");
    }
    row.timestamp
}

/// Asks until it succeeds; each failure may be tried again.
async fn again<T>(ask: impl AsyncFn() -> Result<T, Fault>) -> T {
    let begun = Instant::now();
    let mut pace = tokio::time::interval(PACE);
    loop {
        pace.tick().await;
        match ask().await {
            Ok(answer) => return answer,
            Err(fault) => {
                assert!(fault.retryable, "{fault}");
                assert!(begun.elapsed() < WAIT_MAX, "{fault}");
            }
        }
    }
}

async fn persist(store: &ScyllaReadStore, n: u64) {
    again(async || store.write(batch(n)).await).await;
}

// REQ: KER-13
#[tokio::test(flavor = "multi_thread")]
async fn after_kill_9_and_a_halt_the_store_goes_on_where_it_was() {
    let mut node = Cassandra::start(Users::Anybody).unwrap();
    let mut keyspace = Keyspace::on(node.address(), "faults", vec![migration(1, &[TABLE])]);
    migrate(&keyspace.settings, &keyspace.replication, &keyspace.migrations).await.unwrap();
    keyspace.settings.request_timeout = Duration::from_secs(5);
    let store = keyspace.open(&[TABLE]).await;
    let mut n = 0;
    for _ in 0..3 {
        n += 1;
        persist(&store, n).await;
    }

    // Killed while batches are on their way.
    let written = AtomicU64::new(0);
    let writing = async {
        loop {
            n += 1;
            written.store(n, Ordering::Relaxed);
            if let Err(fault) = store.write(batch(n)).await {
                return (n, fault);
            }
        }
    };
    let killing = async {
        while written.load(Ordering::Relaxed) < 10 {
            tokio::task::yield_now().await;
        }
        tokio::task::block_in_place(|| node.kill()).unwrap();
    };
    let ((failed, fault), ()) = tokio::join!(writing, killing);
    assert!(fault.retryable, "{fault}");
    let gone: Fault = store.get(TABLE, 0, key("t1", 1)).await.unwrap_err();
    assert!(gone.retryable, "{gone}");
    let error = ScyllaReadStore::open(&keyspace.settings, &keyspace.migrations, &[TABLE]).await;
    assert!(matches!(error, Err(OpenError::Unreachable { .. })), "{error:?}");
    tokio::task::block_in_place(|| node.start_again()).unwrap();
    let stands = checkpoint(&store).await;
    assert!((failed - 1..=failed).contains(&stands), "what was acknowledged is there: {stands}");
    persist(&store, failed).await;
    assert_eq!(checkpoint(&store).await, failed);

    // Halted: it keeps its connections and answers nothing.
    node.pause().unwrap();
    let late = store.write(batch(failed + 1)).await.unwrap_err();
    assert!(late.retryable, "{late}");
    node.resume().unwrap();
    persist(&store, failed + 1).await;
    assert_eq!(checkpoint(&store).await, failed + 1);
}

// REQ: KER-13
#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_is_told_from_a_store_that_is_down() {
    let node = Cassandra::start(Users::WithPassword).unwrap();
    let keyspace = Keyspace::on(node.address(), "refused", vec![migration(1, &[TABLE])]);
    let with = |password: &str| {
        let (user, password) = ("cassandra".to_owned(), password.to_owned());
        Settings { credentials: Some(Credentials { user, password }), ..keyspace.settings.clone() }
    };
    migrate(&with("cassandra"), &keyspace.replication, &keyspace.migrations).await.unwrap();
    for settings in [with("wrong-word"), keyspace.settings.clone()] {
        let error = ScyllaReadStore::open(&settings, &keyspace.migrations, &[TABLE]).await;
        let error = error.unwrap_err();
        assert!(matches!(error, OpenError::Refused { .. }), "{error:?}");
        assert!(!error.is_retryable());
        assert!(!error.to_string().contains("wrong-word"), "{error}");
    }
}

/// A user with a password of its own, and nothing granted.
fn user(settings: &Settings, name: &str) -> Settings {
    let (user, password) = (name.to_owned(), format!("{name}-word"));
    Settings { credentials: Some(Credentials { user, password }), ..settings.clone() }
}

// REQ: KER-13
#[tokio::test(flavor = "multi_thread")]
async fn rights_that_the_guide_asks_for_suffice_and_a_missing_one_is_named() {
    let node = Cassandra::start(Users::WithPassword).unwrap();
    let keyspace = Keyspace::on(node.address(), "rights", vec![migration(1, &[TABLE])]);
    let session = SessionBuilder::new().known_node(node.address()).user("cassandra", "cassandra");
    let session = session.build().await.unwrap();
    let cql = async |text: &str| {
        let text = text.replace("KS", &keyspace.settings.keyspace);
        session.query_unpaged(text, ()).await.unwrap();
    };
    for name in ["maker", "worker"] {
        let password = format!("PASSWORD = '{name}-word'");
        cql(&format!("CREATE ROLE {name} WITH {password} AND LOGIN = true")).await;
    }
    let [maker, worker] = ["maker", "worker"].map(|name| user(&keyspace.settings, name));
    let migrated = migrate(&maker, &keyspace.replication, &keyspace.migrations).await;
    assert!(matches!(migrated, Err(OpenError::NoRight { .. })), "{migrated:?}");
    cql("GRANT CREATE ON ALL KEYSPACES TO maker").await;
    migrate(&maker, &keyspace.replication, &keyspace.migrations).await.unwrap();

    let open = async || ScyllaReadStore::open(&worker, &keyspace.migrations, &[TABLE]).await;
    let error = open().await.unwrap_err();
    assert!(matches!(error, OpenError::NoRight { .. }) && !error.is_retryable(), "{error:?}");
    let said = error.to_string();
    assert!(said.contains("worker") && !said.contains("worker-word"), "{said}");
    cql("GRANT SELECT ON KEYSPACE KS TO worker").await;
    let store = open().await.unwrap();
    let fault = store.write(batch(1)).await.unwrap_err();
    assert!(!fault.retryable, "{fault}");
    cql("GRANT MODIFY ON KEYSPACE KS TO worker").await;
    store.write(batch(1)).await.unwrap();
    assert_eq!(checkpoint(&store).await, 1);
    let more = [migration(1, &[TABLE]), migration(2, &[WIDE])];
    let later = migrate(&worker, &keyspace.replication, &more).await;
    assert!(matches!(later, Err(OpenError::NoRight { .. })), "{later:?}");
}
