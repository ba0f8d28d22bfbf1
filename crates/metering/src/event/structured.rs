//! Events in the JSON form of CloudEvents, one or a list. Each event of a list is
//! judged by itself: where one ends is found without understanding it, so that a broken
//! one spoils no other.

use core::str;

use super::parts::{Data, Parts, Value, not_json};
use super::rejection::{Refused, Rejection};
use super::scan::{Scanner, Wrong, extent};
use super::{Event, quick};
use crate::normal::DEPTH_MAX;

/// One event.
pub fn structured(bytes: &[u8]) -> Result<Event<'_>, Refused> {
    let text = match str::from_utf8(bytes) {
        Ok(text) => text.strip_prefix('\u{feff}').unwrap_or(text).trim_ascii(),
        Err(error) => {
            let at = error.valid_up_to() + 1;
            let reason = format!("the event must be in UTF-8: byte {at} is not");
            let refused = Refused::from(Rejection::Malformed { reason });
            return Err(Refused { bytes: bytes.len(), ..refused });
        }
    };
    let mut parts = Parts::default();
    let mut data = Data::None;
    let read = read(text, &mut parts, &mut data);
    let wrong = read.err().map(|wrong| {
        let reason =
            format!("the event must be a JSON object: it {} (byte {})", wrong.reason, wrong.at + 1);
        Rejection::Malformed { reason }
    });
    parts.finish_unless(wrong, data, text.len())
}

/// The events of a list, in order: the same as [`structured`] makes of each.
pub fn batch(bytes: &[u8]) -> Batch<'_> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes).trim_ascii();
    let (state, rest) = match bytes.split_first() {
        Some((b'[', rest)) => (State::First, rest.trim_ascii_start()),
        _ => (State::NoList, bytes),
    };
    Batch { state, rest, bytes: bytes.len(), scanner: str::from_utf8(bytes).ok().map(Scanner::new) }
}

/// Is it no list at all? Then its events are one refusal.
pub fn is_no_list(bytes: &[u8]) -> bool {
    batch(bytes).state == State::NoList
}

/// An iterator over a list of events.
#[derive(Clone, Debug)]
pub struct Batch<'a> {
    state: State,
    rest: &'a [u8],
    /// Of the list as a whole.
    bytes: usize,
    /// Over the list, if it is a text.
    scanner: Option<Scanner<'a>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    NoList,
    First,
    Further,
    /// The list was ended by its bytes.
    CutOff(&'static str),
    Over,
}

impl<'a> Iterator for Batch<'a> {
    type Item = Result<Event<'a>, Refused>;

    fn next(&mut self) -> Option<Self::Item> {
        match self.state {
            State::Over => None,
            State::NoList => {
                self.state = State::Over;
                let reason = "the body must be a JSON list of events: one event alone is sent as \
                              application/cloudevents+json";
                Some(Err(Rejection::Malformed { reason: reason.to_owned() }.into()))
            }
            State::First if self.rest.starts_with(b"]") => {
                self.state = behind_end(self.rest.get(1..).unwrap_or_default());
                self.next()
            }
            State::CutOff(reason) => {
                self.state = State::Over;
                Some(Err(Rejection::CutOff { reason }.into()))
            }
            State::First | State::Further => self.event(),
        }
    }
}

impl<'a> Batch<'a> {
    fn event(&mut self) -> Option<Result<Event<'a>, Refused>> {
        if let Some(event) = self.quick() {
            return Some(Ok(event));
        }
        let Some(end) = extent(self.rest) else {
            // What is whole is judged, also when the list's end is missing.
            self.state = State::CutOff("the closing ] is missing");
            if let Ok(last) = structured(self.rest.trim_ascii()) {
                return Some(Ok(last));
            }
            self.state = State::CutOff("it ends inside an event");
            return self.next();
        };
        let (event, behind) = self.rest.split_at(end);
        self.go_on(behind);
        Some(structured(event))
    }

    /// The next event, if it is as most are.
    fn quick(&mut self) -> Option<Event<'a>> {
        let at = self.bytes.checked_sub(self.rest.len())?;
        let scanner = self.scanner.as_mut()?;
        scanner.stand_at(at);
        let event = quick::event(scanner)?;
        scanner.space();
        let behind = self.rest.get(scanner.at() - at..)?;
        if !matches!(behind.first(), Some(b',' | b']')) {
            return None;
        }
        self.go_on(behind);
        Some(event)
    }

    /// Goes on `behind` an event, with what ends it.
    fn go_on(&mut self, behind: &'a [u8]) {
        let (stop, behind) = behind.split_first().unwrap_or((&b']', &[]));
        self.rest = behind.trim_ascii_start();
        self.state = match stop {
            b',' => State::Further,
            b']' => behind_end(self.rest),
            _ => State::CutOff("a } stands where no event is open"),
        };
    }
}

fn behind_end(rest: &[u8]) -> State {
    if rest.is_empty() { State::Over } else { State::CutOff("something follows the closing ]") }
}

/// Reads the members of an event. What is wrong with one of them is noted in its place;
/// an error is one of the event itself.
fn read<'a>(text: &'a str, parts: &mut Parts<'a>, data: &mut Data<'a>) -> Result<(), Wrong> {
    let mut scanner = Scanner::new(text);
    scanner.expect(b'{', "{")?;
    scanner.space();
    if scanner.peek() == Some(b'}') {
        scanner.expect(b'}', "}")?;
    } else {
        while member(&mut scanner, parts, data)? {}
    }
    scanner.space();
    if scanner.is_at_end() { Ok(()) } else { Err(scanner.wrong("the end")) }
}

/// One member with what follows it; whether a comma does.
fn member<'a>(
    scanner: &mut Scanner<'a>,
    parts: &mut Parts<'a>,
    data: &mut Data<'a>,
) -> Result<bool, Wrong> {
    scanner.space();
    let name = scanner.string()?;
    scanner.space();
    scanner.expect(b':', "a colon")?;
    scanner.space();
    match &*name {
        "data" => {
            let read = read_data(scanner);
            // What is sent twice could be counted twice.
            *data = match (&*data, read) {
                (Data::None, read) => read,
                _ => Data::Wrong("stands twice, or beside data_base64: send one".to_owned()),
            };
        }
        "data_base64" => {
            // Whatever it holds.
            if attribute(scanner) != Value::Null {
                *data = match data {
                    Data::None => Data::Base64,
                    _ => Data::Wrong("stands twice, or beside data_base64: send one".to_owned()),
                };
            }
        }
        name => {
            let value = attribute(scanner);
            parts.put(name, value);
        }
    }
    match scanner.peek() {
        Some(b',') => scanner.expect(b',', "a comma").map(|()| true),
        _ => scanner.expect(b'}', "a comma or }").map(|()| false),
    }
}

/// The value that was read from `from` on, when a member can end behind it; else the
/// reading goes on behind the member.
fn ended<'a, T>(
    scanner: &mut Scanner<'a>,
    from: usize,
    read: Result<T, Wrong>,
) -> Result<(T, &'a str), String> {
    let text = scanner.since(from);
    let checked = read.and_then(|value| {
        scanner.space();
        match scanner.peek() {
            Some(b',' | b'}') => Ok((value, text)),
            _ => Err(scanner.wrong("a comma or }")),
        }
    });
    checked.map_err(|wrong| {
        scanner.skip_from(from);
        not_json(&wrong, from)
    })
}

fn read_data<'a>(scanner: &mut Scanner<'a>) -> Data<'a> {
    let from = scanner.at();
    let read = scanner.value(DEPTH_MAX);
    match ended(scanner, from, read) {
        Ok(((), "null")) => Data::None,
        Ok(((), text)) => Data::Json(text),
        Err(reason) => Data::Wrong(reason),
    }
}

fn attribute<'a>(scanner: &mut Scanner<'a>) -> Value<'a> {
    let from = scanner.at();
    let read = match scanner.peek() {
        Some(b'"') => scanner.string().map(Value::Text),
        Some(b'n') => scanner.value(1).map(|()| Value::Null),
        Some(b'{') => scanner.value(DEPTH_MAX).map(|()| Value::Other("an object")),
        Some(b'[') => scanner.value(DEPTH_MAX).map(|()| Value::Other("a list")),
        Some(b't' | b'f') => scanner.value(1).map(|()| Value::Other("a truth")),
        _ => scanner.value(1).map(|()| Value::Other("a number")),
    };
    ended(scanner, from, read).map_or_else(Value::Wrong, |(value, _)| value)
}
