//! Child processes and the terminal: where the tree is, how cargo is called,
//! and output that is shown while it is read.

use std::error::Error;
use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

pub(crate) type Res<T> = Result<T, Box<dyn Error>>;

/// The words behind a command's name.
pub(crate) struct Args(Vec<String>);

impl Args {
    pub(crate) fn new(words: Vec<String>) -> Self {
        Self(words)
    }

    /// All words, for a program that reads them itself; one leading `--` is dropped.
    pub(crate) fn forwarded(&self) -> &[String] {
        match self.0.split_first() {
            Some((first, rest)) if first == "--" => rest,
            _ => &self.0,
        }
    }

    /// Whether the only flag this command knows is given; any other word is an error.
    pub(crate) fn only_flag(&self, flag: &str) -> Res<bool> {
        match self.0.as_slice() {
            [] => Ok(false),
            [word] if word == flag => Ok(true),
            words => Err(format!("expected nothing or {flag}, got: {}", words.join(" ")).into()),
        }
    }

    pub(crate) fn none(&self) -> Res<()> {
        if self.0.is_empty() {
            return Ok(());
        }
        Err(format!("takes no arguments, got: {}", self.0.join(" ")).into())
    }
}

/// The checkout around the current folder.
pub(crate) fn root() -> Res<PathBuf> {
    let here = std::env::current_dir()?;
    here.ancestors()
        .find(|folder| folder.join("xtask/Cargo.toml").is_file())
        .map(Path::to_path_buf)
        .ok_or_else(|| "call this from inside the checkout".into())
}

pub(crate) fn target_dir() -> Res<PathBuf> {
    match std::env::var_os("CARGO_TARGET_DIR") {
        Some(folder) => Ok(std::path::absolute(folder)?),
        None => Ok(root()?.join("target")),
    }
}

/// The folder beside the target directory for other things worth keeping between calls.
pub(crate) fn cache_dir() -> Res<PathBuf> {
    let target = target_dir()?;
    let parent = target.parent().ok_or("the target directory has no parent")?;
    if parent == root()? { Ok(target) } else { Ok(parent.to_path_buf()) }
}

pub(crate) fn cargo<S: AsRef<OsStr>>(args: &[S]) -> Res<Command> {
    let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = command(program)?;
    command.args(args);
    Ok(command)
}

/// A child that starts in the root and does not inherit what `cargo run` told this process about its own package.
pub(crate) fn command(program: impl AsRef<OsStr>) -> Res<Command> {
    let mut command = Command::new(program);
    command.current_dir(root()?);
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy();
        if name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_") {
            command.env_remove(&*name);
        }
    }
    Ok(command)
}

/// Runs to the end with the terminal as it is; a failure names the command.
pub(crate) fn run(command: &mut Command) -> Res<()> {
    let status = command.status().map_err(|error| describe(command, &error))?;
    if status.success() {
        return Ok(());
    }
    Err(format!("{status}: {}", line_of(command)).into())
}

/// Replaces this process; returns only when that fails.
#[cfg(unix)]
pub(crate) fn exec(command: &mut Command) -> Res<()> {
    use std::os::unix::process::CommandExt;
    let error = command.exec();
    Err(describe(command, &error).into())
}

#[cfg(not(unix))]
pub(crate) fn exec(command: &mut Command) -> Res<()> {
    run(command)
}

/// Runs to the end, gives each line of standard output to `line`, and says whether it succeeded.
pub(crate) fn stream(command: &mut Command, mut line: impl FnMut(&str)) -> Res<bool> {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| describe(command, &error))?;
    if let Some(stdout) = child.stdout.take() {
        let mut reader = BufReader::new(stdout);
        let mut bytes = Vec::new();
        while reader.read_until(b'\n', &mut bytes)? > 0 {
            line(String::from_utf8_lossy(&bytes).trim_end_matches(['\n', '\r']));
            bytes.clear();
        }
    }
    Ok(child.wait()?.success())
}

/// Standard output of a command that must succeed.
pub(crate) fn output(command: &mut Command) -> Res<String> {
    let output =
        command.stderr(Stdio::inherit()).output().map_err(|error| describe(command, &error))?;
    if !output.status.success() {
        return Err(format!("{}: {}", output.status, line_of(command)).into());
    }
    Ok(String::from_utf8(output.stdout)?)
}

/// One line to standard output; a closed pipe is nobody's failure.
pub(crate) fn say(line: &str) {
    let mut stdout = std::io::stdout().lock();
    let _ = writeln!(stdout, "{line}").and_then(|()| stdout.flush());
}

pub(crate) fn line_of(command: &Command) -> String {
    let mut words = vec![command.get_program().to_string_lossy().into_owned()];
    words.extend(command.get_args().map(|word| word.to_string_lossy().into_owned()));
    words.join(" ")
}

fn describe(command: &Command, error: &std::io::Error) -> String {
    format!("cannot start {}: {error}", command.get_program().to_string_lossy())
}
