//! One process at a time: a lock on `DATA/LOCK` that ends with the process.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read as _, Write as _};
use std::path::Path;

use crate::error::{FileError, OpenError};

/// Held until dropped.
#[derive(Debug)]
pub(crate) struct FolderLock {
    _file: File,
}

impl FolderLock {
    /// Locks `data_dir`, or says who has it.
    pub(crate) fn take(data_dir: &Path) -> Result<Self, OpenError> {
        let path = data_dir.join("LOCK");
        let io = |doing| move |source| FileError::io(doing, &data_dir.join("LOCK"), source);
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(io("open"))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut text = String::new();
                // The pid is a courtesy: without it the error is still clear.
                let _ = file.read_to_string(&mut text);
                let pid = text.trim().parse().ok();
                return Err(OpenError::Locked { dir: data_dir.to_owned(), pid });
            }
            Err(TryLockError::Error(source)) => return Err(io("lock")(source).into()),
        }
        // On a full disk the pid cannot be written, and the lock holds all the same.
        let _ = file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id()));
        Ok(Self { _file: file })
    }
}
