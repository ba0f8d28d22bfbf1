//! Bounds of the deciders, the views and the gateway.

use core::time::Duration;

use exchequer_engine::{COMMIT_BYTES_MAX, Settings};

use super::section::{anything, at_least, section, within};

// What the reference says. A commit must hold what one small command comes to.
const _: () = assert!(COMMIT_BYTES_MAX == 921_600);

section! {
    /// Bounds of the deciders, the views and the gateway.
    Engine "engine" {
        /// State of tenants held in memory.
        state_bytes_max: usize = 67_108_864, "bytes", anything;
        /// Flags and entitlements held in memory for evaluations and checks.
        live_bytes_max: usize = 67_108_864, "bytes", anything;
        /// Entries of the identity index in memory before they are written, for each partition.
        identity_entries_max: usize = 16_384, "entries", at_least(1);
        /// Filters of the identity index held in memory.
        identity_filter_bytes_max: usize = 67_108_864, "bytes", anything;
        /// Commands that a decider reads ahead, for each lane of each partition.
        read_ahead_inputs_max: usize = 16_384, "commands", at_least(1);
        /// Size of one commit.
        commit_bytes_max: usize = 921_600, "bytes", within(65_536, 921_600);
        /// Commands in one commit.
        commit_inputs_max: usize = 4_096, "commands", within(1, 65_535);
        /// State is written behind after this long at the latest.
        flush_interval_ms: u64 = 1_000, "milliseconds", anything;
        /// Tenants changed before state is written behind, for each partition.
        flush_streams_max: usize = 4_096, "tenants", at_least(1);
        /// Undecided commands of one tenant; more are refused as `TENANT_OVERLOADED`.
        tenant_commands_max: usize = 1_024, "commands", at_least(1);
        /// Undecided commands of all tenants; more are refused as `OVERLOADED`.
        commands_max: usize = 65_536, "commands", at_least(1);
        /// Recent commits kept decoded for readers, for each partition.
        tail_bytes_max: usize = 1_048_576, "bytes", anything;
        /// Rows that a view folds before it writes.
        view_rows_max: usize = 4_096, "rows", at_least(1);
        /// Bytes of journal read at once by a reader that is behind.
        read_bytes_max: usize = 1_048_576, "bytes", anything;
        /// Waiting after a lost claim, growing up to 30 times as much.
        claim_retry_ms: u64 = 50, "milliseconds", anything;
    }
}

impl Engine {
    /// As the engine takes them.
    pub(crate) fn settings(&self, ready_lag_max: u64) -> Settings {
        Settings {
            state_bytes_max: self.state_bytes_max,
            live_bytes_max: self.live_bytes_max,
            identity_entries_max: self.identity_entries_max,
            identity_filter_bytes_max: self.identity_filter_bytes_max,
            read_ahead_inputs_max: self.read_ahead_inputs_max,
            commit_bytes_max: self.commit_bytes_max,
            commit_inputs_max: self.commit_inputs_max,
            flush_interval: Duration::from_millis(self.flush_interval_ms),
            flush_streams_max: self.flush_streams_max,
            tenant_commands_max: self.tenant_commands_max,
            commands_max: self.commands_max,
            tail_bytes_max: self.tail_bytes_max,
            ready_lag_max,
            view_rows_max: self.view_rows_max,
            read_bytes_max: self.read_bytes_max,
            claim_retry: Duration::from_millis(self.claim_retry_ms),
            usage: exchequer_engine::UsageSettings::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::readiness::Readiness;

    #[test]
    fn defaults_are_those_of_the_engine() {
        let its = Settings::default();
        let ours = Engine::default().settings(Readiness::default().view_lag_commits_max);
        assert_eq!(format!("{ours:?}"), format!("{its:?}"));
    }
}
