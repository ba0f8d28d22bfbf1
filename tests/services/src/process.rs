//! One server process: its log, its id, and how it ends. A shell stands between,
//! which writes the id down and, in tests, ends the server when its parent is gone.

use std::fs::{self, File};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::{Error, wait_until};

/// Until when a server runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lifetime {
    /// It ends with the value, and with this process.
    Owned,
    /// It goes on until somebody ends it by its id.
    Standing,
}

/// Runs the words behind it, and ends them when standard input does.
const GUARDED: &str = r#"pid=$1; shift; exec 3<&0
"$@" </dev/null 3<&- & child=$!
echo $child >"$pid"
{ read -r _ <&3; kill -KILL $child; } 2>/dev/null & guard=$!
wait $child; status=$?; kill $guard 2>/dev/null; exit $status"#;

const UNGUARDED: &str = r#"pid=$1; shift; echo $$ >"$pid"; exec "$@""#;

const STOP_WAIT_MAX: Duration = Duration::from_secs(20);

/// A started server.
#[derive(Debug)]
pub struct Process {
    shell: Child,
    pid: u32,
    log: PathBuf,
    lifetime: Lifetime,
}

impl Process {
    /// Starts `words`; output goes to `NAME.log` in `folder`, the id to `NAME.pid`.
    pub fn start(
        words: &[String],
        folder: &Path,
        name: &str,
        lifetime: Lifetime,
    ) -> Result<Self, Error> {
        let log = folder.join(format!("{name}.log"));
        let pid_file = folder.join(format!("{name}.pid"));
        let _ = fs::remove_file(&pid_file);
        let failed = |error: std::io::Error| Error::io("write", &log, &error);
        let out = File::options().create(true).append(true).open(&log).map_err(failed)?;
        let err = out.try_clone().map_err(failed)?;
        let (script, stdin) = match lifetime {
            Lifetime::Owned => (GUARDED, Stdio::piped()),
            Lifetime::Standing => (UNGUARDED, Stdio::null()),
        };
        let shell = Command::new("sh")
            .args(["-c", script, "sh"])
            .arg(&pid_file)
            .args(words)
            .stdin(stdin)
            .stdout(out)
            .stderr(err)
            .process_group(0)
            .spawn()
            .map_err(|error| Error::new(format!("cannot start a shell: {error}")))?;
        let pid = wait_until("the server's id", Duration::from_secs(10), || {
            Ok(fs::read_to_string(&pid_file).ok().and_then(|text| text.trim().parse().ok()))
        })?;
        Ok(Self { shell, pid, log, lifetime })
    }

    pub fn pid(&self) -> u32 {
        self.pid
    }

    pub fn log(&self) -> &Path {
        &self.log
    }

    /// Waits until the log has `text`; an end of the process before that is an error.
    pub fn wait_for_line(&mut self, text: &str, longest: Duration) -> Result<(), Error> {
        let log = self.log.clone();
        let what = format!("\"{text}\" in {}", log.display());
        let came = wait_until(&what, longest, || {
            let said = read(&log);
            if said.contains(text) {
                return Ok(Some(()));
            }
            match self.shell.try_wait() {
                Ok(None) => Ok(None),
                _ => Err(Error::new("it ended at once")),
            }
        });
        came.map_err(|error| Error::new(format!("{error}: {what}: {}", tail(&read(&log)))))
    }

    /// Does it still run? The error has the end of its log.
    pub fn check(&mut self) -> Result<(), Error> {
        if matches!(self.shell.try_wait(), Ok(None)) {
            return Ok(());
        }
        let said = tail(&read(&self.log));
        Err(Error::new(format!("it ended at once: {}: {said}", self.log.display())))
    }

    /// Asks it to end, and waits until it has.
    pub fn stop(&mut self) -> Result<(), Error> {
        signal(self.pid, "TERM")?;
        wait_until("the server's end", STOP_WAIT_MAX, || {
            self.shell.try_wait().map_err(|error| Error::new(error.to_string()))
        })
        .map(|_| ())
    }

    /// Ends it at once, as a power loss would.
    pub fn kill(&mut self) -> Result<(), Error> {
        signal(self.pid, "KILL")?;
        self.shell.wait().map(|_| ()).map_err(|error| Error::new(error.to_string()))
    }

    /// Stops its clock: it neither answers nor ends.
    pub fn pause(&self) -> Result<(), Error> {
        signal(self.pid, "STOP")
    }

    pub fn resume(&self) -> Result<(), Error> {
        signal(self.pid, "CONT")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let is_running = matches!(self.shell.try_wait(), Ok(None));
        if self.lifetime == Lifetime::Owned && is_running {
            let _ = signal(self.pid, "KILL");
            let _ = self.shell.wait();
        }
    }
}

/// Sends a signal by name.
pub(crate) fn signal(pid: u32, name: &str) -> Result<(), Error> {
    let status = Command::new("sh")
        .args(["-c", &format!("kill -{name} {pid}")])
        .stderr(Stdio::null())
        .status()
        .map_err(|error| Error::new(format!("cannot start a shell: {error}")))?;
    if status.success() {
        return Ok(());
    }
    Err(Error::new(format!("process {pid} does not take the signal {name}; it has ended")))
}

fn read(log: &Path) -> String {
    String::from_utf8_lossy(&fs::read(log).unwrap_or_default()).into_owned()
}

fn tail(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(8)..].join("\n")
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;
    use crate::Folder;

    const FOLDER: &str = "EXCHEQUER_TEST_PROCESS_FOLDER";
    const WAIT_MAX: Duration = Duration::from_secs(30);

    /// A program that is killed with the value.
    struct Started(Child);

    impl Drop for Started {
        fn drop(&mut self) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }

    /// Run once more as a program of its own, which starts a server and is killed.
    #[test]
    fn a_server_ends_with_the_program_that_started_it() {
        if let Some(folder) = std::env::var_os(FOLDER) {
            let words = ["sleep", "600"].map(str::to_owned);
            let _server =
                Process::start(&words, Path::new(&folder), "server", Lifetime::Owned).unwrap();
            // Until the kill.
            std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
            return;
        }
        let folder = Folder::temporary("process").unwrap();
        let program = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "process::tests::a_server_ends_with_the_program_that_started_it"])
            .env(FOLDER, folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let program = Started(program);
        let file = folder.path().join("server.pid");
        let written = || Ok(fs::read_to_string(&file).ok().and_then(|it| it.trim().parse().ok()));
        let server: u32 = wait_until("the server's id", WAIT_MAX, written).unwrap();
        signal(server, "0").unwrap();
        drop(program);
        let is_gone = || Ok(signal(server, "0").is_err().then_some(()));
        wait_until("the end of the server", WAIT_MAX, is_gone).unwrap();
    }
}
