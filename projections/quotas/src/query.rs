//! What is read of the rows. The caller has waited for the freshness that it needs.

use exchequer_domain_quotas::State;
use exchequer_readstore::{Fault, Generation, ReadStore, Scan, Value};
use exchequer_types::{PartitionId, Slug, TenantId};

use crate::rows::{METERED, QUOTA_TENANTS, damaged, partition, tenant_key, tenant_of};

/// A soft limit whose use is measured. Sorts as it is listed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct MeteredQuota {
    pub tenant: TenantId,
    pub feature: Slug,
}

/// A tenant's quotas, without reservations, and the position of the row that they come from.
/// None when the tenant never had one.
pub async fn get(
    store: &dyn ReadStore,
    generation: Generation,
    tenant: &TenantId,
) -> Result<Option<(State, u64)>, Fault> {
    let row = store.get(&QUOTA_TENANTS, generation, tenant_key(tenant.as_str())).await?;
    let Some(row) = row else { return Ok(None) };
    Ok(Some((tenant_of(tenant.as_str(), &row.values)?, row.timestamp)))
}

/// Up to `limit` soft limits of the source partition whose use is measured, by tenant and
/// feature, behind `after`.
pub async fn metered(
    store: &dyn ReadStore,
    generation: Generation,
    source: PartitionId,
    after: Option<&MeteredQuota>,
    limit: usize,
) -> Result<Vec<MeteredQuota>, Fault> {
    let mut scan = Scan::of(&METERED, generation, vec![partition(source)], limit);
    scan.after =
        after.map(|it| vec![Value::text(it.tenant.as_str()), Value::text(it.feature.as_str())]);
    let rows = store.scan(scan).await?.into_iter();
    let quota = rows.map(|row| {
        let [tenant, feature] = row.key.clustering.as_slice() else {
            return Err(damaged("", "key"));
        };
        let tenant =
            TenantId::parse(tenant.as_text()).map_err(|_| damaged(tenant.as_text(), "key"))?;
        let feature =
            Slug::parse(feature.as_text()).map_err(|_| damaged(tenant.as_str(), "key"))?;
        Ok(MeteredQuota { tenant, feature })
    });
    quota.collect()
}
