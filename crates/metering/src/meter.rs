//! What a meter is: which events it counts, what of them, and by what it groups.

use core::fmt;

use exchequer_types::Slug;

use crate::filter::{FILTER_VALUES_MAX, Filter, Scalar, Test};
use crate::path::Path;

pub const GROUP_BYS_MAX: usize = 8;
pub const FILTERS_MAX: usize = 16;
pub const EVENT_TYPE_CHARS_MAX: usize = 255;
pub const UNIT_CHARS_MAX: usize = 32;
/// Groups of one window that are told apart at most, whatever the meter says.
pub const GROUPS_MAX: u32 = 100_000;
pub const GROUPS_DEFAULT: u32 = 10_000;

/// What becomes of the values of a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Aggregation {
    /// Number of events. Takes no value.
    Count,
    Sum,
    Min,
    Max,
    /// Of all events, each counting once.
    Average,
    /// Of the latest event, by event time, then by place in the log.
    Last,
    /// How many different values. Of texts, numbers and truths.
    UniqueCount,
}

impl Aggregation {
    /// Can what one event added be taken away again without the others?
    pub fn can_subtract(self) -> bool {
        matches!(self, Self::Count | Self::Sum | Self::Average)
    }
}

/// A version of a meter. It is never changed: another version takes its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Meter {
    pub key: Slug,
    /// From 1.
    pub version: u32,
    /// CloudEvents `type` of the events that it counts.
    pub event_type: String,
    pub aggregation: Aggregation,
    /// Where the value stands; none for `Count`.
    pub value: Option<Path>,
    /// In the order of their names.
    pub group_by: Vec<GroupBy>,
    /// All must hold.
    pub filters: Vec<Filter>,
    /// For people: `tokens`, `GB`.
    pub unit: String,
    /// Groups that are told apart in one window and partition; further ones are counted
    /// together, see [`OVERFLOW`](crate::OVERFLOW).
    pub groups_max: u32,
}

/// A value by which use is told apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupBy {
    pub name: Slug,
    pub path: Path,
}

/// What is wrong with a meter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// As `filters[2].values`.
    pub field: String,
    pub message: String,
}

impl Aggregation {
    pub const ALL: [Self; 7] = [
        Self::Count,
        Self::Sum,
        Self::Min,
        Self::Max,
        Self::Average,
        Self::Last,
        Self::UniqueCount,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Count => "count",
            Self::Sum => "sum",
            Self::Min => "min",
            Self::Max => "max",
            Self::Average => "average",
            Self::Last => "last",
            Self::UniqueCount => "unique_count",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.as_str() == text)
    }

    /// Must the value be a number?
    pub fn is_numeric(self) -> bool {
        !matches!(self, Self::Count | Self::UniqueCount)
    }
}

impl fmt::Display for Aggregation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Meter {
    /// All that is wrong with it, in the order of its fields; nothing when it may be used.
    pub fn check(&self) -> Vec<Violation> {
        let mut found = Vec::new();
        let mut refuse = |field: &str, message: String| {
            found.push(Violation { field: field.to_owned(), message });
        };
        check_text(&self.event_type, EVENT_TYPE_CHARS_MAX)
            .unwrap_or_else(|it| refuse("event_type", it));
        match (self.aggregation, &self.value) {
            (Aggregation::Count, Some(_)) => {
                refuse("value", "must be absent: count counts events, not their values".to_owned());
            }
            (Aggregation::Count, None) | (_, Some(_)) => {}
            (aggregation, None) => {
                refuse(
                    "value",
                    format!("must say where the value of {aggregation} stands, as $.tokens"),
                );
            }
        }
        if self.group_by.len() > GROUP_BYS_MAX {
            refuse("group_by", format!("must have at most {GROUP_BYS_MAX} members"));
        }
        for (index, pair) in self.group_by.windows(2).enumerate() {
            if pair[0].name >= pair[1].name {
                let field = format!("group_by[{}].name", index + 1);
                refuse(&field, format!("must stand once, {} does not", pair[1].name));
            }
        }
        if self.filters.len() > FILTERS_MAX {
            refuse("filters", format!("must have at most {FILTERS_MAX} members"));
        }
        for (index, filter) in self.filters.iter().enumerate() {
            if let Test::In(values) | Test::NotIn(values) = &filter.test
                && let Err(message) = check_values(values)
            {
                refuse(&format!("filters[{index}].values"), message);
            }
        }
        check_text(&self.unit, UNIT_CHARS_MAX).unwrap_or_else(|it| refuse("unit", it));
        if !(1..=GROUPS_MAX).contains(&self.groups_max) {
            refuse("groups_max", format!("must be 1 to {GROUPS_MAX}"));
        }
        found
    }
}

fn check_text(text: &str, chars_max: usize) -> Result<(), String> {
    let is_fine = !text.trim().is_empty()
        && text.trim() == text
        && text.chars().count() <= chars_max
        && !text.chars().any(char::is_control);
    if is_fine {
        Ok(())
    } else {
        Err(format!(
            "must have 1 to {chars_max} characters, none of them a control character, and no space at either end"
        ))
    }
}

fn check_values(values: &[Scalar]) -> Result<(), String> {
    if !(1..=FILTER_VALUES_MAX).contains(&values.len()) {
        return Err(format!("must have 1 to {FILTER_VALUES_MAX} members"));
    }
    Ok(())
}
