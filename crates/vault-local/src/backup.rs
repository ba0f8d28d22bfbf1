//! The keys' own backup: the file of rows alone, without the master keys, and
//! never together with what it can read.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use exchequer_vault::{MemoryKeys, Row};

use crate::OpenError;
use crate::file::{create_folder, parse, sync_folder, unfinished};
use crate::format;
use crate::store::{ROWS_FILE, take_lock};

/// What a backup holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BackedUp {
    pub tenants: usize,
    pub persons: usize,
    pub erased: usize,
    pub bytes: u64,
}

/// The keys in `folder` as they are now, also while a server uses them: to look at, for
/// what is changed of them is not written.
pub fn peek(folder: &Path) -> Result<MemoryKeys, OpenError> {
    peek_file(&folder.join(ROWS_FILE))
}

/// The same of a file of keys, such as a backup's.
pub fn peek_file(path: &Path) -> Result<MemoryKeys, OpenError> {
    let keys = MemoryKeys::bounded(usize::MAX);
    let bytes = std::fs::read(path).map_err(OpenError::io("read", path))?;
    parse(path, &bytes, &keys)?;
    Ok(keys)
}

/// Copies the rows of the keys in `folder` to `to`, also while a server uses them.
pub fn backup(folder: &Path, to: &Path) -> Result<BackedUp, OpenError> {
    copy(&folder.join(ROWS_FILE), to)
}

/// Puts a backup back into `folder`, where there must be no keys. Persons who were
/// erased since stay erased: the server applies the journal's erasures before it
/// serves.
pub fn restore(from: &Path, folder: &Path) -> Result<BackedUp, OpenError> {
    create_folder(folder)?;
    let _lock = take_lock(folder)?;
    copy(from, &folder.join(ROWS_FILE))
}

/// Whole frames alone are copied: what a running server is writing is not.
fn copy(from: &Path, to: &Path) -> Result<BackedUp, OpenError> {
    if to.try_exists().map_err(OpenError::io("read", to))? {
        return Err(OpenError::Exists { path: to.to_owned() });
    }
    let keys = MemoryKeys::bounded(usize::MAX);
    let mut bytes = std::fs::read(from).map_err(OpenError::io("read", from))?;
    let whole = parse(from, &bytes, &keys)?;
    bytes.truncate(whole.length);
    // All of the copy is synced before it has its name.
    if let Some(header) = bytes.first_chunk_mut() {
        format::set_synced(header, whole.length as u64);
    }
    let (rows, erased) = keys.contents();
    let unfinished = unfinished(to);
    let mut options = OpenOptions::new();
    let written =
        options.write(true).create(true).truncate(true).mode(0o600).open(&unfinished).and_then(
            |mut file| {
                file.write_all(&bytes)?;
                file.sync_all()?;
                std::fs::hard_link(&unfinished, to)?;
                std::fs::remove_file(&unfinished)?;
                sync_folder(to)
            },
        );
    written.map_err(OpenError::io("write", to))?;
    let tenants = rows.iter().filter(|row| matches!(row, Row::Tenant(_))).count();
    Ok(BackedUp {
        tenants,
        persons: rows.len() - tenants,
        erased: erased.len(),
        bytes: bytes.len() as u64,
    })
}
