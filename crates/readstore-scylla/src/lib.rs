//! The cluster read store: the port `ReadStore` on ScyllaDB or Cassandra, one CQL table for
//! each declared table. Nothing is compared, locked or counted in the store: each write
//! carries its position as timestamp, so that it may be repeated, come late or overtake.

mod cell;
mod connect;
mod fault;
mod keys;
mod migrate;
mod read;
mod schema;
mod settings;
mod statements;
mod ties;
mod tls;
mod works;
mod write;

use std::fmt;
use std::sync::{Arc, Mutex};

use exchequer_readstore::{Batch, Fault, Generation, Key, Keys, ReadStore, Row, Scan, Table};
use futures::future::BoxFuture;
use scylla::client::session::Session;
use tokio::sync::Semaphore;

use statements::Statements;
use ties::Ties;

pub use keys::{ScyllaKeys, check_deployment, keys_settings, migrate_keys};
pub use migrate::{MIGRATIONS, Migrated, Migration, migrate};
pub use schema::{create_table, differences};
pub use settings::{Credentials, Replication, Settings, Tls};

/// The store cannot be used.
#[derive(Clone, Debug, thiserror::Error)]
pub enum OpenError {
    #[error("the keyspace {keyspace:?} must be of the form [a-z][a-z0-9_]*, at most 48 characters")]
    Keyspace { keyspace: String },
    #[error("the store's settings cannot be used: {message}")]
    Settings { message: String },
    #[error(
        "no node of the store answers at {nodes}: check that it runs and can be reached: {message}"
    )]
    Unreachable { nodes: String, message: String },
    #[error("the store at {nodes} refuses the user: check name and password: {message}")]
    Refused { nodes: String, message: String },
    #[error(
        "the store's user may not do this, when it was asked to {what}: {message}: grant it, or name a user that may"
    )]
    NoRight { what: String, message: String },
    #[error(
        "the store at {nodes} shows a certificate that is not trusted: {message}: check that scylla.ca_file names its authority, and that it is in date"
    )]
    Untrusted { nodes: String, message: String },
    #[error(
        "the store at {nodes} shows a certificate for somebody else: {message}: set scylla.certificate_name to a name that it is for, or reach the nodes under the addresses that it is for"
    )]
    OtherName { nodes: String, message: String },
    #[error(
        "the store at {nodes} does not take this process's certificate: check scylla.cert_file and scylla.key_file: {message}"
    )]
    CertificateRefused { nodes: String, message: String },
    #[error(
        "the store at {nodes} speaks a protocol that is too old: this program needs version 4 of CQL, of ScyllaDB or Apache Cassandra 3.0 and newer: {message}"
    )]
    TooOld { nodes: String, message: String },
    #[error("the store has no keyspace {keyspace}: run `exchequer admin migrate`")]
    NoKeyspace { keyspace: String },
    #[error("keyspace {keyspace} is behind this program: {}: run `exchequer admin migrate`", problems.join(", "))]
    Behind { keyspace: String, problems: Vec<String> },
    #[error(
        "keyspace {keyspace} was migrated to {found}, this program knows {known}: run a newer program"
    )]
    Newer { keyspace: String, found: u32, known: u32 },
    #[error(
        "migration {number} of keyspace {keyspace} is not the one that this program knows: it belongs to another program, or a file of schemas/store/ was changed after its release"
    )]
    Changed { keyspace: String, number: u32 },
    #[error(
        "keyspace {keyspace} is replicated as {found}, the settings say {wanted}: change the settings, or ALTER KEYSPACE and repair"
    )]
    Replication { keyspace: String, found: String, wanted: String },
    #[error(
        "keyspace {keyspace} has the keys of another deployment: name the key of this one with keys.deployment_file, or its own keyspace with scylla.keyspace"
    )]
    OtherDeployment { keyspace: String },
    #[error("keyspace {keyspace} does not say whose keys it has: run `exchequer admin migrate`")]
    NoDeployment { keyspace: String },
    #[error(transparent)]
    Keys(std::sync::Arc<exchequer_vault::VaultError>),
    #[error("{0}: a migration that this program brings is malformed")]
    Malformed(String),
    #[error(transparent)]
    Fault(#[from] Fault),
}

impl OpenError {
    /// May the same succeed later, with nothing changed by hand?
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Unreachable { .. } => true,
            Self::Fault(fault) => fault.retryable,
            Self::Keys(error) => error.is_retryable(),
            _ => false,
        }
    }
}

/// A [`ReadStore`] on a cluster. Reads and writes are at `LOCAL_QUORUM`. Connections end when
/// this is dropped.
pub struct ScyllaReadStore {
    session: Arc<Session>,
    keyspace: String,
    statements: Statements,
    ties: Mutex<Ties>,
    reads: Semaphore,
    writes: Semaphore,
    writes_at_once_max: usize,
}

impl fmt::Debug for ScyllaReadStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScyllaReadStore").field("keyspace", &self.keyspace).finish_non_exhaustive()
    }
}

impl ScyllaReadStore {
    /// Connects, and checks that all of `tables` are there as they are declared. Changes
    /// nothing: that is for [`migrate`]. `migrations` are [`MIGRATIONS`], except in tests.
    pub async fn open(
        settings: &Settings,
        migrations: &[Migration],
        tables: &[&'static Table],
    ) -> Result<Self, OpenError> {
        let session = connect::session(settings).await?;
        migrate::check(&session, &settings.keyspace, migrations, tables).await?;
        let keyspace = settings.keyspace.clone();
        Ok(Self {
            session: Arc::new(session),
            statements: Statements::new(
                keyspace.clone(),
                connect::profile(settings),
                settings.request_timeout,
            ),
            keyspace,
            ties: Mutex::default(),
            reads: Semaphore::new(settings.reads_at_once_max.max(1)),
            writes: Semaphore::new(settings.writes_at_once_max.max(1)),
            writes_at_once_max: settings.writes_at_once_max.max(1),
        })
    }

    /// All rows of a generation, by partition key, then by clustering key. Reads the whole
    /// table, and holds all of it: for checks of a store that is at rest.
    pub async fn snapshot(
        &self,
        table: &'static Table,
        generation: Generation,
    ) -> Result<Vec<Row>, Fault> {
        self.rows_of(table, generation).await
    }
}

impl ReadStore for ScyllaReadStore {
    fn is_atomic(&self) -> bool {
        false
    }

    fn write(&self, batch: Batch) -> BoxFuture<'_, Result<(), Fault>> {
        Box::pin(self.apply(batch))
    }

    fn get(
        &self,
        table: &'static Table,
        generation: Generation,
        key: Key,
    ) -> BoxFuture<'_, Result<Option<Row>, Fault>> {
        Box::pin(self.row(table, generation, key))
    }

    fn get_many(&self, keys: Keys) -> BoxFuture<'_, Result<Vec<Row>, Fault>> {
        Box::pin(self.many(keys))
    }

    fn scan(&self, scan: Scan) -> BoxFuture<'_, Result<Vec<Row>, Fault>> {
        Box::pin(self.rows(scan))
    }

    fn drop_generation(
        &self,
        table: &'static Table,
        generation: Generation,
    ) -> BoxFuture<'_, Result<(), Fault>> {
        Box::pin(self.remove(table, generation))
    }
}
