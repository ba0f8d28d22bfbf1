//! Rows a second that a projector writes to the store, beside the store's driver by itself
//! with the same rows, in batches of the same shape, as many on their way at once.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use exchequer_engine::ViewOf;
use exchequer_projection_audit as audit;
use exchequer_readstore::{
    Batch, Fault, Generation, Key, Keys, ReadStore, Row, Scan, Table, Value, Write,
};
use exchequer_readstore_scylla::ScyllaReadStore;
use exchequer_types::PartitionId;
use futures::future::BoxFuture;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use scylla::client::session::Session;
use scylla::client::session_builder::SessionBuilder;
use scylla::statement::Consistency;
use scylla::statement::batch::{Batch as Statements, BatchStatement, BatchType};
use scylla::statement::prepared::PreparedStatement;
use scylla::value::CqlValue;

use super::commands::callers;
use super::median;
use super::servers::{Servers, Topics, Work, World};
use crate::report::Figure;
use crate::world::create_tenants;
use crate::{Args, Failure};

const NAME: &str = "cluster-rows";
const PARTITIONS: u32 = 16;
const TENANTS: usize = 100;
const COMMANDS: usize = 200_000;
const ROUNDS: usize = 3;
/// As the adapter has them.
const BATCH_ROWS_MAX: usize = 100;
const BATCH_BYTES_MAX: usize = 64 << 10;
const WRITES_AT_ONCE: usize = 64;
const STEP: Duration = Duration::from_millis(5);

/// A store whose batches are kept, in the order in which they were written.
#[derive(Debug)]
struct Recording {
    store: ScyllaReadStore,
    written: Mutex<Written>,
}

#[derive(Debug, Default)]
struct Written {
    batches: Vec<Batch>,
    /// When the first batch came, and when the last one was written.
    times: Option<(Instant, Instant)>,
    /// While at least one batch was being written; they come one at a time.
    busy: Duration,
}

impl Recording {
    fn written(&self) -> MutexGuard<'_, Written> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ReadStore for Recording {
    fn is_atomic(&self) -> bool {
        self.store.is_atomic()
    }

    fn write(&self, batch: Batch) -> BoxFuture<'_, Result<(), Fault>> {
        self.written().batches.push(batch.clone());
        Box::pin(async move {
            let begun = Instant::now();
            self.store.write(batch).await?;
            let mut written = self.written();
            written.busy += begun.elapsed();
            let first = written.times.map_or(begun, |(first, _)| first);
            written.times = Some((first, Instant::now()));
            Ok(())
        })
    }

    fn get(
        &self,
        table: &'static Table,
        generation: Generation,
        key: Key,
    ) -> BoxFuture<'_, Result<Option<Row>, Fault>> {
        self.store.get(table, generation, key)
    }

    fn get_many(&self, keys: Keys) -> BoxFuture<'_, Result<Vec<Row>, Fault>> {
        self.store.get_many(keys)
    }

    fn scan(&self, scan: Scan) -> BoxFuture<'_, Result<Vec<Row>, Fault>> {
        self.store.scan(scan)
    }

    fn drop_generation(
        &self,
        table: &'static Table,
        generation: Generation,
    ) -> BoxFuture<'_, Result<(), Fault>> {
        self.store.drop_generation(table, generation)
    }
}

pub(crate) async fn run(args: &Args) -> Result<Vec<Figure>, Failure> {
    let servers = Servers::start()?;
    let topics = servers.topics("rows", PARTITIONS)?;
    let store = Arc::new(servers.read_store("rows").await?);
    let world = World::start(&topics, store, Work::deciding()).await?;
    create_tenants(&world.platform, 0, TENANTS).await?;
    let commands = COMMANDS / 100 * args.percent;
    callers(&world.platform.gateway, "fill", (TENANTS, commands)).await?;
    world.stop().await;
    let (mut rates, mut bare_rates, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    let mut shares = Vec::new();
    for round in 0..ROUNDS {
        let (rate, share, batches) = project(&servers, &topics, &format!("rows_{round}")).await?;
        shares.push(share);
        let bare = bare(&servers, &format!("bare_{round}"), batches).await?;
        rates.push(rate);
        bare_rates.push(bare);
        ratios.push(rate / bare);
    }
    Ok(vec![
        Figure::new(NAME, "rows/s of a projector", median(rates), None),
        Figure::new(NAME, "share of that time in writes to the store", median(shares), None),
        Figure::new(NAME, "the same rows by the bare driver, rows/s", median(bare_rates), None),
        Figure::new(NAME, "ratio, median of rounds in turns", median(ratios), Some((">=", 0.7))),
    ])
}

/// Folds the whole journal into rows; gives rows/s from the first write to the end of the
/// last one, the share of that time in which the store wrote, and what was written.
async fn project(
    servers: &Servers,
    topics: &Topics,
    keyspace: &str,
) -> Result<(f64, f64, Vec<Batch>), Failure> {
    let store = servers.read_store(keyspace).await?;
    let store = Arc::new(Recording { store, written: Mutex::default() });
    let view = ViewOf { projection: audit::AuditView, tables: audit::TABLES };
    let work = Work { views: vec![Arc::new(view)], ..Work::gateway() };
    let world = World::begin(topics, Arc::<Recording>::clone(&store), work).await?;
    let view = world.platform.view("audit").ok_or("there is no view")?;
    let mut ends = Vec::new();
    for partition in (0..PARTITIONS).map(PartitionId) {
        ends.push(world.platform.ports.journal.end(partition).await?);
    }
    while view.active().progress().offsets.iter().zip(&ends).any(|(folded, end)| folded < end) {
        tokio::time::sleep(STEP).await;
    }
    world.stop().await;
    let Written { batches, times, busy } = core::mem::take(&mut *store.written());
    let (first, last) = times.ok_or("no row was written")?;
    let elapsed = last.duration_since(first).as_secs_f64();
    let rows: usize = batches.iter().map(|it| it.writes().count()).sum();
    Ok((rows as f64 / elapsed, busy.as_secs_f64() / elapsed, batches))
}

/// The same writes to another keyspace; gives rows/s.
async fn bare(servers: &Servers, keyspace: &str, batches: Vec<Batch>) -> Result<f64, Failure> {
    drop(servers.read_store(keyspace).await?);
    let session = SessionBuilder::new().known_node(servers.store.address()).build().await?;
    let rows: usize = batches.iter().map(|it| it.writes().count()).sum();
    let mut tables: Vec<(&'static Table, PreparedStatement)> = Vec::new();
    for write in batches.iter().flat_map(Batch::writes) {
        if !tables.iter().any(|(table, _)| table.name == write.table.name) {
            let mut prepared = session.prepare(insert(keyspace, write.table)).await?;
            prepared.set_is_idempotent(true);
            prepared.set_consistency(Consistency::LocalQuorum);
            tables.push((write.table, prepared));
        }
    }
    let groups: Vec<_> =
        batches.into_iter().flat_map(|it| [groups(it.rows), groups(it.last)]).flatten().collect();
    let begun = Instant::now();
    stream::iter(groups)
        .map(|group| write(&session, &tables, group))
        .buffer_unordered(WRITES_AT_ONCE)
        .try_collect::<()>()
        .await?;
    Ok(rows as f64 / begun.elapsed().as_secs_f64())
}

async fn write(
    session: &Session,
    tables: &[(&'static Table, PreparedStatement)],
    group: Vec<Write>,
) -> Result<(), Failure> {
    let table = group.first().map(|it| it.table.name);
    let (_, insert) = tables.iter().find(|it| Some(it.0.name) == table).ok_or("an empty batch")?;
    if let [only] = &group[..] {
        session.execute_unpaged(insert, values(only)).await?;
        return Ok(());
    }
    let statements =
        group.iter().map(|_| BatchStatement::PreparedStatement(insert.clone())).collect();
    let mut batch = Statements::new_with_statements(BatchType::Unlogged, statements);
    batch.set_is_idempotent(true);
    batch.set_consistency(Consistency::LocalQuorum);
    let all: Vec<_> = group.iter().map(values).collect();
    session.batch(&batch, all).await?;
    Ok(())
}

/// Those of one partition key together, as the adapter bounds them.
fn groups(mut writes: Vec<Write>) -> Vec<Vec<Write>> {
    writes.sort_by(|one, other| place(one).cmp(&place(other)));
    let mut groups: Vec<Vec<Write>> = Vec::new();
    let mut bytes = 0;
    for write in writes {
        let more = write.values.iter().flatten().map(bytes_of).sum::<usize>();
        match groups.last_mut() {
            Some(group)
                if place(&group[0]) == place(&write)
                    && group.len() < BATCH_ROWS_MAX
                    && bytes + more <= BATCH_BYTES_MAX =>
            {
                bytes += more;
                group.push(write);
            }
            _ => {
                bytes = more;
                groups.push(vec![write]);
            }
        }
    }
    groups
}

fn place(write: &Write) -> (&'static str, Generation, &[Value]) {
    (write.table.name, write.generation, &write.key.partition)
}

fn bytes_of(value: &Value) -> usize {
    match value {
        Value::Text(text) => text.len(),
        Value::Int(_) => 8,
        Value::Bytes(bytes) => bytes.len(),
    }
}

fn insert(keyspace: &str, table: &Table) -> String {
    let declared = [table.partition_key, table.clustering].concat();
    let names = core::iter::once("row_generation").chain(declared.iter().map(|it| it.name));
    let names = names.chain(["row_position"]).chain(table.columns.iter().map(|it| it.name));
    let names: Vec<String> = names.map(|name| format!("\"{name}\"")).collect();
    let (marks, names) = (vec!["?"; names.len()].join(", "), names.join(", "));
    let name = table.name;
    format!("INSERT INTO {keyspace}.\"{name}\" ({names}) VALUES ({marks}) USING TIMESTAMP ?")
}

/// In the order of the statement's marks. A deletion is written as a row without columns.
fn values(write: &Write) -> Vec<Option<CqlValue>> {
    let int = |it: u64| Some(CqlValue::BigInt(it.cast_signed()));
    let value = |it: &Value| {
        Some(match it {
            Value::Text(text) => CqlValue::Text(text.clone()),
            Value::Int(number) => CqlValue::BigInt(*number),
            Value::Bytes(bytes) => CqlValue::Blob(bytes.to_vec()),
        })
    };
    let key = write.key.partition.iter().chain(&write.key.clustering).map(value);
    let columns = write.table.columns.len();
    let own = write
        .values
        .as_ref()
        .map_or_else(|| vec![None; columns], |it| it.iter().map(value).collect());
    core::iter::once(int(write.generation))
        .chain(key)
        .chain([int(write.timestamp)])
        .chain(own)
        .chain([int(write.timestamp)])
        .collect()
}
