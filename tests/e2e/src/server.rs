//! The server's program: as a process that serves, or run once to its end.

use core::time::Duration;
use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use crate::{Failure, Res, wait};

/// Names the program; without it, the one that was built beside this one.
const VARIABLE: &str = "EXCHEQUER_BIN";
/// The oldest output is dropped above this.
const OUTPUT_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Lines of output that an error carries.
const EXPLAIN_LINES_MAX: usize = 40;

const TIGHT: &[(&str, &str)] = &[
    ("EXCHEQUER__JOURNAL__SEGMENT_BYTES_MAX", "300000"),
    ("EXCHEQUER__JOURNAL__RECENT_BYTES_MAX", "20000"),
    ("EXCHEQUER__ENGINE__STATE_BYTES_MAX", "65536"),
    ("EXCHEQUER__ENGINE__IDENTITY_ENTRIES_MAX", "40"),
    ("EXCHEQUER__ENGINE__IDENTITY_FILTER_BYTES_MAX", "4096"),
    ("EXCHEQUER__ENGINE__FLUSH_INTERVAL_MS", "20"),
    ("EXCHEQUER__ENGINE__FLUSH_STREAMS_MAX", "8"),
    ("EXCHEQUER__ENGINE__COMMIT_INPUTS_MAX", "5"),
    ("EXCHEQUER__ENGINE__TAIL_BYTES_MAX", "10000"),
    ("EXCHEQUER__ENGINE__READ_BYTES_MAX", "20000"),
    ("EXCHEQUER__ENGINE__VIEW_ROWS_MAX", "50"),
];

/// A server that is ready. Killed when dropped.
#[derive(Debug)]
pub struct Server {
    process: Process,
    pub address: String,
    /// The folder that it was started on.
    pub data: PathBuf,
    /// From its start until it was ready.
    pub started_in: Duration,
}

/// A program that ran to its end.
#[derive(Debug)]
pub struct Finished {
    pub status: ExitStatus,
    /// Standard output and standard error.
    pub output: String,
}

impl Server {
    /// Starts the server on a folder and waits until it is ready.
    pub fn start(data: &Path) -> Res<Self> {
        Self::start_with(data, &mut Command::new(program()?))
    }

    /// The same with bounds so low that everything that happens rarely happens all the
    /// time: new segments, state that is evicted and loaded, blocks of the identity index.
    pub fn start_tight(data: &Path) -> Res<Self> {
        Self::start_with(data, Command::new(program()?).envs(TIGHT.iter().copied()))
    }

    /// The same, with a command that ends up as the server's program.
    pub fn start_with(data: &Path, command: &mut Command) -> Res<Self> {
        let begun = Instant::now();
        let process = Process::start(run_on(data, command))?;
        let mut starting = Starting(Some(process));
        let address = wait::until("the server's address", || {
            starting.check()?;
            Ok(starting.output().lines().find_map(address_in))
        })?;
        wait::until("the server to be ready", || {
            starting.check()?;
            Ok(is_ready(&address).then_some(()))
        })?;
        let (process, data) = (starting.finish()?, data.to_owned());
        Ok(Self { process, address, data, started_in: begun.elapsed() })
    }

    /// Starts the server where it is expected to refuse, and waits for its end.
    pub fn refused(data: &Path) -> Res<Finished> {
        let mut process = Process::start(run_on(data, &mut Command::new(program()?)))?;
        let status = process.ended()?;
        Ok(Finished { status, output: process.output() })
    }

    /// Starts the server and kills it after so long, whatever it is doing then.
    pub fn kill_after(data: &Path, life: Duration) -> Res<()> {
        let process = Process::start(run_on(data, &mut Command::new(program()?)))?;
        wait::pass(life);
        drop(process);
        Ok(())
    }

    /// SIGKILL: no last word, no flush.
    pub fn kill(mut self) -> Res<String> {
        self.process.child.kill()?;
        self.process.ended()?;
        Ok(self.process.output())
    }

    /// SIGTERM, then waits for the process to end by itself.
    pub fn stop(self) -> Res<Finished> {
        self.terminate()?;
        self.ended()
    }

    /// Waits for the process to end by itself.
    pub fn ended(mut self) -> Res<Finished> {
        let status = self.process.ended()?;
        Ok(Finished { status, output: self.process.output() })
    }

    /// SIGTERM alone.
    pub fn terminate(&self) -> Res<()> {
        let pid = self.pid().to_string();
        // The shell's own `kill`, for the program is missing on small systems.
        let sent = Command::new("sh").args(["-c", "kill -TERM \"$1\"", "sh", &pid]).status()?;
        if sent.success() { Ok(()) } else { Err("the server cannot be asked to end".into()) }
    }

    pub fn pid(&self) -> u32 {
        self.process.child.id()
    }

    /// Everything it has written so far.
    pub fn output(&self) -> String {
        self.process.output()
    }

    /// An error with the end of what the server has written.
    pub fn explain<T>(&self, result: Res<T>) -> Res<T> {
        result.map_err(|error| {
            let output = self.output();
            let lines: Vec<&str> = output.lines().collect();
            let last = lines[lines.len().saturating_sub(EXPLAIN_LINES_MAX)..].join("\n");
            format!("{error}; the server says:\n{last}").into()
        })
    }

    /// Has the process not ended?
    pub fn is_alive(&mut self) -> Res<bool> {
        Ok(self.process.child.try_wait()?.is_none())
    }

    /// Does it say that it is ready?
    pub fn is_ready(&self) -> bool {
        is_ready(&self.address)
    }

    /// The body that `GET path` gives on the server's port.
    pub fn get(&self, path: &str) -> Res<String> {
        let (head, body) = get(&self.address, path)?;
        if head.starts_with("HTTP/1.1 200") { Ok(body) } else { Err(head.into()) }
    }
}

/// Runs the program with these arguments to its end.
pub fn run<const N: usize>(args: [&OsStr; N]) -> Res<Finished> {
    run_with(&args)
}

/// The same, with as many arguments as there are.
pub fn run_with(args: &[&OsStr]) -> Res<Finished> {
    let done = Command::new(program()?).args(args).stdin(Stdio::null()).output()?;
    let mut output = String::from_utf8_lossy(&done.stdout).into_owned();
    output.push_str(&String::from_utf8_lossy(&done.stderr));
    Ok(Finished { status: done.status, output })
}

/// The server's program.
pub fn program() -> Res<PathBuf> {
    if let Some(named) = std::env::var_os(VARIABLE) {
        return Ok(named.into());
    }
    let own = std::env::current_exe()?;
    let beside = own.ancestors().skip(1).take(2).map(|dir| dir.join("exchequer"));
    let found = beside.into_iter().find(|path| path.is_file());
    found.ok_or_else(|| {
        format!("{VARIABLE} must name the server: cargo build --package exchequer-server").into()
    })
}

fn run_on<'a>(data: &Path, command: &'a mut Command) -> &'a mut Command {
    command.args(["run", "--listen", "127.0.0.1:0", "--data"]).arg(data)
}

/// A process whose output is read all the time.
#[derive(Debug)]
struct Process {
    child: Child,
    output: Arc<Mutex<String>>,
    readers: Vec<std::thread::JoinHandle<()>>,
}

impl Process {
    fn start(command: &mut Command) -> Res<Self> {
        let pipes = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = pipes.spawn()?;
        let output = Arc::new(Mutex::new(String::new()));
        let readers = [
            child.stdout.take().map(|it| read_all(it, Arc::clone(&output))),
            child.stderr.take().map(|it| read_all(it, Arc::clone(&output))),
        ];
        Ok(Self { child, output, readers: readers.into_iter().flatten().collect() })
    }

    fn output(&self) -> String {
        self.output.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until it has ended and all its output is there.
    fn ended(&mut self) -> Res<ExitStatus> {
        let status = wait::until("the process to end", || Ok(self.child.try_wait()?))?;
        for reader in self.readers.drain(..) {
            // A panic there loses output, which the caller's own check will miss.
            let _ = reader.join();
        }
        Ok(status)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn read_all(
    from: impl Read + Send + 'static,
    to: Arc<Mutex<String>>,
) -> std::thread::JoinHandle<()> {
    std::thread::spawn(move || {
        for line in BufReader::new(from).split(b'\n').map_while(Result::ok) {
            let mut to = to.lock().unwrap_or_else(PoisonError::into_inner);
            to.push_str(&String::from_utf8_lossy(&line));
            to.push('\n');
            if to.len() > OUTPUT_BYTES_MAX {
                let half = (to.len() / 2..to.len()).find(|at| to.is_char_boundary(*at));
                to.drain(..half.unwrap_or(0));
            }
        }
    })
}

/// A process that is not ready yet: its early end is an error that says why.
struct Starting(Option<Process>);

impl Starting {
    fn output(&self) -> String {
        self.0.as_ref().map(Process::output).unwrap_or_default()
    }

    fn check(&mut self) -> Res<()> {
        let Some(process) = &mut self.0 else { return Ok(()) };
        if process.child.try_wait()?.is_none() {
            return Ok(());
        }
        let status = process.ended()?;
        Err(format!("the server did not start ({status}):\n{}", process.output()).into())
    }

    fn finish(mut self) -> Res<Process> {
        self.0.take().ok_or_else(|| Failure::from("no process"))
    }
}

/// `127.0.0.1:<port>` in a line, with a port that is not 0.
fn address_in(line: &str) -> Option<String> {
    const HOST: &str = "127.0.0.1:";
    let at = line.find(HOST)?;
    let port: String = line[at + HOST.len()..].chars().take_while(char::is_ascii_digit).collect();
    (port.parse::<u16>().ok()? != 0).then(|| format!("{HOST}{port}"))
}

fn is_ready(address: &str) -> bool {
    get(address, "/readyz").is_ok_and(|(head, _)| head.starts_with("HTTP/1.1 200"))
}

/// The head and the body of the answer to `GET path`.
fn get(address: &str, path: &str) -> Res<(String, String)> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(wait::PATIENCE))?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let answer = String::from_utf8_lossy(&answer);
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    Ok((head.to_owned(), body.to_owned()))
}
