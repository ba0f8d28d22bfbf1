//! The view of timers: pending ones by the instant at which they are due.

mod fold;
mod query;
mod rows;
#[cfg(test)]
mod tests;

pub use query::{DueTimer, due, next};
pub use rows::TIMERS_BY_DUE;

use exchequer_codec::Entry;
use exchequer_kernel::Projection;
use exchequer_readstore::{Key, RowSet, Table};

/// All tables of the view.
pub const TABLES: &[&Table] = &[&TIMERS_BY_DUE];

/// The view. What it cannot fold it says by [`RowSet::fail`].
#[derive(Clone, Copy, Debug, Default)]
pub struct TimersView;

impl Projection for TimersView {
    type Entry = Entry;
    type Rows = RowSet;
    type Key = (&'static Table, Key);

    const NAME: &'static str = "timers";
    const VERSION: u32 = 1;

    fn reads(&self, _: &Entry, _: &RowSet) -> Vec<Self::Key> {
        Vec::new()
    }

    fn fold(&self, entry: &Entry, rows: &mut RowSet) {
        fold::fold(entry, rows);
    }
}
