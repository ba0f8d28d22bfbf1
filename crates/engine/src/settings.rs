//! Bounds of the engine, each with its unit last.

use core::time::Duration;

/// The largest commit.
pub const COMMIT_BYTES_MAX: usize = 900 * 1024;
/// The largest sealed command that is decided; a larger one is dead-lettered.
pub const COMMAND_BYTES_MAX: usize = 256 * 1024;
/// Events in one commit, and inputs: their index has 16 bits.
pub const COMMIT_EVENTS_MAX: usize = 65_535;
/// How long a command's identity is kept.
pub const IDENTITY_WINDOW: Duration = Duration::from_secs(7 * 24 * 3600);
/// An input that claims to be appended later than this ahead of our clock is not decided.
pub const SKEW_MAX: Duration = Duration::from_secs(60);

const _: () = assert!(COMMAND_BYTES_MAX * 3 < COMMIT_BYTES_MAX);

/// What an operator may set.
#[derive(Clone, Debug)]
pub struct Settings {
    /// State of streams held in memory, over all partitions.
    pub state_bytes_max: usize,
    /// Entries of the identity index held in memory before they become a block,
    /// for each partition.
    pub identity_entries_max: usize,
    /// Filters of the identity index held in memory, over all partitions.
    pub identity_filter_bytes_max: usize,
    /// Inputs that a decider reads ahead, for each lane of each partition.
    pub read_ahead_inputs_max: usize,
    /// Size of one commit; at most `COMMIT_BYTES_MAX`.
    pub commit_bytes_max: usize,
    /// Inputs in one commit.
    pub commit_inputs_max: usize,
    /// State is written behind after this long at the latest.
    pub flush_interval: Duration,
    /// Streams changed before state is written behind, for each partition.
    pub flush_streams_max: usize,
    /// Undecided commands of one tenant at this gateway.
    pub tenant_commands_max: usize,
    /// Undecided commands at this gateway.
    pub commands_max: usize,
    /// Accepted commits kept decoded for readers, for each partition.
    pub tail_bytes_max: usize,
    /// Live snapshots held in memory, over all kinds.
    pub live_bytes_max: usize,
    /// A view this many commits behind, in any partition, is not ready to be read.
    pub ready_lag_max: u64,
    /// Rows that a view folds before it writes.
    pub view_rows_max: usize,
    /// Bytes of journal read at once by a reader that is behind.
    pub read_bytes_max: usize,
    /// Waiting after a lost claim; each further one adds as much, up to 30 times.
    pub claim_retry: Duration,
    pub usage: UsageSettings,
}

/// What an operator may set of meters.
#[derive(Clone, Debug)]
pub struct UsageSettings {
    /// Events that are being taken in, over all requests.
    pub ingest_bytes_max: usize,
    /// Events of one identity count once within this, by when they were received.
    pub identity_window: Duration,
    /// Entries of the index of identities that are held in memory before they become a
    /// block, for each partition.
    pub identity_entries_max: usize,
    /// Filters of that index held in memory, over all partitions.
    pub identity_filter_bytes_max: usize,
    /// Figures that are sealed and not written yet, over all partitions.
    pub cells_bytes_max: usize,
    /// Partitions that are written at the same time: each holds its rows meanwhile.
    pub flushes_max: usize,
    /// Figures are written after this long at the latest.
    pub flush_interval: Duration,
    /// They are written after this long when nothing comes.
    pub idle_flush_interval: Duration,
    /// Do other processes answer queries, from the store alone? Then figures are also written
    /// that often while events come, as far as half of the time is enough for all partitions.
    pub read_by_others: bool,
    /// Records of one seal.
    pub batch_records_max: usize,
    /// Bytes of the usage log that are read at once.
    pub read_bytes_max: usize,
    /// A partition's seals are at least this far apart, unless there is much to seal.
    pub seal_linger: Duration,
    /// An empty seal is written after this long, so that the time goes on.
    pub idle_seal_interval: Duration,
}

impl Default for UsageSettings {
    fn default() -> Self {
        Self {
            ingest_bytes_max: 64 * 1024 * 1024,
            identity_window: Duration::from_secs(35 * 24 * 3600),
            identity_entries_max: 64 * 1024,
            identity_filter_bytes_max: 128 * 1024 * 1024,
            cells_bytes_max: 64 * 1024 * 1024,
            flushes_max: 2,
            flush_interval: Duration::from_secs(30),
            idle_flush_interval: Duration::from_secs(1),
            read_by_others: false,
            batch_records_max: 4_096,
            read_bytes_max: 1024 * 1024,
            seal_linger: Duration::from_millis(20),
            idle_seal_interval: Duration::from_secs(60),
        }
    }
}

impl UsageSettings {
    /// Where the rows are in servers of their own, and other processes read them. Writing
    /// takes longer there, so more is gathered before it is written.
    pub fn of_cluster() -> Self {
        Self {
            identity_entries_max: 256 * 1024,
            cells_bytes_max: 256 * 1024 * 1024,
            read_by_others: true,
            ..Self::default()
        }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            state_bytes_max: 64 * 1024 * 1024,
            identity_entries_max: 16_384,
            identity_filter_bytes_max: 64 * 1024 * 1024,
            read_ahead_inputs_max: 16_384,
            commit_bytes_max: COMMIT_BYTES_MAX,
            commit_inputs_max: 4_096,
            flush_interval: Duration::from_secs(1),
            flush_streams_max: 4_096,
            tenant_commands_max: 1_024,
            commands_max: 65_536,
            tail_bytes_max: 1024 * 1024,
            live_bytes_max: 64 * 1024 * 1024,
            ready_lag_max: 1_000,
            view_rows_max: 4_096,
            read_bytes_max: 1024 * 1024,
            claim_retry: Duration::from_millis(50),
            usage: UsageSettings::default(),
        }
    }
}
