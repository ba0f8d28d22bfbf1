//! What each topic must be: a description from which topics are created, and which
//! every start checks. What differs is an error that says what to change.

mod check;
mod create;
mod fill;
mod known;
mod spec;

pub use check::check;
pub(crate) use check::{check_partitions, reach};
pub use create::{Created, create};
pub use fill::{check_to_fill, holding_records, note_moved};
pub use known::{Known, Moved};
pub use spec::{Layout, Rule, Setting, Spec};
