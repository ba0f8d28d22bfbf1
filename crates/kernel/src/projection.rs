//! The contract of a read model: a fold of the journal into rows.

/// A view. Folding the same entries from the start, in whatever batches, gives
/// the same rows.
pub trait Projection {
    /// A commit's part that the view reads.
    type Entry;
    /// The rows that it reads and writes, loaded before the fold.
    type Rows;
    /// Names a row.
    type Key;

    /// Never changes.
    const NAME: &'static str;
    /// One more whenever the fold or the rows change: the view is then rebuilt.
    const VERSION: u32;

    /// The rows whose old values `fold` needs, given those in `rows`. Asked again
    /// until it names none that is not there.
    fn reads(&self, entry: &Self::Entry, rows: &Self::Rows) -> Vec<Self::Key>;

    /// Applies `entry` to `rows`. Total.
    fn fold(&self, entry: &Self::Entry, rows: &mut Self::Rows);
}
