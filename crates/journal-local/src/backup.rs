//! Copies the logs and the deployment's keys while a process may be using them, and
//! puts such a copy back. Each log is cut as it is before those that it speaks of: seals,
//! then usage, then the journal, so that no seal is copied without its events. A manifest
//! with a hash of each file is written last.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use crate::disk::{self, RealDisk, read_at};
use crate::error::{Damage, FileError, OpenError};
use crate::folder::META;
use crate::level::LEVEL;
use crate::name::LogName;
use crate::reader::{JournalReader, TornTail};

const MANIFEST: &str = "MANIFEST";
const MANIFEST_HEAD: &str = "exchequer-backup 1";
/// There until the manifest is.
const UNFINISHED: &str = "UNFINISHED";
const COPY_BYTES: usize = 1024 * 1024;

/// What a backup or a restored folder holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackupReport {
    pub files: u64,
    pub bytes: u64,
    /// Records of all logs, each of which was checked.
    pub records: u64,
    /// Bytes after the journal's last whole record that were left out.
    pub left_out: Option<TornTail>,
}

/// Why there is no backup, or nothing was restored from it.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error(transparent)]
    File(#[from] FileError),
    #[error("{} is not empty; name a new folder", dir.display())]
    NotEmpty { dir: PathBuf },
    #[error("{} is no finished backup: {what}", dir.display())]
    Unfinished { dir: PathBuf, what: &'static str },
    #[error("{} is not the file that was backed up; use another backup", file.display())]
    Changed { file: PathBuf },
}

/// Copies the logs and `keys/` of `data_dir` to `out_dir`, which must be new or empty,
/// and checks every record of the copy. Without a manifest, after an error, it is no backup.
pub fn backup(data_dir: &Path, out_dir: &Path) -> Result<BackupReport, BackupError> {
    // What is read of a folder here is what is copied: its segments, as long as they are now.
    let mut sources = Vec::new();
    for name in LogName::ALL {
        match JournalReader::open_named(data_dir, name) {
            Ok(source) => sources.push((name, source)),
            Err(OpenError::Absent { .. }) if name != LogName::Journal => {}
            Err(error) => return Err(error.into()),
        }
    }
    claim_empty(out_dir)?;
    let unfinished = out_dir.join(UNFINISHED);
    File::create(&unfinished).map_err(|source| FileError::io("create", &unfinished, source))?;
    let mut entries = Vec::new();
    let (mut records, mut left_out) = (0, None);
    for (name, source) in &sources {
        let copied = copy_log(data_dir, out_dir, *name, source)?;
        entries.extend(copied.entries);
        records += copied.records;
        left_out = copied.left_out;
    }
    entries.extend(copy_keys(data_dir, out_dir)?);
    write_manifest(out_dir, &entries)?;
    std::fs::remove_file(&unfinished)
        .map_err(|source| FileError::io("remove", &unfinished, source))?;
    Ok(report(&entries, records, left_out))
}

/// A log as it was copied.
struct CopiedLog {
    entries: Vec<Entry>,
    records: u64,
    left_out: Option<TornTail>,
}

fn copy_log(
    data_dir: &Path,
    out_dir: &Path,
    name: LogName,
    source: &JournalReader,
) -> Result<CopiedLog, BackupError> {
    let folder = name.as_str();
    make_dir(&out_dir.join(folder))?;
    let mut entries = vec![copy(data_dir, out_dir, &format!("{folder}/{META}"), u64::MAX)?];
    for segment in &source.folder.segments {
        // A file that grows meanwhile is copied as long as it was: at worst its last
        // frame is not whole.
        let file = format!("{folder}/{:020}.seg", segment.header.number);
        entries.push(copy(data_dir, out_dir, &file, segment.length)?);
    }
    let (records, left_out) = check_copy(data_dir, out_dir, name)?;
    if let (Some(torn), Some(last)) = (left_out, entries.last_mut()) {
        *last = shorten(out_dir, &last.name, torn.at)?;
    }
    let level = format!("{folder}/{LEVEL}");
    if data_dir.join(&level).exists() {
        entries.push(copy(data_dir, out_dir, &level, u64::MAX)?);
    }
    sync(&out_dir.join(folder))?;
    Ok(CopiedLog { entries, records, left_out })
}

/// Puts a backup back as `data_dir`, which must be new or empty. Everything is checked
/// against the manifest before anything is written.
pub fn restore(backup_dir: &Path, data_dir: &Path) -> Result<BackupReport, BackupError> {
    let mut entries = read_checked(backup_dir)?;
    claim_empty(data_dir)?;
    // The journal's meta last: what was restored in part is refused when it is opened.
    let journal_meta = format!("{}/{META}", LogName::Journal.as_str());
    entries.sort_by_key(|entry| (entry.name == journal_meta, entry.name.ends_with(META)));
    for entry in &entries {
        if let Some((folder, _)) = entry.name.split_once('/') {
            make_dir(&data_dir.join(folder))?;
        }
        let copied = copy(backup_dir, data_dir, &entry.name, entry.bytes)?;
        if copied != *entry {
            return Err(BackupError::Changed { file: backup_dir.join(&entry.name) });
        }
    }
    let folders = LogName::ALL.map(LogName::as_str).into_iter().chain(["keys"]);
    for dir in folders.map(|name| data_dir.join(name)).filter(|dir| dir.is_dir()) {
        sync(&dir)?;
    }
    sync(data_dir)?;
    let (mut count, mut torn) = (0, None);
    for name in LogName::ALL.into_iter().filter(|name| name.dir(data_dir).is_dir()) {
        let mut records = JournalReader::open_named(data_dir, name)?.records();
        for record in records.by_ref() {
            record?;
            count += 1;
        }
        torn = records.torn();
    }
    Ok(report(&entries, count, torn))
}

/// Is the folder a backup? Then every file of it is checked against its manifest; one that
/// was not finished is refused.
pub fn check_backup(dir: &Path) -> Result<bool, BackupError> {
    if dir.join(MANIFEST).exists() {
        return read_checked(dir).map(|_| true);
    }
    if dir.join(UNFINISHED).exists() {
        let what = "it was cut off; make another one";
        return Err(BackupError::Unfinished { dir: dir.to_owned(), what });
    }
    Ok(false)
}

/// What the manifest names, each file as it says.
fn read_checked(backup_dir: &Path) -> Result<Vec<Entry>, BackupError> {
    let entries = read_manifest(backup_dir)?;
    for entry in &entries {
        let path = backup_dir.join(&entry.name);
        if digest(&path)? != (entry.hash, entry.bytes) {
            return Err(BackupError::Changed { file: path });
        }
    }
    Ok(entries)
}

/// One file of a backup.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    /// Path in the folder: of a log, or `keys/…`.
    name: String,
    bytes: u64,
    hash: blake3::Hash,
}

fn report(entries: &[Entry], records: u64, left_out: Option<TornTail>) -> BackupReport {
    let bytes = entries.iter().map(|entry| entry.bytes).sum();
    BackupReport { files: entries.len() as u64, bytes, records, left_out }
}

fn claim_empty(dir: &Path) -> Result<(), BackupError> {
    make_dir(dir)?;
    let mut entries = dir.read_dir().map_err(|source| FileError::io("list", dir, source))?;
    match entries.next() {
        None => Ok(()),
        Some(_) => Err(BackupError::NotEmpty { dir: dir.to_owned() }),
    }
}

fn make_dir(dir: &Path) -> Result<(), FileError> {
    std::fs::create_dir_all(dir).map_err(|source| FileError::io("create", dir, source))
}

fn sync(dir: &Path) -> Result<(), FileError> {
    disk::sync_dir(dir).map_err(|source| FileError::io("sync", dir, source))
}

/// Copies the first `bytes_max` bytes of a file, with its permissions, and syncs them.
fn copy(from: &Path, to: &Path, name: &str, bytes_max: u64) -> Result<Entry, FileError> {
    let (from, to) = (from.join(name), to.join(name));
    let read = |source| FileError::io("read", &from, source);
    let write = |source| FileError::io("write", &to, source);
    let source = File::open(&from).map_err(read)?;
    let mode = source.metadata().map_err(read)?.permissions().mode();
    let mut target =
        OpenOptions::new().write(true).create_new(true).mode(mode).open(&to).map_err(write)?;
    let (hash, bytes) =
        each_chunk(&source, bytes_max, &from, |chunk| target.write_all(chunk).map_err(write))?;
    target.sync_all().map_err(write)?;
    Ok(Entry { name: name.to_owned(), bytes, hash })
}

fn digest(path: &Path) -> Result<(blake3::Hash, u64), FileError> {
    let file = File::open(path).map_err(|source| FileError::io("open", path, source))?;
    each_chunk(&file, u64::MAX, path, |_| Ok(()))
}

fn each_chunk(
    file: &File,
    bytes_max: u64,
    path: &Path,
    mut take: impl FnMut(&[u8]) -> Result<(), FileError>,
) -> Result<(blake3::Hash, u64), FileError> {
    let mut hasher = blake3::Hasher::new();
    let mut buffer = vec![0; COPY_BYTES];
    let mut at = 0;
    while at < bytes_max {
        let want = (bytes_max - at).min(COPY_BYTES as u64) as usize;
        let filled = read_at(file, &mut buffer[..want], at)
            .map_err(|source| FileError::io("read", path, source))?;
        hasher.update(&buffer[..filled]);
        take(&buffer[..filled])?;
        at += filled as u64;
        if filled < want {
            break;
        }
    }
    Ok((hasher.finalize(), at))
}

/// Walks all records of the copy. Damage is named where it was copied from.
fn check_copy(
    data_dir: &Path,
    out_dir: &Path,
    name: LogName,
) -> Result<(u64, Option<TornTail>), BackupError> {
    let mut records = JournalReader::open_named(out_dir, name)?.records();
    let mut count = 0;
    for record in records.by_ref() {
        record.map_err(|error| match error {
            FileError::Damaged(Damage { file, at, what }) => {
                let name = file.strip_prefix(out_dir).unwrap_or(&file);
                let file = data_dir.join(name);
                FileError::Damaged(Damage { file, at, what })
            }
            error @ FileError::Io { .. } => error,
        })?;
        count += 1;
    }
    Ok((count, records.torn()))
}

fn shorten(out_dir: &Path, name: &str, bytes: u64) -> Result<Entry, FileError> {
    let path = out_dir.join(name);
    let cut = || -> io::Result<()> {
        let file = OpenOptions::new().write(true).open(&path)?;
        file.set_len(bytes)?;
        file.sync_all()
    };
    cut().map_err(|source| FileError::io("shorten", &path, source))?;
    let (hash, bytes) = digest(&path)?;
    Ok(Entry { name: name.to_owned(), bytes, hash })
}

fn copy_keys(data_dir: &Path, out_dir: &Path) -> Result<Vec<Entry>, FileError> {
    let keys = data_dir.join("keys");
    if !keys.is_dir() {
        return Ok(Vec::new());
    }
    make_dir(&out_dir.join("keys"))?;
    let io = |source| FileError::io("list", &keys, source);
    let mut entries = Vec::new();
    for entry in keys.read_dir().map_err(io)? {
        let entry = entry.map_err(io)?;
        let is_file = entry.file_type().map_err(io)?.is_file();
        // The keys of persons have a backup of their own: who holds both could read what
        // has been erased since.
        if is_file && let Some(name) = entry.file_name().to_str().filter(|it| is_ours(it)) {
            entries.push(copy(data_dir, out_dir, &format!("keys/{name}"), u64::MAX)?);
        }
    }
    sync(&out_dir.join("keys"))?;
    Ok(entries)
}

/// Does it belong to the journal?
fn is_ours(name: &str) -> bool {
    !["persons.", "master.", "torn-"].iter().any(|others| name.starts_with(others))
}

fn write_manifest(out_dir: &Path, entries: &[Entry]) -> Result<(), FileError> {
    let lines = entries.iter().map(|Entry { name, bytes, hash }| format!("{hash} {bytes} {name}"));
    let lines: Vec<String> = core::iter::once(MANIFEST_HEAD.to_owned()).chain(lines).collect();
    let body = lines.join("\n") + "\n";
    let text = format!("{body}blake3 {}\n", blake3::hash(body.as_bytes()));
    let path = out_dir.join(MANIFEST);
    disk::write_whole(&RealDisk, &path, text.as_bytes())
        .and_then(|_| disk::sync_dir(out_dir))
        .map_err(|source| FileError::io("write", &path, source))
}

fn read_manifest(backup_dir: &Path) -> Result<Vec<Entry>, BackupError> {
    let unfinished = |what| BackupError::Unfinished { dir: backup_dir.to_owned(), what };
    let path = backup_dir.join(MANIFEST);
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(unfinished("there is no MANIFEST"));
        }
        Err(source) => return Err(FileError::io("read", &path, source).into()),
    };
    let changed = || BackupError::Changed { file: path.clone() };
    let (body, hash) = text.rsplit_once("blake3 ").ok_or_else(changed)?;
    if hash.trim_end() != blake3::hash(body.as_bytes()).to_hex().as_str() {
        return Err(changed());
    }
    let mut lines = body.lines();
    if lines.next() != Some(MANIFEST_HEAD) {
        return Err(unfinished("its format is not known to this program"));
    }
    lines.map(|line| entry(line).ok_or_else(changed)).collect()
}

/// `<hash> <bytes> <name>`. The name leads nowhere but to the logs' folders and `keys/`.
fn entry(line: &str) -> Option<Entry> {
    let mut words = line.splitn(3, ' ');
    let hash = blake3::Hash::from_hex(words.next()?).ok()?;
    let bytes = words.next()?.parse().ok()?;
    let name = words.next()?;
    let (dir, file) = name.split_once('/')?;
    let known = dir == "keys" || LogName::ALL.iter().any(|it| it.as_str() == dir);
    let plain = known && !file.contains('/') && file != "..";
    plain.then(|| Entry { name: name.to_owned(), bytes, hash })
}
