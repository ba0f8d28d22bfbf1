//! A keyspace of one test on a real server, dropped behind it, and stores in it that are empty.

use std::borrow::Cow;
use std::path::Path;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use exchequer_readstore::{
    Batch, Fault, Generation, Key, Keys, ReadStore, Row, Scan, Table, Write,
};
use exchequer_readstore_scylla::{
    Migration, Replication, ScyllaReadStore, Settings, create_table, migrate,
};
use exchequer_services::{Cassandra, Folder, Lifetime, Users};
use futures::future::BoxFuture;
use scylla::client::execution_profile::{ExecutionProfile, ExecutionProfileHandle};
use scylla::client::session::Session;
use scylla::client::session_builder::SessionBuilder;

/// Where a server is that stands already: `host:port`.
const STANDING: &str = "EXCHEQUER_TEST_CQL";

/// A keyspace of its own.
pub(crate) struct Keyspace {
    pub(crate) settings: Settings,
    pub(crate) replication: Replication,
    pub(crate) migrations: Vec<Migration>,
}

/// The server that all tests share, each with keyspaces of its own. It ends with this process;
/// its folder, which is among the build's files, goes when the next one starts.
pub(crate) fn server() -> String {
    static SERVER: OnceLock<(String, Option<Cassandra>)> = OnceLock::new();
    let (address, _) = SERVER.get_or_init(|| {
        if let Ok(address) = std::env::var(STANDING) {
            return (address, None);
        }
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("cassandra");
        if folder.exists() {
            std::fs::remove_dir_all(&folder).unwrap();
        }
        let folder = Folder::kept(folder).unwrap();
        let node = Cassandra::start_in(folder, Users::Anybody, Lifetime::Owned).unwrap();
        (node.address(), Some(node))
    });
    address.clone()
}

/// A name that no other run has.
pub(crate) fn settings(server: String, name: &str) -> Settings {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let run = now.as_micros() % 1_000_000_000_000;
    let keyspace = format!("{name}_{}_{run}_{number}", std::process::id());
    // A busy machine is no failure.
    let request_timeout = Duration::from_secs(30);
    Settings { request_timeout, ..Settings::new(vec![server], keyspace) }
}

/// The first file of a program with these tables.
pub(crate) fn migration(number: u32, tables: &[&'static Table]) -> Migration {
    let text: String = tables.iter().map(|table| create_table(table)).collect();
    Migration { number, name: Cow::Owned(format!("{number:04}-test")), text: Cow::Owned(text) }
}

impl Keyspace {
    /// Not created yet, on the server that all share.
    pub(crate) fn planned(name: &str, migrations: Vec<Migration>) -> Self {
        Self::on(server(), name, migrations)
    }

    /// Not created yet.
    pub(crate) fn on(server: String, name: &str, migrations: Vec<Migration>) -> Self {
        let replication = Replication::EachDatacenter(1);
        Self { settings: settings(server, name), replication, migrations }
    }

    /// With these tables.
    pub(crate) async fn create(name: &str, tables: &[&'static Table]) -> Self {
        let keyspace = Self::planned(name, vec![migration(1, tables)]);
        migrate(&keyspace.settings, &keyspace.replication, &keyspace.migrations).await.unwrap();
        keyspace
    }

    pub(crate) async fn open(&self, tables: &[&'static Table]) -> ScyllaReadStore {
        ScyllaReadStore::open(&self.settings, &self.migrations, tables).await.unwrap()
    }

    /// A session of the driver itself, beside the adapter.
    pub(crate) async fn session(&self) -> Session {
        let nodes = &self.settings.contact_points;
        SessionBuilder::new()
            .known_nodes(nodes)
            .default_execution_profile_handle(patient())
            .build()
            .await
            .unwrap()
    }

    /// What a test that failed leaves goes with the server.
    pub(crate) async fn drop(self) {
        let drop = format!("DROP KEYSPACE IF EXISTS {}", self.settings.keyspace);
        self.session().await.query_unpaged(drop, ()).await.unwrap();
    }
}

/// As `migrate` is with changes of the schema.
fn patient() -> ExecutionProfileHandle {
    let wait = Some(Duration::from_secs(60));
    ExecutionProfile::builder().request_timeout(wait).build().into_handle()
}

/// Generations between two stores that share their tables.
const APART: u64 = 1_000_003;

/// An empty store in tables that others use too: its generations are moved away from theirs.
#[derive(Debug)]
pub(crate) struct Apart<'a> {
    pub(crate) store: &'a ScyllaReadStore,
    offset: Generation,
}

impl<'a> Apart<'a> {
    pub(crate) fn new(store: &'a ScyllaReadStore) -> Self {
        static NUMBER: AtomicU64 = AtomicU64::new(1);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        Self { store, offset: number * APART }
    }

    pub(crate) fn moved(&self, generation: Generation) -> Generation {
        generation.wrapping_add(self.offset)
    }

    fn moved_batch(&self, batch: Batch) -> Batch {
        let moved = |writes: Vec<Write>| {
            let moved = |it: Write| Write { generation: self.moved(it.generation), ..it };
            writes.into_iter().map(moved).collect()
        };
        Batch { rows: moved(batch.rows), last: moved(batch.last) }
    }
}

impl ReadStore for Apart<'_> {
    fn is_atomic(&self) -> bool {
        self.store.is_atomic()
    }

    fn write(&self, batch: Batch) -> BoxFuture<'_, Result<(), Fault>> {
        self.store.write(self.moved_batch(batch))
    }

    fn write_in_order(&self, batch: Batch) -> BoxFuture<'_, Result<(), Fault>> {
        self.store.write_in_order(self.moved_batch(batch))
    }

    fn get(
        &self,
        table: &'static Table,
        generation: Generation,
        key: Key,
    ) -> BoxFuture<'_, Result<Option<Row>, Fault>> {
        self.store.get(table, self.moved(generation), key)
    }

    fn get_many(&self, keys: Keys) -> BoxFuture<'_, Result<Vec<Row>, Fault>> {
        self.store.get_many(Keys { generation: self.moved(keys.generation), ..keys })
    }

    fn scan(&self, scan: Scan) -> BoxFuture<'_, Result<Vec<Row>, Fault>> {
        self.store.scan(Scan { generation: self.moved(scan.generation), ..scan })
    }

    fn drop_generation(
        &self,
        table: &'static Table,
        generation: Generation,
    ) -> BoxFuture<'_, Result<(), Fault>> {
        self.store.drop_generation(table, self.moved(generation))
    }
}
