//! Space that runs out: a file system that is really full, or where none can be
//! mounted, a limit on the size of files, which the server meets in the same calls.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{Res, Server, SmallDisk, ensure, server};

const DISK_MEBIBYTES: u32 = 64;
/// What is sent again is written again, so this is freed for it.
const BALLAST_BYTES: usize = 48 << 20;
const FILE_BYTES_MAX: &str = "8388608";
/// The signal that such a limit sends is ignored; the write that meets it fails.
const IGNORING: &str = "trap '' XFSZ && exec \"$@\"";

/// A place for a data folder, with little space.
#[derive(Debug)]
pub enum Space {
    Disk(SmallDisk),
    Limit(PathBuf),
}

impl Space {
    /// A small file system over `folder`, or a limit where that is not permitted.
    pub fn disk(folder: &Path) -> Res<Self> {
        let Ok(disk) = SmallDisk::mount(folder, DISK_MEBIBYTES) else {
            return Ok(Self::limit(folder));
        };
        std::fs::write(disk.path().join("ballast"), vec![0; BALLAST_BYTES])?;
        Ok(Self::Disk(disk))
    }

    /// A limit on the size of files in `folder`.
    pub fn limit(folder: &Path) -> Self {
        Self::Limit(folder.to_owned())
    }

    /// Where the data goes.
    pub fn data(&self) -> PathBuf {
        match self {
            Self::Disk(disk) => disk.path().join("data"),
            Self::Limit(folder) => folder.join("data"),
        }
    }

    /// A server with this little space.
    pub fn start(&self) -> Res<Server> {
        let Self::Limit(_) = self else { return Server::start(&self.data()) };
        let mut command = Command::new("sh");
        command.args(["-c", IGNORING, "sh"]).arg(server::program()?);
        let server = Server::start_with(&self.data(), &mut command)?;
        limit_files(&server, FILE_BYTES_MAX)?;
        Ok(server)
    }

    /// Takes what is left.
    pub fn fill(&self) -> Res<()> {
        let Self::Disk(disk) = self else { return Ok(()) };
        let mut file = File::create(disk.path().join("filler"))?;
        for block in [&[0; 4_096][..], &[0; 64]] {
            while file.write_all(block).is_ok() {}
        }
        Ok(())
    }

    /// Gives space again.
    pub fn free(&self, server: &Server) -> Res<()> {
        match self {
            Self::Disk(disk) => {
                for name in ["filler", "ballast"] {
                    std::fs::remove_file(disk.path().join(name))?;
                }
                Ok(())
            }
            Self::Limit(_) => limit_files(server, "unlimited"),
        }
    }
}

/// Sets the soft limit of a running process.
fn limit_files(server: &Server, bytes_max: &str) -> Res<()> {
    let (limit, pid) = (format!("--fsize={bytes_max}:"), server.pid().to_string());
    let done = Command::new("prlimit").args([&limit, "--pid", &pid]).status()?;
    ensure(done.success(), || "the limit on the size of files cannot be set".to_owned())
}
