//! The view of the audit log: entries by tenant and sequence number.

mod fold;
mod query;
mod rows;
#[cfg(test)]
mod tests;

pub use query::{Filter, PAGE_BYTES_MAX, Page, ROWS_EXAMINED_MAX, Wanted, after, list};
pub use rows::{AUDIT_ENTRIES, AuditEntry};

use exchequer_codec::Entry;
use exchequer_kernel::Projection;
use exchequer_readstore::{Key, RowSet, Table};

/// All tables of the view.
pub const TABLES: &[&Table] = &[&AUDIT_ENTRIES];

/// The view. What it cannot fold it says by [`RowSet::fail`].
#[derive(Clone, Copy, Debug, Default)]
pub struct AuditView;

impl Projection for AuditView {
    type Entry = Entry;
    type Rows = RowSet;
    type Key = (&'static Table, Key);

    const NAME: &'static str = "audit";
    const VERSION: u32 = 1;

    fn reads(&self, _: &Entry, _: &RowSet) -> Vec<Self::Key> {
        Vec::new()
    }

    fn fold(&self, entry: &Entry, rows: &mut RowSet) {
        fold::fold(entry, rows);
    }
}
