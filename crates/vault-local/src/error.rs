//! Why a key store is not opened. It is never mended: what it holds cannot be
//! made again.

use std::io;
use std::path::{Path, PathBuf};

/// A key store that does not open, with what to do.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("cannot {doing} {}", path.display())]
    Io { doing: &'static str, path: PathBuf, source: io::Error },
    #[error("{} is in use by another process", path.display())]
    Locked { path: PathBuf },
    #[error("{} is damaged at byte {at}: {what}; put the file back from a backup of the keys", path.display())]
    Damaged { path: PathBuf, at: u64, what: &'static str },
    #[error(
        "{} is missing, and there are keys that it wraps: put the master keys back; with others \
         nothing that is said of persons could be read", path.display()
    )]
    MasterMissing { path: PathBuf },
    #[error(
        "{} is missing, and its master keys are there, in {}: put a backup back with `exchequer \
         admin keys restore --from <file>`; when the keys are lost for ever, start with \
         keys.accept_loss = true", path.display(), master.display()
    )]
    RowsMissing { path: PathBuf, master: PathBuf },
    #[error(
        "{} is missing, and there is a journal: without the persons' keys nothing that it says \
         of them can be read. Put a backup back with `exchequer admin keys restore --from \
         <file>`; when the keys are lost for ever, start with keys.accept_loss = true",
        path.display()
    )]
    Lost { path: PathBuf },
    #[error("{source_name}: {what}; a line has a version and 64 hexadecimal digits")]
    MasterMalformed { source_name: String, what: &'static str },
    #[error("{} exists already: move it away first, if it is to be replaced", path.display())]
    Exists { path: PathBuf },
}

impl OpenError {
    pub(crate) fn io(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { doing, path, source }
    }

    pub(crate) fn damaged(path: &Path, at: u64, what: &'static str) -> Self {
        Self::Damaged { path: path.to_owned(), at, what }
    }
}
