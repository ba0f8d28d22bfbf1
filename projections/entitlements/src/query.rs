//! What is read of the rows. The caller has waited for the freshness that it needs.

use exchequer_readstore::{Fault, Generation, ReadStore};
use exchequer_types::TenantId;

use crate::rows::{ENTITLEMENTS, key, row_of};
use crate::snapshot::Snapshot;

/// A tenant's entitlements, and the position of the row that they come from. None when there
/// is no such tenant.
pub async fn get(
    store: &dyn ReadStore,
    generation: Generation,
    tenant: &TenantId,
) -> Result<Option<(Snapshot, u64)>, Fault> {
    let row = store.get(&ENTITLEMENTS, generation, key(tenant.as_str())).await?;
    let Some(row) = row else { return Ok(None) };
    Ok(Some((row_of(tenant.as_str(), &row.values)?.0, row.timestamp)))
}
