//! The key store on its file. Reads are answered from memory.

use std::fs::{File, OpenOptions, Permissions, TryLockError};
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use exchequer_types::{KeyId, TenantId};
use exchequer_vault::{
    Finding, Found, KeyStore, Mark, MemoryKeys, Row, SubjectHash, SubjectKeyRow, TenantKeyRow,
    VaultError,
};
use tokio::sync::oneshot;

use crate::file::{self, create_folder, sync_folder, unfinished, write_anew};
use crate::queue::Queue;
use crate::writer::Writer;
use crate::{MASTER_FILE, OpenError};

/// The rows, in the keys' folder.
pub const ROWS_FILE: &str = "persons.keys";
const LOCK_FILE: &str = "persons.lock";

/// What becomes of a start that finds no file of rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IfMissing {
    /// It is made, unless master keys lie beside it: those are made after it.
    Create,
    /// It has been there, because there is a journal: [`OpenError::Lost`].
    Refuse,
    /// Whoever runs it has said that the keys are lost for ever: it is made.
    Accept,
}

/// Bounds of a key store, and what it may begin with.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Persons' keys, at about 250 bytes of memory each.
    pub keys_max: usize,
    pub if_missing: IfMissing,
}

impl Default for Options {
    fn default() -> Self {
        Self { keys_max: 2_000_000, if_missing: IfMissing::Create }
    }
}

/// What the start found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opened {
    pub created: bool,
    /// Bytes of a write that a crash cut short, which nobody was answered for.
    pub torn_bytes: usize,
    /// Where they are kept.
    pub torn_file: Option<PathBuf>,
}

/// Persons' keys in one file.
#[derive(Debug)]
pub struct LocalKeys {
    keys: Arc<MemoryKeys>,
    queue: Arc<Queue>,
    writer: Mutex<Option<JoinHandle<()>>>,
    _lock: File,
}

impl LocalKeys {
    /// Opens, or creates, the key store in `folder`.
    pub fn open(folder: &Path, options: Options) -> Result<(Self, Opened), OpenError> {
        create_folder(folder)?;
        let lock = take_lock(folder)?;
        let path = folder.join(ROWS_FILE);
        // What a crash left of writing anew; the file itself is whole.
        let leftover = std::fs::remove_file(unfinished(&path));
        ignore_missing(leftover).map_err(OpenError::io("remove", &unfinished(&path)))?;
        let keys = Arc::new(MemoryKeys::bounded(options.keys_max));
        let mut opened = Opened { created: false, torn_bytes: 0, torn_file: None };
        let is_there = path.try_exists().map_err(OpenError::io("read", &path))?;
        match options.if_missing {
            IfMissing::Create if !is_there => refuse_lost(folder, &path)?,
            IfMissing::Refuse if !is_there => return Err(OpenError::Lost { path }),
            _ => {}
        }
        let (file, length) = if is_there {
            read(&path, &keys, &mut opened)?
        } else {
            opened.created = true;
            write_anew(&path, &keys).map_err(OpenError::io("create", &path))?
        };
        let queue = Arc::new(Queue::default());
        let writer = Writer {
            path: path.clone(),
            file,
            length,
            length_anew: length,
            keys: Arc::clone(&keys),
            queue: Arc::clone(&queue),
            is_stale: false,
            broken: None,
        };
        let thread = std::thread::Builder::new().name("keys".to_owned());
        let thread = thread.spawn(move || writer.run());
        let thread = thread.map_err(OpenError::io("start the writer of", &path))?;
        Ok((Self { keys, queue, writer: Mutex::new(Some(thread)), _lock: lock }, opened))
    }

    /// Has no tenant a key?
    pub fn is_empty(&self) -> bool {
        self.keys.tenants().is_empty()
    }

    /// What became of a key, at once.
    pub fn find(&self, key: KeyId) -> Found {
        self.keys.find(key)
    }

    /// Writes what waits, and ends. What is asked for afterwards is refused.
    pub fn close(&self) {
        self.queue.close();
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(thread) = writer.take() {
            // A writer that panicked has answered nobody: there is nothing to add.
            let _ = thread.join();
        }
    }
}

impl Drop for LocalKeys {
    fn drop(&mut self) {
        self.close();
    }
}

/// Master keys are made after the rows' file: where they are, it has been.
fn refuse_lost(folder: &Path, path: &Path) -> Result<(), OpenError> {
    let master = folder.join(MASTER_FILE);
    if master.try_exists().map_err(OpenError::io("read", &master))? {
        return Err(OpenError::RowsMissing { path: path.to_owned(), master });
    }
    Ok(())
}

/// Keeps what was cut off, for the owner alone: there may be keys in it.
fn keep_aside(aside: &Path, torn: &[u8]) -> io::Result<()> {
    let mut options = OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(aside)?;
    // One that was there before may have had another mode.
    file.set_permissions(Permissions::from_mode(0o600))?;
    file.write_all(torn)?;
    file.sync_all()
}

/// Reads the file; a torn tail is kept aside and cut off, and bytes of keys that
/// are erased are removed before anything is served.
fn read(path: &Path, keys: &MemoryKeys, opened: &mut Opened) -> Result<(File, u64), OpenError> {
    let bytes = std::fs::read(path).map_err(OpenError::io("read", path))?;
    let content = file::parse(path, &bytes, keys)?;
    let torn = &bytes[content.length..];
    if !torn.is_empty() {
        let aside = path.with_file_name(format!("torn-{}.bin", content.length));
        keep_aside(&aside, torn).map_err(OpenError::io("write", &aside))?;
        opened.torn_bytes = torn.len();
        opened.torn_file = Some(aside);
    }
    if content.is_stale {
        return write_anew(path, keys).map_err(OpenError::io("write", path));
    }
    let file = OpenOptions::new().write(true).open(path);
    let file = file.map_err(OpenError::io("open", path))?;
    let length = content.length as u64;
    if !torn.is_empty() {
        let cut = file.set_len(length).and_then(|()| file.sync_all());
        cut.and_then(|()| sync_folder(path)).map_err(OpenError::io("cut", path))?;
    }
    Ok((file, length))
}

/// One process at a time: a lock that ends with the process.
pub(crate) fn take_lock(folder: &Path) -> Result<File, OpenError> {
    let path = folder.join(LOCK_FILE);
    let mut options = OpenOptions::new();
    let file = options.write(true).create(true).truncate(false).mode(0o600).open(&path);
    let file = file.map_err(OpenError::io("open", &path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(OpenError::Locked { path }),
        Err(TryLockError::Error(source)) => Err(OpenError::Io { doing: "lock", path, source }),
    }
}

fn ignore_missing(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

async fn answered(durable: oneshot::Receiver<Result<(), VaultError>>) -> Result<(), VaultError> {
    let closed = || VaultError::Unavailable("the key store is closed".to_owned());
    durable.await.unwrap_or_else(|_| Err(closed()))
}

impl KeyStore for LocalKeys {
    fn insert(&self, row: Row) -> Finding<'_, ()> {
        Box::pin(answered(self.queue.insert(row)))
    }

    fn tenant<'a>(&'a self, tenant: &'a TenantId) -> Finding<'a, Option<TenantKeyRow>> {
        KeyStore::tenant(self.keys.as_ref(), tenant)
    }

    fn tenants(&self) -> Finding<'_, Vec<TenantKeyRow>> {
        KeyStore::tenants(self.keys.as_ref())
    }

    fn find(&self, key: KeyId) -> Finding<'_, Found> {
        KeyStore::find(self.keys.as_ref(), key)
    }

    fn of_subject<'a>(
        &'a self,
        tenant: &'a TenantId,
        subject: SubjectHash,
    ) -> Finding<'a, Vec<SubjectKeyRow>> {
        KeyStore::of_subject(self.keys.as_ref(), tenant, subject)
    }

    fn is_erased(&self, key: KeyId) -> bool {
        self.keys.is_erased(key)
    }

    fn erase(&self, keys: &[KeyId]) -> Finding<'_, ()> {
        // Those of an erasure that is applied again need no further row, but their
        // first may still be waiting.
        let new = self.keys.erase_now(keys);
        Box::pin(answered(self.queue.erase(&new)))
    }

    fn marks(&self) -> Vec<Mark> {
        self.keys.marks()
    }

    fn save_marks(&self, marks: Vec<Mark>) -> Finding<'_, ()> {
        Box::pin(answered(self.queue.mark(marks)))
    }
}
