//! A store whose reads fail on command, with a text that nobody outside may see.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use exchequer_readstore::{Batch, Fault, Generation, Key, ReadStore, Row, Scan, Table};
use futures::FutureExt as _;
use futures::future::BoxFuture;

/// In what a fault says.
pub(crate) const SECRET: &str = "/var/lib/exchequer/views/000042.sst";

/// How reads end.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Mode {
    Well = 0,
    Lasting = 1,
    Retryable = 2,
    Panic = 3,
}

#[derive(Debug)]
pub(crate) struct FailingStore {
    inner: Arc<dyn ReadStore>,
    mode: Arc<AtomicU8>,
}

impl FailingStore {
    pub(crate) fn new(inner: Arc<dyn ReadStore>, mode: Arc<AtomicU8>) -> Self {
        Self { inner, mode }
    }

    fn failure(&self) -> Option<Fault> {
        let text = format!("cannot read {SECRET}");
        match self.mode.load(Ordering::Relaxed) {
            mode if mode == Mode::Lasting as u8 => Some(Fault::lasting(text)),
            mode if mode == Mode::Retryable as u8 => Some(Fault::retryable(text)),
            mode if mode == Mode::Panic as u8 => panic!("{text}"),
            _ => None,
        }
    }
}

impl ReadStore for FailingStore {
    fn is_atomic(&self) -> bool {
        self.inner.is_atomic()
    }

    fn write(&self, batch: Batch) -> BoxFuture<'_, Result<(), Fault>> {
        self.inner.write(batch)
    }

    fn get(
        &self,
        table: &'static Table,
        generation: Generation,
        key: Key,
    ) -> BoxFuture<'_, Result<Option<Row>, Fault>> {
        match self.failure() {
            Some(fault) => async { Err(fault) }.boxed(),
            None => self.inner.get(table, generation, key),
        }
    }

    fn scan(&self, scan: Scan) -> BoxFuture<'_, Result<Vec<Row>, Fault>> {
        match self.failure() {
            Some(fault) => async { Err(fault) }.boxed(),
            None => self.inner.scan(scan),
        }
    }

    fn drop_generation(
        &self,
        table: &'static Table,
        generation: Generation,
    ) -> BoxFuture<'_, Result<(), Fault>> {
        self.inner.drop_generation(table, generation)
    }
}
