//! How far the rows of a source partition are, and of which times they tell.

use exchequer_readstore::{Fault, ReadStore, Value, Write};
use exchequer_types::{PartitionId, Timestamp};

use crate::flush::put;
use crate::part::Part;
use crate::tables::{GENERATION, Kept, USAGE_CHECKPOINTS, checkpoint_key};

/// Where a meter's partition is, to be written with the rows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Checkpoint {
    pub seal: u64,
    /// Offset of the usage log up to which the rows tell.
    pub offset: u64,
    pub through: Timestamp,
    /// The meter's own.
    pub meter: bytes::Bytes,
    /// Known when the rows are: [`crate::flush`] notes it.
    pub span: Span,
    /// Rows of meters whose figures cannot be subtracted from are not yet what the log comes to
    /// at `seal`, because some tell of later ones: the next checkpoint says what they are.
    pub is_unsettled: bool,
}

/// The earliest and the latest minute, or start of a billing period, that rows of a source
/// partition tell of, whosever they are; longer windows may begin before the earliest. A query
/// looks at no other stretch of time: what lies there is ahead of the checkpoint, and in the
/// memory of a meter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    earliest: Timestamp,
    latest: Timestamp,
}

impl Checkpoint {
    /// The write of it, behind the rows of `segment`.
    pub fn put(&self, segment: &Part) -> Write {
        let values = vec![
            Value::uint(self.seal),
            Value::uint(self.offset),
            Value::Int(self.through.micros()),
            Value::Bytes(self.meter.clone()),
            Value::Int(self.span.earliest.micros()),
            Value::Int(self.span.latest.micros()),
            Value::Int(i64::from(self.is_unsettled)),
        ];
        put(&USAGE_CHECKPOINTS, checkpoint_key(segment.source()), values, segment.to())
    }
}

/// Where a partition's rows are; none before the first.
pub async fn checkpoint(
    store: &dyn ReadStore,
    source: PartitionId,
) -> Result<Option<Checkpoint>, Fault> {
    let row = store.get(&USAGE_CHECKPOINTS, GENERATION, checkpoint_key(source)).await?;
    Ok(row.map(|row| {
        let at = |index: usize| row.values.get(index);
        let time =
            |index: usize| Timestamp::saturating_from_micros(at(index).map_or(0, Value::as_int));
        Checkpoint {
            seal: at(0).map_or(0, Value::as_uint),
            offset: at(1).map_or(0, Value::as_uint),
            through: time(2),
            meter: at(3).map(Value::as_bytes).unwrap_or_default(),
            span: Span { earliest: time(4), latest: time(5) },
            is_unsettled: at(6).is_some_and(|it| it.as_int() != 0),
        }
    }))
}

/// There are none.
impl Default for Span {
    fn default() -> Self {
        Self { earliest: Timestamp::MAX, latest: Timestamp::MIN }
    }
}

impl Span {
    /// Of the windows that `segment` adds to, whatever their lengths: a window of the calendar
    /// is met by its first minute.
    pub(crate) fn of(segment: &Part) -> Self {
        let windows = segment.series().iter().flat_map(|series| &series.windows);
        let starts = windows.flat_map(|it| [it.minute, it.period.map(|period| period.start)]);
        starts
            .flatten()
            .fold(Self::default(), |span, start| span.and(Self { earliest: start, latest: start }))
    }

    pub(crate) fn and(self, other: Self) -> Self {
        let earliest = self.earliest.min(other.earliest);
        Self { earliest, latest: self.latest.max(other.latest) }
    }

    /// The part of a range of windows in which there may be some; ends at its start, or before
    /// it, where there are none.
    pub(crate) fn within(
        &self,
        kept: Kept,
        (from, to): (Timestamp, Timestamp),
    ) -> (Timestamp, Timestamp) {
        let first = kept.window(self.earliest).map_or(self.earliest, |window| window.start);
        let behind = Timestamp::saturating_from_micros(self.latest.micros().saturating_add(1));
        (from.max(first), to.min(behind))
    }
}
