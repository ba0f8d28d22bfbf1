//! The view of flags: projects, environments and flags of each tenant, as rows and as
//! snapshots in memory, which flags are evaluated from.

mod fold;
mod live;
mod query;
mod rows;
#[cfg(test)]
mod tests;

pub use live::{LiveFlags, LiveProject, ProjectKey};
pub use query::{
    FlagPage, PAGE_BYTES_MAX, Page, ROWS_EXAMINED_MAX, Wanted, get_environment, get_flag,
    get_project, list_environments, list_flags, list_projects,
};
pub use rows::{FLAG_ENVIRONMENTS, FLAG_PROJECTS, FLAGS};

use exchequer_codec::Entry;
use exchequer_kernel::Projection;
use exchequer_readstore::{Key, RowSet, Table};

/// All tables of the view.
pub const TABLES: &[&Table] = &[&FLAG_PROJECTS, &FLAG_ENVIRONMENTS, &FLAGS];

/// The view. What it cannot fold it says by [`RowSet::fail`].
#[derive(Clone, Copy, Debug, Default)]
pub struct FlagsView;

impl Projection for FlagsView {
    type Entry = Entry;
    type Rows = RowSet;
    type Key = (&'static Table, Key);

    const NAME: &'static str = "flags";
    const VERSION: u32 = 2;

    fn reads(&self, entry: &Entry, _: &RowSet) -> Vec<Self::Key> {
        fold::reads(entry)
    }

    fn fold(&self, entry: &Entry, rows: &mut RowSet) {
        fold::fold(entry, rows);
    }
}
