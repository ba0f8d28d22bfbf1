//! One process at a time: a lock on `DATA/LOCK` that ends with the process.

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use crate::error::{FileError, OpenError};
use crate::name::LogName;

/// Held until dropped by all logs of the folder.
#[derive(Debug)]
pub(crate) struct FolderLock {
    _file: File,
    /// Logs that have been opened under it.
    opened: Mutex<BTreeSet<LogName>>,
}

/// A folder that nobody else writes to, until it is dropped.
#[derive(Debug)]
pub struct Held {
    _lock: Arc<FolderLock>,
}

/// Locks a data folder without opening it, so that no server writes to it meanwhile.
pub fn hold(data_dir: &Path) -> Result<Held, OpenError> {
    Ok(Held { _lock: FolderLock::take(data_dir)? })
}

impl FolderLock {
    /// Locks `data_dir`, or says who has it.
    pub(crate) fn take(data_dir: &Path) -> Result<Arc<Self>, OpenError> {
        std::fs::create_dir_all(data_dir)
            .map_err(|source| FileError::io("create", data_dir, source))?;
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
        Ok(Arc::new(Self { _file: file, opened: Mutex::default() }))
    }

    /// Notes that a log is open: no second writer may come to it.
    pub(crate) fn note(&self, name: LogName, data_dir: &Path) -> Result<(), OpenError> {
        let mut opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        if opened.insert(name) {
            return Ok(());
        }
        Err(OpenError::Twice { dir: name.dir(data_dir) })
    }
}
