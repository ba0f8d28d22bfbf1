//! Figures of a meter: by window, by group or by subject, over a range. Merges what the
//! rows of all source partitions hold with what is in memory, and says how far that is.

use core::time::Duration;
use std::sync::{Mutex, MutexGuard, PoisonError};

use exchequer_metering::{Aggregation, Grain, OVERFLOW};
use exchequer_readstore::{Fault, ReadStore};
use exchequer_types::{Offset, PartitionId, Period, Quantity, TenantId, Timestamp};
use futures::future::BoxFuture;
use futures::{FutureExt as _, StreamExt as _, stream};

use crate::bytes::Damaged;
use crate::gather::{Gathered, Grouping};
use crate::live::{LiveUsage, Position};
use crate::scan;
use crate::tables::Kept;

/// Windows of one answer.
pub const WINDOWS_MAX: usize = 50_000;
/// Figures of one answer: windows times groups, where there is one.
pub const FIGURES_MAX: usize = 50_000;
/// Cells that one query merges, and members of unique counts.
pub const CELLS_READ_MAX: usize = 2_000_000;
/// Rows that one query reads.
pub const ROWS_READ_MAX: usize = 500_000;
/// Groups or subjects that are told apart, the largest ones.
pub const TOP_MAX: usize = 1_000;
/// Source partitions that are asked together.
const SOURCES_AT_ONCE_MAX: usize = 4;
/// A query is tried anew when a meter writes meanwhile.
const TRIES_MAX: usize = 8;

/// Into which windows the range is divided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    Of(Kept),
    /// Not at all.
    Whole,
}

/// What is asked for.
#[derive(Clone, Debug)]
pub struct Query<'a> {
    pub tenant: &'a TenantId,
    pub meter: &'a str,
    /// One version alone. When absent, each window is told by the latest version that has
    /// counted in it.
    pub version: Option<u32>,
    /// Start and end of the range. Of billing periods: those that begin in it.
    pub from: Timestamp,
    pub to: Timestamp,
    pub step: Step,
    /// Of this subject alone.
    pub subject: Option<&'a str>,
    /// A figure for each subject.
    pub by_subject: bool,
    /// A figure for each combination of values of these group-bys of the meter.
    pub group_by: Vec<String>,
    /// Only groups that have one of these values. By name of the group-by.
    pub filters: Vec<(String, Vec<String>)>,
    /// Groups that are told apart: the largest over the range. The others are together.
    pub top: usize,
    /// How long windows wait for late events.
    pub lateness: Duration,
    /// Records below these have to be in the figures: a meter that has just begun anew knows
    /// of less than it did before.
    pub seen: &'a [(PartitionId, Offset)],
}

impl Query<'_> {
    /// Is in the figures of `partition` at `position` what has been seen of it?
    pub(crate) fn has_seen(&self, partition: PartitionId, position: &Position) -> bool {
        self.seen.iter().all(|(of, offset)| *of != partition || position.offset >= *offset)
    }
}

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// None when nothing was counted.
    pub aggregation: Option<Aggregation>,
    /// Ascending; those without any event are left out.
    pub windows: Vec<Figures>,
    /// Of all source partitions, in their order.
    pub positions: Vec<Position>,
    /// Everything received before it is in the figures.
    pub through: Timestamp,
}

/// Figures of one window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Figures {
    pub window: Period,
    /// Of the meter, by which it is told; the latest one where the range is not divided.
    pub version: u32,
    /// Events may still be counted here that are not late.
    pub open: bool,
    /// The largest first; that of all others last.
    pub groups: Vec<Figure>,
}

/// One figure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Figure {
    /// Of the group-bys that were asked for, or the subject.
    pub values: Vec<String>,
    /// None where no event has a value.
    pub figure: Option<Quantity>,
}

/// A query has no answer.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    /// Field `from` or `to`.
    #[error("{field} must be the start of {grain}")]
    NotAligned { field: &'static str, grain: &'static str },
    #[error("the range must end behind its start")]
    Empty,
    #[error("the range must have at most {max} windows, it has more: take a coarser grain")]
    TooManyWindows { max: usize },
    #[error(
        "the answer would be made of more than {max} {what}: narrow the range, or take a coarser grain"
    )]
    TooLarge { what: &'static str, max: usize },
    #[error("subjects and groups cannot be told apart at once: ask for one of them")]
    SubjectGroups,
    #[error("{name} is not a group-by of the meter: it has {}", known.join(", "))]
    UnknownGroup { name: String, known: Vec<String> },
    #[error("versions of the meter aggregate differently: name one of {versions:?}")]
    Mixed { versions: Vec<u32> },
    /// Its meter writes all the time, or has not begun again yet. May be tried again.
    #[error("source partition {partition} is being written")]
    Moving { partition: PartitionId },
    #[error(transparent)]
    Store(#[from] Fault),
    #[error("{0}: delete the views, they are rebuilt")]
    Damaged(#[from] Damaged),
}

/// A range of windows of one length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Piece {
    pub(crate) kept: Kept,
    pub(crate) from: Timestamp,
    pub(crate) to: Timestamp,
}

/// Answers `query` from the rows of `store` and what `live` has above them.
pub async fn query(
    store: &dyn ReadStore,
    live: &LiveUsage,
    query: &Query<'_>,
) -> Result<Answer, QueryError> {
    Asking::new(store, live, query)?.answer().await
}

/// A question that is asked again while meters write: of each source partition, what was
/// found is kept, so that all of them need not be at rest at once.
#[derive(Debug)]
pub struct Asking<'a> {
    store: &'a dyn ReadStore,
    live: &'a LiveUsage,
    query: &'a Query<'a>,
    pieces: Vec<Piece>,
    found: Mutex<Found>,
}

#[derive(Debug)]
struct Found {
    all: Gathered,
    /// Of each source partition; none where it has moved until now.
    positions: Vec<Option<Position>>,
}

impl<'a> Asking<'a> {
    /// Refuses what cannot be asked.
    pub fn new(
        store: &'a dyn ReadStore,
        live: &'a LiveUsage,
        query: &'a Query<'a>,
    ) -> Result<Self, QueryError> {
        check(query)?;
        let positions = (0..live.partitions()).map(|_| None).collect();
        let found = Mutex::new(Found { all: Gathered::new(query.step), positions });
        Ok(Self { store, live, query, pieces: pieces(query), found })
    }

    /// The answer, once each source partition has been at rest; [`QueryError::Moving`] names
    /// one that has not: ask again. Any other error is the end.
    pub async fn answer(&self) -> Result<Answer, QueryError> {
        let grouping = Grouping::new(self.query);
        let of = |partition| self.source(&grouping, partition).boxed();
        let sources: Vec<BoxFuture<'_, Result<_, QueryError>>> =
            self.found().open().map(of).collect();
        // In the process nothing is waited for, and each would only be held.
        let at_once = if self.store.is_atomic() { 1 } else { SOURCES_AT_ONCE_MAX };
        let mut sources = stream::iter(sources).buffered(at_once);
        let mut moving = None;
        while let Some(source) = sources.next().await {
            match source {
                Ok((part, position)) => self.found().add(part, position)?,
                Err(QueryError::Moving { partition }) => moving = moving.or(Some(partition)),
                Err(error) => return Err(error),
            }
        }
        drop(sources);
        match moving {
            Some(partition) => Err(QueryError::Moving { partition }),
            None => self.found().answer(self.query),
        }
    }

    /// What one source partition has, at a moment at which it does not move.
    async fn source(
        &self,
        grouping: &Grouping<'_>,
        partition: PartitionId,
    ) -> Result<(Gathered, (PartitionId, Position)), QueryError> {
        for _ in 0..TRIES_MAX {
            let Self { store, live, query, pieces, .. } = self;
            let found = scan::source(*store, live, query, grouping, pieces, partition).await?;
            if let Some((part, position)) = found {
                return Ok((part, (partition, position)));
            }
        }
        Err(QueryError::Moving { partition })
    }

    fn found(&self) -> MutexGuard<'_, Found> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Found {
    /// Source partitions that have not been found at rest.
    fn open(&self) -> impl Iterator<Item = PartitionId> {
        let all = (0..).map(PartitionId).zip(&self.positions);
        all.filter(|(_, position)| position.is_none()).map(|(partition, _)| partition)
    }

    fn add(
        &mut self,
        part: Gathered,
        (partition, position): (PartitionId, Position),
    ) -> Result<(), QueryError> {
        self.all.merge(part)?;
        if let Some(at) = self.positions.get_mut(partition.index()) {
            *at = Some(position);
        }
        Ok(())
    }

    fn answer(&self, query: &Query<'_>) -> Result<Answer, QueryError> {
        let positions: Vec<Position> = self.positions.iter().copied().flatten().collect();
        let through = positions.iter().map(|it| it.through).min().unwrap_or_default();
        self.all.check(query)?;
        let windows = self.all.figures(query, through)?;
        Ok(Answer { aggregation: self.all.aggregation(), windows, positions, through })
    }
}

fn check(query: &Query<'_>) -> Result<(), QueryError> {
    if query.from >= query.to {
        return Err(QueryError::Empty);
    }
    let by_group = !query.group_by.is_empty() || !query.filters.is_empty();
    if by_group && (query.subject.is_some() || query.by_subject) {
        return Err(QueryError::SubjectGroups);
    }
    let grain = match query.step {
        Step::Of(kept) => kept.grain(),
        Step::Whole => Some(Grain::Minute),
    };
    let Some(grain) = grain else { return Ok(()) };
    for (field, at) in [("from", query.from), ("to", query.to)] {
        if grain.window(at).start != at {
            return Err(QueryError::NotAligned { field, grain: name(grain) });
        }
    }
    let windows_max = WINDOWS_MAX as u64;
    let shortest = match query.step {
        Step::Of(Kept::Minute) => 60,
        Step::Of(Kept::Hour) => 3_600,
        _ => 24 * 3_600,
    };
    if query.to.since(query.from).as_secs() / shortest > windows_max {
        return Err(QueryError::TooManyWindows { max: WINDOWS_MAX });
    }
    Ok(())
}

fn name(grain: Grain) -> &'static str {
    match grain {
        Grain::Minute => "a minute",
        Grain::Hour => "an hour",
        Grain::Day => "a day",
        Grain::Month => "a month",
    }
}

/// Which rows are read: of a range as a whole, days where they fit, and shorter windows
/// at both ends.
fn pieces(query: &Query<'_>) -> Vec<Piece> {
    let Query { from, to, .. } = *query;
    match query.step {
        Step::Of(kept) => vec![Piece { kept, from, to }],
        Step::Whole => {
            let mut pieces = Vec::new();
            split(&[Kept::Day, Kept::Hour, Kept::Minute], from, to, &mut pieces);
            pieces
        }
    }
}

pub(crate) fn split(lengths: &[Kept], from: Timestamp, to: Timestamp, pieces: &mut Vec<Piece>) {
    let Some((kept, shorter)) = lengths.split_first() else { return };
    if from >= to {
        return;
    }
    let window = |at| kept.window(at).unwrap_or(Period { start: at, end: at });
    let first = match window(from) {
        it if it.start == from => from,
        it => it.end,
    };
    let last = window(to).start;
    if first >= last {
        return split(shorter, from, to, pieces);
    }
    split(shorter, from, first, pieces);
    pieces.push(Piece { kept: *kept, from: first, to: last });
    split(shorter, last, to, pieces);
}

/// The values of what stands for all other groups.
pub(crate) fn others(width: usize) -> Vec<String> {
    vec![OVERFLOW.to_owned(); width]
}
