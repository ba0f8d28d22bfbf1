//! The view of access control: who belongs to each tenant and what they may do, the
//! credentials with the hashes that find them, and snapshots in memory, from which every
//! call is judged.

mod fold;
mod live;
mod query;
mod rows;
mod snapshot;
#[cfg(test)]
mod tests;
mod uses;

pub use live::LiveAccess;
pub use query::{Holder, holder_of, whole};
pub use rows::{
    ACCESS_CREDENTIAL_STATES, ACCESS_CREDENTIALS, ACCESS_GRANTS, ACCESS_HASHES, ACCESS_MEMBERS,
    ACCESS_ROLES, ACCESS_TEAMS, ACCESS_TENANTS,
};
pub use snapshot::Snapshot;
pub use uses::{ACCESS_USES, Uses, add_uses, uses_of};

use exchequer_codec::Entry;
use exchequer_kernel::Projection;
use exchequer_readstore::{Key, RowSet, Table};

/// All tables of the view. [`ACCESS_USES`] is not one: no event tells of uses.
pub const TABLES: &[&Table] = &[
    &ACCESS_TENANTS,
    &ACCESS_MEMBERS,
    &ACCESS_TEAMS,
    &ACCESS_ROLES,
    &ACCESS_GRANTS,
    &ACCESS_CREDENTIALS,
    &ACCESS_CREDENTIAL_STATES,
    &ACCESS_HASHES,
];

/// The view. What it cannot fold it says by [`RowSet::fail`].
#[derive(Clone, Copy, Debug, Default)]
pub struct AccessView;

impl Projection for AccessView {
    type Entry = Entry;
    type Rows = RowSet;
    type Key = (&'static Table, Key);

    const NAME: &'static str = "access";
    const VERSION: u32 = 1;

    fn reads(&self, entry: &Entry, _: &RowSet) -> Vec<Self::Key> {
        fold::reads(entry)
    }

    fn fold(&self, entry: &Entry, rows: &mut RowSet) {
        fold::fold(entry, rows);
    }
}
