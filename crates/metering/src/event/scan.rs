//! Reads over JSON text and checks it on the way: grammar, depth, members that stand
//! twice, and whatever else has no normal form. Nothing is copied, so that an event costs
//! little more than the reading of its bytes.

use std::borrow::Cow;

use super::rejection::cut;

/// So many names are compared with each other; more are sorted first.
const PAIRWISE_MAX: usize = 12;
/// Digits of the longest exponent.
const EXPONENT_DIGITS_MAX: usize = 18;
/// Bytes of a name in a message.
const NAME_BYTES_MAX: usize = 64;

/// Where in a text the reading stands.
#[derive(Clone, Debug)]
pub(super) struct Scanner<'a> {
    text: &'a str,
    at: usize,
    /// Names of the members of all objects that are open.
    names: Vec<Cow<'a, str>>,
}

/// Why a text is no JSON, or none that can be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wrong {
    /// Bytes before it.
    pub(super) at: usize,
    pub(super) reason: String,
}

impl<'a> Scanner<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { text, at: 0, names: Vec::new() }
    }

    pub(super) fn at(&self) -> usize {
        self.at
    }

    /// The reading goes on from `at`.
    pub(super) fn stand_at(&mut self, at: usize) {
        self.at = at;
        self.names.clear();
    }

    pub(super) fn is_at_end(&self) -> bool {
        self.at >= self.text.len()
    }

    /// The text from `from` to where the reading stands.
    pub(super) fn since(&self, from: usize) -> &'a str {
        self.text.get(from..self.at).unwrap_or_default()
    }

    pub(super) fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    pub(super) fn space(&mut self) {
        while let Some(b' ' | b'\n' | b'\t' | b'\r') = self.peek() {
            self.at += 1;
        }
    }

    /// The next byte is behind, if it is this one.
    pub(super) fn passes(&mut self, byte: u8) -> Option<()> {
        (self.peek()? == byte).then(|| self.at += 1)
    }

    pub(super) fn expect(&mut self, byte: u8, name: &str) -> Result<(), Wrong> {
        if self.peek() == Some(byte) {
            self.at += 1;
            return Ok(());
        }
        Err(self.wrong(name))
    }

    /// Goes on to where a member or item would end, whatever stands before.
    pub(super) fn skip_from(&mut self, from: usize) {
        let rest = self.text.as_bytes().get(from..).unwrap_or_default();
        self.at = from + extent(rest).unwrap_or(rest.len());
    }

    /// One value of at most `depth` levels.
    pub(super) fn value(&mut self, depth: usize) -> Result<(), Wrong> {
        match self.peek() {
            Some(b'"') => self.string().map(drop),
            Some(b'{') => {
                let depth = self.deeper(depth)?;
                let base = self.names.len();
                let read = self.object(depth);
                let read = read.and_then(|()| self.check_names(base));
                self.names.truncate(base);
                read
            }
            Some(b'[') => {
                let depth = self.deeper(depth)?;
                self.list(depth)
            }
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b't') => self.word("true"),
            Some(b'f') => self.word("false"),
            Some(b'n') => self.word("null"),
            _ => Err(self.wrong("a value")),
        }
    }

    /// A text, as it stands between its quotes when nothing in it is escaped.
    pub(super) fn string(&mut self) -> Result<Cow<'a, str>, Wrong> {
        self.expect(b'"', "a text")?;
        let from = self.at;
        let mut is_plain = true;
        loop {
            let rest = self.text.as_bytes().get(self.at..).unwrap_or_default();
            let next = plain_bytes(rest);
            self.at += next;
            match rest.get(next) {
                None => {
                    self.at = self.text.len();
                    return Err(self.wrong("the end of a text"));
                }
                Some(b'"') => {
                    let raw = self.since(from);
                    self.at += 1;
                    return if is_plain { Ok(Cow::Borrowed(raw)) } else { self.unescaped(raw) };
                }
                Some(b'\\') => {
                    is_plain = false;
                    self.at += 2;
                }
                _ => return Err(self.wrong("no control character")),
            }
        }
    }

    /// A text in which nothing is escaped, as it stands between its quotes; None leaves the
    /// reading where it is.
    pub(super) fn plain(&mut self) -> Option<&'a str> {
        let (quote, rest) = self.text.as_bytes().get(self.at..)?.split_first()?;
        let length = plain_bytes(rest);
        if *quote != b'"' || rest.get(length) != Some(&b'"') {
            return None;
        }
        let from = self.at + 1;
        let text = self.text.get(from..from + length)?;
        self.at = from + length + 1;
        Some(text)
    }

    fn unescaped(&self, raw: &str) -> Result<Cow<'a, str>, Wrong> {
        let mut out = String::with_capacity(raw.len());
        let mut rest = raw;
        let wrong = || {
            let reason = "has an escape that stands for no character".to_owned();
            Wrong { at: self.at - raw.len() - 1, reason }
        };
        while let Some((plain, behind)) = rest.split_once('\\') {
            out.push_str(plain);
            let mut chars = behind.chars();
            match chars.next() {
                Some(it @ ('"' | '\\' | '/')) => out.push(it),
                Some('b') => out.push('\u{8}'),
                Some('f') => out.push('\u{c}'),
                Some('n') => out.push('\n'),
                Some('r') => out.push('\r'),
                Some('t') => out.push('\t'),
                Some('u') => {
                    let (it, behind) = unicode(chars.as_str()).ok_or_else(wrong)?;
                    out.push(it);
                    chars = behind.chars();
                }
                _ => return Err(wrong()),
            }
            rest = chars.as_str();
        }
        out.push_str(rest);
        Ok(Cow::Owned(out))
    }

    fn object(&mut self, depth: usize) -> Result<(), Wrong> {
        self.at += 1;
        self.space();
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(());
        }
        loop {
            self.space();
            let name = self.string()?;
            self.names.push(name);
            self.space();
            self.expect(b':', "a colon")?;
            self.space();
            self.value(depth)?;
            self.space();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b'}') => {
                    self.at += 1;
                    return Ok(());
                }
                _ => return Err(self.wrong("a comma or }")),
            }
        }
    }

    fn list(&mut self, depth: usize) -> Result<(), Wrong> {
        self.at += 1;
        self.space();
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(());
        }
        loop {
            self.space();
            self.value(depth)?;
            self.space();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b']') => {
                    self.at += 1;
                    return Ok(());
                }
                _ => return Err(self.wrong("a comma or ]")),
            }
        }
    }

    fn number(&mut self) -> Result<(), Wrong> {
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        match self.peek() {
            Some(b'0') => self.at += 1,
            Some(b'1'..=b'9') => self.digits().map(drop)?,
            _ => return Err(self.wrong("a digit")),
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.at += 1;
            if let Some(b'+' | b'-') = self.peek() {
                self.at += 1;
            }
            if self.digits()? > EXPONENT_DIGITS_MAX {
                return Err(self.wrong("a smaller exponent"));
            }
        }
        Ok(())
    }

    /// At least one; how many.
    fn digits(&mut self) -> Result<usize, Wrong> {
        let from = self.at;
        while let Some(b'0'..=b'9') = self.peek() {
            self.at += 1;
        }
        if self.at == from { Err(self.wrong("a digit")) } else { Ok(self.at - from) }
    }

    fn word(&mut self, word: &str) -> Result<(), Wrong> {
        let rest = self.text.get(self.at..).unwrap_or_default();
        if !rest.starts_with(word) {
            return Err(self.wrong("a value"));
        }
        self.at += word.len();
        Ok(())
    }

    fn deeper(&self, depth: usize) -> Result<usize, Wrong> {
        let reason = || format!("is more than {} levels deep", crate::DEPTH_MAX);
        depth.checked_sub(1).ok_or_else(|| Wrong { at: self.at, reason: reason() })
    }

    fn check_names(&mut self, base: usize) -> Result<(), Wrong> {
        let names = self.names.get_mut(base..).unwrap_or_default();
        let twice = if names.len() <= PAIRWISE_MAX {
            let mut pairs = names.iter().enumerate();
            pairs.find(|(at, name)| names.iter().take(*at).any(|it| it == *name)).map(|it| it.1)
        } else {
            names.sort_unstable();
            names.windows(2).find(|pair| pair.first() == pair.last()).and_then(<[_]>::first)
        };
        let Some(name) = twice else { return Ok(()) };
        let reason = format!("has the member {:?} twice", cut(name, NAME_BYTES_MAX));
        Err(Wrong { at: self.at, reason })
    }

    pub(super) fn wrong(&self, expected: &str) -> Wrong {
        let found = self.text.get(self.at..).and_then(|rest| rest.chars().next());
        let reason = match found {
            Some(found) => format!("has {found:?} where {expected} should stand"),
            None => format!("ends where {expected} should stand"),
        };
        Wrong { at: self.at, reason }
    }
}

/// How many bytes there are before the first quote, backslash or control character; eight
/// of them are looked at together.
fn plain_bytes(bytes: &[u8]) -> usize {
    const ONES: u64 = u64::MAX / 255;
    const HIGHS: u64 = ONES << 7;
    /// The high bit of the lowest byte that is below `limit`, and maybe of ones above it.
    const fn below(bytes: u64, limit: u64) -> u64 {
        bytes.wrapping_sub(ONES * limit) & !bytes & HIGHS
    }
    let mut words = bytes.chunks_exact(8);
    let mut at = 0;
    for word in &mut words {
        let word = word.try_into().map_or(0, u64::from_le_bytes);
        let quotes = word ^ (ONES * 0x22);
        let backslashes = word ^ (ONES * 0x5c);
        let found = below(word, 0x20) | below(quotes, 1) | below(backslashes, 1);
        if found != 0 {
            return at + usize::try_from(found.trailing_zeros() / 8).unwrap_or(0);
        }
        at += 8;
    }
    let is_special = |byte: &u8| matches!(byte, b'"' | b'\\' | 0..=0x1f);
    let rest = words.remainder();
    at + rest.iter().position(is_special).unwrap_or(rest.len())
}

/// The character of an escape behind its `\u`, and what follows it.
fn unicode(text: &str) -> Option<(char, &str)> {
    let (first, rest) = text.split_at_checked(4)?;
    let first = hexadecimal(first)?;
    if !(0xd800..0xe000).contains(&first) {
        return Some((char::from_u32(first)?, rest));
    }
    let (second, rest) = rest.strip_prefix("\\u")?.split_at_checked(4)?;
    let second = hexadecimal(second)?;
    if !(0xd800..0xdc00).contains(&first) || !(0xdc00..0xe000).contains(&second) {
        return None;
    }
    let code = 0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00);
    Some((char::from_u32(code)?, rest))
}

fn hexadecimal(digits: &str) -> Option<u32> {
    let are_digits = digits.bytes().all(|it| it.is_ascii_hexdigit());
    are_digits.then(|| u32::from_str_radix(digits, 16).ok()).flatten()
}

/// How many bytes there are before the comma or bracket that ends what `bytes` begin
/// with, brackets and texts in it left out. It need not be JSON. None: there is no end.
pub(super) fn extent(bytes: &[u8]) -> Option<usize> {
    let (mut at, mut depth) = (0_usize, 0_usize);
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => at += text_extent(bytes.get(at..)?)?,
            b'{' | b'[' => depth += 1,
            b'}' | b']' | b',' if depth == 0 => return Some(at),
            b'}' | b']' => depth -= 1,
            _ => {}
        }
        at += 1;
    }
    None
}

/// How many bytes there are before the quote that ends the text that `bytes` begin with.
fn text_extent(bytes: &[u8]) -> Option<usize> {
    let mut at = 1;
    loop {
        let rest = bytes.get(at..)?;
        at += rest.iter().position(|it| matches!(it, b'"' | b'\\'))?;
        if bytes.get(at) == Some(&b'"') {
            return Some(at);
        }
        at += 2;
    }
}
