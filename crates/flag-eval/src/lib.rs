//! Evaluation of feature flags: definitions are checked and compiled once into an
//! immutable [`Snapshot`], which then decides without allocating. Pure, and usable
//! alone: no clock, no randomness, no I/O, no other crate. The README states the
//! semantics.

#![deny(clippy::as_conversions, clippy::float_arithmetic)]

mod compile;
mod compiled;
mod context;
mod decision;
mod definition;
mod limits;
mod number;
mod rejection;
mod slots;
mod snapshot;
mod table;
mod text;

pub use compile::compile;
pub use compiled::Compiled;
pub use context::{Attribute, Context, ContextError, TARGETING_KEY, TENANT};
pub use decision::{DecidedBy, Decision, ErrorCode, Reason};
pub use definition::{
    Condition, Flag, Gate, Kind, Outcome, Plan, Rule, Scalar, Target, Test, Value, Variant,
};
pub use limits::{ATTRIBUTES_MAX, CONTEXT_BYTES_MAX, Limits};
pub use number::{Number, NumberError};
pub use rejection::{Violation, codes};
pub use slots::{SLOTS, Share, SlotRange, Split, SplitError, slot};
pub use snapshot::Snapshot;
