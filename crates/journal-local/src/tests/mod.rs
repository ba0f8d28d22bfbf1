//! Tests of the whole journal: what a user would notice.

mod backup;
mod broken_disk;
mod damage;
mod folder;
mod level;
mod moved;
mod ports;
mod segments;
mod torn;

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};

use bytes::Bytes;
use exchequer_journal::{Fault, Journal as _};
use exchequer_types::PartitionId;
use futures::FutureExt as _;
use futures::future::BoxFuture;

use crate::disk::{Disk, RealDisk};
use crate::{JournalReader, LocalJournal, LogName, Options};

/// Two partitions, and no mark but at the head of a batch and at closing.
fn options() -> Options {
    Options { partitions: 2, mark_idle_ms: 1 << 40, ..Options::default() }
}

/// Many tiny segments, and no record in memory.
fn tiny() -> Options {
    Options { segment_bytes_max: 400, recent_bytes_max: 0, ..options() }
}

fn open(data: &Path) -> Arc<LocalJournal> {
    open_with(data, options())
}

fn open_with(data: &Path, options: Options) -> Arc<LocalJournal> {
    match LocalJournal::open(data, options) {
        Ok((journal, _)) => journal,
        Err(error) => panic!("{error}"),
    }
}

fn append<'a>(
    journal: &'a LocalJournal,
    partition: u32,
    text: &str,
) -> BoxFuture<'a, Result<u64, Fault>> {
    let record = Bytes::copy_from_slice(text.as_bytes());
    let appended = journal.append(PartitionId(partition), record);
    async { appended.await.map(|offset| offset.unwrap()) }.boxed()
}

/// All records of both partitions, read through the port in small steps.
async fn contents(journal: &LocalJournal) -> Result<[Vec<String>; 2], Fault> {
    let mut all = [Vec::new(), Vec::new()];
    for (partition, found) in (0..).zip(&mut all) {
        loop {
            let records = journal.read(PartitionId(partition), found.len() as u64, 64).await?;
            if records.is_empty() {
                break;
            }
            for record in records {
                assert_eq!(record.offset, found.len() as u64);
                found.push(String::from_utf8(record.bytes.to_vec()).unwrap());
            }
        }
    }
    Ok(all)
}

/// The same, read by the offline reader.
fn offline(data: &Path) -> [Vec<String>; 2] {
    let mut all = [Vec::new(), Vec::new()];
    for record in JournalReader::open(data).unwrap().records() {
        let record = record.unwrap();
        let found = &mut all[record.partition.index()];
        assert_eq!(record.offset, found.len() as u64);
        found.push(String::from_utf8(record.bytes.to_vec()).unwrap());
    }
    all
}

/// Copies a data folder as a crash would leave it.
fn copy_folder(from: &Path) -> tempfile::TempDir {
    let to = tempfile::tempdir().unwrap();
    std::fs::create_dir(to.path().join("journal")).unwrap();
    for file in from.join("journal").read_dir().unwrap() {
        let file = file.unwrap();
        std::fs::copy(file.path(), to.path().join("journal").join(file.file_name())).unwrap();
    }
    to
}

fn segment(data: &Path, number: u64) -> PathBuf {
    data.join(format!("journal/{number:020}.seg"))
}

/// A disk with little room, that can be slow and can break.
#[derive(Debug)]
struct TestDisk {
    /// Bytes that can still be written.
    room: AtomicI64,
    syncs: AtomicU64,
    sync_fails: AtomicBool,
    gate: Mutex<Gate>,
    moved: Condvar,
}

/// While it is shut, a sync waits at it.
#[derive(Debug, Default)]
struct Gate {
    shut: bool,
    waiting: bool,
}

impl TestDisk {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            room: AtomicI64::new(i64::MAX),
            syncs: AtomicU64::new(0),
            sync_fails: AtomicBool::new(false),
            gate: Mutex::default(),
            moved: Condvar::new(),
        })
    }

    fn open(self: &Arc<Self>, data: &Path, options: Options) -> Arc<LocalJournal> {
        let disk: Arc<dyn Disk> = Arc::<Self>::clone(self);
        let lock = crate::lock::FolderLock::take(data).unwrap();
        crate::open::open(data, LogName::Journal, options, disk, lock).unwrap().0
    }

    fn shut(&self) {
        self.gate.lock().unwrap().shut = true;
    }

    /// Returns when a sync waits at the shut gate.
    fn wait_for_sync(&self) {
        let gate = self.gate.lock().unwrap();
        drop(self.moved.wait_while(gate, |gate| !gate.waiting).unwrap());
    }

    fn open_gate(&self) {
        self.gate.lock().unwrap().shut = false;
        self.moved.notify_all();
    }
}

impl Disk for TestDisk {
    fn create(&self, path: &Path) -> io::Result<File> {
        RealDisk.create(path)
    }

    fn write_all_at(&self, file: &File, bytes: &[u8], at: u64) -> io::Result<()> {
        let room = self.room.fetch_sub(bytes.len() as i64, Ordering::SeqCst);
        let fits = usize::try_from(room.max(0)).unwrap().min(bytes.len());
        RealDisk.write_all_at(file, &bytes[..fits], at)?;
        if fits < bytes.len() {
            self.room.store(0, Ordering::SeqCst);
            return Err(io::ErrorKind::StorageFull.into());
        }
        Ok(())
    }

    fn set_len(&self, file: &File, bytes: u64) -> io::Result<()> {
        RealDisk.set_len(file, bytes)
    }

    fn sync(&self, file: &File) -> io::Result<()> {
        let mut gate = self.gate.lock().unwrap();
        gate.waiting = true;
        self.moved.notify_all();
        gate = self.moved.wait_while(gate, |gate| gate.shut).unwrap();
        gate.waiting = false;
        drop(gate);
        self.syncs.fetch_add(1, Ordering::SeqCst);
        if self.sync_fails.load(Ordering::SeqCst) {
            return Err(io::Error::other("input/output error"));
        }
        RealDisk.sync(file)
    }
}
