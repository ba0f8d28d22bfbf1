//! The deployment's key: 32 bytes in a file that only the owner may read, made
//! at the first start.

use std::fs::OpenOptions;
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

const KEY_BYTES: usize = 32;

/// Without its key a deployment does not start.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    #[error(
        "{} is missing, and there is a journal: put the key back from a backup; with another \
         one no command of this journal could be recognized", path.display()
    )]
    Missing { path: PathBuf },
    #[error("{} has {bytes} bytes and must have {KEY_BYTES}: put the key back from a backup", path.display())]
    Length { path: PathBuf, bytes: usize },
    #[error("cannot read or write {}", path.display())]
    Io { path: PathBuf, source: io::Error },
}

/// Reads the key from `file`, or from the place in `data` where it is made when
/// the folder has no journal yet. Call it before the journal is opened.
pub(crate) fn load(data: &Path, file: Option<&Path>) -> Result<[u8; KEY_BYTES], KeyError> {
    let path = file.map_or_else(|| data.join("keys/deployment.key"), Path::to_owned);
    let io = |source| KeyError::Io { path: path.clone(), source };
    let bytes = match std::fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound && file.is_none() => {
            if data.join("journal/meta").exists() {
                return Err(KeyError::Missing { path });
            }
            make(&path).map_err(io)?;
            // Another process may have been faster: its key counts.
            std::fs::read(&path).map_err(io)?
        }
        Err(source) => return Err(io(source)),
    };
    bytes.as_slice().try_into().map_err(|_| KeyError::Length { path, bytes: bytes.len() })
}

/// Makes a key in `path`, where there is none, for a deployment that is new.
#[cfg(feature = "cluster")]
pub(crate) fn make_at(path: &Path) -> Result<(), KeyError> {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    make(&path).map_err(|source| KeyError::Io { path, source })
}

/// Is there a key in `path`?
pub(crate) fn check(path: &Path) -> Result<(), KeyError> {
    let path = path.to_owned();
    match std::fs::metadata(&path) {
        Err(source) => Err(KeyError::Io { path, source }),
        Ok(found) if found.len() != KEY_BYTES as u64 => {
            Err(KeyError::Length { path, bytes: found.len() as usize })
        }
        Ok(_) => match std::fs::File::open(&path) {
            Ok(_) => Ok(()),
            Err(source) => Err(KeyError::Io { path, source }),
        },
    }
}

/// Writes a new key; one that appeared meanwhile is left alone. All of it is
/// there, or nothing.
fn make(path: &Path) -> io::Result<()> {
    let Some(dir) = path.parent() else { return Ok(()) };
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    let mut key = [0; KEY_BYTES];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut key)?;
    let unfinished = dir.join(format!("deployment.key.{}.tmp", std::process::id()));
    let written = (|| {
        let mut options = OpenOptions::new();
        let mut file =
            options.write(true).create(true).truncate(true).mode(0o600).open(&unfinished)?;
        file.write_all(&key)?;
        file.sync_all()?;
        match std::fs::hard_link(&unfinished, path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            linked => linked,
        }
    })();
    std::fs::remove_file(&unfinished)?;
    written?;
    std::fs::File::open(dir)?.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn the_key_is_made_once_and_for_its_owner() {
        let dir = tempfile::tempdir().unwrap();
        load(dir.path(), None).unwrap();
        let path = dir.path().join("keys/deployment.key");
        let first = std::fs::read(&path).unwrap();
        assert_eq!(first.len(), KEY_BYTES);
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        load(dir.path(), None).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), first);
        assert_eq!(std::fs::read_dir(dir.path().join("keys")).unwrap().count(), 1);
    }

    #[test]
    fn a_lost_or_damaged_key_is_not_replaced() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("journal")).unwrap();
        std::fs::write(dir.path().join("journal/meta"), "").unwrap();
        assert!(matches!(load(dir.path(), None), Err(KeyError::Missing { .. })));
        let file = dir.path().join("key");
        assert!(matches!(load(dir.path(), Some(&file)), Err(KeyError::Io { .. })));
        std::fs::write(&file, [1; 31]).unwrap();
        assert!(matches!(load(dir.path(), Some(&file)), Err(KeyError::Length { bytes: 31, .. })));
    }
}
