//! Whom or what a flag is evaluated for: names and values, checked once, with what
//! a search by name needs beside them.

use core::fmt;

use crate::Number;
use crate::limits::{ATTRIBUTE_CHARS_MAX, ATTRIBUTES_MAX, CONTEXT_BYTES_MAX};
use crate::text::{Text, TextRef};

/// The attribute that says who it is.
pub const TARGETING_KEY: &str = "targeting_key";
/// The attribute that says whose customer's plan counts.
pub const TENANT: &str = "tenant";

/// A value as a caller gives it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Attribute<'a> {
    Boolean(bool),
    Number(Number),
    Text(&'a str),
    List(Vec<&'a str>),
}

/// Attributes by name. What is before the first point of a name is its kind of
/// context, as in `user.email`, `tenant.country`, `device.model`.
#[derive(Clone, Debug)]
pub struct Context<'a> {
    /// Of the names, in the order of `entries`.
    hashes: Vec<u64>,
    entries: Vec<(&'a str, Held<'a>)>,
}

#[derive(Clone, Debug)]
pub(crate) enum Held<'a> {
    Boolean(bool),
    Number(Number),
    Text(TextRef<'a>),
    List(Vec<TextRef<'a>>),
}

/// Why there is no such context.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ContextError {
    /// Names and values have more than [`CONTEXT_BYTES_MAX`] together.
    TooLarge,
    /// More than [`ATTRIBUTES_MAX`], lists counted by their items.
    TooMany,
    /// Empty, or too long, or one of [`TARGETING_KEY`] and [`TENANT`], which are
    /// given apart.
    NameInvalid {
        name: String,
    },
    Repeated {
        name: String,
    },
}

impl fmt::Display for ContextError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge => {
                write!(f, "must have at most {CONTEXT_BYTES_MAX} bytes of names and values")
            }
            Self::TooMany => {
                write!(f, "must have at most {ATTRIBUTES_MAX} attributes and items of lists")
            }
            Self::NameInvalid { name } => write!(
                f,
                "must name attributes with 1 to {ATTRIBUTE_CHARS_MAX} bytes, {TARGETING_KEY} and \
                 {TENANT} not among them, which have fields of their own: {name:?}"
            ),
            Self::Repeated { name } => write!(f, "must name each attribute once: {name:?}"),
        }
    }
}

impl core::error::Error for ContextError {}

impl<'a> Context<'a> {
    /// Of whom it is about, as far as that is known, and `attributes`.
    pub fn new(
        targeting_key: Option<&'a str>,
        tenant: Option<&'a str>,
        attributes: impl IntoIterator<Item = (&'a str, Attribute<'a>)>,
    ) -> Result<Self, ContextError> {
        let mut context = Self { hashes: Vec::new(), entries: Vec::new() };
        let mut bytes = 0;
        let mut items = 0;
        let own = [(TARGETING_KEY, targeting_key), (TENANT, tenant)];
        for (name, text) in own {
            if let Some(text) = text {
                bytes += text.len();
                context.push(name, Held::Text(TextRef::new(text)));
            }
        }
        for (name, value) in attributes {
            if name.is_empty() || name.len() > ATTRIBUTE_CHARS_MAX || is_own(name) {
                let name = name.chars().take(ATTRIBUTE_CHARS_MAX).collect();
                return Err(ContextError::NameInvalid { name });
            }
            let (size, count) = size_of(&value);
            bytes += name.len() + size;
            items += count;
            if bytes > CONTEXT_BYTES_MAX {
                return Err(ContextError::TooLarge);
            }
            if items > ATTRIBUTES_MAX {
                return Err(ContextError::TooMany);
            }
            let hash = crate::text::hash(name);
            if context.find(hash, name).is_some() {
                return Err(ContextError::Repeated { name: name.to_owned() });
            }
            context.push(name, held(value));
        }
        if bytes > CONTEXT_BYTES_MAX { Err(ContextError::TooLarge) } else { Ok(context) }
    }

    fn push(&mut self, name: &'a str, held: Held<'a>) {
        self.hashes.push(crate::text::hash(name));
        self.entries.push((name, held));
    }

    pub(crate) fn get(&self, name: &Text) -> Option<&Held<'a>> {
        self.find(name.hash, &name.text)
    }

    /// There are few: one pass over their hashes is faster than a search.
    fn find(&self, hash: u64, name: &str) -> Option<&Held<'a>> {
        let mut from = 0;
        while let Some(at) = self.hashes[from..].iter().position(|it| *it == hash) {
            let (found, held) = &self.entries[from + at];
            if *found == name {
                return Some(held);
            }
            from += at + 1;
        }
        None
    }
}

/// Is it given apart from the attributes?
fn is_own(name: &str) -> bool {
    name == TARGETING_KEY || name == TENANT
}

/// Bytes, and how many items it counts for.
fn size_of(value: &Attribute<'_>) -> (usize, usize) {
    match value {
        Attribute::Boolean(_) => (1, 1),
        Attribute::Number(_) => (16, 1),
        Attribute::Text(text) => (text.len(), 1),
        Attribute::List(items) => (items.iter().map(|it| it.len()).sum(), items.len().max(1)),
    }
}

fn held(value: Attribute<'_>) -> Held<'_> {
    match value {
        Attribute::Boolean(it) => Held::Boolean(it),
        Attribute::Number(it) => Held::Number(it),
        Attribute::Text(text) => Held::Text(TextRef::new(text)),
        Attribute::List(items) => Held::List(items.into_iter().map(TextRef::new).collect()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // REQ: FLG-04
    #[test]
    fn what_is_too_large_or_ambiguous_is_refused() {
        let context = |attributes: Vec<(&'static str, Attribute<'static>)>| {
            Context::new(Some("u"), None, attributes).map(|it| it.entries.len())
        };
        assert_eq!(context(vec![("a", Attribute::Boolean(true))]), Ok(2));
        let large: &str = Box::leak("x".repeat(CONTEXT_BYTES_MAX).into());
        assert_eq!(context(vec![("a", Attribute::Text(large))]), Err(ContextError::TooLarge));
        assert!(Context::new(Some(large), Some("t"), []).is_err());
        let many = vec!["i"; ATTRIBUTES_MAX + 1];
        assert_eq!(context(vec![("a", Attribute::List(many))]), Err(ContextError::TooMany));
        let twice = vec![("a", Attribute::Boolean(true)), ("a", Attribute::Boolean(false))];
        assert!(matches!(context(twice), Err(ContextError::Repeated { .. })));
        for name in ["", "tenant", "targeting_key", &large[..129]] {
            let found = context(vec![(name, Attribute::Boolean(true))]);
            assert!(matches!(found, Err(ContextError::NameInvalid { .. })), "{name}");
        }
    }
}
