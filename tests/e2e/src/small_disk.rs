//! A file system of a few megabytes that is really full when it is full. It lives
//! in a mount namespace of its own, so that nothing of it is left behind.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::{Failure, Res};

/// Gone when dropped.
#[derive(Debug)]
pub struct SmallDisk {
    /// Keeps the namespace; ends when its standard input does.
    holder: Child,
    root: PathBuf,
}

/// Mounts, says so, and holds on.
const HOLD: &str = "mount -t tmpfs -o size=$1m small \"$2\" && echo mounted && exec cat";

impl SmallDisk {
    /// Mounts one of so many mebibytes over the folder `at`, seen by nobody else.
    pub fn mount(at: &Path, mebibytes: u32) -> Res<Self> {
        let mut why = String::new();
        // As root first; else as the root of a namespace of users.
        for flags in [["--mount"].as_slice(), &["--user", "--map-root-user", "--mount"]] {
            match Self::try_mount(flags, at, mebibytes) {
                Ok(disk) => return Ok(disk),
                Err(error) => why = format!("{why}{error} "),
            }
        }
        Err(format!("a small file system cannot be mounted here: {why}").into())
    }

    fn try_mount(flags: &[&str], at: &Path, mebibytes: u32) -> Res<Self> {
        let mut holder = Command::new("unshare")
            .args(flags)
            .args(["sh", "-c", HOLD, "sh", &mebibytes.to_string()])
            .arg(at)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let output = holder.stdout.take().ok_or("no output")?;
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line)?;
        if line.trim() != "mounted" {
            let done = holder.wait_with_output()?;
            return Err(String::from_utf8_lossy(&done.stderr).trim().into());
        }
        let seen = at.strip_prefix("/").map_err(|_| Failure::from("the path must be absolute"))?;
        let root = PathBuf::from(format!("/proc/{}/root", holder.id())).join(seen);
        Ok(Self { holder, root })
    }

    /// Where everybody finds it.
    pub fn path(&self) -> &Path {
        &self.root
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}
