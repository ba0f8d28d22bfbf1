//! Bounds of taking events of use in, and of metering them.

use core::time::Duration;

use exchequer_engine::UsageSettings;

use super::section::{anything, at_least, at_least_if_set, section, within};

section! {
    /// Bounds of taking events of use in, and of metering them.
    Usage "usage" {
        /// Events that are being taken in, over all requests, packed and unpacked; more are refused as `OVERLOADED`. At least twice what one request may have.
        ingest_bytes_max: usize = 67_108_864, "bytes", at_least(16_777_216);
        /// Entries of the index of identities in memory before they are written, for each partition. Unset: 65,536; on Kafka four times as many, since writing takes longer there.
        identity_entries_max: Option<usize> = None, "entries", at_least_if_set(1);
        /// Filters of that index held in memory.
        identity_filter_bytes_max: usize = 134_217_728, "bytes", anything;
        /// Figures that are sealed and not written yet. Unset: 64 MiB; on Kafka four times as much.
        cells_bytes_max: Option<usize> = None, "bytes", at_least_if_set(1_048_576);
        /// Partitions whose figures are written at the same time; each holds its rows in memory meanwhile.
        flushes_max: usize = 2, "partitions", within(1, 1_024);
        /// Figures are written after this long at the latest.
        flush_interval_ms: u64 = 30_000, "milliseconds", anything;
        /// Figures are written after this long when no events come. Where other processes answer queries, from the store, also while events come, unless writing all partitions one after the other would take more than half of the time.
        idle_flush_interval_ms: u64 = 1_000, "milliseconds", anything;
        /// Records of one seal.
        batch_records_max: usize = 4_096, "records", within(1, 65_536);
        /// Bytes of the usage log that are read at once.
        read_bytes_max: usize = 1_048_576, "bytes", at_least(65_536);
        /// Seals of a partition are at least this far apart, unless there is much to seal.
        seal_linger_ms: u64 = 20, "milliseconds", within(0, 10_000);
        /// An empty seal is written after this long, so that the time goes on.
        idle_seal_interval_ms: u64 = 60_000, "milliseconds", within(100, 3_600_000);
    }
}

impl Usage {
    /// As the engine takes them, on servers that others share or in this process alone.
    pub(crate) fn settings(&self, of_cluster: bool) -> UsageSettings {
        let unset = if of_cluster { UsageSettings::of_cluster() } else { UsageSettings::default() };
        UsageSettings {
            ingest_bytes_max: self.ingest_bytes_max,
            identity_entries_max: self.identity_entries_max.unwrap_or(unset.identity_entries_max),
            identity_filter_bytes_max: self.identity_filter_bytes_max,
            cells_bytes_max: self.cells_bytes_max.unwrap_or(unset.cells_bytes_max),
            flushes_max: self.flushes_max,
            flush_interval: Duration::from_millis(self.flush_interval_ms),
            idle_flush_interval: Duration::from_millis(self.idle_flush_interval_ms),
            read_by_others: unset.read_by_others,
            batch_records_max: self.batch_records_max,
            read_bytes_max: self.read_bytes_max,
            seal_linger: Duration::from_millis(self.seal_linger_ms),
            idle_seal_interval: Duration::from_millis(self.idle_seal_interval_ms),
            // What an identity is counted by must not change under records that were judged.
            identity_window: unset.identity_window,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_those_of_the_engine() {
        for (of_cluster, engine) in
            [(false, UsageSettings::default()), (true, UsageSettings::of_cluster())]
        {
            let ours = Usage::default().settings(of_cluster);
            assert_eq!(format!("{ours:?}"), format!("{engine:?}"));
            let set = Usage { cells_bytes_max: Some(7 << 20), ..Usage::default() };
            assert_eq!(set.settings(of_cluster).cells_bytes_max, 7 << 20);
        }
    }
}
