//! The fields that filters may name: how each is read of a resource, and compared. An
//! absent value satisfies no comparison, `!=` neither.

use exchequer_types::Timestamp;

use super::{Literal, Operator};

/// Numbers of an enum that are looked at; ours have fewer values.
const ENUM_VALUES_MAX: i32 = 64;

/// A field by its path in the resource, such as `resource.type`.
#[derive(Debug)]
pub(crate) struct Field<R> {
    pub(crate) path: &'static str,
    pub(crate) get: Get<R>,
}

/// How a field's value is read of a resource, by its type.
#[derive(Debug)]
pub(crate) enum Get<R> {
    /// Empty: absent.
    Text(fn(&R) -> &str),
    Texts(fn(&R) -> &[String]),
    Int(fn(&R) -> Option<i128>),
    Bool(fn(&R) -> bool),
    Time(fn(&R) -> Option<prost_types::Timestamp>),
    /// The number of an enum's value, 0 when absent; how a number is called; and what
    /// all names begin with, which filters leave out.
    Name {
        of: fn(&R) -> i32,
        name: fn(i32) -> Option<&'static str>,
        prefix: &'static str,
    },
}

impl<R> Field<R> {
    pub(super) fn is_given(&self, row: &R) -> bool {
        match self.get {
            Get::Text(get) => !get(row).is_empty(),
            Get::Texts(get) => !get(row).is_empty(),
            Get::Int(get) => get(row).is_some(),
            Get::Bool(_) => true,
            Get::Time(get) => get(row).is_some(),
            Get::Name { of, .. } => of(row) != 0,
        }
    }

    /// `literal` is of the field's type, and `operator` goes with it.
    pub(super) fn test(&self, row: &R, operator: Operator, literal: &Literal) -> bool {
        match (&self.get, literal) {
            (Get::Text(get), Literal::Text(wanted)) => {
                let found = get(row);
                match operator {
                    Operator::Has => found.contains(wanted.as_str()),
                    _ => !found.is_empty() && operator.holds(found.cmp(wanted.as_str())),
                }
            }
            (Get::Texts(get), Literal::Text(wanted)) => get(row).iter().any(|it| it == wanted),
            (Get::Int(get), Literal::Int(wanted)) => {
                get(row).is_some_and(|found| operator.holds(found.cmp(wanted)))
            }
            (Get::Bool(get), Literal::Bool(wanted)) => operator.holds(get(row).cmp(wanted)),
            (Get::Time(get), Literal::Time(wanted)) => {
                let found = get(row).and_then(|it| instant(&it));
                found.is_some_and(|found| operator.holds(found.cmp(wanted)))
            }
            (Get::Name { of, .. }, Literal::Name(wanted)) => {
                let found = of(row);
                found != 0 && operator.holds(found.cmp(wanted))
            }
            _ => false,
        }
    }

    /// May the operator stand between the field and a value?
    pub(super) fn takes(&self, operator: Operator) -> bool {
        use Operator as O;
        match self.get {
            Get::Text(_) => true,
            Get::Texts(_) => operator == O::Has,
            Get::Int(_) | Get::Time(_) => operator != O::Has,
            Get::Bool(_) | Get::Name { .. } => matches!(operator, O::Equal | O::Unequal),
        }
    }

    /// The operators that go with the field, for people.
    pub(super) fn operators(&self) -> &'static str {
        match self.get {
            Get::Text(_) => "=, !=, <, <=, >, >= and :",
            Get::Texts(_) => ":, which means that the list has this item",
            Get::Int(_) | Get::Time(_) => "=, !=, <, <=, > and >=",
            Get::Bool(_) | Get::Name { .. } => "= and !=",
        }
    }

    /// The text as a value of the field's type, or what it must be.
    pub(super) fn literal(&self, text: &str) -> Result<Literal, String> {
        match self.get {
            Get::Text(_) | Get::Texts(_) => Ok(Literal::Text(text.to_owned())),
            Get::Int(_) => {
                text.parse().map(Literal::Int).map_err(|_| "must be a whole number".to_owned())
            }
            Get::Bool(_) => match text {
                "true" => Ok(Literal::Bool(true)),
                "false" => Ok(Literal::Bool(false)),
                _ => Err("must be true or false".to_owned()),
            },
            Get::Time(_) => Timestamp::parse(text).map(Literal::Time).map_err(|_| {
                "must be a time of RFC 3339 in quotes, such as \"2026-01-31T10:00:00Z\"".to_owned()
            }),
            Get::Name { name, prefix, .. } => {
                let short = |number| name(number).map(|it| it.strip_prefix(prefix).unwrap_or(it));
                let all = (1..ENUM_VALUES_MAX).filter_map(|it| Some((it, short(it)?)));
                let text = text.strip_prefix(prefix).unwrap_or(text);
                if let Some((number, _)) = all.clone().find(|(_, name)| *name == text) {
                    return Ok(Literal::Name(number));
                }
                let names: Vec<&str> = all.map(|(_, name)| name).collect();
                Err(format!("must be one of {}", names.join(", ")))
            }
        }
    }
}

fn instant(at: &prost_types::Timestamp) -> Option<Timestamp> {
    let micros = at.seconds.checked_mul(1_000_000)?.checked_add(i64::from(at.nanos / 1_000))?;
    Timestamp::from_micros(micros).ok()
}
