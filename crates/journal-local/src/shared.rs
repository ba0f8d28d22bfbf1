//! What the writer publishes and readers see: per partition its end, the newest
//! records, and where those of the last segment stand.

use std::collections::VecDeque;
use std::fs::File;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use bytes::Bytes;
use exchequer_journal::{Fault, FaultKind};
use exchequer_types::Offset;
use tokio::sync::Notify;

use crate::folder::Segment;
use crate::index::SealedSegments;
use crate::queue::Queue;

/// Between the writer, readers and callers.
#[derive(Debug)]
pub(crate) struct Shared {
    pub journal_dir: PathBuf,
    pub queue: Queue,
    pub partitions: Vec<Partition>,
    pub sealed: SealedSegments,
    stopped: OnceLock<String>,
}

#[derive(Debug)]
pub(crate) struct Partition {
    state: Mutex<State>,
    pub grown: Notify,
}

/// What is visible of a partition: only what was synced.
#[derive(Debug)]
pub(crate) struct State {
    /// The offset that the next record will have.
    pub end: Offset,
    /// The newest records; the last of them is at `end - 1`.
    pub recent: VecDeque<Bytes>,
    pub active: Arc<ActiveFile>,
    /// The offset that the partition's first record in the active segment has.
    pub active_base: Offset,
    /// Where its records there stand.
    pub active_positions: Vec<u32>,
}

/// The segment that is written to, open for reading. Its length is not known here.
#[derive(Debug)]
pub(crate) struct ActiveFile {
    pub segment: Segment,
    pub file: Arc<File>,
}

impl Partition {
    pub(crate) fn new(active: Arc<ActiveFile>, base: Offset, positions: Vec<u32>) -> Self {
        let state = State {
            end: base + positions.len() as u64,
            recent: VecDeque::new(),
            active,
            active_base: base,
            active_positions: positions,
        };
        Self { state: Mutex::new(state), grown: Notify::new() }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// The offset of the first record held in memory; `end` if none is.
    pub(crate) fn recent_base(&self) -> Offset {
        self.end - self.recent.len() as u64
    }
}

impl Shared {
    pub(crate) fn new(
        journal_dir: PathBuf,
        queue: Queue,
        partitions: Vec<Partition>,
        sealed: SealedSegments,
    ) -> Self {
        Self { journal_dir, queue, partitions, sealed, stopped: OnceLock::new() }
    }

    /// Ends the journal for good: every later call answers that, and all who wait wake.
    pub(crate) fn stop(&self, why: String) {
        // The first reason stands.
        let _ = self.stopped.set(why);
        self.queue.close();
        self.queue.clear();
        for partition in &self.partitions {
            partition.grown.notify_waiters();
        }
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.stopped.get().is_some()
    }

    /// An error once the journal has stopped.
    pub(crate) fn check(&self) -> Result<(), Fault> {
        match self.stopped.get() {
            None => Ok(()),
            Some(_) => Err(self.stopped_fault()),
        }
    }

    pub(crate) fn stopped_fault(&self) -> Fault {
        let why = self.stopped.get().map_or("it is being closed", String::as_str);
        let dir = self.journal_dir.display();
        Fault::new(FaultKind::Stopped, format!("the journal in {dir} has stopped: {why}"))
    }
}
