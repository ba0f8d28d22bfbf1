//! What the tools print: text for people, JSON for programs.

use std::error::Error;
use std::io::{self, Write as _};

use serde::Serialize;

/// Writes a line to stdout.
pub(crate) fn say(line: &str) {
    // Nobody may be reading.
    let _ = writeln!(io::stdout(), "{line}");
}

/// Writes a value as JSON to stdout.
pub(crate) fn say_json(value: &impl Serialize) -> Result<(), Box<dyn Error>> {
    say(&serde_json::to_string_pretty(value)?);
    Ok(())
}

/// Writes an error with its sources to stderr.
pub(crate) fn complain(error: &dyn Error) {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        let more = source.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        next = source.source();
    }
    let _ = writeln!(io::stderr(), "exchequer: {text}");
}
