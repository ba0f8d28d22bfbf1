//! The embedded journal.

use super::section::{anything, section, within};

section! {
    /// The embedded journal.
    Journal "journal" {
        /// Number of partitions. Fixed when the data folder is created.
        partitions: u32 = 16, "partitions", within(1, 1_024);
        /// Size of a segment file before the next one is begun.
        segment_bytes_max: u64 = 67_108_864, "bytes", within(65_536, 1_073_741_824);
        /// Newest records kept in memory.
        recent_bytes_max: usize = 16_777_216, "bytes", anything;
    }
}

#[cfg(test)]
mod tests {
    use exchequer_journal_local::Options;

    use super::*;

    #[test]
    fn defaults_are_those_of_the_journal() {
        let (ours, its) = (Journal::default(), Options::default());
        assert_eq!(ours.partitions, its.partitions);
        assert_eq!(ours.segment_bytes_max, its.segment_bytes_max);
        assert_eq!(ours.recent_bytes_max, its.recent_bytes_max);
    }
}
