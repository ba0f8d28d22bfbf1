//! Reads values of a tree by what their keys hold. All that is wrong is noted, with path
//! and place; what is wrong is left out.

use core::fmt::Display;
use core::str::FromStr;
use std::collections::BTreeSet;

use exchequer_domain_catalog::codes as catalog;
use exchequer_types::Slug;

use crate::rejection::{Place, Problem, codes};
use crate::tree::{Entry, Kind, Node};

/// Further problems are not told.
pub const PROBLEMS_MAX: usize = 100;

#[derive(Debug, Default)]
pub(crate) struct Reader {
    pub(crate) problems: Vec<Problem>,
}

/// A value and its path.
#[derive(Clone, Copy, Debug)]
pub(crate) struct At<'a> {
    pub(crate) node: &'a Node,
    pub(crate) path: &'a str,
}

/// A whole number that has a highest one.
pub(crate) trait Whole: FromStr + Display {
    const MAX: Self;
}

impl Whole for u32 {
    const MAX: Self = Self::MAX;
}

impl Whole for u64 {
    const MAX: Self = Self::MAX;
}

/// A mapping with known keys.
#[derive(Debug)]
pub(crate) struct Fields<'a> {
    path: String,
    node: &'a Node,
}

impl Reader {
    fn note(&mut self, code: &'static str, path: &str, place: Place, message: impl Into<String>) {
        if self.problems.len() < PROBLEMS_MAX {
            let problem = Problem { code, path: path.to_owned(), place, message: message.into() };
            self.problems.push(problem);
        }
    }

    pub(crate) fn invalid(&mut self, at: At<'_>, message: impl Into<String>) {
        self.note(codes::CATALOG_FILE_VALUE_INVALID, at.path, at.node.place, message);
    }

    /// The mapping at `at`, in which no key but `keys` may stand.
    pub(crate) fn fields<'a>(&mut self, at: At<'a>, keys: &[&str]) -> Option<Fields<'a>> {
        for entry in self.entries(at)? {
            if !keys.contains(&entry.key.as_str()) {
                let message = format!("is no key of this: the keys are {}", keys.join(", "));
                let path = join(at.path, &entry.key);
                self.note(codes::CATALOG_FILE_KEY_UNKNOWN, &path, entry.place, message);
            }
        }
        Some(Fields { path: at.path.to_owned(), node: at.node })
    }

    /// The mapping at `at`, whose keys are data. None stands twice.
    pub(crate) fn entries<'a>(&mut self, at: At<'a>) -> Option<&'a [Entry]> {
        let Kind::Map(entries) = &at.node.kind else {
            self.invalid(at, "must be a mapping: `key: value` lines");
            return None;
        };
        let mut seen = BTreeSet::new();
        for entry in entries {
            if !seen.insert(entry.key.as_str()) {
                let path = join(at.path, &entry.key);
                let message = "stands twice in the same mapping";
                self.note(codes::CATALOG_FILE_KEY_REPEATED, &path, entry.place, message);
            }
        }
        Some(entries)
    }

    pub(crate) fn items<T>(
        &mut self,
        at: At<'_>,
        mut read: impl FnMut(&mut Self, At<'_>) -> Option<T>,
    ) -> Vec<T> {
        let Kind::List(items) = &at.node.kind else {
            self.invalid(at, "must be a list: `- item` lines");
            return Vec::new();
        };
        let items = items.iter().enumerate();
        items
            .filter_map(|(index, node)| {
                let path = format!("{}[{index}]", at.path);
                read(self, At { node, path: &path })
            })
            .collect()
    }

    /// Any scalar as it stands in the file. An absent value is none.
    pub(crate) fn text<'a>(&mut self, at: At<'a>) -> Option<&'a str> {
        match &at.node.kind {
            Kind::Text { text, plain: true } if matches!(text.as_str(), "" | "~" | "null") => {
                self.invalid(at, "must not be empty: give a value, or leave the key out");
                None
            }
            Kind::Text { text, .. } => Some(text),
            _ => {
                self.invalid(at, "must be a single value");
                None
            }
        }
    }

    /// A whole number of plain digits.
    pub(crate) fn number<T: Whole>(&mut self, at: At<'_>) -> Option<T> {
        self.number_up_to(at, T::MAX)
    }

    /// A whole number of plain digits. One above `most` need not be noted: what T cannot hold
    /// is.
    pub(crate) fn number_up_to<T: Whole>(&mut self, at: At<'_>, most: T) -> Option<T> {
        let text = self.text(at)?;
        let is_plain = matches!(at.node.kind, Kind::Text { plain: true, .. });
        if !is_plain || text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
            let message = "must be a whole number, digits without sign, point or exponent";
            self.invalid(at, message);
            return None;
        }
        let number = text.parse().ok();
        if number.is_none() {
            self.invalid(at, format!("must be at most {most}"));
        }
        number
    }

    pub(crate) fn amount_invalid(&mut self, at: At<'_>, message: String) {
        self.note(catalog::CATALOG_AMOUNT_INVALID, at.path, at.node.place, message);
    }

    pub(crate) fn id(&mut self, at: At<'_>) -> Option<Slug> {
        let text = self.text(at)?;
        self.fits(at, Slug::parse(text))
    }

    /// One of a few words.
    pub(crate) fn word<T: Copy>(&mut self, at: At<'_>, words: &[(&str, T)]) -> Option<T> {
        let text = self.text(at)?;
        let found = words.iter().find(|(word, _)| *word == text).map(|(_, value)| *value);
        if found.is_none() {
            let words: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
            self.invalid(at, format!("must be one of {}", words.join(", ")));
        }
        found
    }

    pub(crate) fn fits<T, E: Display>(&mut self, at: At<'_>, read: Result<T, E>) -> Option<T> {
        read.map_err(|error| self.invalid(at, error.to_string())).ok()
    }
}

impl Fields<'_> {
    /// Reads the value of `key`; None when it is not there.
    pub(crate) fn optional<T>(
        &self,
        reader: &mut Reader,
        key: &str,
        read: impl FnOnce(&mut Reader, At<'_>) -> Option<T>,
    ) -> Option<T> {
        let entry = self.node.get(key)?;
        let path = join(&self.path, key);
        read(reader, At { node: &entry.value, path: &path })
    }

    /// The same, noted when it is not there.
    pub(crate) fn required<T>(
        &self,
        reader: &mut Reader,
        key: &str,
        read: impl FnOnce(&mut Reader, At<'_>) -> Option<T>,
    ) -> Option<T> {
        if self.node.get(key).is_none() {
            let path = join(&self.path, key);
            reader.note(
                codes::CATALOG_FILE_KEY_MISSING,
                &path,
                self.node.place,
                format!("the key {key} is missing"),
            );
        }
        self.optional(reader, key, read)
    }

    /// Empty when it is not there.
    pub(crate) fn text(&self, reader: &mut Reader, key: &str) -> String {
        let read = |reader: &mut Reader, at: At<'_>| reader.text(at).map(str::to_owned);
        self.optional(reader, key, read).unwrap_or_default()
    }

    /// Empty when it is not there.
    pub(crate) fn items<T>(
        &self,
        reader: &mut Reader,
        key: &str,
        read: impl FnMut(&mut Reader, At<'_>) -> Option<T>,
    ) -> Vec<T> {
        self.optional(reader, key, |reader, at| Some(reader.items(at, read))).unwrap_or_default()
    }

    /// The entries of a mapping whose keys are data; empty when it is not there.
    pub(crate) fn entries<T>(
        &self,
        reader: &mut Reader,
        key: &str,
        mut read: impl FnMut(&mut Reader, &Entry, At<'_>) -> Option<T>,
    ) -> Vec<T> {
        let read_all = |reader: &mut Reader, at: At<'_>| {
            let entries = reader.entries(at)?.iter();
            let each = entries.filter_map(|entry| {
                let path = join(at.path, &entry.key);
                read(reader, entry, At { node: &entry.value, path: &path })
            });
            Some(each.collect())
        };
        self.optional(reader, key, read_all).unwrap_or_default()
    }
}

fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}
