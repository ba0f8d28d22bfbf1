//! Where in an event's data a value stands: the part of JSONPath (RFC 9535) that
//! names one value, as `$.request.tokens`, `$['user id']` or `$.items[0].size`.

use core::fmt;

/// The longest path.
pub const PATH_CHARS_MAX: usize = 256;
/// Steps of the longest path.
pub const STEPS_MAX: usize = 16;

/// One step down.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    Member(String),
    Item(usize),
}

/// A path that has been checked. It has at least one step. Two are equal when they name the
/// same value, however they are written.
#[derive(Clone, Debug)]
pub struct Path {
    steps: Vec<Step>,
    /// As it was written.
    text: String,
}

/// Why a path was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathError {
    /// Does not begin with `$`.
    NoRoot,
    /// Names the whole data.
    Empty,
    TooLong,
    /// At this byte stands what is no step.
    Malformed {
        at: usize,
    },
}

impl fmt::Display for PathError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoRoot => f.write_str("must begin with $, as in $.tokens"),
            Self::Empty => f.write_str("must name a member of the data, as in $.tokens"),
            Self::TooLong => {
                write!(f, "must have at most {PATH_CHARS_MAX} characters and {STEPS_MAX} steps")
            }
            Self::Malformed { at } => {
                write!(f, "must go on with .name, ['name'] or [0] at character {}", at + 1)
            }
        }
    }
}

impl core::error::Error for PathError {}

impl Path {
    pub fn parse(text: &str) -> Result<Self, PathError> {
        if text.len() > PATH_CHARS_MAX {
            return Err(PathError::TooLong);
        }
        let rest = text.strip_prefix('$').ok_or(PathError::NoRoot)?;
        let mut steps = Vec::new();
        let mut rest = rest;
        while !rest.is_empty() {
            let malformed = PathError::Malformed { at: text.len() - rest.len() };
            let (step, behind) = parse_step(rest).ok_or(malformed)?;
            steps.push(step);
            rest = behind;
        }
        match steps.len() {
            0 => Err(PathError::Empty),
            1..=STEPS_MAX => Ok(Self { steps, text: text.to_owned() }),
            _ => Err(PathError::TooLong),
        }
    }

    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl PartialEq for Path {
    fn eq(&self, other: &Self) -> bool {
        self.steps == other.steps
    }
}

impl Eq for Path {}

fn parse_step(text: &str) -> Option<(Step, &str)> {
    if let Some(name) = text.strip_prefix('.') {
        let is_part = |it: char| it == '_' || it == '-' || it.is_alphanumeric();
        let end = name.find(|it| !is_part(it)).unwrap_or(name.len());
        let (name, rest) = name.split_at(end);
        return (!name.is_empty()).then(|| (Step::Member(name.to_owned()), rest));
    }
    let inside = text.strip_prefix('[')?;
    for quote in ['\'', '"'] {
        if let Some(name) = inside.strip_prefix(quote) {
            let (name, rest) = name.split_once(quote)?;
            let is_plain = !name.contains('\\') && !name.chars().any(char::is_control);
            let step = Step::Member(name.to_owned());
            return is_plain.then_some((step, rest.strip_prefix(']')?));
        }
    }
    let (digits, rest) = inside.split_once(']')?;
    let is_index = !digits.is_empty()
        && digits.len() <= 6
        && digits.bytes().all(|it| it.is_ascii_digit())
        && (digits == "0" || !digits.starts_with('0'));
    is_index.then_some(())?;
    Some((Step::Item(digits.parse().ok()?), rest))
}

/// As it was written.
impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // REQ: USE-01
    #[test]
    fn paths_name_one_value() {
        let member = |name: &str| Step::Member(name.to_owned());
        for (text, steps) in [
            ("$.tokens", vec![member("tokens")]),
            ("$.request.tokens-in", vec![member("request"), member("tokens-in")]),
            ("$['user id'][0].größe", vec![member("user id"), Step::Item(0), member("größe")]),
            ("$[\"it's\"]", vec![member("it's")]),
            ("$['']", vec![member("")]),
        ] {
            let path = Path::parse(text).unwrap();
            assert_eq!(path.steps(), steps, "{text}");
            assert_eq!(path.to_string(), text);
        }
    }

    // REQ: USE-01
    #[test]
    fn paths_are_equal_when_they_name_the_same_value() {
        let (plain, quoted) = (Path::parse("$.tokens"), Path::parse("$['tokens']"));
        assert_eq!(plain, quoted);
        assert_ne!(plain, Path::parse("$.Tokens"));
        assert_eq!(quoted.unwrap().to_string(), "$['tokens']");
    }

    // REQ: USE-01
    #[test]
    fn what_could_name_several_or_none_is_refused() {
        for (text, error) in [
            ("tokens", PathError::NoRoot),
            ("", PathError::NoRoot),
            ("$", PathError::Empty),
            ("$tokens", PathError::Malformed { at: 1 }),
            ("$.", PathError::Malformed { at: 1 }),
            ("$..a", PathError::Malformed { at: 1 }),
            ("$.a.*", PathError::Malformed { at: 3 }),
            ("$.a[*]", PathError::Malformed { at: 3 }),
            ("$.a[-1]", PathError::Malformed { at: 3 }),
            ("$.a[01]", PathError::Malformed { at: 3 }),
            ("$.a[0", PathError::Malformed { at: 3 }),
            ("$['a", PathError::Malformed { at: 1 }),
            ("$['a\\n']", PathError::Malformed { at: 1 }),
            ("$.a[?(@.b)]", PathError::Malformed { at: 3 }),
        ] {
            assert_eq!(Path::parse(text), Err(error), "{text}");
        }
        assert_eq!(Path::parse(&format!("$.{}", "a".repeat(300))), Err(PathError::TooLong));
        assert_eq!(Path::parse(&format!("${}", ".a".repeat(17))), Err(PathError::TooLong));
    }
}
