//! The few calls that change files, behind a trait so that tests can make the
//! disk full, slow or broken.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

/// What the writer does to its files.
pub(crate) trait Disk: core::fmt::Debug + Send + Sync + 'static {
    /// A new, empty file, for reading and writing. One of this name is replaced.
    fn create(&self, path: &Path) -> io::Result<File>;
    fn write_all_at(&self, file: &File, bytes: &[u8], at: u64) -> io::Result<()>;
    fn set_len(&self, file: &File, bytes: u64) -> io::Result<()>;
    /// Returns when the bytes and the length of the file would survive power loss.
    fn sync(&self, file: &File) -> io::Result<()>;
}

/// The operating system's.
#[derive(Debug)]
pub(crate) struct RealDisk;

impl Disk for RealDisk {
    fn create(&self, path: &Path) -> io::Result<File> {
        OpenOptions::new().read(true).write(true).create(true).truncate(true).open(path)
    }

    fn write_all_at(&self, file: &File, bytes: &[u8], at: u64) -> io::Result<()> {
        file.write_all_at(bytes, at)
    }

    fn set_len(&self, file: &File, bytes: u64) -> io::Result<()> {
        file.set_len(bytes)
    }

    fn sync(&self, file: &File) -> io::Result<()> {
        file.sync_data()
    }
}

/// Says the error that there is no space, so that the same may work later?
pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge
    )
}

/// Makes names created, changed or removed in `dir` durable.
pub(crate) fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

/// Writes a whole file durably: under another name first, so that no reader ever
/// finds a part of it.
pub(crate) fn write_whole(disk: &dyn Disk, path: &Path, bytes: &[u8]) -> io::Result<File> {
    let mut unfinished = path.as_os_str().to_owned();
    unfinished.push(".");
    unfinished.push(UNFINISHED);
    let unfinished = PathBuf::from(unfinished);
    let written = disk.create(&unfinished).and_then(|file| {
        disk.write_all_at(&file, bytes, 0)?;
        disk.sync(&file)?;
        std::fs::rename(&unfinished, path)?;
        Ok(file)
    });
    if written.is_err() {
        // The first error is what counts; an unfinished file is removed at the next open.
        let _ = std::fs::remove_file(&unfinished);
    }
    written
}

/// Extension of files that are being written.
pub(crate) const UNFINISHED: &str = "tmp";

/// Fills `bytes` from `at` on; returns how many there were before the file's end.
pub(crate) fn read_at(file: &File, bytes: &mut [u8], at: u64) -> io::Result<usize> {
    let mut filled = 0;
    while filled < bytes.len() {
        match file.read_at(&mut bytes[filled..], at + filled as u64) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// 16 bytes that nobody can guess.
pub(crate) fn random_id() -> io::Result<[u8; 16]> {
    let mut id = [0; 16];
    File::open("/dev/urandom")?.read_exact(&mut id)?;
    Ok(id)
}
