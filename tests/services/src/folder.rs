//! Where a server keeps its data and logs: a new folder below the system's folder
//! for temporary files, or a given one.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::{env, fs, process, thread};

use crate::Error;

/// A folder. A temporary one is removed with the value, unless a panic is under way,
/// when its logs are what one wants to read.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    is_temporary: bool,
}

static COUNT: AtomicU32 = AtomicU32::new(0);

impl Folder {
    pub fn temporary(name: &str) -> Result<Self, Error> {
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = env::temp_dir().join(format!("exchequer-{name}-{}-{number}", process::id()));
        make(&path)?;
        Ok(Self { path, is_temporary: true })
    }

    /// A folder that stays.
    pub fn kept(path: PathBuf) -> Result<Self, Error> {
        make(&path)?;
        Ok(Self { path, is_temporary: false })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A folder in this one, made if need be.
    pub fn below(&self, name: &str) -> Result<PathBuf, Error> {
        let path = self.path.join(name);
        make(&path)?;
        Ok(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if !self.is_temporary {
            return;
        }
        if thread::panicking() {
            eprintln!("the servers' logs are kept in {}", self.path.display());
        } else {
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}

fn make(path: &Path) -> Result<(), Error> {
    fs::create_dir_all(path).map_err(|error| Error::io("make", path, &error))
}
