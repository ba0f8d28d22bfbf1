//! Which program wrote a data folder last, and what one has to understand to read it:
//! `DATA/journal/level`. An older program that does not is turned away before it writes.

use std::io;
use std::path::{Path, PathBuf};

use crate::disk::{self, RealDisk};
use crate::error::{FileError, OpenError};
use crate::name::LogName;

pub(crate) const LEVEL: &str = "level";

/// Refuses a folder that was written by a program of a higher feature level than `level`.
/// Changes nothing.
pub fn check_level(data_dir: &Path, level: u32) -> Result<(), OpenError> {
    read(data_dir, level).map(drop)
}

/// Writes down that `program`, a version such as `0.1.0`, writes the folder from now on. For
/// whoever holds the folder's lock. Refuses what [`check_level`] does.
pub fn write_level(data_dir: &Path, level: u32, program: &str) -> Result<(), OpenError> {
    let text = encode(level, program);
    if read(data_dir, level)?.as_deref() == Some(text.as_str()) {
        return Ok(());
    }
    let file = path(data_dir);
    disk::write_whole(&RealDisk, &file, text.as_bytes())
        .and_then(|_| disk::sync_dir(&LogName::Journal.dir(data_dir)))
        .map_err(|source| FileError::io("write", &file, source).into())
}

fn path(data_dir: &Path) -> PathBuf {
    LogName::Journal.dir(data_dir).join(LEVEL)
}

/// `None` where no program has written any.
fn read(data_dir: &Path, level: u32) -> Result<Option<String>, OpenError> {
    let file = path(data_dir);
    let bytes = match std::fs::read(&file) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(FileError::io("read", &file, source).into()),
    };
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let word = |name| text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    let found: Option<u32> = word("level").and_then(|it| it.parse().ok());
    let program = word("program").unwrap_or("unknown");
    match found {
        // What else a later program says there is for later programs.
        Some(found) if found > level => {
            let dir = data_dir.to_owned();
            Err(OpenError::Newer { dir, program: program.to_owned(), found, known: level })
        }
        Some(found) if encode(found, program) == text => Ok(Some(text)),
        _ => Err(FileError::damaged(&file, 0, "this is not what a program writes there").into()),
    }
}

fn encode(level: u32, program: &str) -> String {
    let text = format!("level {level}\nprogram {program}\n");
    let crc = crc32c::crc32c(text.as_bytes());
    format!("{text}crc32c {crc:08x}\n")
}
