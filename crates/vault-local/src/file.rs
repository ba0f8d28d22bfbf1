//! The file as a whole: read at the start, told torn from damaged, written anew
//! without what was erased.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use exchequer_vault::{KeyStore as _, MemoryKeys, Row};

use crate::OpenError;
use crate::format::{self, Frame, HEADER_BYTES, Item};

/// What was found in a file.
#[derive(Debug)]
pub(crate) struct Content {
    /// Bytes of whole frames, and of the header: where the next frame is written.
    /// What stands behind was left by a crash.
    pub(crate) length: usize,
    /// Does it still have the bytes of keys that are erased, or wraps that do not
    /// count any more?
    pub(crate) is_stale: bool,
}

/// Creates the folder, for its owner alone.
pub(crate) fn create_folder(folder: &Path) -> Result<(), OpenError> {
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.map_err(OpenError::io("create", folder))
}

/// Takes every row of `bytes`, which are those of the file at `path`, into `keys`.
pub(crate) fn parse(path: &Path, bytes: &[u8], keys: &MemoryKeys) -> Result<Content, OpenError> {
    let synced = format::synced(bytes).map_err(|what| OpenError::damaged(path, 0, what))?;
    let (mut at, mut is_stale) = (HEADER_BYTES, false);
    while let Some((rows, length)) = format::frame(&bytes[at..]) {
        let damaged = |what| OpenError::damaged(path, at as u64, what);
        let items = format::items(rows).ok_or_else(|| damaged("rows of an unknown kind"))?;
        for item in items {
            is_stale |= take_over(keys, item).ok_or_else(|| damaged("a key is there twice"))?;
        }
        at += length;
    }
    // What was synced before the file had its name cannot be torn.
    if (at as u64) < synced {
        let is_cut = (bytes.len() as u64) < synced;
        let what = if is_cut { "the file is cut off" } else { "a frame's checksum does not match" };
        return Err(OpenError::damaged(path, at as u64, what));
    }
    // Of what was appended, only the last write can be cut short: anything whole
    // behind it is damage.
    if (at + 1..bytes.len()).any(|later| format::frame(&bytes[later..]).is_some()) {
        return Err(OpenError::damaged(path, at as u64, "a frame's checksum does not match"));
    }
    Ok(Content { length: at, is_stale })
}

/// Tells whether the item makes earlier bytes of the file stale.
fn take_over(keys: &MemoryKeys, item: Item) -> Option<bool> {
    match item {
        Item::Row(row) => {
            let is_rewrap = matches!(&row, Row::Tenant(row) if keys.tenant(&row.tenant).is_some());
            keys.insert_now(row).ok()?;
            Some(is_rewrap)
        }
        Item::Erased(key) => {
            let had_bytes = matches!(keys.find(key), exchequer_vault::Found::Live(_));
            keys.erase_now(&[key]);
            Some(had_bytes)
        }
        Item::Mark(mark) => {
            keys.mark_now(vec![mark]);
            Some(false)
        }
    }
}

/// Writes a file with what counts of `keys`, durably and all at once, and opens it
/// for appending. One that is there is replaced.
pub(crate) fn write_anew(path: &Path, keys: &MemoryKeys) -> io::Result<(File, u64)> {
    let unfinished = unfinished(path);
    let written = (|| {
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&unfinished)?;
        let frames = frames(keys);
        let length = HEADER_BYTES + frames.iter().map(Frame::length).sum::<usize>();
        let length = length as u64;
        let mut id = [0; 16];
        getrandom::fill(&mut id).map_err(io::Error::other)?;
        file.write_all(&format::header(id, length))?;
        for frame in frames {
            file.write_all(&frame.finish())?;
        }
        file.sync_all()?;
        std::fs::rename(&unfinished, path)?;
        sync_folder(path)?;
        Ok((file, length))
    })();
    if written.is_err() {
        // The first error is what counts; the next start removes what is left.
        let _ = std::fs::remove_file(&unfinished);
    }
    written
}

fn frames(keys: &MemoryKeys) -> Vec<Frame> {
    let (rows, erased) = keys.contents();
    let items = rows.into_iter().map(Item::Row);
    let items = items.chain(erased.into_iter().map(Item::Erased));
    let items = items.chain(keys.marks().into_iter().map(Item::Mark));
    let mut frames = vec![Frame::default()];
    for item in items {
        if frames.last().is_none_or(|frame| !frame.has_room()) {
            frames.push(Frame::default());
        }
        if let Some(frame) = frames.last_mut() {
            frame.push(&item);
        }
    }
    frames.retain(|frame| !frame.is_empty());
    frames
}

/// The name under which a file is written before it takes its place.
pub(crate) fn unfinished(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".tmp");
    PathBuf::from(name)
}

/// The folder of `path`: of a bare name, the working folder.
pub(crate) fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        Some(_) => Path::new("."),
        None => path,
    }
}

/// Makes names created, changed or removed beside `path` durable.
pub(crate) fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(folder_of(path))?.sync_all()
}
