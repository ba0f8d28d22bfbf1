//! The view of dead letters and of parked streams.

mod fold;
mod query;
mod rows;
#[cfg(test)]
mod tests;

pub use query::{Letters, PAGE_BYTES_MAX, Parked, ROWS_EXAMINED_MAX, get, list, list_parked};
pub use rows::{
    DEAD_LETTER_REPLAYS, DEAD_LETTERS, DeadLetter, LetterId, LetterIdError, PARKED_STREAMS,
    ParkedStream, Replay,
};

use exchequer_codec::Entry;
use exchequer_kernel::Projection;
use exchequer_readstore::{Key, RowSet, Table};

/// All tables of the view.
pub const TABLES: &[&Table] = &[&DEAD_LETTERS, &DEAD_LETTER_REPLAYS, &PARKED_STREAMS];

/// The view. What it cannot fold it says by [`RowSet::fail`].
#[derive(Clone, Copy, Debug, Default)]
pub struct DeadLettersView;

impl Projection for DeadLettersView {
    type Entry = Entry;
    type Rows = RowSet;
    type Key = (&'static Table, Key);

    const NAME: &'static str = "dead-letters";
    const VERSION: u32 = 2;

    fn reads(&self, _: &Entry, _: &RowSet) -> Vec<Self::Key> {
        Vec::new()
    }

    fn fold(&self, entry: &Entry, rows: &mut RowSet) {
        fold::fold(entry, rows);
    }
}
