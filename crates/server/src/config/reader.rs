//! Reads settings from all their sources at once, and notes everything that is wrong
//! with them instead of stopping at the first.

use core::fmt;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use figment::Figment;
use figment::error::Kind;
use figment::providers::{Env, Format as _, Toml};
use figment::value::{Dict, Value};

use super::value::{Setting, Shown};

pub(crate) const ENV_PREFIX: &str = "EXCHEQUER__";
const SECRET_BYTES_MAX: u64 = 64 * 1024;
/// A word this far from a setting's name is taken for a slip.
const SLIP_EDITS_MAX: usize = 3;

/// Something wrong with the settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Dotted; empty when it is not one setting's.
    pub key: String,
    /// Where the value comes from: a file with its line, a variable, a flag.
    pub place: String,
    /// What is wrong.
    pub what: String,
    /// What to do.
    pub cure: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        if !self.place.is_empty() {
            write!(f, "({}) ", self.place)?;
        }
        write!(f, "{}: {}", self.what, self.cure)
    }
}

/// The settings as they are given.
#[derive(Debug)]
pub(crate) struct Reader {
    figment: Figment,
    values: Dict,
    /// The file, for the numbers of lines.
    text: String,
    known: BTreeSet<String>,
    problems: Vec<Problem>,
}

impl Reader {
    /// Reads `file`, if there is one, and the environment.
    pub(crate) fn new(file: Option<&Path>) -> Self {
        let mut problems = Vec::new();
        let mut figment = Figment::new();
        let mut text = String::new();
        if let Some(path) = file {
            match std::fs::read_to_string(path) {
                Ok(read) => text = read,
                Err(error) => problems.push(Problem {
                    key: String::new(),
                    place: path.display().to_string(),
                    what: format!("the settings file cannot be read: {error}"),
                    cure: "name one that can, with --config".to_owned(),
                }),
            }
            if problems.is_empty() {
                figment = figment.merge(Toml::file_exact(path));
            }
        }
        let figment = figment.merge(Env::prefixed(ENV_PREFIX).split("__"));
        let mut values = Dict::new();
        match figment.find_value("") {
            Ok(Value::Dict(_, read)) => values = read,
            Ok(_) => {}
            Err(error) => problems.extend(error.into_iter().map(|error| Problem {
                key: error.path.join("."),
                place: file.map(|it| it.display().to_string()).unwrap_or_default(),
                what: error.kind.to_string().trim_end().to_owned(),
                cure: "write the file as TOML".to_owned(),
            })),
        }
        Self { figment, values, text, known: BTreeSet::new(), problems }
    }

    /// The value of `table.key`, or its default.
    pub(crate) fn read<T: Setting>(
        &mut self,
        table: &str,
        key: &str,
        default: T,
        check: impl Fn(&T) -> Option<String>,
    ) -> T {
        let key = if table.is_empty() { key.to_owned() } else { format!("{table}.{key}") };
        let Some(value) = T::read(self, &key, &default) else { return default };
        let Some(expected) = check(&value) else { return value };
        let what = match value.shown() {
            Shown::Value(text) => format!("is {text}"),
            Shown::Hidden | Shown::Unset => "cannot be used".to_owned(),
        };
        let place = self.place_of(&key);
        self.note(Problem { key, place, what, cure: format!("must be {expected}") });
        default
    }

    pub(crate) fn note(&mut self, problem: Problem) {
        self.problems.push(problem);
    }

    /// Notes a problem of a value that was read.
    pub(crate) fn wrong(&mut self, key: &str, what: impl Into<String>, cure: impl Into<String>) {
        let place = self.place_of(key);
        self.note(Problem { key: key.to_owned(), place, what: what.into(), cure: cure.into() });
    }

    /// The value that is given for `key`, which is known from now on.
    pub(super) fn take(&mut self, key: &str) -> Option<Value> {
        self.known.insert(key.to_owned());
        find(&self.values, key).cloned()
    }

    pub(super) fn wrong_type(
        &mut self,
        key: &str,
        value: &Value,
        error: &figment::Error,
        default: &Shown,
    ) {
        let within = error.path.join(".");
        let at = if within.is_empty() { String::new() } else { format!("{within}: ") };
        let (what, cure) = match &error.kind {
            Kind::InvalidType(actual, expected) | Kind::InvalidValue(actual, expected) => {
                (format!("{at}is {actual}"), format!("must be {expected}"))
            }
            kind => {
                let without = match default {
                    Shown::Value(text) => format!("write it anew; without it, it is {text}"),
                    Shown::Unset | Shown::Hidden => "write it anew, or leave it out".to_owned(),
                };
                (format!("{at}{kind}"), without)
            }
        };
        let place = self.place(key, value);
        self.note(Problem { key: key.to_owned(), place, what, cure });
    }

    /// A secret: given as it is, or in a file that `<key>_file` names.
    pub(super) fn secret(&mut self, key: &str) -> Option<String> {
        let file_key = format!("{key}_file");
        let given = self.take(key);
        let file = self.take(&file_key);
        match (given, file) {
            (Some(_), Some(_)) => {
                self.wrong(key, format!("is given, and {file_key} too"), "give one of them");
                None
            }
            (Some(value), None) => self.secret_text(key, &value),
            (None, Some(file)) => self.secret_file(&file_key, &file),
            (None, None) => None,
        }
    }

    fn secret_text(&mut self, key: &str, value: &Value) -> Option<String> {
        // The environment's digits are a text all the same, with every zero.
        if let Ok(text) = std::env::var(variable(key)) {
            return Some(text);
        }
        if let Value::String(_, text) = value {
            return Some(text.clone());
        }
        self.wrong(key, "is no text", "put it in quotes");
        None
    }

    fn secret_file(&mut self, key: &str, file: &Value) -> Option<String> {
        let Value::String(_, path) = file else {
            self.wrong(key, "is no text", "name a file, in quotes");
            return None;
        };
        let path = PathBuf::from(path);
        let refused = match std::fs::metadata(&path) {
            Err(error) => error.to_string(),
            Ok(found) if found.len() > SECRET_BYTES_MAX => {
                format!("it has more than {SECRET_BYTES_MAX} bytes")
            }
            Ok(_) => match std::fs::read_to_string(&path) {
                Ok(text) => return Some(text.trim_end_matches(['\r', '\n']).to_owned()),
                Err(error) => error.to_string(),
            },
        };
        let what = format!("{} cannot be read: {refused}", path.display());
        self.wrong(key, what, "name a file with the secret that this user may read");
        None
    }

    /// Everything that is wrong, and everything that is given and means nothing.
    pub(crate) fn finish(mut self) -> Vec<Problem> {
        let mut given = Vec::new();
        leaves(&self.values, "", &self.known, &mut given);
        for (key, value) in given {
            let place = self.place(&key, &value);
            let nearest = self.known.iter().map(|known| (edits(known, &key), known)).min();
            let cure = match nearest {
                Some((distance, known)) if distance <= SLIP_EDITS_MAX => {
                    format!("did you mean {known}?")
                }
                _ => "remove it; --dump-config shows what there is".to_owned(),
            };
            self.problems.push(Problem {
                key,
                place,
                what: "there is no such setting".to_owned(),
                cure,
            });
        }
        self.problems
    }

    fn place_of(&self, key: &str) -> String {
        find(&self.values, key).map(|value| self.place(key, value)).unwrap_or_default()
    }

    fn place(&self, key: &str, value: &Value) -> String {
        let metadata = self.figment.get_metadata(value.tag());
        let file = metadata.and_then(|it| it.source.as_ref()).and_then(|it| it.file_path());
        match file {
            None => format!("environment variable {}", variable(key)),
            Some(path) => match line_of(&self.text, key) {
                Some(line) => format!("{}:{line}", path.display()),
                None => path.display().to_string(),
            },
        }
    }
}

/// The environment variable of a setting.
fn variable(key: &str) -> String {
    format!("{ENV_PREFIX}{}", key.to_uppercase().replace('.', "__"))
}

fn find<'a>(values: &'a Dict, key: &str) -> Option<&'a Value> {
    match key.split_once('.') {
        None => values.get(key),
        Some((table, rest)) => find(values.get(table)?.as_dict()?, rest),
    }
}

/// What is given below `prefix` and not known; a table that has no known key counts as one.
fn leaves(values: &Dict, prefix: &str, known: &BTreeSet<String>, out: &mut Vec<(String, Value)>) {
    for (name, value) in values {
        let key = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
        if known.contains(&key) {
            continue;
        }
        let table = format!("{key}.");
        let is_table = known.iter().any(|known| known.starts_with(&table));
        match value {
            Value::Dict(_, inner) if is_table => leaves(inner, &key, known, out),
            _ => out.push((key, value.clone())),
        }
    }
}

/// The line that sets `key`, counted from 1.
fn line_of(text: &str, key: &str) -> Option<usize> {
    let (wanted, name) = key.rsplit_once('.').unwrap_or(("", key));
    let mut table = String::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if let Some(header) = line.strip_prefix('[') {
            header.trim_matches(['[', ']', ' ']).clone_into(&mut table);
            if table == key {
                return Some(number + 1);
            }
            continue;
        }
        let Some((left, _)) = line.split_once('=') else { continue };
        let left = left.trim();
        if (table == wanted && left == name) || (table.is_empty() && left == key) {
            return Some(number + 1);
        }
    }
    None
}

/// How many letters apart two words are.
fn edits(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (index, left) in one.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = index + 1;
        for (at, right) in other.iter().enumerate() {
            let replaced = diagonal + usize::from(left != *right);
            diagonal = row[at + 1];
            row[at + 1] = replaced.min(row[at] + 1).min(diagonal + 1);
        }
    }
    row.last().copied().unwrap_or(0)
}
