//! The view of catalogs: of each provider's catalogs the draft, the versions, and what
//! they say.

mod fold;
mod query;
mod rows;
#[cfg(test)]
mod tests;

pub use query::{Page, VERSIONS_EXAMINED_MAX, draft, get, list, version, versions};
pub use rows::{
    CATALOG_DOCUMENTS, CATALOG_DRAFTS, CATALOG_VERSIONS, CATALOGS, CatalogRow, DraftRow, VersionRow,
};

use exchequer_codec::Entry;
use exchequer_kernel::Projection;
use exchequer_readstore::{Key, RowSet, Table};

/// All tables of the view.
pub const TABLES: &[&Table] = &[&CATALOGS, &CATALOG_DRAFTS, &CATALOG_VERSIONS, &CATALOG_DOCUMENTS];

/// The view. What it cannot fold it says by [`RowSet::fail`].
#[derive(Clone, Copy, Debug, Default)]
pub struct CatalogsView;

impl Projection for CatalogsView {
    type Entry = Entry;
    type Rows = RowSet;
    type Key = (&'static Table, Key);

    const NAME: &'static str = "catalogs";
    const VERSION: u32 = 1;

    fn reads(&self, entry: &Entry, _: &RowSet) -> Vec<Self::Key> {
        fold::reads(entry)
    }

    fn fold(&self, entry: &Entry, rows: &mut RowSet) {
        fold::fold(entry, rows);
    }
}
