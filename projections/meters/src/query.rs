//! What is read of the rows. The caller has waited for the freshness that it needs.

use exchequer_metering::Meter as Rules;
use exchequer_readstore::{Fault, Generation, ReadStore};
use exchequer_types::{Slug, TenantId, Timestamp};

use crate::definitions::Definitions;
use crate::rows::{
    EVENT_SCHEMA_VERSIONS, METER_VERSIONS, USAGE_DEFINITIONS, USAGE_TENANTS, definitions_from, key,
    meter_version_from, schema_version_from, terms_from, version_key,
};
use crate::terms::TenantTerms;

/// All of a provider's meters and schemas, as they are now.
pub async fn get_definitions(
    store: &dyn ReadStore,
    generation: Generation,
    tenant: &TenantId,
) -> Result<Definitions, Fault> {
    let found = definitions_row(store, generation, tenant).await?;
    Ok(found.map(|(definitions, _)| definitions).unwrap_or_default())
}

/// A version of a meter's rules, and when they were set.
pub async fn get_meter_version(
    store: &dyn ReadStore,
    generation: Generation,
    tenant: &TenantId,
    meter: &Slug,
    version: u32,
) -> Result<Option<(Rules, Timestamp)>, Fault> {
    let key = version_key(tenant.as_str(), meter.as_str(), version);
    let row = store.get(&METER_VERSIONS, generation, key).await?;
    row.map(|row| meter_version_from(tenant.as_str(), &row.values)).transpose()
}

/// The text of a version of the schema of a type of events, and when it was set.
pub async fn get_event_schema_version(
    store: &dyn ReadStore,
    generation: Generation,
    tenant: &TenantId,
    kind: &str,
    version: u32,
) -> Result<Option<(String, Timestamp)>, Fault> {
    let key = version_key(tenant.as_str(), kind, version);
    let row = store.get(&EVENT_SCHEMA_VERSIONS, generation, key).await?;
    row.map(|row| schema_version_from(tenant.as_str(), &row.values)).transpose()
}

/// What meters know of a tenant; nobody's when there is no such tenant.
pub async fn get_terms(
    store: &dyn ReadStore,
    generation: Generation,
    tenant: &TenantId,
) -> Result<TenantTerms, Fault> {
    let found = terms_row(store, generation, tenant).await?;
    Ok(found.map(|(terms, _)| terms).unwrap_or_default())
}

/// With the position of the row.
pub(crate) async fn definitions_row(
    store: &dyn ReadStore,
    generation: Generation,
    tenant: &TenantId,
) -> Result<Option<(Definitions, u64)>, Fault> {
    let row = store.get(&USAGE_DEFINITIONS, generation, key(tenant.as_str())).await?;
    let read = |row: exchequer_readstore::Row| {
        Ok((definitions_from(tenant.as_str(), &row.values)?, row.timestamp))
    };
    row.map(read).transpose()
}

/// With the position of the row.
pub(crate) async fn terms_row(
    store: &dyn ReadStore,
    generation: Generation,
    tenant: &TenantId,
) -> Result<Option<(TenantTerms, u64)>, Fault> {
    let row = store.get(&USAGE_TENANTS, generation, key(tenant.as_str())).await?;
    let read = |row: exchequer_readstore::Row| {
        Ok((terms_from(tenant.as_str(), &row.values)?, row.timestamp))
    };
    row.map(read).transpose()
}
