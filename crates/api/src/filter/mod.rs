//! Filter expressions of List methods: a subset of AIP-160 over the fields that a
//! resource declares. What a filter means is written in
//! `docs/reference/api-conventions.md`; here it is parsed once, with every name and
//! literal resolved, and then only evaluated.

mod field;
mod parse;
#[cfg(test)]
mod tests;
mod token;

use exchequer_types::Timestamp;

pub(crate) use field::{Field, Get};

/// Of the text.
pub(crate) const FILTER_BYTES_MAX: usize = 2_000;
/// Parentheses and negations in each other.
pub(crate) const FILTER_DEPTH_MAX: usize = 16;
/// Comparisons.
pub(crate) const FILTER_TERMS_MAX: usize = 50;

/// Which resources of a list are wanted.
#[derive(Debug)]
pub(crate) struct Filter<R: 'static> {
    /// None: all.
    root: Option<Node<R>>,
}

/// Why a text is no filter: where, and what to write instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FilterError {
    /// In characters from 1.
    pub(crate) at: usize,
    pub(crate) message: String,
}

#[derive(Debug)]
enum Node<R: 'static> {
    All(Vec<Node<R>>),
    Any(Vec<Node<R>>),
    Not(Box<Node<R>>),
    /// The field is not absent.
    Has(&'static Field<R>),
    Test(&'static Field<R>, Operator, Literal),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operator {
    Equal,
    Unequal,
    Below,
    AtMost,
    Above,
    AtLeast,
    Has,
}

/// What a field is compared with, of the field's own type.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Literal {
    Text(String),
    Int(i128),
    Bool(bool),
    Time(Timestamp),
    /// The number of an enum's value.
    Name(i32),
}

impl<R> Filter<R> {
    /// Reads `text`, in which only `fields` may be named. An empty one lets all through.
    pub(crate) fn parse(text: &str, fields: &'static [Field<R>]) -> Result<Self, FilterError> {
        parse::filter(text, fields).map(|root| Self { root })
    }

    pub(crate) fn all() -> Self {
        Self { root: None }
    }

    /// Does it let all through, so that rows need not be looked at?
    pub(crate) fn is_all(&self) -> bool {
        self.root.is_none()
    }

    /// Does it let `row` through?
    pub(crate) fn holds(&self, row: &R) -> bool {
        self.root.as_ref().is_none_or(|it| it.holds(row))
    }
}

impl<R> Node<R> {
    fn holds(&self, row: &R) -> bool {
        match self {
            Self::All(parts) => parts.iter().all(|it| it.holds(row)),
            Self::Any(parts) => parts.iter().any(|it| it.holds(row)),
            Self::Not(part) => !part.holds(row),
            Self::Has(field) => field.is_given(row),
            Self::Test(field, operator, literal) => field.test(row, *operator, literal),
        }
    }
}

impl Operator {
    fn holds(self, order: core::cmp::Ordering) -> bool {
        match self {
            Self::Equal | Self::Has => order.is_eq(),
            Self::Unequal => order.is_ne(),
            Self::Below => order.is_lt(),
            Self::AtMost => order.is_le(),
            Self::Above => order.is_gt(),
            Self::AtLeast => order.is_ge(),
        }
    }
}
