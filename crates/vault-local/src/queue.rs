//! What waits for the writer. Insertions are bounded in number; what is erased,
//! and marks, are kept once each.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use exchequer_types::{KeyId, PartitionId};
use exchequer_vault::{Mark, Row, VaultError};
use tokio::sync::oneshot;

pub(crate) type Reply = oneshot::Sender<Result<(), VaultError>>;

/// Insertions that wait.
const INSERTIONS_MAX: usize = 4_096;

/// What is written together.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    pub(crate) insertions: VecDeque<(Row, Reply)>,
    pub(crate) erased: BTreeSet<KeyId>,
    pub(crate) marks: BTreeMap<PartitionId, Vec<u8>>,
    /// Who waits for erasures and marks.
    pub(crate) waiting: Vec<Reply>,
}

impl Batch {
    fn is_empty(&self) -> bool {
        self.insertions.is_empty()
            && self.erased.is_empty()
            && self.marks.is_empty()
            && self.waiting.is_empty()
    }
}

/// What the writer gets.
#[derive(Debug)]
pub(crate) enum Taken {
    Batch(Batch),
    /// Nothing came in time.
    Idle,
    /// Nothing is left, and nothing will come.
    Closed,
}

#[derive(Debug, Default)]
pub(crate) struct Queue {
    held: Mutex<Held>,
    filled: Condvar,
}

#[derive(Debug, Default)]
struct Held {
    batch: Batch,
    is_closed: bool,
}

impl Queue {
    pub(crate) fn insert(&self, row: Row) -> oneshot::Receiver<Result<(), VaultError>> {
        let (reply, durable) = oneshot::channel();
        let mut held = self.lock();
        if held.is_closed {
            // Dropping the reply says it.
            return durable;
        }
        if held.batch.insertions.len() >= INSERTIONS_MAX {
            let full = format!("{INSERTIONS_MAX} keys are waiting to be written");
            // Its caller is still there: it is ours.
            let _ = reply.send(Err(VaultError::Unavailable(full)));
            return durable;
        }
        held.batch.insertions.push_back((row, reply));
        drop(held);
        self.filled.notify_one();
        durable
    }

    pub(crate) fn erase(&self, keys: &[KeyId]) -> oneshot::Receiver<Result<(), VaultError>> {
        self.add(|batch| batch.erased.extend(keys))
    }

    pub(crate) fn mark(&self, marks: Vec<Mark>) -> oneshot::Receiver<Result<(), VaultError>> {
        let marks = marks.into_iter().map(|mark| (mark.partition, mark.head));
        self.add(|batch| batch.marks.extend(marks))
    }

    fn add(&self, add: impl FnOnce(&mut Batch)) -> oneshot::Receiver<Result<(), VaultError>> {
        let (reply, durable) = oneshot::channel();
        let mut held = self.lock();
        if !held.is_closed {
            add(&mut held.batch);
            held.batch.waiting.push(reply);
        }
        drop(held);
        self.filled.notify_one();
        durable
    }

    /// Waits for something to write, for no longer than `idle` if that is given.
    pub(crate) fn take(&self, idle: Option<Duration>) -> Taken {
        let mut held = self.lock();
        while held.batch.is_empty() {
            if held.is_closed {
                return Taken::Closed;
            }
            let Some(idle) = idle else {
                held = self.filled.wait(held).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            let woken = self.filled.wait_timeout(held, idle);
            let (guard, timeout) = woken.unwrap_or_else(PoisonError::into_inner);
            held = guard;
            if timeout.timed_out() && held.batch.is_empty() && !held.is_closed {
                return Taken::Idle;
            }
        }
        Taken::Batch(core::mem::take(&mut held.batch))
    }

    /// Refuses what comes from now on. What waits is still written.
    pub(crate) fn close(&self) {
        self.lock().is_closed = true;
        self.filled.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
