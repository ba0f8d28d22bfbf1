//! A data folder whose logs were carried to brokers says so, in `DATA/MOVED`: who starts a
//! server on it again would have two deployments that go on from one history.

use std::io;
use std::path::{Path, PathBuf};

use crate::disk::{self, RealDisk};
use crate::error::{FileError, OpenError};

const MOVED: &str = "MOVED";

/// Refuses a folder whose logs were carried elsewhere. Changes nothing.
pub fn check_moved(data_dir: &Path) -> Result<(), OpenError> {
    match moved_to(data_dir)? {
        Some(to) => Err(OpenError::Moved { file: path(data_dir), to }),
        None => Ok(()),
    }
}

/// Where the folder's logs were carried, if they were.
pub fn moved_to(data_dir: &Path) -> Result<Option<String>, OpenError> {
    let file = path(data_dir);
    match std::fs::read_to_string(&file) {
        Ok(text) => Ok(Some(text.trim().to_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(FileError::io("read", &file, source).into()),
    }
}

/// Writes down that the folder's logs go on at `to`. For whoever holds the folder's lock.
pub fn write_moved(data_dir: &Path, to: &str) -> Result<(), OpenError> {
    let file = path(data_dir);
    disk::write_whole(&RealDisk, &file, format!("{to}\n").as_bytes())
        .and_then(|_| disk::sync_dir(data_dir))
        .map_err(|source| FileError::io("write", &file, source).into())
}

fn path(data_dir: &Path) -> PathBuf {
    data_dir.join(MOVED)
}
