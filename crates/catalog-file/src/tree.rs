//! A YAML file as a tree of texts with their places. The parser is `saphyr-parser`;
//! no scalar is turned into a number here, so that amounts stay exact. Of YAML, what a
//! catalog needs not is refused: anchors, aliases, tags, several documents.

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, ScanError, Span, StrInput};

use crate::rejection::{Place, Problem, codes};

/// Of a file.
pub const FILE_BYTES_MAX: usize = 512 * 1024;
/// Collections in one another.
pub const DEPTH_MAX: usize = 16;

/// A value and where it begins.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Node {
    pub(crate) place: Place,
    pub(crate) kind: Kind,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Text {
        text: String,
        /// Whether it stands without quotes.
        plain: bool,
    },
    List(Vec<Node>),
    Map(Vec<Entry>),
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) place: Place,
    pub(crate) value: Node,
}

impl Node {
    /// The value of `key`, in a mapping that has it.
    pub(crate) fn get(&self, key: &str) -> Option<&Entry> {
        match &self.kind {
            Kind::Map(entries) => entries.iter().find(|entry| entry.key == key),
            _ => None,
        }
    }

    /// Where the value at `path` stands, or the nearest around it that is there.
    pub(crate) fn locate(&self, path: &str) -> Place {
        let mut node = self;
        let mut place = self.place;
        for segment in path.split(['.', '[']) {
            let index = segment.strip_suffix(']').and_then(|index| index.parse::<usize>().ok());
            let next = match (&node.kind, index) {
                (Kind::List(items), Some(index)) => items.get(index).map(|it| (it.place, it)),
                _ => node.get(segment).map(|entry| (entry.place, &entry.value)),
            };
            let Some((found, below)) = next else { break };
            (place, node) = (found, below);
        }
        place
    }
}

/// The tree of the one document in `text`.
pub(crate) fn read(text: &str) -> Result<Node, Problem> {
    if text.len() > FILE_BYTES_MAX {
        return Err(too_large());
    }
    tree(text).map_err(|problem| tab_problem(text, &problem).unwrap_or(problem))
}

fn tree(text: &str) -> Result<Node, Problem> {
    let mut events = Events { parser: Parser::new_from_str(text) };
    loop {
        match events.next()? {
            (Event::StreamStart | Event::DocumentStart(_), _) => {}
            (Event::StreamEnd, _) => {
                return Err(syntax(START, "must have a document: the file is empty"));
            }
            (event, span) => {
                let root = events.node(event, span, 0)?;
                events.end()?;
                return Ok(root);
            }
        }
    }
}

const START: Place = Place { line: 1, column: 1 };

pub(crate) fn too_large() -> Problem {
    let message = format!("must have at most {FILE_BYTES_MAX} bytes");
    problem(codes::CATALOG_FILE_TOO_LARGE, START, message)
}

/// The byte at `at` begins no character.
pub(crate) fn not_text(bytes: &[u8], at: usize) -> Problem {
    let before = String::from_utf8_lossy(bytes.get(..at).unwrap_or_default());
    let line = before.rsplit('\n').next().unwrap_or_default();
    let place = Place { line: before.matches('\n').count() + 1, column: line.chars().count() + 1 };
    let found = bytes.get(at).copied().unwrap_or_default();
    syntax(place, format!("the byte 0x{found:02x} is no UTF-8: save the file as UTF-8"))
}

struct Events<'a> {
    parser: Parser<'a, StrInput<'a>>,
}

impl<'a> Events<'a> {
    fn next(&mut self) -> Result<(Event<'a>, Span), Problem> {
        match self.parser.next_event() {
            Some(Ok(event)) => Ok(event),
            Some(Err(error)) => Err(scan_problem(&error)),
            None => Err(syntax(START, "ends in the middle")),
        }
    }

    /// The value that `event` begins, `depth` collections deep.
    fn node(&mut self, event: Event<'a>, span: Span, depth: usize) -> Result<Node, Problem> {
        let place = place(span.start);
        if depth > DEPTH_MAX {
            let message = format!("must nest at most {DEPTH_MAX} deep");
            return Err(problem(codes::CATALOG_FILE_TOO_LARGE, place, message));
        }
        let kind = match event {
            Event::Scalar(text, style, anchor, tag) => {
                check_plainness(place, anchor, tag.is_some())?;
                Kind::Text { text: text.into_owned(), plain: style == ScalarStyle::Plain }
            }
            Event::SequenceStart(anchor, tag) => {
                check_plainness(place, anchor, tag.is_some())?;
                Kind::List(self.items(depth)?)
            }
            Event::MappingStart(anchor, tag) => {
                check_plainness(place, anchor, tag.is_some())?;
                Kind::Map(self.entries(depth)?)
            }
            Event::Alias(_) => return Err(syntax(place, "aliases are not allowed")),
            _ => return Err(syntax(place, "a value must stand here")),
        };
        Ok(Node { place, kind })
    }

    fn items(&mut self, depth: usize) -> Result<Vec<Node>, Problem> {
        let mut items = Vec::new();
        loop {
            match self.next()? {
                (Event::SequenceEnd, _) => return Ok(items),
                (event, span) => items.push(self.node(event, span, depth + 1)?),
            }
        }
    }

    fn entries(&mut self, depth: usize) -> Result<Vec<Entry>, Problem> {
        let mut entries: Vec<Entry> = Vec::new();
        loop {
            let (event, span) = self.next()?;
            if event == Event::MappingEnd {
                return Ok(entries);
            }
            let Node { place, kind } = self.node(event, span, depth + 1)?;
            let Kind::Text { text: key, .. } = kind else {
                return Err(syntax(place, "a key must be a text"));
            };
            let (event, span) = self.next()?;
            let value = self.node(event, span, depth + 1)?;
            entries.push(Entry { key, place, value });
        }
    }

    fn end(&mut self) -> Result<(), Problem> {
        loop {
            match self.next()? {
                (Event::DocumentEnd, _) => {}
                (Event::StreamEnd, _) => return Ok(()),
                (_, span) => {
                    return Err(syntax(place(span.start), "a file has one document alone"));
                }
            }
        }
    }
}

fn check_plainness(place: Place, anchor: usize, is_tagged: bool) -> Result<(), Problem> {
    if anchor != 0 {
        return Err(syntax(place, "anchors are not allowed"));
    }
    if is_tagged {
        return Err(syntax(place, "tags are not allowed"));
    }
    Ok(())
}

fn place(marker: Marker) -> Place {
    Place { line: marker.line(), column: marker.col() + 1 }
}

fn scan_problem(error: &ScanError) -> Problem {
    syntax(place(*error.marker()), format!("is no YAML: {}", error.info()))
}

/// What is no YAML because of a tab is told where the tab stands: the scanner names the value
/// before it.
fn tab_problem(text: &str, problem: &Problem) -> Option<Problem> {
    if problem.code != codes::CATALOG_FILE_SYNTAX || !problem.message.contains("tab") {
        return None;
    }
    let lines = text.lines().enumerate().skip(problem.place.line.saturating_sub(1));
    let mut tabs = lines.filter_map(|(index, line)| {
        let indent = line.len() - line.trim_start().len();
        let at = line.get(..indent)?.find('\t')?;
        let is_blank = indent == line.len();
        (!is_blank).then_some(Place { line: index + 1, column: at + 1 })
    });
    let message = "a tab stands in the indentation: indent with spaces";
    tabs.next().map(|place| syntax(place, message))
}

fn syntax(place: Place, message: impl Into<String>) -> Problem {
    problem(codes::CATALOG_FILE_SYNTAX, place, message.into())
}

fn problem(code: &'static str, place: Place, message: String) -> Problem {
    Problem { code, path: String::new(), place, message }
}
