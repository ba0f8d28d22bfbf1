//! Whether the protos still keep what was agreed. A proto set is written down as
//! a flat list of statements, one per number, name and method, and compared with
//! the locked list: nothing may go or change, except what is reserved in its place.

mod comments;
mod compare;
mod conventions;
mod statements;

pub use compare::{Comparison, compare};
pub use conventions::deviations;
pub use statements::{Statements, statements};
