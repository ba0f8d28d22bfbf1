//! Verification of usage without its server: every seal's place in its chain, every
//! record's hash and fate by the same rules as the meter's, and on request a figure,
//! computed again from nothing but the two logs.

mod changes;
mod figure;
mod partition;
mod period;
mod seals;
mod show;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use exchequer_event_schema::Cache;
use exchequer_journal_local::{Cursor, Damage, FileError, JournalReader, LogName, OpenError};
use exchequer_kernel::SealKey;
use exchequer_metering::Schemas;
use exchequer_types::{Slug, TenantId};
use serde::Serialize;

use self::figure::Figure;
pub use self::figure::{Asked, FigureReport, GroupReport, SealReport, VersionReport};
use self::partition::Partition;
pub(crate) use self::period::parse as parse_period;
use self::seals::Seals;
pub(crate) use self::show::show;
use crate::chains::{Bad, PartitionReport, VerifyError};

/// Identities that are held at once; partitions beyond it are looked at in another pass
/// over the log.
const IDENTITIES_MAX: u64 = 16_000_000;
const KEY_FILE: &str = "keys/deployment.key";

/// What the logs of usage hold, and the first thing that is wrong with them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct UsageReport {
    /// Of both logs.
    pub bytes: u64,
    /// Of the seals.
    pub partitions: Vec<PartitionReport>,
    /// Records under an accepted seal.
    pub sealed: u64,
    /// Records that no seal covers yet.
    pub unsealed: u64,
    /// Sealed records by fate; those of which there is none are left out.
    pub fates: std::collections::BTreeMap<&'static str, u64>,
    /// Were the MACs of refusals, corrections and forwarded records checked? Not without
    /// the deployment's key.
    pub macs_checked: bool,
    /// Bytes after the last whole records that nothing says were ever synced.
    pub torn_bytes: u64,
    /// The figure that was asked for.
    pub figure: Option<FigureReport>,
    /// The first thing that is wrong, in the order of the seals, then of the records.
    pub bad: Option<Bad>,
}

/// Where a record stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) file: PathBuf,
    /// Where its frame begins.
    pub(crate) byte: u64,
}

/// What was found wrong.
#[derive(Debug, Default)]
pub(crate) struct Walk {
    bad: Option<Bad>,
}

impl Walk {
    fn is_bad(&mut self, bad: Bad) {
        self.bad.get_or_insert(bad);
    }

    fn damaged(&mut self, Damage { file, at, what }: Damage) {
        self.is_bad(Bad { file, byte: at, partition: None, offset: None, reason: what });
    }
}

/// Verifies the usage in `data`, which a server may be writing, and computes the figure
/// that is asked for. An error means that it could not be read at all.
pub fn verify_usage(data: &Path, asked: Option<&Asked>) -> Result<UsageReport, VerifyError> {
    let mut walk = Walk::default();
    // Seals first, to their end: whatever they cover was on the disk before them, and is
    // there when usage is opened.
    let seals_log = JournalReader::open_named(data, LogName::Seals)?;
    let Seals { accepted, reports, mut torn_bytes } = seals::read(&seals_log, &mut walk)?;
    let usage_log = JournalReader::open_named(data, LogName::Usage)?;
    let (found, asked_for) = (usage_log.partitions(), seals_log.partitions());
    if found != asked_for {
        let dir = data.join(LogName::Usage.as_str());
        return Err(OpenError::Partitions { dir, found, asked: asked_for }.into());
    }
    let key = read_key(data)?;
    let schemas: Arc<dyn Schemas> = Arc::new(Cache::default());
    let mut partitions: Vec<Partition> = (0..)
        .zip(accepted)
        .map(|(partition, seals)| Partition::new(partition, found, seals, asked, &schemas))
        .collect();
    let mut figure = asked.map(Figure::new);
    let (mut begin, mut is_whole) = (0, true);
    while begin < partitions.len() && is_whole {
        let end = pass_end(&partitions, begin);
        let pass = &mut partitions[begin..end];
        let mut sources = Sources { log: &usage_log, key: key.as_ref(), again: usage_log.cursor() };
        let torn;
        (torn, is_whole) = run(&mut sources, begin as u32, pass, &mut figure, &mut walk)?;
        torn_bytes += if begin == 0 { torn } else { 0 };
        begin = end;
    }
    let mut fates = std::collections::BTreeMap::new();
    for (fate, count) in partitions.iter().flat_map(Partition::fates).filter(|it| it.1 > 0) {
        *fates.entry(fate.as_str()).or_default() += count;
    }
    Ok(UsageReport {
        bytes: seals_log.bytes() + usage_log.bytes(),
        sealed: partitions.iter().map(|it| it.sealed).sum(),
        unsealed: partitions.iter().map(|it| it.unsealed).sum(),
        partitions: reports,
        fates,
        macs_checked: key.is_some(),
        torn_bytes,
        figure: figure.map(Figure::report),
        bad: walk.bad,
    })
}

/// The deployment's key, if it lies in the folder.
fn read_key(data: &Path) -> Result<Option<SealKey>, VerifyError> {
    let path = data.join(KEY_FILE);
    match std::fs::read(&path) {
        Ok(bytes) => Ok(bytes.as_slice().try_into().ok().map(SealKey::new)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(FileError::Io { doing: "read", path, source }.into()),
    }
}

/// As many partitions from `begin` on as may be held at once; at least one.
fn pass_end(partitions: &[Partition], begin: usize) -> usize {
    let mut records = 0;
    let fit = partitions[begin..].iter().take_while(|it| {
        records += it.to_come();
        records <= IDENTITIES_MAX
    });
    begin + fit.count().max(1)
}

/// What records are read from.
struct Sources<'a> {
    log: &'a JournalReader,
    key: Option<&'a SealKey>,
    /// For those that are looked at once more.
    again: Cursor<'a>,
}

/// One pass over the usage log, for the partitions from `first` on. Gives the bytes of its
/// torn tail, and whether it could be read to its end.
fn run(
    sources: &mut Sources<'_>,
    first: u32,
    pass: &mut [Partition],
    figure: &mut Option<Figure>,
    walk: &mut Walk,
) -> Result<(u64, bool), VerifyError> {
    let mut is_whole = true;
    let mut records = sources.log.records();
    for record in records.by_ref() {
        let record = match record {
            Ok(record) => record,
            Err(FileError::Damaged(damage)) => {
                is_whole = false;
                walk.damaged(damage);
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        let index = record.partition.0.checked_sub(first).map(|it| it as usize);
        if let Some(partition) = index.and_then(|index| pass.get_mut(index)) {
            partition.record(record, sources, figure, walk);
        }
    }
    for partition in pass {
        partition.finish(is_whole, sources, figure, walk);
    }
    Ok((records.torn().map_or(0, |torn| torn.bytes), is_whole))
}

/// The figure that is asked for, from its parts as they are written.
pub(crate) fn ask(tenant: &str, meter: &str, period: &str) -> Result<Asked, String> {
    Ok(Asked {
        tenant: TenantId::parse(tenant).map_err(|error| format!("--tenant {error}"))?,
        meter: Slug::parse(meter).map_err(|error| format!("--meter {error}"))?,
        period: parse_period(period)?,
    })
}
