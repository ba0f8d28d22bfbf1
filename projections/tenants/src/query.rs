//! What the api reads. The caller has waited for the freshness that it needs.

use std::collections::BTreeMap;

use exchequer_domain_tenants::{
    DEPTH_MAX, EffectiveSetting, Providers, Tenant, effective_settings as in_force,
};
use exchequer_readstore::{Fault, Generation, ReadStore, Row, Scan, Value};
use exchequer_types::{ProviderProfile, TenantId};
use futures::future::try_join_all;

use crate::rows::{
    ChildCounts, TENANT_CHILDREN, TENANTS, TENANTS_BY_PARENT, TenantRow, tenant_key,
};

/// Rows that one call of [`list`] looks at: a page of a filtered list may be short.
pub const ROWS_EXAMINED_MAX: usize = 5_000;
/// A page that has reached this many bytes of names and settings ends there.
pub const PAGE_BYTES_MAX: usize = 1 << 20;
/// Rows that are read in one step, each with up to 1 MiB of settings.
const CHUNK_ROWS_MAX: usize = 64;
const READS_AT_ONCE_MAX: usize = 16;

/// A tenant, and how many children it has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    pub tenant: Tenant,
    pub children: ChildCounts,
}

/// Part of a list.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Page {
    /// By id.
    pub tenants: Vec<Listed>,
    /// Where the next page begins: after this id. None on the last page.
    pub next: Option<TenantId>,
}

/// One tenant.
pub async fn get(
    store: &dyn ReadStore,
    generation: Generation,
    id: &TenantId,
) -> Result<Option<Listed>, Fault> {
    let Some(tenant) = tenant(store, generation, id).await? else { return Ok(None) };
    let children = children(store, generation, &tenant).await?;
    Ok(Some(Listed { tenant, children }))
}

/// Up to `limit` (at least 1) children of `parent` behind the id `after`, of those
/// that `is_wanted`. Fewer, or none, when [`ROWS_EXAMINED_MAX`] or
/// [`PAGE_BYTES_MAX`] is reached before.
pub async fn list(
    store: &dyn ReadStore,
    generation: Generation,
    parent: &TenantId,
    after: Option<&TenantId>,
    limit: usize,
    is_wanted: &(dyn Fn(&Tenant) -> bool + Sync),
) -> Result<Page, Fault> {
    let (found, next) = find(store, generation, parent, after, limit.max(1), is_wanted).await?;
    let mut tenants = Vec::with_capacity(found.len());
    let mut rest = found.into_iter().peekable();
    while rest.peek().is_some() {
        let chunk: Vec<Tenant> = rest.by_ref().take(READS_AT_ONCE_MAX).collect();
        let counts = chunk.iter().map(|tenant| children(store, generation, tenant));
        let counts = try_join_all(counts).await?;
        let listed = chunk.into_iter().zip(counts);
        tenants.extend(listed.map(|(tenant, children)| Listed { tenant, children }));
    }
    Ok(Page { tenants, next })
}

/// The settings in force for a tenant: its own over its providers', nearest
/// first. None when there is no such tenant.
pub async fn effective_settings(
    store: &dyn ReadStore,
    generation: Generation,
    id: &TenantId,
) -> Result<Option<BTreeMap<String, EffectiveSetting>>, Fault> {
    let Some(own) = tenant(store, generation, id).await? else { return Ok(None) };
    let mut providers = Providers::default();
    let mut next = own.parent.clone();
    for _ in 0..=DEPTH_MAX {
        let Some(id) = next.take() else { break };
        let Some(provider) = tenant(store, generation, &id).await? else { break };
        next.clone_from(&provider.parent);
        providers.adopt(profile(provider));
    }
    Ok(Some(in_force(&own, &providers)))
}

/// Tenants, and the id behind which there may be more.
async fn find(
    store: &dyn ReadStore,
    generation: Generation,
    parent: &TenantId,
    after: Option<&TenantId>,
    limit: usize,
    is_wanted: &(dyn Fn(&Tenant) -> bool + Sync),
) -> Result<(Vec<Tenant>, Option<TenantId>), Fault> {
    let mut found = Vec::new();
    let mut bytes = 0;
    let mut last = after.cloned();
    for _ in 0..ROWS_EXAMINED_MAX.div_ceil(CHUNK_ROWS_MAX) {
        let partition = vec![Value::text(parent.as_str())];
        let mut scan = Scan::of(&TENANTS_BY_PARENT, generation, partition, CHUNK_ROWS_MAX);
        scan.after = last.as_ref().map(|id| vec![Value::text(id.as_str())]);
        let rows = store.scan(scan).await?;
        let is_end = rows.len() < CHUNK_ROWS_MAX;
        for row in &rows {
            let tenant = child(row)?;
            let id = tenant.id.clone();
            if is_wanted(&tenant) {
                if found.len() == limit || bytes >= PAGE_BYTES_MAX {
                    return Ok((found, last));
                }
                bytes += bytes_of(&tenant);
                found.push(tenant);
            }
            last = Some(id);
        }
        if is_end {
            return Ok((found, None));
        }
    }
    Ok((found, last))
}

fn child(row: &Row) -> Result<Tenant, Fault> {
    let id = row.key.clustering.first().map_or("", Value::as_text);
    TenantRow::from_values(id, &row.values).map(|row| row.tenant)
}

fn bytes_of(tenant: &Tenant) -> usize {
    let settings: usize = tenant.settings.iter().map(|(key, value)| key.len() + value.len()).sum();
    settings + tenant.name.len() + tenant.reason.len()
}

async fn tenant(
    store: &dyn ReadStore,
    generation: Generation,
    id: &TenantId,
) -> Result<Option<Tenant>, Fault> {
    let row = store.get(&TENANTS, generation, tenant_key(id.as_str())).await?;
    let row = row.map(|row| TenantRow::from_values(id.as_str(), &row.values)).transpose()?;
    Ok(row.map(|row| row.tenant))
}

/// The parts of all source partitions together.
async fn children(
    store: &dyn ReadStore,
    generation: Generation,
    tenant: &Tenant,
) -> Result<ChildCounts, Fault> {
    let mut counts = ChildCounts::default();
    if !tenant.provider {
        return Ok(counts);
    }
    let mut after = None;
    loop {
        let partition = vec![Value::text(tenant.id.as_str())];
        let mut scan = Scan::of(&TENANT_CHILDREN, generation, partition, CHUNK_ROWS_MAX);
        scan.after = after.take();
        let rows = store.scan(scan).await?;
        for row in &rows {
            counts.add(ChildCounts::from_values(&row.values));
        }
        match rows.into_iter().nth(CHUNK_ROWS_MAX - 1) {
            Some(row) => after = Some(row.key.clustering),
            None => return Ok(counts),
        }
    }
}

fn profile(tenant: Tenant) -> ProviderProfile {
    let Tenant { id, version, parent, depth, status, settings, .. } = tenant;
    ProviderProfile { id, version, parent, depth, status, settings }
}
