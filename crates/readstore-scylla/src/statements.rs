//! The statements on a table, as text and prepared once for each shape. Names are always
//! quoted, so that a column may be called `from`.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use exchequer_readstore::{Column, Fault, Table};
use futures::FutureExt as _;
use scylla::client::execution_profile::ExecutionProfileHandle;
use scylla::client::session::Session;
use scylla::statement::prepared::PreparedStatement;
use tokio::time::timeout;

use crate::fault::not_prepared;
use crate::works::Works;

/// Leads each partition key.
pub(crate) const GENERATION: &str = "row_generation";
/// The row's position, in every table.
pub(crate) const POSITION: &str = "row_position";

/// What is asked of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Shape {
    Put,
    Delete,
    Get,
    /// So many rows of a partition key, by their clustering keys, which come behind each other.
    Many(usize),
    Scan(Bounds),
    /// Partition keys of a generation.
    Partitions,
    /// All rows of a generation, in no order.
    Generation,
    DeletePartition,
}

/// Which bounds a scan has, by how many columns of the clustering key they name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Bounds {
    pub(crate) from: Option<Lower>,
    pub(crate) to: Option<usize>,
    pub(crate) reverse: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Lower {
    /// At or after these columns.
    From(usize),
    /// Behind these columns.
    After(usize),
}

/// Prepared statements, by table and shape.
#[derive(Debug)]
pub(crate) struct Statements {
    keyspace: String,
    /// How statements run.
    profile: ExecutionProfileHandle,
    /// How long one may take to be prepared.
    patience: Duration,
    /// Once for all who ask: Cassandra may forget a statement that is prepared twice at once
    /// (CASSANDRA-17401).
    prepared: Works<(&'static str, Shape), Arc<PreparedStatement>>,
}

impl Statements {
    pub(crate) fn new(
        keyspace: String,
        profile: ExecutionProfileHandle,
        patience: Duration,
    ) -> Self {
        Self { keyspace, profile, patience, prepared: Works::default() }
    }

    /// The statement, prepared at its first use. All of them may be repeated.
    pub(crate) async fn get(
        &self,
        session: &Arc<Session>,
        table: &'static Table,
        shape: Shape,
    ) -> Result<Arc<PreparedStatement>, Fault> {
        let preparing = || {
            let (session, profile) = (Arc::clone(session), self.profile.clone());
            prepare(session, text(&self.keyspace, table, shape), profile, self.patience).boxed()
        };
        self.prepared.get(&(table.name, shape), preparing).await
    }
}

async fn prepare(
    session: Arc<Session>,
    text: String,
    profile: ExecutionProfileHandle,
    patience: Duration,
) -> Result<Arc<PreparedStatement>, Fault> {
    // The driver waits for all nodes, for ever if need be, and others wait for this.
    let prepared = timeout(patience, session.prepare(text.as_str())).await;
    let late = |_| Fault::retryable(format!("the store could not prepare {text} in time"));
    let mut prepared = prepared.map_err(late)?.map_err(|error| not_prepared(&text, &error))?;
    prepared.set_is_idempotent(true);
    prepared.set_execution_profile_handle(Some(profile));
    Ok(Arc::new(prepared))
}

/// The statement's text.
fn text(keyspace: &str, table: &'static Table, shape: Shape) -> String {
    let place = format!("{keyspace}.{}", quoted(table.name));
    let partition: Vec<_> = std::iter::once(GENERATION).chain(names(table.partition_key)).collect();
    let clustering: Vec<_> = names(table.clustering).collect();
    let columns: Vec<_> = std::iter::once(POSITION).chain(names(table.columns)).collect();
    let of_partition = all_equal(&partition);
    match shape {
        Shape::Put => {
            let all = [partition, clustering, columns].concat();
            let (names, marks) = (list(&all), marks(all.len()));
            format!("INSERT INTO {place} ({names}) VALUES ({marks}) USING TIMESTAMP ?")
        }
        Shape::Delete => {
            let key = all_equal(&[partition, clustering].concat());
            format!("DELETE FROM {place} USING TIMESTAMP ? WHERE {key}")
        }
        Shape::Get => {
            let key = all_equal(&[partition, clustering].concat());
            format!("SELECT {} FROM {place} WHERE {key}", list(&columns))
        }
        Shape::Many(count) => {
            let read = list(&[clustering.clone(), columns].concat());
            let keys = vec![format!("({})", marks(clustering.len())); count].join(", ");
            let names = list(&clustering);
            format!("SELECT {read} FROM {place} WHERE {of_partition} AND ({names}) IN ({keys})")
        }
        Shape::Scan(bounds) => {
            let read = list(&[clustering.clone(), columns].concat());
            let mut text = format!("SELECT {read} FROM {place} WHERE {of_partition}");
            bounds.append(&mut text, &clustering);
            text
        }
        Shape::Partitions => {
            let read = list(&partition[1..]);
            let generation = all_equal(&[GENERATION]);
            let found = format!("SELECT DISTINCT {}, {read}", quoted(GENERATION));
            format!("{found} FROM {place} WHERE {generation} ALLOW FILTERING")
        }
        Shape::Generation => {
            let read = list(&[partition[1..].to_vec(), clustering, columns].concat());
            let generation = all_equal(&[GENERATION]);
            format!("SELECT {read} FROM {place} WHERE {generation} ALLOW FILTERING")
        }
        Shape::DeletePartition => {
            format!("DELETE FROM {place} USING TIMESTAMP ? WHERE {of_partition}")
        }
    }
}

impl Bounds {
    fn append(self, text: &mut String, clustering: &[&str]) {
        let mut bound = |count: usize, relation: &str| {
            let (names, marks) = (list(&clustering[..count]), marks(count));
            // Writing to a text does not fail.
            let _ = write!(text, " AND ({names}) {relation} ({marks})");
        };
        match self.from {
            Some(Lower::From(count)) => bound(count, ">="),
            Some(Lower::After(count)) => bound(count, ">"),
            None => {}
        }
        if let Some(count) = self.to {
            bound(count, "<");
        }
        if self.reverse && !clustering.is_empty() {
            let down: Vec<_> =
                clustering.iter().map(|name| format!("{} DESC", quoted(name))).collect();
            text.push_str(" ORDER BY ");
            text.push_str(&down.join(", "));
        }
    }
}

/// The name as CQL takes it.
pub(crate) fn quoted(name: &str) -> String {
    format!("\"{name}\"")
}

/// Names, quoted, with commas.
pub(crate) fn list(names: &[&str]) -> String {
    let quoted: Vec<_> = names.iter().map(|name| quoted(name)).collect();
    quoted.join(", ")
}

fn names(columns: &'static [Column]) -> impl Iterator<Item = &'static str> {
    columns.iter().map(|column| column.name)
}

fn marks(count: usize) -> String {
    vec!["?"; count].join(", ")
}

fn all_equal(names: &[&str]) -> String {
    let equal: Vec<_> = names.iter().map(|name| format!("{} = ?", quoted(name))).collect();
    equal.join(" AND ")
}
