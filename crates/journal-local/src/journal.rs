//! The journal as its port sees it: a queue to the writer's thread, and reads of
//! what that has published. Needs no async runtime.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use bytes::Bytes;
use exchequer_journal::{Fault, FaultKind, Journal, Record};
use exchequer_types::{Offset, PartitionId};
use futures::future::BoxFuture;
use tokio::sync::oneshot;

use crate::disk::RealDisk;
use crate::error::OpenError;
use crate::lock::FolderLock;
use crate::name::LogName;
use crate::open::{self, Opened};
use crate::options::Options;
use crate::queue::{Refused, Request};
use crate::read;
use crate::shared::Shared;

/// An embedded log of one data folder. Dropping it closes it.
#[derive(Debug)]
pub struct LocalJournal {
    pub(crate) shared: Arc<Shared>,
    running: Mutex<Option<Running>>,
}

#[derive(Debug)]
pub(crate) struct Running {
    pub writer: JoinHandle<()>,
    /// Of the data folder. Let go when the writers of all its logs have ended.
    pub lock: Arc<FolderLock>,
}

impl LocalJournal {
    /// Opens the journal in `data_dir`, or creates it there. Cuts off, keeps and reports
    /// what was being written when the last process ended; refuses what is damaged.
    pub fn open(data_dir: &Path, options: Options) -> Result<(Arc<Self>, Opened), OpenError> {
        Self::open_named(data_dir, LogName::Journal, options)
    }

    /// The same with another log of `data_dir`, and no other beside it.
    pub fn open_named(
        data_dir: &Path,
        name: LogName,
        options: Options,
    ) -> Result<(Arc<Self>, Opened), OpenError> {
        let lock = FolderLock::take(data_dir)?;
        open::open(data_dir, name, options, Arc::new(RealDisk), lock)
    }

    /// Opens another log of the same data folder, under the same lock. Each is to be
    /// opened once; they can be closed in any order.
    pub fn open_beside(
        &self,
        name: LogName,
        options: Options,
    ) -> Result<(Arc<Self>, Opened), OpenError> {
        let lock = {
            let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
            running.as_ref().map(|running| Arc::clone(&running.lock))
        };
        let data_dir = self.shared.journal_dir.parent().unwrap_or(&self.shared.journal_dir);
        let closed = || OpenError::Closed { dir: self.shared.journal_dir.clone() };
        let lock = lock.ok_or_else(closed)?;
        open::open(data_dir, name, options, Arc::new(RealDisk), lock)
    }

    pub(crate) fn new(shared: Arc<Shared>, running: Running) -> Self {
        Self { shared, running: Mutex::new(Some(running)) }
    }

    /// Writes what is queued, marks it as synced, and lets the folder go. Later calls
    /// answer that the journal has stopped. Blocks until that is done.
    pub fn close(&self) {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(Running { writer, lock }) = running {
            self.shared.queue.close();
            // A writer that panicked has stopped the journal, which says so.
            let _ = writer.join();
            drop(lock);
        }
    }

    async fn append_together(
        &self,
        partition: PartitionId,
        records: Vec<Bytes>,
    ) -> Result<Option<Offset>, Fault> {
        self.shared.check()?;
        exchequer_journal::check_sizes(&records)?;
        if records.is_empty() {
            return Ok(None);
        }
        assert!(partition.index() < self.shared.partitions.len(), "partition {partition}");
        let (reply, answer) = oneshot::channel();
        let request = Request { partition: partition.0 as u16, records, reply };
        self.shared.queue.push(request).map_err(|refused| match refused {
            Refused::Closed => self.shared.stopped_fault(),
            Refused::Full => {
                let message = "too many records wait to be written; try again soon";
                Fault::new(FaultKind::Overloaded, message)
            }
        })?;
        match answer.await {
            Ok(answer) => answer.map(Some),
            Err(_) => Err(self.shared.stopped_fault()),
        }
    }
}

impl Drop for LocalJournal {
    fn drop(&mut self) {
        self.close();
    }
}

impl Journal for LocalJournal {
    fn partitions(&self) -> u32 {
        self.shared.partitions.len() as u32
    }

    fn append(
        &self,
        partition: PartitionId,
        record: Bytes,
    ) -> BoxFuture<'_, Result<Option<Offset>, Fault>> {
        Box::pin(self.append_together(partition, vec![record]))
    }

    fn append_all(
        &self,
        partition: PartitionId,
        records: Vec<Bytes>,
    ) -> BoxFuture<'_, Result<Option<Offset>, Fault>> {
        Box::pin(self.append_together(partition, records))
    }

    fn end(&self, partition: PartitionId) -> BoxFuture<'_, Result<Offset, Fault>> {
        let end = self.shared.check();
        let end = end.map(|()| self.shared.partitions[partition.index()].lock().end);
        Box::pin(core::future::ready(end))
    }

    fn read(
        &self,
        partition: PartitionId,
        from: Offset,
        bytes_max: usize,
    ) -> BoxFuture<'_, Result<Vec<Record>, Fault>> {
        Box::pin(async move { read::read(&self.shared, partition.index(), from, bytes_max) })
    }

    fn wait(&self, partition: PartitionId, offset: Offset) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            let partition = &self.shared.partitions[partition.index()];
            let mut grown = std::pin::pin!(partition.grown.notified());
            grown.as_mut().enable();
            if partition.lock().end <= offset && !self.shared.is_stopped() {
                grown.await;
            }
        })
    }
}
