//! How a live snapshot that is not in memory is read from its view.

use exchequer_kernel::Live;
use futures::future::BoxFuture;

use crate::{Fault, Generation, ReadStore};

/// A snapshot as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loaded<S> {
    pub snapshot: S,
    /// `timestamp` of the row, when the snapshot comes from a single row that was
    /// there: it then holds that commit and all before it, and no later one. None
    /// when it was made of several rows or none: it is read again when one of its
    /// events came meanwhile.
    pub timestamp: Option<u64>,
}

/// Of the one row of a key, with its `timestamp`.
impl<S: Default> From<Option<(S, u64)>> for Loaded<S> {
    fn from(row: Option<(S, u64)>) -> Self {
        match row {
            Some((snapshot, at)) => Self { snapshot, timestamp: Some(at) },
            None => Self { snapshot: S::default(), timestamp: None },
        }
    }
}

/// Reads snapshots from the rows of their view.
pub trait LoadLive: Live {
    /// The snapshot of `key`, or that of a key without rows, from `generation` of
    /// the view [`Live::VIEW`]. The rows hold at least everything up to the call.
    fn load<'a>(
        &'a self,
        store: &'a dyn ReadStore,
        generation: Generation,
        key: &'a Self::Key,
    ) -> BoxFuture<'a, Result<Loaded<Self::Snapshot>, Fault>>;
}
