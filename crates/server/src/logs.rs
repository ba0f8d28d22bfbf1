//! The logs of the data folder: the journal, and those of usage and its seals, opened
//! together under one lock and closed together.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use exchequer_engine::UsagePorts;
use exchequer_engine::decider::FEATURE_LEVEL;
use exchequer_journal::Journal;
use exchequer_journal_local::{LocalJournal, LogName, OpenError, Opened, Options};

use crate::config::Config;

/// Usage comes in larger amounts than commands.
const USAGE_SEGMENT_BYTES_MAX: u64 = 256 * 1024 * 1024;
/// For meters, which read each record once and at once.
const USAGE_RECENT_BYTES_MAX: usize = 32 * 1024 * 1024;
const SEALS_RECENT_BYTES_MAX: usize = 2 * 1024 * 1024;
/// Of the larger segments fewer indexes are held.
const USAGE_INDEXES_MAX: usize = 4;

/// All logs of a data folder.
pub(crate) struct Logs {
    journal: Arc<LocalJournal>,
    usage: Arc<LocalJournal>,
    seals: Arc<LocalJournal>,
    /// Records of the journal.
    pub(crate) records: u64,
}

/// Why the logs cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LogsError {
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error(
        "{} is missing, and {} has records: put both back from a backup; without the one \
         nobody could tell what the other counts",
        missing.display(), beside.display()
    )]
    Missing { missing: PathBuf, beside: PathBuf },
}

/// Does this program understand what the folder's last one wrote? Nothing is changed.
pub(crate) fn check_level(data: &Path) -> Result<(), LogsError> {
    Ok(exchequer_journal_local::check_level(data, FEATURE_LEVEL)?)
}

impl Logs {
    pub(crate) fn open(config: &Config) -> Result<Self, LogsError> {
        let data = &config.place.data;
        let options = Options {
            partitions: config.journal.partitions,
            segment_bytes_max: config.journal.segment_bytes_max,
            recent_bytes_max: config.journal.recent_bytes_max,
            ..Options::default()
        };
        let of_usage = Options {
            segment_bytes_max: USAGE_SEGMENT_BYTES_MAX,
            recent_bytes_max: USAGE_RECENT_BYTES_MAX,
            index_cache_segments_max: USAGE_INDEXES_MAX,
            ..options
        };
        let of_seals = Options { recent_bytes_max: SEALS_RECENT_BYTES_MAX, ..options };
        check_both(data)?;
        let (journal, found) = LocalJournal::open(data, options)?;
        exchequer_journal_local::write_level(data, FEATURE_LEVEL, env!("CARGO_PKG_VERSION"))?;
        report(LogName::Journal, &found);
        let (usage, found_usage) = journal.open_beside(LogName::Usage, of_usage)?;
        report(LogName::Usage, &found_usage);
        let (seals, found_seals) = journal.open_beside(LogName::Seals, of_seals)?;
        report(LogName::Seals, &found_seals);
        Ok(Self { journal, usage, seals, records: found.records })
    }

    pub(crate) fn journal(&self) -> Arc<dyn Journal> {
        Arc::<LocalJournal>::clone(&self.journal)
    }

    pub(crate) fn usage_ports(&self) -> UsagePorts {
        UsagePorts {
            log: Arc::<LocalJournal>::clone(&self.usage),
            seals: Arc::<LocalJournal>::clone(&self.seals),
        }
    }

    /// Writes what is queued: first what the others may speak of.
    pub(crate) fn close(&self) {
        self.usage.close();
        self.seals.close();
        self.journal.close();
    }
}

/// Events and seals are there together, or neither is.
fn check_both(data: &Path) -> Result<(), LogsError> {
    let dir = |name: LogName| data.join(name.as_str());
    for (name, other) in [(LogName::Usage, LogName::Seals), (LogName::Seals, LogName::Usage)] {
        // A first start that was cut short leaves one of them without a record.
        let is_whole = |name| dir(name).join("meta").exists();
        if is_whole(other) && !is_whole(name) && has_records(data, other)? {
            return Err(LogsError::Missing { missing: dir(name), beside: dir(other) });
        }
    }
    Ok(())
}

fn has_records(data: &Path, name: LogName) -> Result<bool, OpenError> {
    let reader = exchequer_journal_local::JournalReader::open_named(data, name)?;
    Ok(reader.records().next().is_some())
}

fn report(name: LogName, found: &Opened) {
    let log = name.as_str();
    if let Some(torn) = &found.torn {
        tracing::warn!(
            log,
            file = %torn.file.display(),
            at = torn.at,
            bytes = torn.bytes,
            kept_as = %torn.kept_as.display(),
            "a torn tail was cut off"
        );
    }
    tracing::info!(log, records = found.records, created = found.created, "log opened");
}
