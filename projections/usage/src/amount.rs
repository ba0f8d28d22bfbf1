//! What a cell holds: the part of a window's figure that one source partition
//! contributes. Amounts are put together in any order and any portions, and those of
//! counts, sums and averages can be taken back, so they have a sign.

use std::collections::BTreeSet;

use exchequer_metering::{Aggregation, Bucket, Latest, Place, Value};
use exchequer_types::{Quantity, Timestamp};

use crate::bytes::{Damaged, Reader, Writer};

/// What a whole number is, in units of a quantity.
const UNIT: i128 = Quantity::ONE.units();
/// Bytes of a member of a unique count.
pub(crate) const MEMBER_BYTES: usize = 16;

/// A value that is counted once.
pub type Member = [u8; MEMBER_BYTES];

/// A part of a window's figure, of one source partition or of several.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Amount {
    Count(i64),
    /// In units of 10^-12. One that left the range of a quantity stays at its end.
    Sum(i128),
    Min(Option<i128>),
    Max(Option<i128>),
    Average {
        sum: i128,
        count: i64,
    },
    Last(Option<Box<Latest>>),
    Unique(Members),
}

/// The members of a unique count that are at hand.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Members {
    pub(crate) held: BTreeSet<Member>,
    /// Further ones stand in rows of their own.
    pub(crate) spilled: bool,
}

impl Amount {
    /// Of no event.
    pub fn empty(aggregation: Aggregation) -> Self {
        match aggregation {
            Aggregation::Count => Self::Count(0),
            Aggregation::Sum => Self::Sum(0),
            Aggregation::Min => Self::Min(None),
            Aggregation::Max => Self::Max(None),
            Aggregation::Average => Self::Average { sum: 0, count: 0 },
            Aggregation::Last => Self::Last(None),
            Aggregation::UniqueCount => Self::Unique(Members::default()),
        }
    }

    pub fn aggregation(&self) -> Aggregation {
        match self {
            Self::Count(_) => Aggregation::Count,
            Self::Sum(_) => Aggregation::Sum,
            Self::Min(_) => Aggregation::Min,
            Self::Max(_) => Aggregation::Max,
            Self::Average { .. } => Aggregation::Average,
            Self::Last(_) => Aggregation::Last,
            Self::Unique(_) => Aggregation::UniqueCount,
        }
    }

    /// Adds one event, or takes it back: then minima, maxima, latest and unique values
    /// stay as they are, and are recounted.
    pub(crate) fn count_in(&mut self, value: Value, time: Timestamp, place: Place, back: bool) {
        let sign = |units: i128| if back { -units } else { units };
        let one = if back { -1 } else { 1 };
        match (self, value) {
            (Self::Count(count), _) => *count = count.saturating_add(one),
            (Self::Sum(sum), Value::Number(value)) => *sum = plus(*sum, sign(value.units())),
            (Self::Average { sum, count }, Value::Number(value)) => {
                *sum = plus(*sum, sign(value.units()));
                *count = count.saturating_add(one);
            }
            (Self::Min(least), Value::Number(value)) if !back => {
                let value = value.units();
                *least = Some(least.map_or(value, |it| it.min(value)));
            }
            (Self::Max(most), Value::Number(value)) if !back => {
                let value = value.units();
                *most = Some(most.map_or(value, |it| it.max(value)));
            }
            (Self::Last(latest), Value::Number(value)) if !back => match latest {
                Some(known) if (known.time, known.place) >= (time, place) => {}
                Some(known) => **known = Latest { time, place, value },
                None => *latest = Some(Box::new(Latest { time, place, value })),
            },
            (Self::Unique(members), Value::Member(member)) if !back => {
                members.held.insert(member);
            }
            // Taken back, or of another kind, which the judge has ruled out.
            (_, _) => {}
        }
    }

    /// Both parts together. Those of two aggregations do not belong together: this one
    /// stays as it is.
    pub fn merge(&mut self, other: &Self) {
        match (self, other) {
            (Self::Count(count), Self::Count(more)) => *count = count.saturating_add(*more),
            (Self::Sum(sum), Self::Sum(more)) => *sum = plus(*sum, *more),
            (Self::Min(least), Self::Min(other)) => {
                *least = least.iter().chain(other).copied().min();
            }
            (Self::Max(most), Self::Max(other)) => *most = (*most).max(*other),
            (Self::Average { sum, count }, Self::Average { sum: more, count: events }) => {
                *sum = plus(*sum, *more);
                *count = count.saturating_add(*events);
            }
            (Self::Last(latest), Self::Last(Some(other))) => match latest {
                Some(known) if (known.time, known.place) >= (other.time, other.place) => {}
                _ => *latest = Some(other.clone()),
            },
            (Self::Unique(members), Self::Unique(more)) => {
                members.held.extend(more.held.iter().copied());
                members.spilled |= more.spilled;
            }
            (_, _) => {}
        }
    }

    /// The figure; none where no event has a value.
    pub fn figure(&self) -> Option<Quantity> {
        match self {
            Self::Count(count) => Some(Quantity::whole(u64::try_from(*count).unwrap_or(0))),
            Self::Sum(sum) => Some(Quantity::from_units(*sum)),
            Self::Min(value) | Self::Max(value) => value.map(Quantity::from_units),
            Self::Average { sum, count } => {
                let count = u64::try_from(*count).unwrap_or(0);
                Quantity::from_units(*sum).mean(count)
            }
            Self::Last(latest) => latest.as_ref().map(|it| it.value),
            Self::Unique(members) => {
                Some(Quantity::whole(u64::try_from(members.held.len()).unwrap_or(u64::MAX)))
            }
        }
    }

    /// Has nothing come of it, or has all of it been taken back?
    pub fn is_empty(&self) -> bool {
        match self {
            Self::Count(count) | Self::Average { count, .. } => *count == 0,
            // A sum may be of values that come to nothing.
            Self::Sum(_) => false,
            Self::Min(value) | Self::Max(value) => value.is_none(),
            Self::Last(latest) => latest.is_none(),
            Self::Unique(members) => members.held.is_empty(),
        }
    }

    /// As the offline verifier computes it.
    pub fn to_bucket(&self) -> Bucket {
        let quantity = Quantity::from_units;
        let natural = |count: i64| u64::try_from(count).unwrap_or(0);
        match self {
            Self::Count(count) => Bucket::Count(natural(*count)),
            Self::Sum(sum) => Bucket::Sum(quantity(*sum)),
            Self::Min(value) => Bucket::Min(value.map(quantity)),
            Self::Max(value) => Bucket::Max(value.map(quantity)),
            Self::Average { sum, count } => {
                Bucket::Average { sum: quantity(*sum), count: natural(*count) }
            }
            Self::Last(latest) => Bucket::Last(latest.as_deref().copied()),
            Self::Unique(members) => Bucket::Unique(members.held.clone()),
        }
    }

    /// Bytes behind it, besides its own.
    pub(crate) fn heap_bytes(&self) -> usize {
        match self {
            Self::Last(Some(_)) => size_of::<Latest>(),
            Self::Unique(members) => members.held.len() * MEMBER_BYTES * 2,
            _ => 0,
        }
    }

    pub(crate) fn write(&self, out: &mut Writer) {
        match self {
            Self::Count(count) => out.int(*count),
            Self::Sum(sum) => units(out, *sum),
            Self::Min(value) | Self::Max(value) => optional(out, *value),
            Self::Average { sum, count } => {
                units(out, *sum);
                out.int(*count);
            }
            Self::Last(None) => out.uint(0),
            Self::Last(Some(latest)) => {
                out.uint(1);
                out.int(latest.time.micros());
                let (partition, offset, index) = latest.place;
                out.uint(u64::from(partition));
                out.uint(offset);
                out.uint(u64::from(index));
                units(out, latest.value.units());
            }
            Self::Unique(members) => {
                let count = u64::try_from(members.held.len()).unwrap_or(u64::MAX);
                out.uint((count << 1) | u64::from(members.spilled));
                for member in &members.held {
                    out.raw(member);
                }
            }
        }
    }

    pub(crate) fn read(aggregation: Aggregation, input: &mut Reader<'_>) -> Result<Self, Damaged> {
        Ok(match aggregation {
            Aggregation::Count => Self::Count(input.int()?),
            Aggregation::Sum => Self::Sum(read_units(input)?),
            Aggregation::Min => Self::Min(read_optional(input)?),
            Aggregation::Max => Self::Max(read_optional(input)?),
            Aggregation::Average => Self::Average { sum: read_units(input)?, count: input.int()? },
            Aggregation::Last => match input.uint()? {
                0 => Self::Last(None),
                _ => Self::Last(Some(Box::new(Latest {
                    time: Timestamp::saturating_from_micros(input.int()?),
                    place: (input.uint32()?, input.uint()?, input.uint32()?),
                    value: Quantity::from_units(read_units(input)?),
                }))),
            },
            Aggregation::UniqueCount => {
                let counted = input.uint()?;
                let count = input.bounded(counted >> 1, MEMBER_BYTES)?;
                let held = (0..count).map(|_| input.array()).collect::<Result<_, _>>()?;
                Self::Unique(Members { held, spilled: counted & 1 == 1 })
            }
        })
    }
}

/// The sum. One that left the range stays where it left it, so that it is seen.
fn plus(sum: i128, more: i128) -> i128 {
    match sum {
        i128::MAX => sum,
        sum if sum == -i128::MAX => sum,
        sum => sum.saturating_add(more).max(-i128::MAX),
    }
}

/// Whole numbers, which most are, are short.
fn units(out: &mut Writer, value: i128) {
    if value % UNIT == 0 {
        out.wide(value / UNIT);
        return;
    }
    out.odd_wide(value);
}

fn read_units(input: &mut Reader<'_>) -> Result<i128, Damaged> {
    match input.wide()? {
        (value, true) => Ok(value),
        (value, false) => value.checked_mul(UNIT).ok_or(Damaged),
    }
}

fn optional(out: &mut Writer, value: Option<i128>) {
    out.uint(u64::from(value.is_some()));
    if let Some(value) = value {
        units(out, value);
    }
}

fn read_optional(input: &mut Reader<'_>) -> Result<Option<i128>, Damaged> {
    match input.uint()? {
        0 => Ok(None),
        _ => read_units(input).map(Some),
    }
}
