//! Reads a script: lines of words with columns `key=value`, deeper lines below
//! the line they belong to.

use std::collections::{BTreeMap, BTreeSet};

use exchequer_types::Timestamp;

/// Where a script is wrong, or did not go as it says.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {message}")]
pub struct ScriptError {
    pub line: usize,
    pub message: String,
}

/// One line with those below it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) number: usize,
    /// As written, without comment and expectation.
    pub(crate) text: String,
    words: Vec<String>,
    /// The code behind `!!`.
    pub(crate) expected: Option<String>,
    pub(crate) below: Vec<Line>,
}

impl Line {
    pub(crate) fn error(&self, message: impl Into<String>) -> ScriptError {
        ScriptError { line: self.number, message: message.into() }
    }

    pub(crate) fn verb(&self) -> &str {
        self.words.first().map_or("", String::as_str)
    }

    /// The words behind the verb.
    pub(crate) fn columns(&self) -> Result<Columns<'_>, ScriptError> {
        let mut columns = Columns { line: self, named: BTreeMap::new(), bare: Vec::new() };
        for word in self.words.iter().skip(1) {
            match word.split_once('=') {
                Some((key, value)) => {
                    if columns.named.insert(key.to_owned(), value.to_owned()).is_some() {
                        return Err(self.error(format!("{key} stands twice")));
                    }
                }
                None => columns.bare.push(word.clone()),
            }
        }
        Ok(columns)
    }
}

/// What a line says; each part is taken once, and nothing may be left.
pub(crate) struct Columns<'a> {
    line: &'a Line,
    named: BTreeMap<String, String>,
    bare: Vec<String>,
}

impl Columns<'_> {
    pub(crate) fn optional(&mut self, key: &str) -> Option<String> {
        self.named.remove(key)
    }

    pub(crate) fn text(&mut self, key: &str) -> Result<String, ScriptError> {
        let missing = || self.line.error(format!("needs {key}="));
        self.named.remove(key).ok_or_else(missing)
    }

    pub(crate) fn text_or(&mut self, key: &str, default: &str) -> String {
        self.named.remove(key).unwrap_or_else(|| default.to_owned())
    }

    pub(crate) fn number(&mut self, key: &str) -> Result<Option<u64>, ScriptError> {
        let Some(text) = self.named.remove(key) else { return Ok(None) };
        let number =
            text.parse().map_err(|_| self.line.error(format!("{key}={text} is no number")));
        number.map(Some)
    }

    pub(crate) fn instant(&mut self, key: &str) -> Result<Option<Timestamp>, ScriptError> {
        let Some(text) = self.named.remove(key) else { return Ok(None) };
        instant(&text)
            .map(Some)
            .ok_or_else(|| self.line.error(format!("{key}={text} is no instant")))
    }

    /// Is the word there?
    pub(crate) fn flag(&mut self, word: &str) -> bool {
        let before = self.bare.len();
        self.bare.retain(|it| it != word);
        self.bare.len() < before
    }

    /// The next word without `=`.
    pub(crate) fn bare(&mut self) -> Option<String> {
        if self.bare.is_empty() { None } else { Some(self.bare.remove(0)) }
    }

    /// Columns that begin with `prefix`, without it.
    pub(crate) fn all_of(&mut self, prefix: &str) -> BTreeMap<String, String> {
        let keys: BTreeSet<String> =
            self.named.keys().filter(|key| key.starts_with(prefix)).cloned().collect();
        let taken = keys.into_iter().filter_map(|key| {
            let value = self.named.remove(&key)?;
            Some((key[prefix.len()..].to_owned(), value))
        });
        taken.collect()
    }

    /// Nothing must be left: a column that nobody reads is a mistake.
    pub(crate) fn end(self) -> Result<(), ScriptError> {
        let left: Vec<String> =
            self.named.into_keys().map(|key| key + "=").chain(self.bare).collect();
        match left.first() {
            None => Ok(()),
            Some(word) => Err(self.line.error(format!("{} has no {word}", self.line.verb()))),
        }
    }
}

/// An instant in UTC; seconds may be left out.
pub(crate) fn instant(text: &str) -> Option<Timestamp> {
    let body = text.strip_suffix('Z')?;
    let with_seconds = if body.len() == "2026-01-01T00:00".len() {
        format!("{body}:00Z")
    } else {
        text.to_owned()
    };
    Timestamp::parse(&with_seconds).ok()
}

/// The lines of a script, those at the margin with all others below.
pub(crate) fn parse(text: &str) -> Result<Vec<Line>, ScriptError> {
    let mut flat = Vec::new();
    for (index, raw) in text.lines().enumerate() {
        let indent = raw.len() - raw.trim_start().len();
        let line = read(index + 1, raw)?;
        if !line.words.is_empty() {
            flat.push((indent, line));
        } else if line.expected.is_some() {
            return Err(line.error("an expectation needs a command before it"));
        }
    }
    Ok(nest(&mut flat.into_iter().peekable(), 0))
}

type Flat = core::iter::Peekable<std::vec::IntoIter<(usize, Line)>>;

/// The lines at `indent` or deeper that come next.
fn nest(rest: &mut Flat, indent: usize) -> Vec<Line> {
    let mut lines = Vec::new();
    while let Some((own, mut line)) = rest.next_if(|(it, _)| *it >= indent) {
        line.below = nest(rest, own + 1);
        lines.push(line);
    }
    lines
}

fn read(number: usize, raw: &str) -> Result<Line, ScriptError> {
    let mut line =
        Line { number, text: String::new(), words: Vec::new(), expected: None, below: Vec::new() };
    let mut rest = raw.trim();
    let full = rest;
    let mut end = full.len();
    while !rest.is_empty() && !rest.starts_with('#') {
        let at = full.len() - rest.len();
        let (word, behind) = word(rest).ok_or_else(|| line.error("a quotation has no end"))?;
        rest = behind.trim_start();
        if word == "!!" {
            let (code, behind) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
            let behind = behind.trim();
            if code.is_empty() || !(behind.is_empty() || behind.starts_with('#')) {
                return Err(line.error("!! is followed by one code"));
            }
            line.expected = Some(code.to_owned());
            end = end.min(at);
            rest = "";
        } else {
            line.words.push(word);
        }
    }
    if !rest.is_empty() {
        end = full.len() - rest.len();
    }
    full[..end].trim_end().clone_into(&mut line.text);
    Ok(line)
}

/// The first word with its quotes taken off, and what stands behind it.
fn word(text: &str) -> Option<(String, &str)> {
    let mut word = String::new();
    let mut quote = None;
    for (at, it) in text.char_indices() {
        match quote {
            Some(open) if it == open => quote = None,
            None if it == '"' || it == '\'' => quote = Some(it),
            None if it.is_whitespace() => return Some((word, &text[at..])),
            _ => word.push(it),
        }
    }
    quote.is_none().then_some((word, ""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_nest_and_words_are_taken_once() {
        let text = "# a story\nat 2026-01-01T00:00Z\n  rename id=acme name=\"Acme Corp\" quick !! NO # why\n  together\n    show x # y\nat z\n";
        let lines = parse(text).unwrap();
        assert_eq!(lines.len(), 2);
        let [rename, together] = &lines[0].below[..] else { panic!("{lines:?}") };
        assert_eq!((rename.verb(), rename.expected.as_deref()), ("rename", Some("NO")));
        assert_eq!(rename.text, "rename id=acme name=\"Acme Corp\" quick");
        assert_eq!(together.below[0].text, "show x");
        let mut columns = rename.columns().unwrap();
        assert_eq!(columns.text("name").as_deref(), Ok("Acme Corp"));
        assert!(columns.flag("quick") && !columns.flag("quick"));
        assert_eq!(columns.end().unwrap_err().message, "rename has no id=");
        assert_eq!(parse("a b='c").unwrap_err().line, 1);
    }

    #[test]
    fn instants_may_leave_out_seconds() {
        assert_eq!(instant("2026-01-31T10:00Z"), instant("2026-01-31T10:00:00Z"));
        assert_eq!(instant("2026-01-31"), None);
    }
}
