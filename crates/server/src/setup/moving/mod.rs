//! `exchequer admin migrate-log`: the logs and keys of a data folder, or of a backup, to a
//! cluster. Journal, seals and usage keep their offsets, so everything that names a place in
//! them still finds it, and the chains go on where they are.

mod carry;
mod digest;
#[cfg(feature = "cluster")]
mod folder;
#[cfg(feature = "cluster")]
mod persons;
#[cfg(feature = "cluster")]
mod run;

use carry::CarryError;
#[cfg(feature = "cluster")]
pub(super) use run::migrate_log;

/// Why nothing, or not everything, was carried. The message says what to do.
#[derive(Debug, thiserror::Error)]
pub enum MoveError {
    #[error(transparent)]
    Carry(#[from] CarryError),
    #[cfg(feature = "cluster")]
    #[error(transparent)]
    Folder(#[from] folder::FolderError),
    #[cfg(feature = "cluster")]
    #[error(transparent)]
    Persons(#[from] persons::PersonsError),
    #[cfg(feature = "cluster")]
    #[error(transparent)]
    Run(#[from] run::NotReady),
}

impl MoveError {
    /// As sysexits.h has them.
    pub(super) fn exit_code(&self) -> u8 {
        const UNAVAILABLE: u8 = 69;
        const CONFIG: u8 = 78;
        match self {
            Self::Carry(CarryError::Fault { .. }) => UNAVAILABLE,
            Self::Carry(CarryError::File(_)) => 1,
            Self::Carry(_) => CONFIG,
            #[cfg(feature = "cluster")]
            Self::Folder(error) => error.exit_code(),
            #[cfg(feature = "cluster")]
            Self::Persons(error) => error.exit_code(),
            #[cfg(feature = "cluster")]
            Self::Run(_) => CONFIG,
        }
    }
}
