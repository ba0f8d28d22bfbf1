//! The logs of one data folder, each in a folder of its own.

use std::path::{Path, PathBuf};

/// A log of a data folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogName {
    /// Everything that was decided.
    Journal,
    /// Events of usage, as they came.
    Usage,
    /// What has become of them.
    Seals,
}

impl LogName {
    /// In the order in which a backup is cut: a log stands before those that it speaks of.
    pub const ALL: [Self; 3] = [Self::Seals, Self::Usage, Self::Journal];

    /// Its folder in the data folder.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Journal => "journal",
            Self::Usage => "usage",
            Self::Seals => "seals",
        }
    }

    pub(crate) fn dir(self, data_dir: &Path) -> PathBuf {
        data_dir.join(self.as_str())
    }
}
