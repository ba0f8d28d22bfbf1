//! Opening a folder: creation, checks, and recovery of the last segment.

use std::fs::OpenOptions;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::disk::{self, Disk};
use crate::error::{FileError, OpenError};
use crate::folder::{Folder, Meta, Segment};
use crate::format::Header;
use crate::index::SealedSegments;
use crate::journal::{LocalJournal, Running};
use crate::lock::FolderLock;
use crate::moved::check_moved;
use crate::name::LogName;
use crate::options::Options;
use crate::queue::Queue;
use crate::scan::{Found, Scan, Verdict, read_from};
use crate::shared::{ActiveFile, Partition, Shared};
use crate::writer::{Recent, Writer, create_segment};

/// What opening a journal met.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opened {
    /// The folder had no journal before.
    pub created: bool,
    /// What was cut off the end, if anything.
    pub torn: Option<Torn>,
    /// Records of all partitions.
    pub records: u64,
}

/// Bytes after the last whole frame that nothing says were ever synced: a write was cut
/// short by a crash or power loss, and nobody was answered for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Torn {
    pub file: PathBuf,
    /// Where they began, in bytes; the file's length now.
    pub at: u64,
    pub bytes: u64,
    /// The file with a copy of them.
    pub kept_as: PathBuf,
}

pub(crate) fn open(
    data_dir: &Path,
    name: LogName,
    options: Options,
    disk: Arc<dyn Disk>,
    lock: Arc<FolderLock>,
) -> Result<(Arc<LocalJournal>, Opened), OpenError> {
    options.check()?;
    check_moved(data_dir)?;
    lock.note(name, data_dir)?;
    let journal_dir = name.dir(data_dir);
    std::fs::create_dir_all(&journal_dir)
        .map_err(|source| FileError::io("create", &journal_dir, source))?;
    remove_unfinished(&journal_dir)?;
    let found = Folder::read(&journal_dir)?;
    let created = found.is_none();
    let folder = match found {
        Some(folder) => folder,
        None => create(&*disk, data_dir, &journal_dir, options.partitions)?,
    };
    if folder.meta.partitions != options.partitions {
        let (found, asked) = (folder.meta.partitions, options.partitions);
        return Err(OpenError::Partitions { dir: journal_dir, found, asked });
    }
    let mut sealed = folder.segments;
    // `Folder` always has a last segment.
    let Some(last) = sealed.pop() else { return Err(OpenError::Absent { dir: journal_dir }) };
    let recovered = recover(&*disk, &journal_dir, &last)?;
    let ends = recovered.active.segment.header.bases.clone();
    let partitions: Vec<Partition> = ends
        .iter()
        .zip(recovered.positions)
        .map(|(base, positions)| Partition::new(Arc::clone(&recovered.active), *base, positions))
        .collect();
    let records = partitions.iter().map(|partition| partition.lock().end).sum();
    let sealed = SealedSegments::new(sealed, ends, options.index_cache_segments_max);
    let queue = Queue::new(options.queue_bytes_max);
    let shared = Arc::new(Shared::new(journal_dir.clone(), queue, partitions, sealed));
    let writer = Writer {
        disk,
        shared: Arc::clone(&shared),
        options,
        active: recovered.active,
        length: recovered.length,
        unmarked: recovered.unmarked,
        recent: Recent::default(),
        buffer: Vec::new(),
    };
    let writer = std::thread::Builder::new()
        .name(format!("{}-writer", name.as_str()))
        .spawn(move || writer.run())
        .map_err(|source| FileError::io("start the writer of", &journal_dir, source))?;
    let journal = LocalJournal::new(shared, Running { writer, lock });
    Ok((Arc::new(journal), Opened { created, torn: recovered.torn, records }))
}

/// The first segment, then the meta file: without that the creation is begun anew.
fn create(
    disk: &dyn Disk,
    data_dir: &Path,
    journal_dir: &Path,
    partitions: u32,
) -> Result<Folder, OpenError> {
    let io = |source| FileError::io("create a journal in", journal_dir, source);
    disk::sync_dir(data_dir).map_err(io)?;
    sync_parents(data_dir);
    let meta = Meta { partitions, id: disk::random_id().map_err(io)? };
    let header = Header {
        folder: meta.id,
        nonce: disk::random_id().map_err(io)?,
        number: 0,
        previous_length: 0,
        bases: vec![0; partitions as usize],
    };
    let first = create_segment(disk, journal_dir, header).map_err(io)?;
    disk::sync_dir(journal_dir).and_then(|()| meta.write(disk, journal_dir)).map_err(io)?;
    Ok(Folder { meta, segments: vec![first.segment] })
}

/// Makes the name of a new data folder and those of new folders above it durable, as far
/// up as this process may.
fn sync_parents(data_dir: &Path) {
    let Ok(data_dir) = data_dir.canonicalize() else { return };
    let _all_done = data_dir.ancestors().skip(1).all(|dir| disk::sync_dir(dir).is_ok());
}

fn remove_unfinished(journal_dir: &Path) -> Result<(), FileError> {
    let io = |source| FileError::io("list", journal_dir, source);
    for entry in journal_dir.read_dir().map_err(io)? {
        let path = entry.map_err(io)?.path();
        if path.extension().is_some_and(|extension| extension == disk::UNFINISHED) {
            std::fs::remove_file(&path).map_err(|source| FileError::io("remove", &path, source))?;
        }
    }
    Ok(())
}

/// The last segment, with nothing after its last whole frame.
struct Recovered {
    active: Arc<ActiveFile>,
    length: u64,
    /// Where the records stand, by partition.
    positions: Vec<Vec<u32>>,
    unmarked: bool,
    torn: Option<Torn>,
}

fn recover(disk: &dyn Disk, journal_dir: &Path, last: &Segment) -> Result<Recovered, OpenError> {
    let path = &last.path;
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .open(path)
        .map_err(|source| FileError::io("open", path, source))?;
    let active = Arc::new(ActiveFile { segment: last.clone(), file: Arc::new(file) });
    let header = &last.header;
    let mut scan = Scan::new(Arc::clone(&active.file), path, Arc::clone(header), last.length);
    let mut positions = vec![Vec::new(); header.bases.len()];
    let mut marked = Header::bytes(header.bases.len()) as u64;
    // Where the last record ends; only marks may stand after it.
    let mut records_end = marked;
    let mut torn = None;
    loop {
        match scan.step()? {
            Found::Record { partition, at, .. } => {
                positions[usize::from(partition)].push(at as u32);
                records_end = scan.at();
            }
            Found::Mark { synced } => marked = marked.max(synced),
            Found::End => break,
            Found::Bad { at, what } => match scan.judge()? {
                Verdict::Whole => {}
                Verdict::Torn { bytes } => {
                    torn = Some(cut(disk, journal_dir, &active, at, bytes)?);
                    break;
                }
                Verdict::Damaged { marked_at } => {
                    let what =
                        format!("{what}, and the mark at byte {marked_at} says it was synced");
                    return Err(FileError::damaged(path, at, what).into());
                }
            },
        }
    }
    let length = scan.at();
    let unmarked = records_end > marked;
    if unmarked {
        rewrite(disk, &active, marked, length)?;
    }
    Ok(Recovered { active, length, positions, unmarked, torn })
}

/// Copies what stands from `at` on aside, and cuts it off.
fn cut(
    disk: &dyn Disk,
    journal_dir: &Path,
    active: &ActiveFile,
    at: u64,
    bytes: u64,
) -> Result<Torn, FileError> {
    let file = active.segment.path.clone();
    let number = active.segment.header.number;
    let name = |n: u32| journal_dir.join(format!("torn-{number:020}-{at}-{n}.bin"));
    let kept_as =
        (0..u32::MAX).map(name).find(|path| !path.exists()).unwrap_or_else(|| name(u32::MAX));
    read_from(&active.file, at)
        .and_then(|tail| disk::write_whole(disk, &kept_as, &tail))
        .and_then(|_| disk::sync_dir(journal_dir))
        .map_err(|source| FileError::io("keep a torn tail as", &kept_as, source))?;
    disk.set_len(&active.file, at)
        .and_then(|()| disk.sync(&active.file))
        .map_err(|source| FileError::io("cut a torn tail off", &file, source))?;
    Ok(Torn { file, at, bytes, kept_as })
}

/// Writes what no mark speaks of once more and syncs it: the process before may have
/// ended because a sync failed, after which pages can be in memory only and count as clean.
fn rewrite(disk: &dyn Disk, active: &ActiveFile, from: u64, to: u64) -> Result<(), FileError> {
    let io = |source| FileError::io("sync the end of", &active.segment.path, source);
    let mut tail = read_from(&active.file, from).map_err(io)?;
    tail.truncate((to - from) as usize);
    disk.write_all_at(&active.file, &tail, from).and_then(|()| disk.sync(&active.file)).map_err(io)
}
