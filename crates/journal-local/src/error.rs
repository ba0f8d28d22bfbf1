//! How opening, reading and verifying files of a log fails.

use std::io;
use std::path::{Path, PathBuf};

use exchequer_journal::{Fault, FaultKind};

/// Bytes that cannot be what was written. Never skipped, never mended.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{} is damaged at byte {at}: {what}; restore the folder from a backup", file.display())]
pub struct Damage {
    pub file: PathBuf,
    /// Where the first frame or field that does not verify begins, in bytes.
    pub at: u64,
    pub what: String,
}

/// A file could not be read, or is damaged.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    #[error("cannot {doing} {}", path.display())]
    Io { doing: &'static str, path: PathBuf, source: io::Error },
    #[error(transparent)]
    Damaged(#[from] Damage),
}

/// Why a folder is not opened. Nothing was changed in it.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error(transparent)]
    File(#[from] FileError),
    #[error("{} is in use by another process{}; stop that one first", dir.display(), pid_text(*pid))]
    Locked { dir: PathBuf, pid: Option<u32> },
    #[error(
        "{} has {found} partitions and {asked} were asked for; \
         the number is fixed when the folder is created",
        dir.display()
    )]
    Partitions { dir: PathBuf, found: u32, asked: u32 },
    #[error("{} has format version {found}; this program reads {}", file.display(), crate::FORMAT_VERSION)]
    Version { file: PathBuf, found: u32 },
    #[error(
        "{} was last written by exchequer {program}, at feature level {found}; this program \
         knows levels up to {known}: start {program} or a later one",
        dir.display()
    )]
    Newer { dir: PathBuf, program: String, found: u32, known: u32 },
    #[error("there is no log in {}", dir.display())]
    Absent { dir: PathBuf },
    #[error("{} is open already", dir.display())]
    Twice { dir: PathBuf },
    #[error("the log in {} was closed, and its folder let go", dir.display())]
    Closed { dir: PathBuf },
    #[error(
        "{} says that these logs go on elsewhere ({to}): go on there. Two deployments with one \
         history cannot be put together again; only when nothing was written there yet, remove \
         that file to go on here",
        file.display()
    )]
    Moved { file: PathBuf, to: String },
    #[error("wrong setting: {0}")]
    Options(&'static str),
}

impl FileError {
    pub(crate) fn io(doing: &'static str, path: &Path, source: io::Error) -> Self {
        Self::Io { doing, path: path.to_owned(), source }
    }

    pub(crate) fn damaged(file: &Path, at: u64, what: impl Into<String>) -> Self {
        Self::Damaged(Damage { file: file.to_owned(), at, what: what.into() })
    }

    /// What is damaged, if that is the error.
    pub fn damage(&self) -> Option<&Damage> {
        match self {
            Self::Damaged(damage) => Some(damage),
            Self::Io { .. } => None,
        }
    }
}

impl OpenError {
    /// What is damaged, if that is the error.
    pub fn damage(&self) -> Option<&Damage> {
        match self {
            Self::File(error) => error.damage(),
            _ => None,
        }
    }
}

impl From<FileError> for Fault {
    fn from(error: FileError) -> Self {
        match error {
            FileError::Damaged(damage) => Self::new(FaultKind::Damaged, damage.to_string()),
            FileError::Io { ref source, .. } => {
                Self::new(FaultKind::Unavailable, format!("{error}: {source}"))
            }
        }
    }
}

fn pid_text(pid: Option<u32>) -> String {
    pid.map(|pid| format!(" (pid {pid})")).unwrap_or_default()
}
