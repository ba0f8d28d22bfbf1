//! Scenario scripts: business stories that drive a whole platform in memory, with
//! a virtual clock. README.md describes the format.

mod changes;
mod commands;
mod executor;
mod names;
mod runner;
mod script;
mod show;
mod world;

pub use runner::run;
pub use script::ScriptError;

use core::fmt::Write as _;
use std::path::{Path, PathBuf};

/// Where the scripts and their expected outputs lie.
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios")
}

/// How a script went against its expected output.
#[derive(Debug)]
pub enum Verdict {
    Same,
    /// The expected output was rewritten.
    Updated,
    Differs {
        expected: String,
        printed: String,
    },
    Failed(ScriptError),
    Unreadable(std::io::Error),
}

/// Runs the script at `path` and compares what it prints with the file beside it
/// that ends with `.out`, or rewrites that file.
pub fn check(path: &Path, update: bool) -> Verdict {
    let script = match std::fs::read_to_string(path) {
        Ok(script) => script,
        Err(error) => return Verdict::Unreadable(error),
    };
    let printed = match run(&script) {
        Ok(printed) => printed,
        Err(error) => return Verdict::Failed(error),
    };
    let beside = path.with_extension("out");
    let expected = std::fs::read_to_string(&beside).unwrap_or_default();
    if expected == printed {
        return Verdict::Same;
    }
    if !update {
        return Verdict::Differs { expected, printed };
    }
    match std::fs::write(&beside, printed) {
        Ok(()) => Verdict::Updated,
        Err(error) => Verdict::Unreadable(error),
    }
}

/// Lines that differ, with their numbers: `-` expected, `+` printed.
pub fn differences(expected: &str, printed: &str) -> String {
    let mut out = String::new();
    let (mut old, mut new) = (expected.lines(), printed.lines());
    for number in 1.. {
        let (old, new) = (old.next(), new.next());
        if old.is_none() && new.is_none() {
            break;
        }
        if old != new {
            let shown = [("-", old), ("+", new)];
            for (sign, line) in shown.iter().filter_map(|(sign, line)| Some((sign, (*line)?))) {
                let _ = writeln!(out, "{number:4} {sign} {line}");
            }
        }
    }
    out
}
