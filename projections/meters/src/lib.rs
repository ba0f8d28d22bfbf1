//! The view of definitions: what each provider counts, and what meters must know of each
//! tenant, as rows and as snapshots in memory.

mod definitions;
mod fold;
mod live;
mod query;
mod rows;
mod terms;
#[cfg(test)]
mod tests;

pub use definitions::Definitions;
pub use live::{LiveMeters, LiveTerms, concerns};
pub use query::{get_definitions, get_event_schema_version, get_meter_version, get_terms};
pub use rows::{EVENT_SCHEMA_VERSIONS, METER_VERSIONS, USAGE_DEFINITIONS, USAGE_TENANTS};
pub use terms::{PERIODS_MAX, TenantTerms};

use exchequer_codec::Entry;
use exchequer_kernel::Projection;
use exchequer_readstore::{Key, RowSet, Table};

/// All tables of the view.
pub const TABLES: &[&Table] =
    &[&USAGE_DEFINITIONS, &METER_VERSIONS, &EVENT_SCHEMA_VERSIONS, &USAGE_TENANTS];

/// The view. What it cannot fold it says by [`RowSet::fail`].
#[derive(Clone, Copy, Debug, Default)]
pub struct MetersView;

impl Projection for MetersView {
    type Entry = Entry;
    type Rows = RowSet;
    type Key = (&'static Table, Key);

    const NAME: &'static str = "meters";
    const VERSION: u32 = 1;

    fn reads(&self, entry: &Entry, _: &RowSet) -> Vec<Self::Key> {
        fold::reads(entry)
    }

    fn fold(&self, entry: &Entry, rows: &mut RowSet) {
        fold::fold(entry, rows);
    }
}
