//! Port of the read store: typed rows, written in batches, each row with the
//! position of what it was folded from. Declared once, so that every store
//! derives its layout from the same tables.

pub mod conformance;
mod key;
mod live;
mod memory;
mod rows;
mod table;
pub mod views;

pub use key::{
    DecodeError, decode_key, decode_timestamp, decode_values, deletion_trailer, encode_key,
    encode_prefix, encode_range, encode_values, successor,
};
pub use live::{LoadLive, Loaded};
pub use memory::{MemoryStore, Step, StepHook};
pub use rows::{RowSet, load_missing};
pub use table::{Column, KEY_BYTES_MAX, Key, Keys, Kind, Row, Scan, Table, Value, Write};

use futures::future::BoxFuture;

/// A view's generation. 0 is for tables that have none.
pub type Generation = u64;

/// The store failed.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{message}")]
pub struct Fault {
    /// May the same call succeed later?
    pub retryable: bool,
    pub message: String,
}

impl Fault {
    /// The same call may succeed later.
    pub fn retryable(message: impl Into<String>) -> Self {
        Self { retryable: true, message: message.into() }
    }

    /// The same call fails again.
    pub fn lasting(message: impl Into<String>) -> Self {
        Self { retryable: false, message: message.into() }
    }
}

/// Writes that belong together. Where the store can, all of it is one atomic
/// step; else `rows` are written first, and `last` when they are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    pub rows: Vec<Write>,
    /// Checkpoints: what must never stand without the rows.
    pub last: Vec<Write>,
}

impl Batch {
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty() && self.last.is_empty()
    }

    /// All writes, `last` behind `rows`.
    pub fn writes(&self) -> impl Iterator<Item = &Write> {
        self.rows.iter().chain(&self.last)
    }

    /// What every store refuses before it writes anything: see [`Write::check`].
    pub fn check(&self) -> Result<(), Fault> {
        self.writes().try_for_each(Write::check)
    }
}

/// A store of rows. A write whose timestamp is below that of the row that stands
/// there is dropped, so that a late or repeated write changes nothing; of two with
/// the same timestamp the later one stands. A deleted row keeps its timestamp for
/// as long as an older write of it may still come.
pub trait ReadStore: Send + Sync + core::fmt::Debug {
    /// Is a batch one step, to readers and to a crash?
    fn is_atomic(&self) -> bool;

    /// Applies the batch. After an error any part of `rows` may be applied; of
    /// `last` only if all of `rows` is.
    fn write(&self, batch: Batch) -> BoxFuture<'_, Result<(), Fault>>;

    /// Applies a batch of the only writer of its rows, each of them at least as new as
    /// all that was written of it before: a store that loses nothing of a batch which
    /// it has shown need not look at what stands, nor remember what is deleted.
    fn write_in_order(&self, batch: Batch) -> BoxFuture<'_, Result<(), Fault>> {
        self.write(batch)
    }

    /// One row by its whole key.
    fn get(
        &self,
        table: &'static Table,
        generation: Generation,
        key: Key,
    ) -> BoxFuture<'_, Result<Option<Row>, Fault>>;

    /// Rows of one partition key by their whole keys, each once and in any order; those
    /// that are not there are left out.
    fn get_many(&self, keys: Keys) -> BoxFuture<'_, Result<Vec<Row>, Fault>> {
        Box::pin(async move {
            let mut rows = Vec::with_capacity(keys.clustering.len());
            let Keys { table, generation, partition, clustering } = keys;
            for clustering in clustering {
                let key = Key { partition: partition.clone(), clustering };
                rows.extend(self.get(table, generation, key).await?);
            }
            Ok(rows)
        })
    }

    /// Rows of one partition key, in clustering order.
    fn scan(&self, scan: Scan) -> BoxFuture<'_, Result<Vec<Row>, Fault>>;

    /// Removes every row of a generation, which nobody writes any more. After an
    /// error or a crash some may be left: call it again.
    fn drop_generation(
        &self,
        table: &'static Table,
        generation: Generation,
    ) -> BoxFuture<'_, Result<(), Fault>>;
}
