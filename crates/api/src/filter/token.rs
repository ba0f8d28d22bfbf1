//! The words of a filter: names and plain values, quoted texts, operators, parentheses.

use super::{FilterError, Operator};

/// A word and the character, from 1, at which it begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Token {
    pub(super) at: usize,
    pub(super) word: Word,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Word {
    And,
    Or,
    Not,
    Open,
    Close,
    Operator(Operator),
    /// A field's path, or a value that needs no quotes.
    Plain(String),
    Quoted(String),
    /// After `:`, anything.
    Star,
}

pub(super) fn tokens(text: &str) -> Result<Vec<Token>, FilterError> {
    let mut chars = Chars { rest: text.chars().peekable(), at: 0 };
    let mut tokens = Vec::new();
    while let Some(first) = chars.next() {
        let at = chars.at;
        let word = match first {
            it if it.is_ascii_whitespace() => continue,
            '(' => Word::Open,
            ')' => Word::Close,
            '*' => Word::Star,
            '=' => Word::Operator(Operator::Equal),
            ':' => Word::Operator(Operator::Has),
            '<' if chars.take('=') => Word::Operator(Operator::AtMost),
            '<' => Word::Operator(Operator::Below),
            '>' if chars.take('=') => Word::Operator(Operator::AtLeast),
            '>' => Word::Operator(Operator::Above),
            '!' if chars.take('=') => Word::Operator(Operator::Unequal),
            '"' | '\'' => Word::Quoted(chars.quoted(first, at)?),
            it if is_plain(it) => chars.plain(it),
            it => {
                let message = format!("{it:?} is not expected: put texts in quotes");
                return Err(FilterError { at, message });
            }
        };
        tokens.push(Token { at, word });
    }
    Ok(tokens)
}

struct Chars<'a> {
    rest: core::iter::Peekable<core::str::Chars<'a>>,
    /// Of the last one that was taken, from 1.
    at: usize,
}

impl Chars<'_> {
    fn next(&mut self) -> Option<char> {
        self.at += 1;
        self.rest.next()
    }

    fn take(&mut self, wanted: char) -> bool {
        let is_there = self.rest.peek() == Some(&wanted);
        if is_there {
            self.next();
        }
        is_there
    }

    fn quoted(&mut self, quote: char, at: usize) -> Result<String, FilterError> {
        let mut text = String::new();
        loop {
            match self.next() {
                Some(it) if it == quote => return Ok(text),
                Some('\\') => {
                    let Some(it @ ('\\' | '"' | '\'')) = self.next() else {
                        let message = r#"only \\, \" and \' may follow a backslash"#.to_owned();
                        return Err(FilterError { at: self.at, message });
                    };
                    text.push(it);
                }
                Some(it) => text.push(it),
                None => {
                    let message = format!("the text that begins here has no closing {quote}");
                    return Err(FilterError { at, message });
                }
            }
        }
    }

    fn plain(&mut self, first: char) -> Word {
        let mut text = String::from(first);
        while let Some(it) = self.rest.peek().copied().filter(|it| is_plain(*it)) {
            text.push(it);
            self.next();
        }
        match text.as_str() {
            "AND" => Word::And,
            "OR" => Word::Or,
            "NOT" => Word::Not,
            _ => Word::Plain(text),
        }
    }
}

fn is_plain(char: char) -> bool {
    char.is_alphanumeric() || matches!(char, '_' | '.' | '-' | '+' | '@' | '/')
}
