//! Where each value of a JSON text stands, found in one reading of its bytes: the normal
//! form and the values that meters ask for both come from it. It takes texts that are
//! right and plain; whatever else there is, it leaves to the readers that say why.

use std::borrow::Cow;

use exchequer_types::Json;

use crate::extract::Found;
use crate::normal::DEPTH_MAX;

/// The longest text, so that places take four bytes.
const TEXT_BYTES_MAX: usize = 1 << 30;
/// In each byte of a word.
const LOW: u64 = 0x0101_0101_0101_0101;
const HIGH: u64 = 0x8080_8080_8080_8080;

/// The values of the text that was read last. Memory is kept for the next one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outline {
    text: String,
    /// Is the text right and plain?
    is_taken: bool,
    items: Vec<Item>,
    /// Members that are being sorted.
    order: Vec<u32>,
}

/// A value. What is in it stands behind it.
#[derive(Clone, Copy, Debug)]
struct Item {
    kind: Kind,
    from: u32,
    to: u32,
    /// Of a member: its name, between the quotes.
    name: (u32, u32),
    /// The next item that is not in it.
    behind: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Object,
    List,
    /// Nothing in it is escaped.
    Text,
    Escaped,
    Number,
    True,
    False,
    Null,
}

/// A value of the outline.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place(usize);

impl Outline {
    /// Reads `text`, unless it is what was read last.
    pub(crate) fn read(&mut self, text: &str) {
        if self.text == text {
            return;
        }
        self.text.clear();
        self.items.clear();
        self.is_taken = false;
        if text.len() > TEXT_BYTES_MAX {
            return;
        }
        self.text.push_str(text);
        let mut reader = Reader { text, bytes: text.as_bytes(), items: &mut self.items };
        self.is_taken = reader.whole().is_some();
    }

    /// The value that the text is, when it was `text` that was read and it could be taken.
    pub(crate) fn root(&self, text: &str) -> Option<Place> {
        (self.is_taken && self.text == text).then_some(Place(0))
    }

    /// Puts the normal form of what was read last behind `out`. None when it could not be
    /// taken, or has none; what is behind `out` then is of no use.
    pub(crate) fn write_normal(&mut self, out: &mut Vec<u8>) -> Option<()> {
        if !self.is_taken {
            return None;
        }
        let mut order = core::mem::take(&mut self.order);
        order.clear();
        let written = self.write(0, &mut order, out);
        self.order = order;
        written
    }

    fn write(&self, at: usize, order: &mut Vec<u32>, out: &mut Vec<u8>) -> Option<()> {
        let item = self.items.get(at)?;
        match item.kind {
            Kind::Object => self.write_object(at, order, out),
            Kind::List => {
                out.push(b'[');
                for (index, place) in self.children(Place(at)).enumerate() {
                    if index > 0 {
                        out.push(b',');
                    }
                    self.write(place.0, order, out)?;
                }
                out.push(b']');
                Some(())
            }
            Kind::Number => write_number(self.bytes(item.from, item.to), out),
            Kind::Escaped => {
                let value: Cow<'_, str> = serde_json::from_str(self.since(item)).ok()?;
                let mut text = String::with_capacity(value.len() + 2);
                Json::write_text(&mut text, &value);
                out.extend_from_slice(text.as_bytes());
                Some(())
            }
            Kind::Text | Kind::True | Kind::False | Kind::Null => {
                out.extend_from_slice(self.bytes(item.from, item.to));
                Some(())
            }
        }
    }

    fn write_object(&self, at: usize, order: &mut Vec<u32>, out: &mut Vec<u8>) -> Option<()> {
        let base = order.len();
        for place in self.children(Place(at)) {
            order.push(u32_of(place.0));
        }
        let members = order.get_mut(base..)?;
        members.sort_unstable_by(|a, b| self.name_at(*a).cmp(self.name_at(*b)));
        let is_twice =
            |pair: &[u32]| matches!(pair, [a, b] if self.name_at(*a) == self.name_at(*b));
        if members.windows(2).any(is_twice) {
            return None;
        }
        out.push(b'{');
        for index in base..order.len() {
            if index > base {
                out.push(b',');
            }
            let member = *order.get(index)?;
            out.push(b'"');
            out.extend_from_slice(self.name_at(member));
            out.extend_from_slice(b"\":");
            self.write(usize_of(member), order, out)?;
        }
        out.push(b'}');
        order.truncate(base);
        Some(())
    }

    /// Members or items, in their order; none of what is no object and no list.
    pub(crate) fn children(&self, place: Place) -> impl Iterator<Item = Place> {
        let behind = self.items.get(place.0).map_or(0, |item| usize_of(item.behind));
        let mut next = place.0 + 1;
        core::iter::from_fn(move || {
            let at = next;
            next = usize_of(self.items.get(at).filter(|_| at < behind)?.behind);
            Some(Place(at))
        })
    }

    pub(crate) fn is_object(&self, place: Place) -> bool {
        self.items.get(place.0).is_some_and(|item| item.kind == Kind::Object)
    }

    pub(crate) fn is_list(&self, place: Place) -> bool {
        self.items.get(place.0).is_some_and(|item| item.kind == Kind::List)
    }

    /// The name of a member.
    pub(crate) fn name(&self, place: Place) -> &[u8] {
        self.items.get(place.0).map_or(&[], |item| self.bytes(item.name.0, item.name.1))
    }

    /// The value, borrowed from `text`, which must be what was read.
    pub(crate) fn found<'a>(&self, place: Place, text: &'a str) -> Option<Found<'a>> {
        let item = self.items.get(place.0)?;
        let text = text.get(usize_of(item.from)..usize_of(item.to))?;
        Some(match item.kind {
            Kind::Object | Kind::List => Found::Compound,
            Kind::Text => Found::Text(Cow::Borrowed(text.get(1..text.len() - 1)?)),
            Kind::Escaped => Found::Text(Cow::Owned(serde_json::from_str(text).ok()?)),
            Kind::Number => Found::Number(text),
            Kind::True => Found::Bool(true),
            Kind::False => Found::Bool(false),
            Kind::Null => Found::Null,
        })
    }

    fn since(&self, item: &Item) -> &str {
        self.text.get(usize_of(item.from)..usize_of(item.to)).unwrap_or_default()
    }

    fn bytes(&self, from: u32, to: u32) -> &[u8] {
        self.text.as_bytes().get(usize_of(from)..usize_of(to)).unwrap_or_default()
    }

    fn name_at(&self, item: u32) -> &[u8] {
        self.name(Place(usize_of(item)))
    }
}

/// Reads over a text. None: it is not right, or not plain.
struct Reader<'t, 'o> {
    text: &'t str,
    bytes: &'t [u8],
    items: &'o mut Vec<Item>,
}

impl Reader<'_, '_> {
    fn whole(&mut self) -> Option<()> {
        let at = self.space(0);
        let at = self.value(at, DEPTH_MAX, (0, 0))?;
        (self.space(at) == self.bytes.len()).then_some(())
    }

    fn peek(&self, at: usize) -> Option<u8> {
        self.bytes.get(at).copied()
    }

    fn space(&self, mut at: usize) -> usize {
        while let Some(b' ' | b'\n' | b'\t' | b'\r') = self.peek(at) {
            at += 1;
        }
        at
    }

    /// One value of at most `depth` levels that begins at `at`; where it ends.
    fn value(&mut self, at: usize, depth: usize, name: (u32, u32)) -> Option<usize> {
        let index = self.items.len();
        let from = u32_of(at);
        self.items.push(Item { kind: Kind::Null, from, to: from, name, behind: 0 });
        let (kind, end) = match self.peek(at)? {
            b'"' => {
                let (is_plain, end) = self.string(at)?;
                if !is_plain {
                    serde_json::from_str::<Cow<'_, str>>(self.text.get(at..end)?).ok()?;
                }
                (if is_plain { Kind::Text } else { Kind::Escaped }, end)
            }
            b'{' => (Kind::Object, self.object(at + 1, depth.checked_sub(1)?)?),
            b'[' => (Kind::List, self.list(at + 1, depth.checked_sub(1)?)?),
            b'-' | b'0'..=b'9' => (Kind::Number, self.number(at)?),
            b't' => (Kind::True, self.word(at, b"true")?),
            b'f' => (Kind::False, self.word(at, b"false")?),
            b'n' => (Kind::Null, self.word(at, b"null")?),
            _ => return None,
        };
        let behind = u32_of(self.items.len());
        let item = self.items.get_mut(index)?;
        *item = Item { kind, to: u32_of(end), behind, ..*item };
        Some(end)
    }

    fn object(&mut self, at: usize, depth: usize) -> Option<usize> {
        let mut at = self.space(at);
        if self.peek(at)? == b'}' {
            return Some(at + 1);
        }
        loop {
            let (is_plain, end) = self.string(at)?;
            if !is_plain {
                return None;
            }
            let name = (u32_of(at + 1), u32_of(end - 1));
            at = self.space(end);
            if self.peek(at)? != b':' {
                return None;
            }
            at = self.space(at + 1);
            at = self.value(at, depth, name)?;
            at = self.space(at);
            match self.peek(at)? {
                b',' => at = self.space(at + 1),
                b'}' => return Some(at + 1),
                _ => return None,
            }
        }
    }

    fn list(&mut self, at: usize, depth: usize) -> Option<usize> {
        let mut at = self.space(at);
        if self.peek(at)? == b']' {
            return Some(at + 1);
        }
        loop {
            at = self.value(at, depth, (0, 0))?;
            at = self.space(at);
            match self.peek(at)? {
                b',' => at = self.space(at + 1),
                b']' => return Some(at + 1),
                _ => return None,
            }
        }
    }

    /// Is it free of escapes, and where does it end, its quotes included?
    fn string(&self, at: usize) -> Option<(bool, usize)> {
        if self.peek(at)? != b'"' {
            return None;
        }
        let (mut at, mut is_plain) = (at + 1, true);
        loop {
            at += special(self.bytes.get(at..)?)?;
            match self.peek(at)? {
                b'"' => return Some((is_plain, at + 1)),
                b'\\' => (at, is_plain) = (at + 2, false),
                _ => return None,
            }
        }
    }

    fn number(&self, at: usize) -> Option<usize> {
        let at = if self.peek(at) == Some(b'-') { at + 1 } else { at };
        let mut at = match self.peek(at)? {
            b'0' => at + 1,
            _ => self.digits(at)?,
        };
        if self.peek(at) == Some(b'.') {
            at = self.digits(at + 1)?;
        }
        if let Some(b'e' | b'E') = self.peek(at) {
            at += 1;
            if let Some(b'+' | b'-') = self.peek(at) {
                at += 1;
            }
            at = self.digits(at)?;
        }
        Some(at)
    }

    /// At least one; where they end.
    fn digits(&self, from: usize) -> Option<usize> {
        let mut at = from;
        while let Some(b'0'..=b'9') = self.peek(at) {
            at += 1;
        }
        (at > from).then_some(at)
    }

    fn word(&self, at: usize, word: &[u8]) -> Option<usize> {
        self.bytes.get(at..)?.starts_with(word).then_some(at + word.len())
    }
}

/// Where the first quote, backslash or control character is.
fn special(bytes: &[u8]) -> Option<usize> {
    let (words, rest) = bytes.as_chunks::<8>();
    for (index, word) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*word);
        // The lowest bit that is set is right; those above it may not be.
        let below = |word: u64, than: u64| word.wrapping_sub(LOW.wrapping_mul(than)) & !word;
        let quote = below(word ^ LOW.wrapping_mul(u64::from(b'"')), 1);
        let backslash = below(word ^ LOW.wrapping_mul(u64::from(b'\\')), 1);
        let marks = (below(word, 0x20) | quote | backslash) & HIGH;
        if marks != 0 {
            return Some(index * 8 + usize_of(marks.trailing_zeros() / 8));
        }
    }
    let from = bytes.len() - rest.len();
    Some(from + rest.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..=0x1f))?)
}

/// A number's digits without zeros at either end, `e` and an exponent; zero is `0`.
fn write_number(text: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let (negative, rest) = text.strip_prefix(b"-").map_or((false, text), |rest| (true, rest));
    let digits = |text: &[u8]| text.iter().take_while(|it| it.is_ascii_digit()).count();
    let (whole, rest) = rest.split_at_checked(digits(rest))?;
    let (part, rest) = match rest.split_first() {
        Some((b'.', rest)) => rest.split_at_checked(digits(rest))?,
        _ => (rest.get(..0)?, rest),
    };
    let exponent: i64 = match rest.split_first() {
        Some((_, text)) => {
            core::str::from_utf8(text.strip_prefix(b"+").unwrap_or(text)).ok()?.parse().ok()?
        }
        None => 0,
    };
    let all = whole.len() + part.len();
    let ahead = whole.iter().chain(part).take_while(|it| **it == b'0').count();
    if ahead == all {
        out.push(b'0');
        return Some(());
    }
    let backwards = part.iter().rev().chain(whole.iter().rev());
    let behind = backwards.take_while(|it| **it == b'0').count();
    let size = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
    let exponent = exponent.saturating_sub(size(part.len())).saturating_add(size(behind));
    if negative {
        out.push(b'-');
    }
    let (from, to) = (ahead, all - behind);
    out.extend_from_slice(whole.get(from.min(whole.len())..to.min(whole.len()))?);
    let (from, to) = (from.saturating_sub(whole.len()), to.saturating_sub(whole.len()));
    out.extend_from_slice(part.get(from..to)?);
    out.push(b'e');
    match u8::try_from(exponent) {
        Ok(digit @ 0..=9) => out.push(b'0' + digit),
        _ => out.extend_from_slice(exponent.to_string().as_bytes()),
    }
    Some(())
}

fn usize_of(at: u32) -> usize {
    usize::try_from(at).unwrap_or(usize::MAX)
}

/// A place in a text of at most [`TEXT_BYTES_MAX`].
fn u32_of(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::extract::Extractor;
    use crate::normal::normal_form;
    use crate::path::Path;

    fn normal(text: &str) -> Option<String> {
        let (mut outline, mut out) = (Outline::default(), Vec::new());
        outline.read(text);
        outline.write_normal(&mut out)?;
        Some(String::from_utf8(out).unwrap())
    }

    // REQ: USE-03
    #[test]
    fn what_is_plain_is_taken_and_the_rest_is_left() {
        for text in [
            "{}",
            " [ ] ",
            "-0.0",
            "12.50",
            "1.5E+3",
            "0e999",
            "true",
            "{\"b\":1,\"a\":{\"c\":[null,false,\"x\\ny\"]}}",
            "\"0123456789abcdef\u{7f}é\"",
            "{\"\":0,\"a\":0,\"aa\":0,\"b\":0}",
        ] {
            assert_eq!(normal(text), normal_form(text).ok(), "{text}");
            assert!(normal(text).is_some(), "{text}");
        }
        for text in [
            "",
            "{",
            "[1,]",
            "{\"a\":1,}",
            "01",
            "-",
            "1.",
            "tru",
            "nullx",
            "{\"a\":1,\"a\":1}",
            "{\"\\u0061\":1}",
            "\"\\ud800\"",
            "\"\u{1}\"",
            "\"01234567\u{1f}\"",
            "\u{a0}1",
            "1e99999999999999999999",
        ] {
            assert_eq!(normal(text), None, "{text}");
        }
        let deep = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        assert!(normal(&deep(DEPTH_MAX)).is_some());
        assert_eq!(normal(&deep(DEPTH_MAX + 1)), None);
    }

    fn json() -> impl Strategy<Value = String> {
        let number = "-?(0|[1-9][0-9]{0,20})(\\.[0-9]{1,14})?([eE][+-]?[0-9]{1,3})?";
        let text = prop_oneof!["[a-c]{0,2}", "[ -~é\u{7f}€]{0,24}", any::<String>(),];
        let text = text.prop_map(|text| serde_json::to_string(&text).unwrap());
        let word = prop_oneof![Just("true"), Just("false"), Just("null"), Just("\"\\u00e9\\/\"")];
        let leaf = prop_oneof![number, text.clone(), word.prop_map(str::to_owned)];
        leaf.prop_recursive(4, 32, 6, move |inner| {
            let member =
                (text.clone(), inner.clone()).prop_map(|(name, it)| format!("{name} :{it}"));
            let list = |items: Vec<String>| items.join(" ,\t");
            prop_oneof![
                proptest::collection::vec(inner, 0..5)
                    .prop_map(move |it| format!("[ {}]", list(it))),
                proptest::collection::vec(member, 0..6)
                    .prop_map(move |it| format!("{{{}\n}}", list(it))),
            ]
        })
    }

    proptest! {
        // REQ: USE-03
        #[test]
        fn what_is_taken_has_the_normal_form_of_the_long_way(
            text in json(),
            at in any::<prop::sample::Index>(),
            other in prop_oneof![Just(None), any::<char>().prop_map(Some)],
        ) {
            // Whole, or with a character in place of another.
            let chars: Vec<char> = text.chars().collect();
            let at = at.index(chars.len());
            let text: String = match other {
                Some(other) => chars.iter().enumerate().map(|(n, it)| if n == at { other } else { *it }).collect(),
                None => text,
            };
            if let Some(form) = normal(&text) {
                prop_assert_eq!(Ok(form), normal_form(&text));
            } else if !text.contains('\\') {
                prop_assert!(normal_form(&text).is_err() || text.trim() != text.trim_ascii(), "{}", text);
            }
        }

        // REQ: USE-01
        #[test]
        fn what_is_found_is_what_the_long_way_finds(text in json()) {
            let mut extractor = Extractor::default();
            for path in ["$.a", "$.b", "$.a.b", "$.a[0]", "$[1]", "$[1].a", "$.c[2].a", "$['aa']"] {
                extractor.ask(&Path::parse(path).unwrap());
            }
            let mut outline = Outline::default();
            outline.read(&text);
            let mut found = vec![None; extractor.len()];
            if extractor.find(&outline, &text, &mut found).is_some() {
                prop_assert_eq!(Ok(found), extractor.extract(&text));
            }
        }
    }
}
