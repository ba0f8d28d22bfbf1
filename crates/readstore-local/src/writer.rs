//! The thread through which everything is written: fjall halts a writer while its
//! background work is behind, which must not halt the tasks that read. As it is the
//! only writer, it can compare timestamps before it writes, without a lock.

use core::time::Duration;
use std::time::Instant;

use exchequer_readstore::{Batch, Fault, Table, decode_timestamp, encode_key, encode_values};
use fjall::{AbstractTree as _, OwnedWriteBatch, PersistMode, Readable as _, Slice};
use tokio::sync::{mpsc, oneshot};

use crate::database::{Open, Shared, WRITE_BUFFER_BYTES, WRITE_BUFFER_BYTES_MAX, corrupt, failed};
use crate::tombstones::trailer;

/// Rows removed in one step, between which other writes run.
const REMOVE_ROWS_MAX: usize = 4_096;
/// How often it is looked whether a full buffer is written.
const FULL_WAIT: Duration = Duration::from_millis(5);
/// No compaction takes so long: fjall's thread has ended.
const STUCK_AFTER: Duration = Duration::from_secs(300);

/// One encoded write.
pub(crate) struct Encoded {
    table: &'static Table,
    key: Slice,
    value: Slice,
    timestamp: u64,
    deletes: bool,
}

/// How writes stand to what is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// They may be older: the timestamps are compared.
    Compared,
    /// They are newer, for sure.
    Given,
}

/// What the thread is asked to do. Each is answered once.
pub(crate) enum Job {
    Write {
        writes: Vec<Encoded>,
        order: Order,
        reply: oneshot::Sender<Result<(), Fault>>,
    },
    /// Removes some of the keys in `start..end`; answers where to go on.
    Remove {
        start: Slice,
        end: Slice,
        reply: oneshot::Sender<Result<Option<Slice>, Fault>>,
    },
    Sync {
        reply: oneshot::Sender<Result<(), Fault>>,
    },
}

/// Encodes a batch, in the order of its keys; of two writes of one key the later
/// one comes later.
pub(crate) fn encode(batch: &Batch) -> Vec<Encoded> {
    let mut buffer = Vec::new();
    let deleted_at = trailer();
    let mut out: Vec<_> = batch
        .writes()
        .map(|write| {
            buffer.clear();
            buffer.extend_from_slice(write.table.name.as_bytes());
            buffer.push(0);
            encode_key(&mut buffer, write.generation, &write.key);
            let key = Slice::from(buffer.as_slice());
            buffer.clear();
            encode_values(&mut buffer, write.timestamp, write.values.as_deref());
            if write.values.is_none() {
                buffer.extend_from_slice(&deleted_at);
            }
            let value = Slice::from(buffer.as_slice());
            let (timestamp, deletes) = (write.timestamp, write.values.is_none());
            Encoded { table: write.table, key, value, timestamp, deletes }
        })
        .collect();
    out.sort_by(|a, b| a.key.cmp(&b.key));
    out
}

/// Until the queue is closed and empty.
pub(crate) fn run(shared: &Shared, mut queue: mpsc::Receiver<Job>) {
    let mut broken = false;
    while let Some(job) = queue.blocking_recv() {
        match job {
            Job::Write { writes, order, reply } => {
                answer(reply, attempt(shared, &mut broken, |open| write(open, writes, order)));
            }
            Job::Remove { start, end, reply } => {
                answer(reply, attempt(shared, &mut broken, |open| remove(open, start, end)));
            }
            Job::Sync { reply } => {
                let sync = |open: &Open| {
                    open.db.persist(PersistMode::SyncAll).map_err(|error| failed("sync", &error))
                };
                answer(reply, attempt(shared, &mut broken, sync));
            }
        }
    }
}

/// Who asked may be gone; what was asked is done all the same.
fn answer<T>(reply: oneshot::Sender<T>, result: T) {
    let _ = reply.send(result);
}

fn attempt<T>(
    shared: &Shared,
    broken: &mut bool,
    job: impl FnOnce(&Open) -> Result<T, Fault>,
) -> Result<T, Fault> {
    if *broken {
        shared.reopen()?;
        *broken = false;
        tracing::info!(folder = %shared.folder.display(), "views opened again");
    }
    let result = shared.database().and_then(|open| job(&open));
    *broken = result.as_ref().is_err_and(|fault| fault.retryable);
    result
}

/// Applies the writes, sorted by key, in one step, without those that are older
/// than what stands.
fn write(open: &Open, writes: Vec<Encoded>, order: Order) -> Result<(), Fault> {
    let mut batch = new_batch(open, writes.len());
    let mut writes = writes.into_iter().peekable();
    while let Some(mut newest) = writes.next() {
        while let Some(later) = writes.next_if(|later| later.key == newest.key) {
            if later.timestamp >= newest.timestamp {
                newest = later;
            }
        }
        match order {
            Order::Given if newest.deletes => batch.remove(&open.rows, newest.key),
            Order::Compared if is_older(open, &newest)? => {}
            Order::Given | Order::Compared => {
                batch.insert(&open.rows, newest.key, newest.value);
            }
        }
    }
    commit(open, batch)
}

/// Commits, begins another buffer when the one that grows is large, and waits while it is
/// full. Left to itself, fjall asks for another one through the queue of its background
/// work: until a compaction ends, which may take many seconds, the buffer would grow, and
/// each commit would ask again, until the queue is full and its only reader waits for it.
fn commit(open: &Open, batch: OwnedWriteBatch) -> Result<(), Fault> {
    batch.commit().map_err(|error| failed("write", &error))?;
    let began = Instant::now();
    loop {
        let size = open.rows.tree.active_memtable().size();
        if size < WRITE_BUFFER_BYTES {
            return Ok(());
        }
        if open.rows.sealed_memtable_count() == 0 {
            return open.rows.rotate_memtable().map(drop).map_err(|error| failed("write", &error));
        }
        if size < WRITE_BUFFER_BYTES_MAX {
            return Ok(());
        }
        // Fails when the background work has failed, for which there is no waiting.
        open.db.persist(PersistMode::Buffer).map_err(|error| failed("write", &error))?;
        if began.elapsed() > STUCK_AFTER {
            return Err(Fault::retryable(
                "the views: nothing is written to files any more; they are opened again",
            ));
        }
        std::thread::sleep(FULL_WAIT);
    }
}

/// Is a newer row there, or the mark of one that was deleted?
fn is_older(open: &Open, write: &Encoded) -> Result<bool, Fault> {
    let stands = open.rows.get(&write.key).map_err(|error| failed("read", &error))?;
    let Some(stands) = stands else { return Ok(false) };
    let timestamp =
        decode_timestamp(write.table, &stands).map_err(|error| corrupt(&error.to_string()))?;
    Ok(timestamp > write.timestamp)
}

fn remove(open: &Open, start: Slice, end: Slice) -> Result<Option<Slice>, Fault> {
    let mut batch = new_batch(open, REMOVE_ROWS_MAX);
    let mut last = None;
    for found in open.db.snapshot().range(&open.rows, start..end).take(REMOVE_ROWS_MAX) {
        let key = found.key().map_err(|error| failed("read", &error))?;
        batch.remove(&open.rows, key.clone());
        last = Some(key);
    }
    let more = batch.len() == REMOVE_ROWS_MAX;
    commit(open, batch)?;
    let behind = |key: Slice| Slice::from([&key[..], &[0]].concat());
    Ok(last.filter(|_| more).map(behind))
}

/// Handed to the operating system on commit, so that it survives the process.
fn new_batch(open: &Open, writes: usize) -> OwnedWriteBatch {
    OwnedWriteBatch::with_capacity(open.db.clone(), writes).durability(Some(PersistMode::Buffer))
}
