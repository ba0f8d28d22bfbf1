//! What the api reads. The caller has waited for the freshness that it needs.

use exchequer_proto::catalog::v1 as pb;
use exchequer_readstore::{Fault, Generation, ReadStore, Row, Scan, Value};
use exchequer_types::{Slug, TenantId};
use futures::future::try_join_all;
use prost::Message as _;

use crate::rows::{
    CATALOG_DOCUMENTS, CATALOG_DRAFTS, CATALOG_VERSIONS, CATALOGS, CatalogRow, DraftRow,
    VersionRow, catalog_key, damaged, draft_key, partition_of, version_key,
};

const CHUNK_ROWS_MAX: usize = 64;
/// More than a tenant may have.
const CATALOGS_EXAMINED_MAX: usize = 200;
/// Rows that one call of [`versions`] looks at: a page of a filtered list may be short.
pub const VERSIONS_EXAMINED_MAX: usize = 1_001;
const READS_AT_ONCE_MAX: usize = 16;

/// Part of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<K, T> {
    pub items: Vec<(K, T)>,
    /// The next page begins behind this. None on the last page.
    pub next: Option<K>,
}

/// A catalog, and its newest version.
type Latest = (CatalogRow, Option<VersionRow>);

/// One catalog.
pub async fn get(
    store: &dyn ReadStore,
    generation: Generation,
    tenant: &TenantId,
    catalog: &Slug,
) -> Result<Option<Latest>, Fault> {
    let row = store.get(&CATALOGS, generation, catalog_key(tenant.as_str(), catalog)).await?;
    let Some(row) = row else { return Ok(None) };
    let row = CatalogRow::from_values(&row.values)?;
    latest(store, generation, tenant, catalog, row).await.map(Some)
}

/// The catalog's draft with its document; None when it has none.
pub async fn draft(
    store: &dyn ReadStore,
    generation: Generation,
    tenant: &TenantId,
    catalog: &Slug,
) -> Result<Option<(DraftRow, pb::Document)>, Fault> {
    let row = store.get(&CATALOG_DRAFTS, generation, draft_key(tenant.as_str(), catalog)).await?;
    let row = row.map(|row| DraftRow::from_values(&row.values)).transpose()?;
    let Some(row) = row.filter(|row| !row.hash.is_empty()) else { return Ok(None) };
    let document = pb::Document::decode(row.document.clone());
    Ok(Some((row, document.map_err(|_| damaged("catalog_drafts"))?)))
}

/// A version with its document; `number` None: the newest that is sold.
pub async fn version(
    store: &dyn ReadStore,
    generation: Generation,
    tenant: &TenantId,
    catalog: &Slug,
    number: Option<u32>,
) -> Result<Option<(u32, VersionRow, pb::Document)>, Fault> {
    let found = match number {
        Some(number) => {
            let row = one(store, generation, tenant, catalog, number).await?;
            row.map(|row| (number, row))
        }
        None => newest_on_sale(store, generation, tenant, catalog).await?,
    };
    let Some((number, row)) = found else { return Ok(None) };
    let key = version_key(tenant.as_str(), catalog, number);
    let document = store.get(&CATALOG_DOCUMENTS, generation, key).await?;
    let document = document.as_ref().and_then(|row| row.values.first()).map(Value::as_bytes);
    let document = document.and_then(|bytes| pb::Document::decode(bytes).ok());
    Ok(Some((number, row, document.ok_or_else(|| damaged("catalog_documents"))?)))
}

/// Up to `limit` (at least 1) catalogs of `tenant` behind the id `after`, of those that
/// `is_wanted`. A tenant has few: all are looked at.
pub async fn list(
    store: &dyn ReadStore,
    generation: Generation,
    tenant: &TenantId,
    after: Option<&Slug>,
    limit: usize,
    is_wanted: &(dyn Fn(&(Slug, Latest)) -> bool + Sync),
) -> Result<Page<Slug, Latest>, Fault> {
    let limit = limit.max(1);
    let partition = vec![Value::text(tenant.as_str())];
    let mut scan = Scan::of(&CATALOGS, generation, partition, CATALOGS_EXAMINED_MAX);
    scan.after = after.map(|id| vec![Value::text(id.as_str())]);
    let mut rows = Vec::new();
    for row in store.scan(scan).await? {
        let id = row.key.clustering.first().map_or("", Value::as_text);
        let id = Slug::parse(id).map_err(|_| damaged("catalogs"))?;
        rows.push((id, CatalogRow::from_values(&row.values)?));
    }
    let mut items = Vec::with_capacity(rows.len());
    let mut rest = rows.into_iter().peekable();
    while rest.peek().is_some() {
        let chunk: Vec<_> = rest.by_ref().take(READS_AT_ONCE_MAX).collect();
        let with_latest = chunk.into_iter().map(async |(id, row)| {
            let latest = latest(store, generation, tenant, &id, row).await?;
            Ok::<_, Fault>((id, latest))
        });
        items.extend(try_join_all(with_latest).await?.into_iter().filter(|it| is_wanted(it)));
        if items.len() > limit {
            break;
        }
    }
    let is_end = items.len() <= limit;
    items.truncate(limit);
    let next = items.last().filter(|_| !is_end).map(|(id, _)| id.clone());
    Ok(Page { items, next })
}

/// Up to `limit` (at least 1) versions below `before`, the newest first, of those that
/// `is_wanted`. Fewer, or none, when [`VERSIONS_EXAMINED_MAX`] is reached before.
pub async fn versions(
    store: &dyn ReadStore,
    generation: Generation,
    tenant: &TenantId,
    catalog: &Slug,
    before: Option<u32>,
    limit: usize,
    is_wanted: &(dyn Fn(&(u32, VersionRow)) -> bool + Sync),
) -> Result<Page<u32, VersionRow>, Fault> {
    let (limit, mut items, mut last) = (limit.max(1), Vec::new(), before);
    let rows_max = VERSIONS_EXAMINED_MAX;
    let rows = newest_first(store, generation, tenant, catalog, before, rows_max).await?;
    for row in &rows {
        let item = version_of(row)?;
        let number = item.0;
        if is_wanted(&item) {
            if items.len() == limit {
                return Ok(Page { items, next: last });
            }
            items.push(item);
        }
        last = Some(number);
    }
    Ok(Page { items, next: last.filter(|_| rows.len() == rows_max) })
}

async fn latest(
    store: &dyn ReadStore,
    generation: Generation,
    tenant: &TenantId,
    catalog: &Slug,
    row: CatalogRow,
) -> Result<Latest, Fault> {
    let version = match row.latest {
        0 => None,
        number => one(store, generation, tenant, catalog, number).await?,
    };
    Ok((row, version))
}

async fn one(
    store: &dyn ReadStore,
    generation: Generation,
    tenant: &TenantId,
    catalog: &Slug,
    number: u32,
) -> Result<Option<VersionRow>, Fault> {
    let key = version_key(tenant.as_str(), catalog, number);
    let row = store.get(&CATALOG_VERSIONS, generation, key).await?;
    row.map(|row| VersionRow::from_values(&row.values)).transpose()
}

async fn newest_on_sale(
    store: &dyn ReadStore,
    generation: Generation,
    tenant: &TenantId,
    catalog: &Slug,
) -> Result<Option<(u32, VersionRow)>, Fault> {
    let mut before = None;
    loop {
        let rows = newest_first(store, generation, tenant, catalog, before, CHUNK_ROWS_MAX).await?;
        for row in &rows {
            let (number, row) = version_of(row)?;
            if row.retired_at.is_none() {
                return Ok(Some((number, row)));
            }
            before = Some(number);
        }
        if rows.len() < CHUNK_ROWS_MAX {
            return Ok(None);
        }
    }
}

async fn newest_first(
    store: &dyn ReadStore,
    generation: Generation,
    tenant: &TenantId,
    catalog: &Slug,
    before: Option<u32>,
    rows_max: usize,
) -> Result<Vec<Row>, Fault> {
    let partition = partition_of(tenant.as_str(), catalog);
    let mut scan = Scan::of(&CATALOG_VERSIONS, generation, partition, rows_max);
    scan.reverse = true;
    scan.after = before.map(|number| vec![Value::Int(i64::from(number))]);
    store.scan(scan).await
}

fn version_of(row: &Row) -> Result<(u32, VersionRow), Fault> {
    let number = row.key.clustering.first().map_or(0, Value::as_int);
    let number = u32::try_from(number).map_err(|_| damaged("catalog_versions"))?;
    Ok((number, VersionRow::from_values(&row.values)?))
}
