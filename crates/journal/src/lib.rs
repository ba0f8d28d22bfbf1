//! Ports of the logs: the journal, which writers append to and every reader
//! folds, the input logs that deciders read, outlets that others read, and the membership
//! that says which process does what. Each port's in-memory implementation and conformance
//! suite live here too.

pub mod conformance;
mod fault;
mod input;
mod intake;
mod membership;
mod memory;
mod outlet;

pub use fault::{Fault, FaultKind};
pub use input::{InputLog, InputRecord, Lane, MemoryInput, MemoryInputLimits, Reading, Submitting};
pub use intake::{Intake, Produced};
pub use membership::{
    Alone, Group, GroupMember, Members, Membership, MemoryGroups, MemoryMember, Owned,
};
pub use memory::MemoryJournal;
pub use outlet::{
    MemoryOutlet, OUTGOING_BYTES_MAX, OUTGOING_HEADERS_MAX, Outgoing, Outlet, check_outgoing,
};

use bytes::Bytes;
use exchequer_types::{Offset, PartitionId};
use futures::future::BoxFuture;

/// The largest record that a journal must take, in bytes.
pub const RECORD_BYTES_MAX: usize = 1024 * 1024;
/// All records of one [`Journal::append_all`] together, in bytes.
pub const APPEND_BYTES_MAX: usize = 16 * 1024 * 1024;

/// One record as it stands in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    pub offset: Offset,
    pub bytes: Bytes,
}

/// Refuses what no journal takes in one call.
pub fn check_sizes(records: &[Bytes]) -> Result<(), Fault> {
    let longest = records.iter().map(Bytes::len).max().unwrap_or(0);
    if longest > RECORD_BYTES_MAX {
        let message = format!("record of {longest} bytes; at most {RECORD_BYTES_MAX} are taken");
        return Err(Fault::new(FaultKind::TooLarge, message));
    }
    let together = records.iter().map(Bytes::len).sum::<usize>();
    if together > APPEND_BYTES_MAX {
        let message = format!("{together} bytes at once; at most {APPEND_BYTES_MAX} are taken");
        return Err(Fault::new(FaultKind::TooLarge, message));
    }
    Ok(())
}

/// A partitioned log without gaps: the first record of a partition has offset 0,
/// the next 1, and so on. It knows nothing of what the bytes mean.
pub trait Journal: Send + Sync + core::fmt::Debug {
    fn partitions(&self) -> u32;

    /// Appends one record of at most `RECORD_BYTES_MAX` bytes. Resolves when it is
    /// durable, with its offset if the log tells. After an error it may have
    /// landed, or may still land, unless the fault's kind says otherwise.
    fn append(
        &self,
        partition: PartitionId,
        record: Bytes,
    ) -> BoxFuture<'_, Result<Option<Offset>, Fault>>;

    /// Appends records of at most `RECORD_BYTES_MAX` bytes each and `APPEND_BYTES_MAX`
    /// together, in their order and without another's between them. Resolves when all are
    /// durable, with the offset of the first if the log tells; at once when there are none.
    /// After an error the first few of them, or all, may have landed, or may still land,
    /// unless the fault's kind says otherwise.
    fn append_all(
        &self,
        partition: PartitionId,
        records: Vec<Bytes>,
    ) -> BoxFuture<'_, Result<Option<Offset>, Fault>>;

    /// Says that this process is about to append: what takes time to be set up is begun.
    /// Nothing is written, and nobody has to call it.
    fn prepare(&self, _partition: PartitionId) {}

    /// The offset that the next record will have. Asked from the log, not from a cache.
    fn end(&self, partition: PartitionId) -> BoxFuture<'_, Result<Offset, Fault>>;

    /// Records from `from` on, ascending: none at the end, else at least one, then
    /// as many as fit `bytes_max`. Only durable records are seen.
    fn read(
        &self,
        partition: PartitionId,
        from: Offset,
        bytes_max: usize,
    ) -> BoxFuture<'_, Result<Vec<Record>, Fault>>;

    /// Resolves when a record at `offset` may be there to read. May resolve early.
    fn wait(&self, partition: PartitionId, offset: Offset) -> BoxFuture<'_, ()>;
}
