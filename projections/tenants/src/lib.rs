//! The view of tenants: each tenant, the children of each provider, and how many
//! they are by status.

mod fold;
mod query;
mod rows;
#[cfg(test)]
mod tests;

pub use query::{Listed, PAGE_BYTES_MAX, Page, ROWS_EXAMINED_MAX, effective_settings, get, list};
pub use rows::{ChildCounts, TENANT_CHILDREN, TENANTS, TENANTS_BY_PARENT};

use exchequer_codec::Entry;
use exchequer_kernel::Projection;
use exchequer_readstore::{Key, RowSet, Table};

/// All tables of the view.
pub const TABLES: &[&Table] = &[&TENANTS, &TENANTS_BY_PARENT, &TENANT_CHILDREN];

/// The view. What it cannot fold it says by [`RowSet::fail`].
#[derive(Clone, Copy, Debug, Default)]
pub struct TenantsView;

impl Projection for TenantsView {
    type Entry = Entry;
    type Rows = RowSet;
    type Key = (&'static Table, Key);

    const NAME: &'static str = "tenants";
    const VERSION: u32 = 2;

    fn reads(&self, entry: &Entry, rows: &RowSet) -> Vec<Self::Key> {
        fold::reads(entry, rows)
    }

    fn fold(&self, entry: &Entry, rows: &mut RowSet) {
        fold::fold(entry, rows);
    }
}
