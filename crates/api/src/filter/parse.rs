//! The grammar of filters:
//!
//! ```text
//! filter = [ many ] ;
//! many   = one { "AND" one } | one { "OR" one } ;
//! one    = { "NOT" } ( "(" many ")" | field operator value | field ":" "*" ) ;
//! ```
//!
//! AND and OR do not stand side by side without parentheses: AIP-160 binds them the
//! other way round than most languages, and nobody should have to know.

use super::token::{Token, Word, tokens};
use super::{
    FILTER_BYTES_MAX, FILTER_DEPTH_MAX, FILTER_TERMS_MAX, Field, FilterError, Node, Operator,
};

/// None for a text without words.
pub(super) fn filter<R>(
    text: &str,
    fields: &'static [Field<R>],
) -> Result<Option<Node<R>>, FilterError> {
    if text.len() > FILTER_BYTES_MAX {
        let message = format!("must have at most {FILTER_BYTES_MAX} bytes, not {}", text.len());
        return Err(FilterError { at: 1, message });
    }
    let tokens = tokens(text)?;
    if tokens.is_empty() {
        return Ok(None);
    }
    let end = text.chars().count() + 1;
    let mut parser = Parser { tokens: tokens.into_iter().peekable(), end, terms: 0, fields };
    let node = parser.many(0)?;
    match parser.tokens.next() {
        None => Ok(Some(node)),
        Some(token) => Err(parser.unexpected(Some(token), "AND or OR, or the end")),
    }
}

struct Parser<R: 'static> {
    tokens: core::iter::Peekable<std::vec::IntoIter<Token>>,
    /// Behind the last character.
    end: usize,
    terms: usize,
    fields: &'static [Field<R>],
}

impl<R> Parser<R> {
    fn many(&mut self, depth: usize) -> Result<Node<R>, FilterError> {
        let first = self.one(depth)?;
        let Some(joint) = self.joint() else { return Ok(first) };
        let mut parts = vec![first];
        while let Some(found) = self.joint() {
            let at = self.tokens.next().map_or(self.end, |it| it.at);
            if found != joint {
                let message = "put parentheses where AND and OR meet".to_owned();
                return Err(FilterError { at, message });
            }
            parts.push(self.one(depth)?);
        }
        Ok(if joint == Word::And { Node::All(parts) } else { Node::Any(parts) })
    }

    /// AND or OR, when it comes next.
    fn joint(&mut self) -> Option<Word> {
        let word = self.tokens.peek().map(|it| &it.word)?;
        matches!(word, Word::And | Word::Or).then(|| word.clone())
    }

    fn one(&mut self, depth: usize) -> Result<Node<R>, FilterError> {
        let token = self.tokens.next();
        match token {
            Some(Token { at, word: Word::Not | Word::Open }) if depth == FILTER_DEPTH_MAX => {
                let message = format!("stands more than {FILTER_DEPTH_MAX} deep");
                Err(FilterError { at, message })
            }
            Some(Token { word: Word::Not, .. }) => Ok(Node::Not(Box::new(self.one(depth + 1)?))),
            Some(Token { at, word: Word::Open }) => {
                let node = self.many(depth + 1)?;
                match self.tokens.next() {
                    Some(Token { word: Word::Close, .. }) => Ok(node),
                    None => {
                        let message = "the parenthesis that opens here does not close".to_owned();
                        Err(FilterError { at, message })
                    }
                    token => Err(self.unexpected(token, "AND, OR or a closing parenthesis")),
                }
            }
            Some(Token { at, word: Word::Plain(path) }) => self.term(at, &path),
            token => Err(self.unexpected(token, "a field, NOT or an opening parenthesis")),
        }
    }

    fn term(&mut self, at: usize, path: &str) -> Result<Node<R>, FilterError> {
        self.terms += 1;
        if self.terms > FILTER_TERMS_MAX {
            let message = format!("there are more than {FILTER_TERMS_MAX} comparisons");
            return Err(FilterError { at, message });
        }
        let Some(field) = self.fields.iter().find(|it| it.path == path) else {
            let known: Vec<&str> = self.fields.iter().map(|it| it.path).collect();
            let message = match known.as_slice() {
                [] => "this list has no fields to filter by".to_owned(),
                known => format!("no field {path:?}: there are {}", known.join(", ")),
            };
            return Err(FilterError { at, message });
        };
        let operator = match self.tokens.next() {
            Some(Token { word: Word::Operator(operator), .. }) => operator,
            token => return Err(self.unexpected(token, "one of =, !=, <, <=, >, >= and :")),
        };
        let (at, text) = match self.tokens.next() {
            Some(Token { word: Word::Star, .. }) if operator == Operator::Has => {
                return Ok(Node::Has(field));
            }
            Some(Token { at, word: Word::Plain(text) | Word::Quoted(text) }) => (at, text),
            token => return Err(self.unexpected(token, "a value, in quotes unless it is a word")),
        };
        if !field.takes(operator) {
            let message = format!("{path} goes with {}", field.operators());
            return Err(FilterError { at, message });
        }
        match field.literal(&text) {
            Ok(literal) => Ok(Node::Test(field, operator, literal)),
            Err(message) => Err(FilterError { at, message: format!("{path} {message}") }),
        }
    }

    fn unexpected(&self, token: Option<Token>, wanted: &str) -> FilterError {
        let at = token.map_or(self.end, |it| it.at);
        FilterError { at, message: format!("expected {wanted}") }
    }
}
