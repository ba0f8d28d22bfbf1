//! The tenant root: one stream's domains composed. `step` is the whole of
//! deciding: due timers first, then the command, then what the other domains
//! follow it with, and the audit entries, all as one pure function.

#![deny(clippy::as_conversions, clippy::float_arithmetic)]

mod audit;
mod command;
mod limits;
mod resolve;
mod route;
mod step;
mod stream;
#[cfg(test)]
mod tests;

pub use audit::{AuditHead, LEAF_BYTES_MAX, Leaf};
pub use command::{AmendChange, ChangeSubscription, Command, Create, Event, Reply, Subscribe};
pub use limits::{decision, holding};
pub use step::{Decided, Decision, Poison, Request, park, step};
pub use stream::{Reference, Stream};
