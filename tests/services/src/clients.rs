//! Clients of Kafka that nobody here wrote: a Python environment with those from PyPI,
//! made once and kept, and the Java client that comes with the broker.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::{fs, process};

use sha2::{Digest as _, Sha256};

use crate::fetch::{cache_dir, hex};
use crate::{Error, KAFKA};

const REQUIREMENTS: &str = include_str!("../clients/requirements.txt");

/// Runs a program in Python, with clients for Kafka, where `bootstrap` is.
pub fn python(bootstrap: &str, program: &Path, arguments: &[&str]) -> Result<Output, Error> {
    let mut command = Command::new(environment()?);
    command.arg(program).args(arguments).env("PYTHONDONTWRITEBYTECODE", "1");
    output(command, bootstrap)
}

/// Runs a program in Java, one file of source, with the client of Kafka.
pub fn java(bootstrap: &str, program: &Path) -> Result<Output, Error> {
    let mut command = Command::new("java");
    command.arg("-cp").arg(KAFKA.jars()?.join("*")).arg(program);
    output(command, bootstrap)
}

fn output(mut command: Command, bootstrap: &str) -> Result<Output, Error> {
    let output = command.env("BOOTSTRAP", bootstrap).stdin(Stdio::null()).output();
    output.map_err(|error| Error::new(format!("cannot run {command:?}: {error}")))
}

/// The interpreter. A marker is written last, so that a broken environment is made anew.
fn environment() -> Result<PathBuf, Error> {
    let digest = hex(&Sha256::digest(REQUIREMENTS));
    let cache = cache_dir()?;
    let folder = cache.join(format!("clients-{}", &digest[..16]));
    let (python, marker) = (folder.join("bin/python"), folder.join("complete"));
    if marker.is_file() {
        return Ok(python);
    }
    // One at a time, in this process and in others: whoever waited finds it made.
    let lock = folder.with_extension("lock");
    let one = File::create(&lock).map_err(|error| Error::io("write", &lock, &error))?;
    one.lock().map_err(|error| Error::io("lock", &lock, &error))?;
    if marker.is_file() {
        return Ok(python);
    }
    let list = cache.join(format!("clients-{}.{}.txt", &digest[..16], process::id()));
    let _ = fs::remove_dir_all(&folder);
    fs::write(&list, REQUIREMENTS).map_err(|error| Error::io("write", &list, &error))?;
    let made = run(Command::new("python3").args(["-m", "venv"]).arg(&folder)).and_then(|()| {
        let install = ["-m", "pip", "install", "--quiet", "--requirement"];
        run(Command::new(&python).args(install).arg(&list))
    });
    let _ = fs::remove_file(&list);
    made?;
    fs::write(&marker, "").map_err(|error| Error::io("write", &marker, &error))?;
    Ok(python)
}

fn run(command: &mut Command) -> Result<(), Error> {
    let failed = |why: String| Error::new(format!("clients of Kafka for Python: {why}"));
    let output =
        command.stdin(Stdio::null()).output().map_err(|error| failed(error.to_string()))?;
    if output.status.success() {
        return Ok(());
    }
    Err(failed(String::from_utf8_lossy(&output.stderr).trim().to_owned()))
}
