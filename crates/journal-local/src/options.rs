//! Settings of the embedded journal. Every queue, cache and file has its bound here.

use crate::error::OpenError;
use crate::format::PARTITIONS_MAX;

/// Settings of [`crate::LocalJournal::open`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Number of partitions: 1 to 1,024, fixed when the folder is created.
    pub partitions: u32,
    /// A segment begins when the last would grow above this. At most 1 GiB.
    pub segment_bytes_max: u64,
    /// Memory for the newest records, so that tailing readers touch no file.
    pub recent_bytes_max: usize,
    /// Indexes of sealed segments, with their open files, held at once.
    pub index_cache_segments_max: usize,
    /// Records waiting for the writer. Above it, appends are refused as overloaded.
    pub queue_bytes_max: usize,
    /// Records written with one fdatasync. At most 1 GiB.
    pub batch_bytes_max: usize,
    /// After this idle time the synced length is marked.
    pub mark_idle_ms: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            partitions: 16,
            segment_bytes_max: 64 * MIB,
            recent_bytes_max: 16 * 1024 * 1024,
            index_cache_segments_max: 8,
            queue_bytes_max: 64 * 1024 * 1024,
            batch_bytes_max: 8 * 1024 * 1024,
            mark_idle_ms: 100,
        }
    }
}

const MIB: u64 = 1024 * 1024;
const GIB: u64 = 1024 * MIB;

impl Options {
    pub(crate) fn check(&self) -> Result<(), OpenError> {
        let wrong = if !(1..=PARTITIONS_MAX).contains(&self.partitions) {
            "partitions must be 1 to 1024"
        } else if self.segment_bytes_max > GIB || self.batch_bytes_max as u64 > GIB {
            "segment_bytes_max and batch_bytes_max must be at most 1 GiB"
        } else if self.index_cache_segments_max == 0 {
            "index_cache_segments_max must be at least 1"
        } else {
            return Ok(());
        };
        Err(OpenError::Options(wrong))
    }
}
