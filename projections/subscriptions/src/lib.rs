//! The view of subscriptions: each tenant's current or last one, with its schedule, and
//! what was charged, in order.

mod fold;
mod query;
mod rows;
#[cfg(test)]
mod tests;

pub use query::{ChargeFilter, ChargePage, PAGE_LINES_MAX, ROWS_EXAMINED_MAX, charges, get};
pub use rows::{SUBSCRIPTION_CHARGES, SUBSCRIPTIONS};

use exchequer_codec::Entry;
use exchequer_kernel::Projection;
use exchequer_readstore::{Key, RowSet, Table};

/// All tables of the view.
pub const TABLES: &[&Table] = &[&SUBSCRIPTIONS, &SUBSCRIPTION_CHARGES];

/// The view. What it cannot fold it says by [`RowSet::fail`].
#[derive(Clone, Copy, Debug, Default)]
pub struct SubscriptionsView;

impl Projection for SubscriptionsView {
    type Entry = Entry;
    type Rows = RowSet;
    type Key = (&'static Table, Key);

    const NAME: &'static str = "subscriptions";
    const VERSION: u32 = 2;

    fn reads(&self, entry: &Entry, _: &RowSet) -> Vec<Self::Key> {
        fold::reads(entry)
    }

    fn fold(&self, entry: &Entry, rows: &mut RowSet) {
        fold::fold(entry, rows);
    }
}
