//! Servers that go on running after the command that started them: where their
//! ids and addresses are kept, and how they are found and ended again.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::fetch::cache_dir;
use crate::process::signal;
use crate::{Cassandra, Error, Folder, Kafka, Lifetime, Users, wait_until};

/// The folder of the standing servers called `name`: in `EXCHEQUER_STANDING_DIR`, or beside the
/// servers' programs.
pub fn state_dir(name: &str) -> Result<PathBuf, Error> {
    let given = std::env::var_os("EXCHEQUER_STANDING_DIR").filter(|value| !value.is_empty());
    let all = match given {
        Some(given) => std::path::absolute(&given)
            .map_err(|error| Error::io("find", Path::new(&given), &error))?,
        None => cache_dir()?.join("standing"),
    };
    Ok(all.join(name))
}

/// Servers of one name, started by some earlier call.
#[derive(Debug)]
pub struct Standing {
    folder: PathBuf,
    name: String,
}

const ADDRESS: &str = "address";
const STOP_WAIT_MAX: Duration = Duration::from_secs(20);

impl Standing {
    pub fn of(name: &str) -> Result<Self, Error> {
        Ok(Self { folder: state_dir(name)?, name: name.to_owned() })
    }

    /// Starts Kafka, on new data, unless it stands already. Returns what clients connect to.
    pub fn kafka_up(brokers: usize) -> Result<String, Error> {
        let standing = Self::of("kafka")?;
        standing.up(|folder| {
            let kafka = Kafka::start_in(folder, brokers, Lifetime::Standing)?;
            Ok(kafka.bootstrap())
        })
    }

    /// The same of Cassandra, which takes anybody.
    pub fn cassandra_up() -> Result<String, Error> {
        Self::of("cassandra")?.up(|folder| {
            let node = Cassandra::start_in(folder, Users::Anybody, Lifetime::Standing)?;
            Ok(node.address())
        })
    }

    /// Runs `start` in an emptied folder and keeps the address it returns.
    pub fn up(&self, start: impl FnOnce(Folder) -> Result<String, Error>) -> Result<String, Error> {
        if let Some(address) = self.address() {
            return Ok(address);
        }
        self.down()?;
        let started = start(Folder::kept(self.folder.clone())?);
        let kept = started.and_then(|address| {
            let file = self.folder.join(ADDRESS);
            fs::write(&file, &address).map_err(|error| Error::io("write", &file, &error))?;
            Ok(address)
        });
        if kept.is_err() {
            self.end_processes()?;
        }
        kept
    }

    /// What clients connect to, if every process runs.
    pub fn address(&self) -> Option<String> {
        let processes = self.processes();
        let all_run = !processes.is_empty() && processes.iter().all(|(_, pid)| pid.is_some());
        all_run.then(|| fs::read_to_string(self.folder.join(ADDRESS)).ok()).flatten()
    }

    /// Each process by name, with its id while it runs.
    pub fn processes(&self) -> Vec<(String, Option<u32>)> {
        let mut found: Vec<_> = files(&self.folder, "pid")
            .map(|file| {
                let name = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
                let pid = fs::read_to_string(&file).ok().and_then(|text| text.trim().parse().ok());
                (name, pid.filter(|pid| self.is_ours(*pid)))
            })
            .collect();
        found.sort();
        found
    }

    pub fn logs(&self) -> Vec<PathBuf> {
        let mut logs: Vec<_> = files(&self.folder, "log").collect();
        logs.sort();
        logs
    }

    /// Ends the processes and removes their folder. Nothing to end is no error.
    pub fn down(&self) -> Result<(), Error> {
        self.end_processes()?;
        match fs::remove_dir_all(&self.folder) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(Error::io("remove", &self.folder, &error))
            }
            _ => Ok(()),
        }
    }

    fn end_processes(&self) -> Result<(), Error> {
        let running = || self.processes().into_iter().filter_map(|(_, pid)| pid);
        for pid in running() {
            // It may end by itself just now.
            let _ = signal(pid, "TERM");
        }
        let what = format!("the end of {}", self.name);
        let ended =
            wait_until(&what, STOP_WAIT_MAX, || Ok(running().next().is_none().then_some(())));
        for pid in running() {
            let _ = signal(pid, "KILL");
        }
        ended.or_else(|_| {
            wait_until(&what, STOP_WAIT_MAX, || Ok(running().next().is_none().then_some(())))
        })
    }

    /// An id may have been given to another process since: ours names our folder.
    fn is_ours(&self, pid: u32) -> bool {
        let words = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&words).contains(&*self.folder.to_string_lossy())
    }
}

fn files(folder: &Path, extension: &'static str) -> impl Iterator<Item = PathBuf> {
    fs::read_dir(folder)
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(move |path| path.extension().is_some_and(|found| found == extension))
}
