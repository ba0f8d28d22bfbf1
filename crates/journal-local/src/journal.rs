//! The journal as its port sees it: a queue to the writer's thread, and reads of
//! what that has published. Needs no async runtime.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use bytes::Bytes;
use exchequer_journal::{Fault, FaultKind, Journal, RECORD_BYTES_MAX, Record};
use exchequer_types::{Offset, PartitionId};
use futures::future::BoxFuture;
use tokio::sync::oneshot;

use crate::disk::RealDisk;
use crate::error::OpenError;
use crate::lock::FolderLock;
use crate::open::{self, Opened};
use crate::options::Options;
use crate::queue::{Refused, Request};
use crate::read;
use crate::shared::Shared;

/// The embedded journal of one data folder. Dropping it closes it.
#[derive(Debug)]
pub struct LocalJournal {
    pub(crate) shared: Arc<Shared>,
    running: Mutex<Option<Running>>,
}

#[derive(Debug)]
pub(crate) struct Running {
    pub writer: JoinHandle<()>,
    /// Let go when the writer has ended.
    pub lock: FolderLock,
}

impl LocalJournal {
    /// Opens the journal in `data_dir`, or creates it there. Cuts off, keeps and reports
    /// what was being written when the last process ended; refuses what is damaged.
    pub fn open(data_dir: &Path, options: Options) -> Result<(Arc<Self>, Opened), OpenError> {
        open::open(data_dir, options, Arc::new(RealDisk))
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

    async fn append_one(
        &self,
        partition: PartitionId,
        record: Bytes,
    ) -> Result<Option<Offset>, Fault> {
        self.shared.check()?;
        if record.len() > RECORD_BYTES_MAX {
            let bytes = record.len();
            let message = format!("record of {bytes} bytes; at most {RECORD_BYTES_MAX} are taken");
            return Err(Fault::new(FaultKind::TooLarge, message));
        }
        assert!(partition.index() < self.shared.partitions.len(), "partition {partition}");
        let (reply, answer) = oneshot::channel();
        let request = Request { partition: partition.0 as u16, record, reply };
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
        Box::pin(self.append_one(partition, record))
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
