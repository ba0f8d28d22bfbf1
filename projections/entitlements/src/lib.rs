//! The view of entitlements: what each tenant may use, as rows and as snapshots in
//! memory.

mod fold;
mod live;
mod query;
mod rows;
mod snapshot;
mod sources;
#[cfg(test)]
mod tests;

pub use live::LiveEntitlements;
pub use query::get;
pub use rows::ENTITLEMENTS;
pub use snapshot::Snapshot;
pub use sources::ENTITLEMENT_SOURCES;

use exchequer_codec::Entry;
use exchequer_kernel::Projection;
use exchequer_readstore::{Key, RowSet, Table};

/// All tables of the view.
pub const TABLES: &[&Table] = &[&ENTITLEMENTS, &ENTITLEMENT_SOURCES];

/// The view. What it cannot fold it says by [`RowSet::fail`].
#[derive(Clone, Copy, Debug, Default)]
pub struct EntitlementsView;

impl Projection for EntitlementsView {
    type Entry = Entry;
    type Rows = RowSet;
    type Key = (&'static Table, Key);

    const NAME: &'static str = "entitlements";
    const VERSION: u32 = 4;

    fn reads(&self, entry: &Entry, _: &RowSet) -> Vec<Self::Key> {
        fold::reads(entry)
    }

    fn fold(&self, entry: &Entry, rows: &mut RowSet) {
        fold::fold(entry, rows);
    }
}
