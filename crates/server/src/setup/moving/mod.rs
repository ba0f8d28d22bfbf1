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
        const DATA: u8 = 65;
        const UNAVAILABLE: u8 = 69;
        const CONFIG: u8 = 78;
        match self {
            Self::Carry(CarryError::Unavailable { .. }) => UNAVAILABLE,
            Self::Carry(CarryError::File(error)) if error.damage().is_some() => DATA,
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

#[cfg(test)]
mod tests {
    use std::io;
    use std::path::PathBuf;

    use exchequer_journal::{Fault, FaultKind};
    use exchequer_journal_local::{Damage, FileError};
    use exchequer_types::PartitionId;

    use super::*;

    // REQ: KER-07
    #[test]
    fn exit_codes_tell_brokers_topics_and_disks_apart() {
        let topic = || "journal".to_owned();
        let fault = |kind| Fault::new(kind, "no");
        let (file, partition) = (PathBuf::from("00000.log"), PartitionId(0));
        let source = io::Error::other("no");
        let damage = Damage { file: file.clone(), at: 7, what: "a checksum".to_owned() };
        for (error, code) in [
            (CarryError::Unavailable { topic: topic(), fault: fault(FaultKind::Unavailable) }, 69),
            (CarryError::Broken { topic: topic(), fault: fault(FaultKind::Damaged) }, 78),
            (CarryError::Other { topic: topic(), partition, from: 3 }, 78),
            (CarryError::NotStill { topic: topic(), partition }, 78),
            (CarryError::File(FileError::Io { doing: "read", path: file, source }), 1),
            (CarryError::File(FileError::Damaged(damage)), 65),
        ] {
            let text = error.to_string();
            assert_eq!(MoveError::from(error).exit_code(), code, "{text}");
        }
    }
}
