//! The journal: where it is, and the bounds of the embedded one.

use super::section::{anything, one_of, section, within};

section! {
    /// The journal: where it is, and the bounds of the embedded one.
    Journal "journal" {
        /// Where the logs are: in the data folder, or on a cluster's brokers.
        backend: String = "embedded".to_owned(), "word", one_of(&["embedded", "kafka"]);
        /// Number of partitions. Fixed when the data folder or the topics are created.
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
