//! Which events a meter counts. What is not there never matches, also not under a
//! negation, unless the filter asks whether it exists.

use core::cmp::Ordering;

use exchequer_types::Quantity;

use crate::extract::Found;
use crate::path::Path;

/// Values of one filter.
pub const FILTER_VALUES_MAX: usize = 100;

/// One condition on the data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    pub path: Path,
    pub test: Test,
}

/// What must hold of the value at the path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Test {
    /// Equal to one of these.
    In(Vec<Scalar>),
    /// There, and equal to none of these.
    NotIn(Vec<Scalar>),
    /// A number on that side of the bound.
    Less(Quantity),
    AtMost(Quantity),
    Greater(Quantity),
    AtLeast(Quantity),
    /// There, be it null.
    Exists,
    Missing,
}

/// A value to compare with. Values of two kinds are never equal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scalar {
    Text(String),
    Number(Quantity),
    Bool(bool),
}

impl Test {
    /// Does it hold of what was found?
    pub fn holds(&self, found: Option<&Found<'_>>) -> bool {
        match self {
            Self::Exists => found.is_some(),
            Self::Missing => found.is_none(),
            Self::In(values) => found.is_some_and(|found| is_one_of(found, values)),
            Self::NotIn(values) => {
                found.is_some_and(|found| is_scalar(found) && !is_one_of(found, values))
            }
            Self::Less(bound) => compared(found, *bound) == Some(Ordering::Less),
            Self::Greater(bound) => compared(found, *bound) == Some(Ordering::Greater),
            Self::AtMost(bound) => {
                matches!(compared(found, *bound), Some(Ordering::Less | Ordering::Equal))
            }
            Self::AtLeast(bound) => {
                matches!(compared(found, *bound), Some(Ordering::Greater | Ordering::Equal))
            }
        }
    }
}

fn is_scalar(found: &Found<'_>) -> bool {
    matches!(found, Found::Number(_) | Found::Text(_) | Found::Bool(_))
}

fn is_one_of(found: &Found<'_>, values: &[Scalar]) -> bool {
    values.iter().any(|value| match (value, found) {
        (Scalar::Text(value), Found::Text(found)) => value == found,
        (Scalar::Bool(value), Found::Bool(found)) => value == found,
        (Scalar::Number(value), Found::Number(found)) => Quantity::parse(found) == Ok(*value),
        _ => false,
    })
}

fn compared(found: Option<&Found<'_>>, bound: Quantity) -> Option<Ordering> {
    let Some(Found::Number(text)) = found else { return None };
    Quantity::parse(text).ok().map(|number| number.cmp(&bound))
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::*;

    fn text(value: &str) -> Found<'_> {
        Found::Text(Cow::Borrowed(value))
    }

    // REQ: USE-01
    #[test]
    fn values_are_compared_within_their_kind() {
        let five = || Scalar::Number(Quantity::whole(5));
        let test = Test::In(vec![Scalar::Text("eu".to_owned()), five(), Scalar::Bool(true)]);
        for found in [text("eu"), Found::Number("5.0"), Found::Number("0.5e1"), Found::Bool(true)] {
            assert!(test.holds(Some(&found)), "{found:?}");
        }
        for found in [text("us"), text("5"), Found::Number("6"), Found::Bool(false), Found::Null] {
            assert!(!test.holds(Some(&found)), "{found:?}");
        }
        assert!(Test::NotIn(vec![five()]).holds(Some(&Found::Number("6"))));
        assert!(!Test::NotIn(vec![five()]).holds(Some(&Found::Number("5.00"))));
    }

    // REQ: USE-01
    #[test]
    fn what_is_missing_matches_no_comparison() {
        let bound = Quantity::whole(1);
        let tests = [
            Test::In(Vec::new()),
            Test::NotIn(vec![Scalar::Bool(true)]),
            Test::Less(bound),
            Test::AtMost(bound),
            Test::Greater(bound),
            Test::AtLeast(bound),
        ];
        for test in tests {
            assert!(!test.holds(None), "{test:?}");
            assert!(!test.holds(Some(&Found::Null)), "{test:?}");
            assert!(!test.holds(Some(&Found::Compound)), "{test:?}");
        }
        assert!(Test::Exists.holds(Some(&Found::Null)) && !Test::Exists.holds(None));
        assert!(Test::Missing.holds(None) && !Test::Missing.holds(Some(&Found::Null)));
    }

    // REQ: USE-01
    #[test]
    fn bounds_hold_on_their_side() {
        let one = Quantity::whole(1);
        let holds =
            |test: &Test| ["0.9", "1", "1.1"].map(|it| test.holds(Some(&Found::Number(it))));
        assert_eq!(holds(&Test::Less(one)), [true, false, false]);
        assert_eq!(holds(&Test::AtMost(one)), [true, true, false]);
        assert_eq!(holds(&Test::Greater(one)), [false, false, true]);
        assert_eq!(holds(&Test::AtLeast(one)), [false, true, true]);
        assert!(!Test::Less(one).holds(Some(&text("0"))));
    }
}
