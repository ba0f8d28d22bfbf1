//! The fjall database: opened, bounded in memory, opened again after a failed
//! write, and its errors in words that say what to do.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use exchequer_readstore::{Fault, Table};
use fjall::compaction::filter::Factory;
use fjall::config::PartitioningPolicy;
use fjall::{
    CompressionType, Database, Keyspace, KeyspaceCreateOptions, KvSeparationOptions, LsmError,
};

use crate::Settings;
use crate::tombstones::Tombstones;

/// Rows in memory before fjall is asked to write them to a file. It does when its
/// background work comes to it: behind a compaction, which takes seconds.
pub(crate) const WRITE_BUFFER_BYTES: u64 = 16 << 20;
/// How far further rows in memory may grow meanwhile; then whoever writes waits. At most two
/// of these exist at a time: one that grows, and one that is being written.
pub(crate) const WRITE_BUFFER_BYTES_MAX: u64 = 64 << 20;
/// fjall's log of what is in no file yet. Its least value.
const LOG_BYTES_MAX: u64 = 64 << 20;
/// Values from this size on stand in files of their own, which compactions of keys leave
/// alone: pages of the index of identities and packed figures are most of what is written.
const SEPARATE_BYTES_MIN: u32 = 2_048;
/// Such a file is written anew when more than this of it is stale.
const STALE_SHARE_MAX: f32 = 0.5;
const OPEN_FILES_MAX: usize = 256;
/// Writes rows to files and compacts them. With two or more, fjall 3.1 keeps its first
/// one free for writing by letting it hand compactions back to the queue, over and over:
/// it takes a whole core for as long as another compacts.
const BACKGROUND_THREADS: usize = 1;
const KEYSPACE: &str = "rows";
/// What fjall keeps in its folder, besides `<n>.jnl`.
const ENTRIES: [&str; 3] = ["keyspaces", "version", "lock"];

/// The store does not open.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("{folder}: another process has the views open; stop it first", folder = folder.display())]
    InUse { folder: PathBuf },
    #[error(
        "{folder}: the views are damaged ({detail}); delete this folder and start again, they are rebuilt from the journal",
        folder = folder.display()
    )]
    Damaged { folder: PathBuf, detail: String },
    #[error("{folder}: the views cannot be opened", folder = folder.display())]
    Io { folder: PathBuf, source: io::Error },
}

/// Deletes the store in `folder`, and nothing that is not of the store. All of it
/// is rebuilt from the journal. It must not be open.
pub fn discard(folder: &Path) -> io::Result<()> {
    let entries = match std::fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        let (name, path) = (entry.file_name(), entry.path());
        let ours = ENTRIES.iter().any(|ours| name == *ours);
        if !ours && path.extension().is_none_or(|extension| extension != "jnl") {
            continue;
        }
        if entry.file_type()?.is_dir() {
            std::fs::remove_dir_all(path)?;
        } else {
            std::fs::remove_file(path)?;
        }
    }
    Ok(())
}

/// An open database. Clones are cheap, and must be short-lived: while one exists,
/// the folder is locked.
#[derive(Clone)]
pub(crate) struct Open {
    pub(crate) db: Database,
    pub(crate) rows: Keyspace,
}

/// What the readers and the writer share.
pub(crate) struct Shared {
    pub(crate) folder: PathBuf,
    settings: Settings,
    /// None while it is being opened again.
    open: RwLock<Option<Open>>,
}

impl Shared {
    pub(crate) fn open(folder: &Path, settings: &Settings) -> Result<Self, OpenError> {
        let open = RwLock::new(Some(open(folder, settings)?));
        Ok(Self { folder: folder.to_owned(), settings: settings.clone(), open })
    }

    pub(crate) fn database(&self) -> Result<Open, Fault> {
        let open = self.open.read().unwrap_or_else(PoisonError::into_inner);
        open.clone().ok_or_else(|| Fault::retryable("the views are being opened again"))
    }

    /// Opens the database again: after a failed write fjall takes no further one.
    pub(crate) fn reopen(&self) -> Result<(), Fault> {
        let old = self.open.write().unwrap_or_else(PoisonError::into_inner).take();
        drop(old);
        let opened = open(&self.folder, &self.settings).map_err(|error| match &error {
            OpenError::Damaged { .. } => Fault::lasting(error.to_string()),
            OpenError::InUse { .. } => Fault::retryable("the views are being opened again"),
            OpenError::Io { source, .. } => Fault::retryable(format!("{error}: {source}")),
        })?;
        *self.open.write().unwrap_or_else(PoisonError::into_inner) = Some(opened);
        Ok(())
    }
}

/// What the keys of a table begin with.
pub(crate) fn head_of(table: &Table) -> Vec<u8> {
    let mut head = Vec::with_capacity(64);
    head.extend_from_slice(table.name.as_bytes());
    head.push(0);
    head
}

/// `doing` failed. Retryable unless what is stored cannot be read.
pub(crate) fn failed(doing: &str, error: &fjall::Error) -> Fault {
    match error {
        fjall::Error::Io(error) | fjall::Error::Storage(LsmError::Io(error))
            if !is_damage(error.kind()) =>
        {
            Fault::retryable(format!("the views: {doing} failed: {error}"))
        }
        fjall::Error::Poisoned => Fault::retryable(format!(
            "the views: {doing} refused, because an earlier write failed; they are opened again"
        )),
        error => corrupt(&error.to_string()),
    }
}

/// What is stored is not what was written.
pub(crate) fn corrupt(detail: &str) -> Fault {
    Fault::lasting(format!(
        "the views are damaged ({detail}); stop, delete their folder and start again, they are rebuilt from the journal"
    ))
}

fn open(folder: &Path, settings: &Settings) -> Result<Open, OpenError> {
    let damaged = |detail: String| OpenError::Damaged { folder: folder.to_owned(), detail };
    // Recovery of a damaged folder may panic inside of fjall.
    match catch_unwind(AssertUnwindSafe(|| try_open(folder, settings))) {
        Ok(Ok(open)) => Ok(open),
        Ok(Err(fjall::Error::Locked)) => Err(OpenError::InUse { folder: folder.to_owned() }),
        Ok(Err(fjall::Error::Io(source) | fjall::Error::Storage(LsmError::Io(source))))
            if !is_damage(source.kind()) =>
        {
            Err(OpenError::Io { folder: folder.to_owned(), source })
        }
        Ok(Err(error)) => Err(damaged(error.to_string())),
        Err(_) => Err(damaged("recovery panicked".to_owned())),
    }
}

fn try_open(folder: &Path, settings: &Settings) -> fjall::Result<Open> {
    let tombstones: Arc<dyn Factory> = Arc::new(Tombstones::new(settings.tombstone_seconds_min));
    let db = Database::builder(folder)
        .cache_size(settings.cache_bytes_max)
        .max_journaling_size(LOG_BYTES_MAX)
        .max_cached_files(Some(OPEN_FILES_MAX))
        .worker_threads(BACKGROUND_THREADS)
        .with_compaction_filter_factories(Arc::new(move |_| Some(tombstones.clone())))
        .open()?;
    let rows = db.keyspace(KEYSPACE, options)?;
    Ok(Open { db, rows })
}

/// Taken when the folder is made, and kept there. Indexes and filters are cut into
/// blocks: a whole one is larger than a part of the cache takes, and would be read
/// again, 1 MiB and more, by every lookup.
fn options() -> KeyspaceCreateOptions {
    let separation = KvSeparationOptions::default()
        .separation_threshold(SEPARATE_BYTES_MIN)
        // All files are looked at, not the oldest quarter alone: figures that are soon
        // written over stand beside pages that last.
        .age_cutoff(1.0)
        .staleness_threshold(STALE_SHARE_MAX)
        // Most of it is hashes.
        .compression(CompressionType::None);
    KeyspaceCreateOptions::default()
        .with_kv_separation(Some(separation))
        // Never: the thread that writes says when.
        .max_memtable_size(u64::MAX)
        .index_block_partitioning_policy(PartitioningPolicy::all(true))
        .filter_block_partitioning_policy(PartitioningPolicy::all(true))
}

/// Of a folder that exists: files are missing, cut short, or left from a first
/// start that was cut off.
fn is_damage(kind: io::ErrorKind) -> bool {
    matches!(
        kind,
        io::ErrorKind::NotFound
            | io::ErrorKind::UnexpectedEof
            | io::ErrorKind::InvalidData
            | io::ErrorKind::AlreadyExists
    )
}
