//! The embedded read store: one fjall database in a folder, all tables in one
//! keyspace, so that a batch is one step to readers and to a crash. It is not
//! synced per batch: what a power loss takes is folded again from the journal.

mod database;
mod tombstones;
mod writer;

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;

use exchequer_readstore::{
    Batch, Fault, Generation, Key, ReadStore, Row, Scan, Table, decode_key, decode_values,
    encode_key, encode_range, successor,
};
use fjall::{Readable as _, Slice};
use futures::future::BoxFuture;
use tokio::sync::{mpsc, oneshot};

use database::{Shared, corrupt, failed, head_of};
use writer::{Job, Order, encode};

pub use database::{OpenError, discard};

/// Rows looked at before a scan lets other tasks run.
const SCAN_SLICE_ROWS: usize = 256;

/// Bounds of the store. `Default` suits a small machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Blocks of files kept in memory.
    pub cache_bytes_max: u64,
    /// Batches that wait for the writer; further ones wait outside.
    pub write_queue_batches_max: usize,
    /// For how long a deleted row keeps its timestamp, against older writes.
    pub tombstone_seconds_min: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            cache_bytes_max: 32 << 20,
            write_queue_batches_max: 64,
            tombstone_seconds_min: 3_600,
        }
    }
}

/// A [`ReadStore`] in a folder of its own. Reads run in the calling task, all
/// writes in one thread, which ends when this is dropped.
pub struct LocalReadStore {
    shared: Arc<Shared>,
    jobs: Option<mpsc::Sender<Job>>,
    writer: Option<JoinHandle<()>>,
}

impl fmt::Debug for LocalReadStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalReadStore").field("folder", &self.folder()).finish_non_exhaustive()
    }
}

impl LocalReadStore {
    /// Opens the folder, which is created when absent. Blocks, after a crash for as
    /// long as it takes to read 64 MiB again.
    pub fn open(folder: &Path, settings: &Settings) -> Result<Self, OpenError> {
        let shared = Arc::new(Shared::open(folder, settings)?);
        let (jobs, queue) = mpsc::channel(settings.write_queue_batches_max.max(1));
        let of_thread = shared.clone();
        let writer = std::thread::Builder::new()
            .name("readstore".to_owned())
            .spawn(move || writer::run(&of_thread, queue))
            .map_err(|source| OpenError::Io { folder: folder.to_owned(), source })?;
        Ok(Self { shared, jobs: Some(jobs), writer: Some(writer) })
    }

    pub fn folder(&self) -> &Path {
        &self.shared.folder
    }

    /// Returns when all that was written before survives a power loss. Needed for
    /// a quick next start alone: what is lost is folded again.
    pub async fn sync(&self) -> Result<(), Fault> {
        self.submit(|reply| Job::Sync { reply }).await
    }

    async fn submit_batch(&self, batch: Batch, order: Order) -> Result<(), Fault> {
        batch.check()?;
        if batch.is_empty() {
            return Ok(());
        }
        let writes = encode(&batch);
        drop(batch);
        self.submit(|reply| Job::Write { writes, order, reply }).await
    }

    async fn submit<T>(
        &self,
        job: impl FnOnce(oneshot::Sender<Result<T, Fault>>) -> Job,
    ) -> Result<T, Fault> {
        let stopped = || Fault::lasting("the writer of the views has stopped: restart the process");
        let (reply, result) = oneshot::channel();
        let jobs = self.jobs.as_ref().ok_or_else(stopped)?;
        jobs.send(job(reply)).await.map_err(|_| stopped())?;
        result.await.map_err(|_| stopped())?
    }

    fn row(
        &self,
        table: &'static Table,
        generation: Generation,
        key: Key,
    ) -> Result<Option<Row>, Fault> {
        let database = self.shared.database()?;
        let mut bytes = head_of(table);
        encode_key(&mut bytes, generation, &key);
        let found = database.db.snapshot().get(&database.rows, bytes);
        let Some(found) = found.map_err(|error| failed("read", &error))? else { return Ok(None) };
        let (timestamp, values) =
            decode_values(table, &found).map_err(|error| corrupt(&error.to_string()))?;
        Ok(values.map(|values| Row { key, values, timestamp }))
    }

    async fn rows(&self, scan: Scan) -> Result<Vec<Row>, Fault> {
        let database = self.shared.database()?;
        let head = head_of(scan.table);
        let (start, end) = encode_range(&head, &scan);
        let mut rows = Vec::new();
        if start >= end {
            return Ok(rows);
        }
        let mut found = database.db.snapshot().range(&database.rows, start..end);
        let mut looked_at = 0;
        while rows.len() < scan.rows_max {
            let next = if scan.reverse { found.next_back() } else { found.next() };
            let Some(next) = next else { break };
            let (key, value) = next.into_inner().map_err(|error| failed("read", &error))?;
            rows.extend(decode(scan.table, &key[head.len()..], &value)?);
            looked_at += 1;
            if looked_at % SCAN_SLICE_ROWS == 0 {
                tokio::task::yield_now().await;
            }
        }
        Ok(rows)
    }
}

impl ReadStore for LocalReadStore {
    fn is_atomic(&self) -> bool {
        true
    }

    fn write(&self, batch: Batch) -> BoxFuture<'_, Result<(), Fault>> {
        Box::pin(self.submit_batch(batch, Order::Compared))
    }

    fn write_in_order(&self, batch: Batch) -> BoxFuture<'_, Result<(), Fault>> {
        Box::pin(self.submit_batch(batch, Order::Given))
    }

    fn get(
        &self,
        table: &'static Table,
        generation: Generation,
        key: Key,
    ) -> BoxFuture<'_, Result<Option<Row>, Fault>> {
        Box::pin(async move { self.row(table, generation, key) })
    }

    fn scan(&self, scan: Scan) -> BoxFuture<'_, Result<Vec<Row>, Fault>> {
        Box::pin(self.rows(scan))
    }

    fn drop_generation(
        &self,
        table: &'static Table,
        generation: Generation,
    ) -> BoxFuture<'_, Result<(), Fault>> {
        Box::pin(async move {
            let mut start = head_of(table);
            start.extend_from_slice(&generation.to_be_bytes());
            let end = Slice::from(successor(start.clone()));
            let mut next = Some(Slice::from(start));
            while let Some(start) = next {
                let end = end.clone();
                next = self.submit(|reply| Job::Remove { start, end, reply }).await?;
            }
            Ok(())
        })
    }
}

impl Drop for LocalReadStore {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(writer) = self.writer.take() {
            // It panicked: whoever waited for it was told.
            let _ = writer.join();
        }
    }
}

fn decode(table: &'static Table, key: &[u8], value: &[u8]) -> Result<Option<Row>, Fault> {
    let corrupt = |error: exchequer_readstore::DecodeError| corrupt(&error.to_string());
    let (timestamp, values) = decode_values(table, value).map_err(corrupt)?;
    let Some(values) = values else { return Ok(None) };
    let (_, key) = decode_key(table, key).map_err(corrupt)?;
    Ok(Some(Row { key, values, timestamp }))
}
