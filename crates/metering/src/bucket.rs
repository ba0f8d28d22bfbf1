//! What a meter comes to in one window, for one group: parts of it can be put
//! together in any order and any portions, and give the same.

use std::collections::BTreeSet;

use exchequer_types::{Quantity, QuantityError, Timestamp};

use crate::measure::Value;
use crate::meter::Aggregation;

/// Where an event stands among all that a meter has seen at one instant: partition,
/// offset, index in its record.
pub type Place = (u32, u64, u32);

/// A part of a window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Bucket {
    Count(u64),
    Sum(Quantity),
    Min(Option<Quantity>),
    Max(Option<Quantity>),
    Average { sum: Quantity, count: u64 },
    Last(Option<Latest>),
    Unique(BTreeSet<[u8; 16]>),
}

/// The latest event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Latest {
    pub time: Timestamp,
    pub place: Place,
    pub value: Quantity,
}

/// Two parts do not belong together, or the sum does not fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BucketError {
    /// Of two aggregations, or a value of another kind: a bug of the caller.
    Mixed,
    Quantity(QuantityError),
}

impl From<QuantityError> for BucketError {
    fn from(error: QuantityError) -> Self {
        Self::Quantity(error)
    }
}

impl core::fmt::Display for BucketError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Mixed => f.write_str("parts of two aggregations cannot be put together"),
            Self::Quantity(error) => write!(f, "the figure of the window {error}"),
        }
    }
}

impl core::error::Error for BucketError {}

impl Bucket {
    /// Of no event.
    pub fn empty(aggregation: Aggregation) -> Self {
        match aggregation {
            Aggregation::Count => Self::Count(0),
            Aggregation::Sum => Self::Sum(Quantity::ZERO),
            Aggregation::Min => Self::Min(None),
            Aggregation::Max => Self::Max(None),
            Aggregation::Average => Self::Average { sum: Quantity::ZERO, count: 0 },
            Aggregation::Last => Self::Last(None),
            Aggregation::UniqueCount => Self::Unique(BTreeSet::new()),
        }
    }

    /// Of one event.
    pub fn of(
        aggregation: Aggregation,
        value: Value,
        time: Timestamp,
        place: Place,
    ) -> Result<Self, BucketError> {
        Ok(match (aggregation, value) {
            (Aggregation::Count, _) => Self::Count(1),
            (Aggregation::UniqueCount, Value::Member(member)) => Self::Unique([member].into()),
            (Aggregation::Sum, Value::Number(value)) => Self::Sum(value),
            (Aggregation::Min, Value::Number(value)) => Self::Min(Some(value)),
            (Aggregation::Max, Value::Number(value)) => Self::Max(Some(value)),
            (Aggregation::Average, Value::Number(value)) => Self::Average { sum: value, count: 1 },
            (Aggregation::Last, Value::Number(value)) => {
                Self::Last(Some(Latest { time, place, value }))
            }
            (_, _) => return Err(BucketError::Mixed),
        })
    }

    /// Both parts together. On an error this one is as it was.
    pub fn add(&mut self, other: Self) -> Result<(), BucketError> {
        match (self, other) {
            (Self::Count(sum), Self::Count(more)) => {
                *sum = sum.checked_add(more).ok_or(QuantityError::Overflow)?;
            }
            (Self::Sum(sum), Self::Sum(more)) => *sum = sum.checked_add(more)?,
            (Self::Min(least), Self::Min(other)) => {
                *least = (*least).into_iter().chain(other).min();
            }
            (Self::Max(most), Self::Max(other)) => *most = (*most).max(other),
            (Self::Average { sum, count }, Self::Average { sum: more_sum, count: more_count }) => {
                let count_after = count.checked_add(more_count).ok_or(QuantityError::Overflow)?;
                *sum = sum.checked_add(more_sum)?;
                *count = count_after;
            }
            (Self::Last(latest), Self::Last(other)) => {
                let later = |it: &Latest| (it.time, it.place);
                *latest = (*latest).into_iter().chain(other).max_by_key(later);
            }
            (Self::Unique(members), Self::Unique(more)) => members.extend(more),
            (_, _) => return Err(BucketError::Mixed),
        }
        Ok(())
    }

    /// The figure; none where no event has a value. An average is rounded half away
    /// from zero to its last digit, here and only here.
    pub fn figure(&self) -> Option<Quantity> {
        match self {
            Self::Count(count) => Some(Quantity::whole(*count)),
            Self::Sum(sum) => Some(*sum),
            Self::Min(value) | Self::Max(value) => *value,
            Self::Average { sum, count } => sum.mean(*count),
            Self::Last(latest) => latest.map(|it| it.value),
            Self::Unique(members) => {
                Some(Quantity::whole(u64::try_from(members.len()).unwrap_or(u64::MAX)))
            }
        }
    }
}
