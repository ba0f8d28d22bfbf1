//! The view of usage: what came of events, by meter and window, once by group and once
//! by subject; what became of those that were not counted; and where seals are. Each row
//! has one source partition and carries the seal it is folded to.

mod amount;
mod bytes;
mod cells;
mod checkpoint;
mod common;
mod flush;
mod fold;
mod gather;
mod hashing;
mod lists;
mod live;
mod members;
mod names;
mod notes;
mod packed;
mod part;
mod pending;
mod query;
mod recount;
mod scan;
mod seals;
mod tables;
#[cfg(test)]
mod tests;
mod texts;
mod touched;
mod window;

pub use amount::{Amount, Member, Members};
pub use bytes::Damaged;
pub use checkpoint::{Checkpoint, Span, checkpoint};
pub use flush::{FlushError, SUBJECTS_PER_BUCKET_MAX, flush};
pub use lists::{ListPlace, ListedPage, RELATED_MAX, Wanted, listed, reconcile, related};
pub use live::{LiveUsage, Position, Source};
pub use members::members_first;
pub use notes::{Counts, Detail, Fated, Kind, Listed, Sealed, TEXT_BYTES_MAX};
pub use part::{Part, Segment, Windows};
pub use pending::Pending;
pub use query::{
    Answer, Asking, CELLS_READ_MAX, FIGURES_MAX, Figure, Figures, Query, QueryError, ROWS_READ_MAX,
    Step, TOP_MAX, WINDOWS_MAX, query,
};
pub use recount::{Amounts, CellOf, Recount, count, ends, shorter};
pub use seals::{SEALS_EXAMINED_MAX, ranges, seal_of};
pub use tables::{
    GENERATION, Kept, TABLES, USAGE_CHECKPOINTS, USAGE_COMMON, USAGE_FATES, USAGE_LISTED,
    USAGE_SEALS, USAGE_SETS, USAGE_WINDOWS,
};
pub use touched::{MeterOf, Touched};
