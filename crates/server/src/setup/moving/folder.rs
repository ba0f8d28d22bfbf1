//! What is carried: a data folder that nobody serves from, or a backup's, which is verified
//! as a whole before anything of it is written elsewhere.

use std::path::{Path, PathBuf};

use exchequer_cli::{Bad, Moving, Report, UsageReport, VerifyError};
use exchequer_codec::{UnopenedReason, decode_record, open};
use exchequer_engine::decider::FEATURE_LEVEL;
use exchequer_journal_local::{
    BackupError, Held, JournalReader, LogName, OpenError, check_backup, hold, moved_to, write_moved,
};
use exchequer_kernel::SealKey;

/// Commands that are looked at to tell whose they are.
const COMMANDS_MAX: u64 = 1_000;

/// A folder that may be carried.
#[derive(Debug)]
pub(super) struct Folder {
    pub(super) data: PathBuf,
    pub(super) is_backup: bool,
    /// It says that it was carried to where it is to go.
    pub(super) is_moved: bool,
    pub(super) journal: JournalReader,
    /// Records of usage, and their seals.
    pub(super) usage: Option<(JournalReader, JournalReader)>,
    pub(super) report: Report,
    pub(super) usage_report: Option<UsageReport>,
    /// Of a data folder: nobody else may write to it.
    _held: Option<Held>,
}

/// Why a folder is not carried.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error(transparent)]
    Backup(#[from] BackupError),
    #[error("the folder cannot be verified")]
    Verify(#[from] VerifyError),
    #[error(
        "{} was carried to {to}: carried to another place as well, it would be one history that \
         goes on in two places",
        data.display()
    )]
    Elsewhere { data: PathBuf, to: String },
    #[error(
        "not carried: {} is bad at byte {byte}: {reason}; restore the folder from a backup",
        file.display()
    )]
    Bad { file: PathBuf, byte: u64, reason: String },
    #[error(
        "{} has {found} partitions and journal.partitions is {wanted}: the number is fixed for \
         good. Set journal.partitions = {found}, and make topics with it: `exchequer admin init` \
         under another kafka.prefix, if these have another number",
        data.display()
    )]
    Partitions { data: PathBuf, found: u32, wanted: u32 },
    #[error(
        "keys.deployment_file is not the key of {}: commands of its journal would be nobody's. \
         Put the folder's own key there (keys/deployment.key in it) before `exchequer admin init`",
        data.display()
    )]
    OtherKey { data: PathBuf },
    #[error("{} has events of use without their seals, or seals without events", data.display())]
    Half { data: PathBuf },
}

impl FolderError {
    /// As sysexits.h has them.
    pub(super) fn exit_code(&self) -> u8 {
        const USAGE: u8 = 64;
        const DATA: u8 = 65;
        const CONFIG: u8 = 78;
        match self {
            Self::Open(_) | Self::Verify(_) => 1,
            Self::Bad { .. } | Self::Half { .. } | Self::Backup(_) => DATA,
            Self::Elsewhere { .. } => CONFIG,
            Self::Partitions { .. } | Self::OtherKey { .. } => USAGE,
        }
    }
}

impl Folder {
    /// Opens and verifies it, to be carried `to` a deployment with this key and so many
    /// partitions.
    pub(super) fn open(
        moving: &Moving,
        to: &str,
        partitions: u32,
        deployment_key: &[u8; 32],
    ) -> Result<Self, FolderError> {
        let data = moving.data.clone();
        // Where there is no folder, none is made.
        let found = JournalReader::open(&data)?.partitions();
        if found != partitions {
            return Err(FolderError::Partitions { data, found, wanted: partitions });
        }
        exchequer_journal_local::check_level(&data, FEATURE_LEVEL)?;
        let is_moved = match moved_to(&data)? {
            Some(other) if other != to => {
                return Err(FolderError::Elsewhere { data, to: other });
            }
            moved => moved.is_some(),
        };
        let is_backup = check_backup(&data)?;
        let held = if is_backup { None } else { Some(hold(&data)?) };
        let journal = JournalReader::open(&data)?;
        let report = exchequer_cli::verify(&data, true)?;
        refuse_bad(report.bad.as_ref())?;
        check_key(&data, &journal, deployment_key)?;
        let usage = open_usage(&data)?;
        let usage_report = match &usage {
            Some(_) => Some(exchequer_cli::verify_usage(&data, None)?),
            None => None,
        };
        refuse_bad(usage_report.as_ref().and_then(|it| it.bad.as_ref()))?;
        Ok(Self { data, is_backup, is_moved, journal, usage, report, usage_report, _held: held })
    }

    /// Writes down that it goes on elsewhere, unless it is a copy anyway.
    pub(super) fn leave(&self, to: &str) -> Result<(), FolderError> {
        if self.is_backup {
            return Ok(());
        }
        Ok(write_moved(&self.data, to)?)
    }
}

fn refuse_bad(bad: Option<&Bad>) -> Result<(), FolderError> {
    match bad {
        None => Ok(()),
        Some(Bad { file, byte, reason, .. }) => {
            let (file, reason) = (file.clone(), reason.clone());
            Err(FolderError::Bad { file, byte: *byte, reason })
        }
    }
}

fn open_usage(data: &Path) -> Result<Option<(JournalReader, JournalReader)>, FolderError> {
    let open = |name| match JournalReader::open_named(data, name) {
        Ok(reader) => Ok(Some(reader)),
        Err(OpenError::Absent { .. }) => Ok(None),
        Err(error) => Err(error),
    };
    match (open(LogName::Usage)?, open(LogName::Seals)?) {
        (Some(usage), Some(seals)) => Ok(Some((usage, seals))),
        (None, None) => Ok(None),
        _ => Err(FolderError::Half { data: data.to_owned() }),
    }
}

/// Is what the journal's first commands are sealed with this key?
fn check_key(data: &Path, journal: &JournalReader, key: &[u8; 32]) -> Result<(), FolderError> {
    let key = SealKey::new(key);
    let mut others = 0;
    for record in journal.records() {
        let record = record.map_err(OpenError::from)?;
        let Some(commit) = decode_record(record.partition, &record.bytes).2 else { continue };
        let commands = commit.inputs.into_iter().filter(|input| !input.command.is_empty());
        for input in commands {
            match open(&key, &input.command, journal.partitions()) {
                Err(unopened) if unopened.reason == UnopenedReason::Mac => others += 1,
                _ => return Ok(()),
            }
        }
        if others >= COMMANDS_MAX {
            break;
        }
    }
    if others == 0 { Ok(()) } else { Err(FolderError::OtherKey { data: data.to_owned() }) }
}
