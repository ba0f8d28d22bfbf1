//! Metering, as pure functions: what an event comes to for the meters of its type,
//! the windows it falls into, and how parts of a window are put together. Exact
//! decimals throughout; no clock, no I/O, no order of a hash map.

#![deny(clippy::as_conversions, clippy::float_arithmetic)]

mod batch;
mod bucket;
mod contribution;
mod definitions;
pub mod event;
mod extract;
mod filter;
mod judge;
mod measure;
mod meter;
mod normal;
mod outline;
mod path;
mod revision;
mod schema;
mod standing;
#[cfg(test)]
mod tests;
mod window;

pub use batch::{
    CorrectionRecord, EventRecord, First, Judge, Names, Prepared, Record, RecordBody, Unshared,
    Verdict, partition_of_event, seen,
};
pub use bucket::{Bucket, BucketError, Latest, Place};
pub use contribution::{Contribution, Sign};
pub use definitions::{
    AdoptedMeters, AdoptedTenant, Adoption, BackfillOrder, Definitions, InForce, KnownTenant,
    PERIODS_EARLIER_MAX, PERIODS_MAX, VERSIONS_KEPT_MAX, View,
};
pub use extract::{Extractor, Found, Unreadable};
pub use filter::{FILTER_VALUES_MAX, Filter, Scalar, Test};
pub use judge::{Fate, Fault, Judgement, Seen, Terms, judge};
pub use measure::{GROUP_BYTES_MAX, Measured, Meters, Reading, Unusable, Value};
pub use meter::{
    Aggregation, EVENT_TYPE_CHARS_MAX, FILTERS_MAX, GROUP_BYS_MAX, GROUPS_DEFAULT, GROUPS_MAX,
    GroupBy, Meter, UNIT_CHARS_MAX, Violation,
};
pub use normal::{Body, BodyDigest, DEPTH_MAX, EventIdentity, normal_form};
pub use path::{PATH_CHARS_MAX, Path, PathError, STEPS_MAX, Step};
pub use revision::{
    BACKFILLS_TOLD_MAX, BackfillProgress, Revision, Revisions, Step as RevisionStep,
    UNMATCHED_TENANTS_MAX, UnmatchedRanges, Why,
};
pub use schema::{AdoptedSchema, DataCheck, DataFault, NoSchemas, Schemas};
pub use standing::{At, Left};
pub use window::Grain;

/// The group in which a window counts what comes behind its `groups_max`: it stands in
/// the place of each group's value.
pub const OVERFLOW: &str = "(other)";
