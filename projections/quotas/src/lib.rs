//! The view of quotas: each tenant's limits and what is taken of them, as rows and as
//! snapshots in memory.

mod fold;
mod live;
mod query;
mod rows;
#[cfg(test)]
mod tests;

pub use live::{LiveQuotas, Snapshot};
pub use query::{MeteredQuota, get, metered};
pub use rows::{METERED, QUOTA_TENANTS, QUOTAS};

use exchequer_codec::Entry;
use exchequer_kernel::Projection;
use exchequer_readstore::{Key, RowSet, Table};

/// All tables of the view.
pub const TABLES: &[&Table] = &[&QUOTAS, &QUOTA_TENANTS, &METERED];

/// The view. What it cannot fold it says by [`RowSet::fail`].
#[derive(Clone, Copy, Debug, Default)]
pub struct QuotasView;

impl Projection for QuotasView {
    type Entry = Entry;
    type Rows = RowSet;
    type Key = (&'static Table, Key);

    const NAME: &'static str = "quotas";
    const VERSION: u32 = 1;

    fn reads(&self, entry: &Entry, _: &RowSet) -> Vec<Self::Key> {
        fold::reads(entry)
    }

    fn fold(&self, entry: &Entry, rows: &mut RowSet) {
        fold::fold(entry, rows);
    }
}
