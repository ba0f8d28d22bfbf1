//! What is wrong with a file, and where.

use core::fmt;

/// The codes, which never change.
pub mod codes {
    pub const CATALOG_FILE_SYNTAX: &str = "CATALOG_FILE_SYNTAX";
    pub const CATALOG_FILE_KEY_UNKNOWN: &str = "CATALOG_FILE_KEY_UNKNOWN";
    pub const CATALOG_FILE_KEY_REPEATED: &str = "CATALOG_FILE_KEY_REPEATED";
    pub const CATALOG_FILE_KEY_MISSING: &str = "CATALOG_FILE_KEY_MISSING";
    pub const CATALOG_FILE_VALUE_INVALID: &str = "CATALOG_FILE_VALUE_INVALID";
    pub const CATALOG_FILE_TOO_LARGE: &str = "CATALOG_FILE_TOO_LARGE";
}

/// A place in a file. Both count from 1, columns in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    pub line: usize,
    pub column: usize,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// One of [`codes`], or of the catalog domain's.
    pub code: &'static str,
    /// Such as `plans[2].prices[0].currencies.USD`; empty when the file is no YAML.
    pub path: String,
    pub place: Place,
    /// What the value must be.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Place { line, column } = self.place;
        write!(f, "{line}:{column}: {}: ", self.code)?;
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.message)
    }
}
