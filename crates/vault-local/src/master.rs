//! Master keys from a file or from a setting. The file is the default key
//! service: made at the first start, for its owner alone, one line a version.
//! It belongs into another backup than what it wraps.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use exchequer_types::TenantId;
use exchequer_vault::{Key, Kms, MasterKeys, VaultError, Wrapped};
use futures::future::{BoxFuture, ready};
use zeroize::Zeroizing;

use crate::file::{create_folder, folder_of, sync_folder, unfinished};
use crate::{OpenError, OsEntropy};

/// The master keys, in the keys' folder, when no other place is set.
pub const MASTER_FILE: &str = "master.keys";

/// Versions of the master key.
const VERSIONS_MAX: usize = 1_000;
const HEAD: &str = "# Exchequer's master keys: a version and 64 hexadecimal digits a line. The highest\n\
                    # version is current. Keep a copy apart from the backups of the persons' keys.\n";

/// Master keys of a file or a setting.
#[derive(Debug)]
pub struct LocalKms {
    keys: MasterKeys,
    /// None: given by a setting, which only an operator changes.
    file: Option<PathBuf>,
    /// Do other processes have copies, so that none may add a version by itself?
    is_shared: bool,
}

impl LocalKms {
    /// The master keys in `file`. It is made when it is missing, unless `is_used`:
    /// there is something already that older ones wrap.
    pub fn from_file(file: &Path, is_used: bool) -> Result<Self, OpenError> {
        let is_there = file.try_exists().map_err(OpenError::io("read", file))?;
        if !is_there {
            if is_used {
                return Err(OpenError::MasterMissing { path: file.to_owned() });
            }
            create_folder(folder_of(file))?;
            let keys = BTreeMap::from([(1, Key::random(&OsEntropy))]);
            write(file, &keys).map_err(OpenError::io("create", file))?;
        }
        let keys = read(file)?;
        Self::new(keys, &file.display().to_string(), Some(file.to_owned()))
    }

    /// The master keys in `text`: `<version>:<64 hexadecimal digits>`, and more of
    /// them behind commas.
    pub fn from_text(text: &str) -> Result<Self, OpenError> {
        let name = "keys.master";
        let lines = text.split(',').map(|line| line.trim().split_once(':').unwrap_or((line, "")));
        Self::new(parse(lines, name)?, name, None)
    }

    fn new(keys: BTreeMap<u32, Key>, name: &str, file: Option<PathBuf>) -> Result<Self, OpenError> {
        let keys = MasterKeys::new(keys, Arc::new(OsEntropy));
        let keys = keys.ok_or_else(|| malformed(name, "there is no key"))?;
        Ok(Self { keys, file, is_shared: false })
    }

    /// The same keys, of which other processes have copies: an operator adds versions to
    /// all of them, and a rotation takes up what was added here.
    #[must_use]
    pub fn shared(self) -> Self {
        Self { is_shared: true, ..self }
    }

    /// Takes up a version that was added to the file by hand; else adds one.
    fn rotate_file(&self, file: &Path) -> Result<String, VaultError> {
        let mut keys = read(file).map_err(|error| match error {
            OpenError::MasterMalformed { what, .. } => VaultError::MasterMalformed(what),
            error => unavailable(&error),
        })?;
        for (version, own) in self.keys.all() {
            if keys.get(&version).is_some_and(|key| key.bytes() != own.bytes()) {
                return Err(VaultError::MasterWrong(version.to_string()));
            }
        }
        let highest = keys.last_key_value().map_or(0, |(version, _)| *version);
        if highest <= self.keys.version() && !self.is_shared {
            keys.insert(highest.saturating_add(1), Key::random(&OsEntropy));
            let written = write(file, &keys).map_err(OpenError::io("write", file));
            written.map_err(|error| unavailable(&error))?;
        }
        self.keys.replace(keys);
        Ok(self.keys.current())
    }
}

impl Kms for LocalKms {
    fn current(&self) -> String {
        self.keys.current()
    }

    fn wrap<'a>(
        &'a self,
        tenant: &'a TenantId,
        key: &'a Key,
    ) -> BoxFuture<'a, Result<Wrapped, VaultError>> {
        self.keys.wrap(tenant, key)
    }

    fn unwrap<'a>(
        &'a self,
        tenant: &'a TenantId,
        master: &'a str,
        text: &'a [u8],
    ) -> BoxFuture<'a, Result<Key, VaultError>> {
        self.keys.unwrap(tenant, master, text)
    }

    fn rotate(&self) -> BoxFuture<'_, Result<String, VaultError>> {
        let rotated = match &self.file {
            Some(file) => self.rotate_file(file),
            None if self.is_shared => Ok(self.keys.current()),
            None => Err(VaultError::Unsupported(
                "the master keys are given by the setting keys.master: add a version there and \
                 start again, which wraps everything anew"
                    .to_owned(),
            )),
        };
        Box::pin(ready(rotated))
    }
}

/// With what the system says, which [`OpenError`] leaves to its source.
fn unavailable(error: &OpenError) -> VaultError {
    let cause = core::error::Error::source(error).map(|it| format!(": {it}"));
    VaultError::Unavailable(format!("{error}{}", cause.unwrap_or_default()))
}

fn malformed(name: &str, what: &'static str) -> OpenError {
    OpenError::MasterMalformed { source_name: name.to_owned(), what }
}

fn read(file: &Path) -> Result<BTreeMap<u32, Key>, OpenError> {
    let text = std::fs::read_to_string(file).map_err(OpenError::io("read", file))?;
    let text = Zeroizing::new(text);
    let lines = text.lines().map(str::trim).filter(|it| !it.is_empty() && !it.starts_with('#'));
    let lines = lines.map(|line| line.split_once(' ').unwrap_or((line, "")));
    parse(lines, &file.display().to_string())
}

fn parse<'a>(
    lines: impl Iterator<Item = (&'a str, &'a str)>,
    name: &str,
) -> Result<BTreeMap<u32, Key>, OpenError> {
    let mut keys = BTreeMap::new();
    for (version, digits) in lines {
        let version: u32 = version
            .trim()
            .parse()
            .ok()
            .filter(|it| *it > 0)
            .ok_or_else(|| malformed(name, "a version is not a whole number from 1 on"))?;
        let key = unhex(digits.trim()).ok_or_else(|| malformed(name, "a key is malformed"))?;
        if keys.insert(version, key).is_some() {
            return Err(malformed(name, "a version is there twice"));
        }
        if keys.len() > VERSIONS_MAX {
            return Err(malformed(name, "there are more than 1,000 versions"));
        }
    }
    Ok(keys)
}

fn unhex(digits: &str) -> Option<Key> {
    if digits.len() != 64 || !digits.is_ascii() {
        return None;
    }
    let mut bytes = Zeroizing::new([0; 32]);
    for (at, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(digits.get(at * 2..at * 2 + 2)?, 16).ok()?;
    }
    Some(Key::new(*bytes))
}

/// All of it is there, or nothing.
fn write(path: &Path, keys: &BTreeMap<u32, Key>) -> io::Result<()> {
    let mut text = Zeroizing::new(HEAD.to_owned());
    for (version, key) in keys {
        // Writing to a String cannot fail.
        let _ = write!(text, "{version} ");
        for byte in key.bytes() {
            let _ = write!(text, "{byte:02x}");
        }
        text.push('\n');
    }
    let unfinished = unfinished(path);
    let mut options = OpenOptions::new();
    let file: io::Result<File> =
        options.write(true).create(true).truncate(true).mode(0o600).open(&unfinished);
    let mut file = file?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    std::fs::rename(&unfinished, path)?;
    sync_folder(path)
}
