//! The rules by which one command is decided once, chained and seen. Pure: no
//! async, no clock, no randomness. `fold` is the one function by which writers,
//! readers and the offline verifier judge a record.

#![deny(clippy::as_conversions, clippy::float_arithmetic)]

mod decider;
pub mod fold;
pub mod invariant;
mod live;
pub mod mutation;
mod outcome;
mod process;
mod progress;
mod projection;
mod seal;
mod timers;

pub use decider::{Ctx, Decider, Reason, Shown};
pub use fold::{Head, RecordHead, Verdict, fold};
pub use live::Live;
pub use outcome::{FAULTS_MAX, FieldFault, Rejection, Status};
pub use process::{Process, Reaction};
pub use progress::Progress;
pub use projection::Projection;
pub use seal::{Forwarding, SealKey};
pub use timers::Timers;
