//! A process's own time of day, which can be stepped while it runs: a library that is loaded
//! before its others, made with the system's C compiler. The machine's clock stays.

use std::fs;
use std::io::{Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::Error;

const SOURCE: &str = include_str!("../clock/clock.c");

/// A clock of one or several processes, right at first.
#[derive(Debug)]
pub struct Clock {
    library: PathBuf,
    file: PathBuf,
}

impl Clock {
    /// Makes the library in `folder` unless it is there, and a clock called `name`.
    pub fn new(folder: &Path, name: &str) -> Result<Self, Error> {
        let library = folder.join("clock.so");
        if !library.is_file() {
            make(folder, &library)?;
        }
        let clock = Self { library, file: folder.join(format!("{name}.clock")) };
        fs::write(&clock.file, [0; 8]).map_err(|it| Error::io("write", &clock.file, &it))?;
        Ok(clock)
    }

    /// Goes before the words that start a process which is to have this clock.
    pub fn words(&self) -> [String; 3] {
        [
            "env".to_owned(),
            format!("LD_PRELOAD={}", self.library.display()),
            format!("EXCHEQUER_TEST_CLOCK={}", self.file.display()),
        ]
    }

    /// From now on it shows so many seconds more than the machine's; 0 mends it.
    pub fn step(&self, seconds: i64) -> Result<(), Error> {
        let failed = |error: std::io::Error| Error::io("write", &self.file, &error);
        // In place: processes have the file itself before them.
        let mut file = fs::File::options().write(true).open(&self.file).map_err(failed)?;
        file.seek(SeekFrom::Start(0)).map_err(failed)?;
        file.write_all(&seconds.to_ne_bytes()).map_err(failed)
    }
}

fn make(folder: &Path, library: &Path) -> Result<(), Error> {
    let source = folder.join("clock.c");
    fs::write(&source, SOURCE).map_err(|error| Error::io("write", &source, &error))?;
    let output = Command::new("cc")
        .args(["-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o"])
        .arg(library)
        .arg(&source)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| Error::new(format!("cannot start cc: {error}")))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    Err(Error::new(format!("the clock's library was not made: {said}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Folder;

    fn shown(clock: &Clock) -> i64 {
        let words = clock.words();
        let output = Command::new(&words[0]).args(&words[1..]).args(["date", "+%s"]).output();
        String::from_utf8(output.unwrap().stdout).unwrap().trim().parse().unwrap()
    }

    #[test]
    fn a_stepped_clock_is_what_a_process_sees() {
        let folder = Folder::temporary("clock").unwrap();
        let clock = Clock::new(folder.path(), "one").unwrap();
        let right = shown(&clock);
        clock.step(3_600).unwrap();
        assert!((3_590..3_700).contains(&(shown(&clock) - right)));
        clock.step(-3_600).unwrap();
        assert!((-3_610..-3_500).contains(&(shown(&clock) - right)));
        clock.step(0).unwrap();
        assert!(shown(&clock) - right < 60);
    }
}
