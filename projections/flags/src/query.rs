//! What the api reads. The caller has waited for the freshness that it needs.

use exchequer_domain_flags::{Environment, Flag, Project};
use exchequer_readstore::{Fault, Generation, ReadStore, Row, Scan, Table, Value};
use exchequer_types::{Slug, TenantId};

use crate::rows::{
    FLAG_ENVIRONMENTS, FLAG_PROJECTS, FLAGS, environment_from, flag_from, is_archived, key_of,
    part_key, parts_of, project_from, project_key,
};

/// Rows that one call of [`list_flags`] looks at: a page of a filtered list may be short.
pub const ROWS_EXAMINED_MAX: usize = 5_000;
/// A page that has reached this many bytes of flags ends there.
pub const PAGE_BYTES_MAX: usize = 1 << 20;
/// Rows that are read in one step, each a flag of up to some 200 KiB.
const CHUNK_ROWS_MAX: usize = 64;

/// Part of a list, by key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T> {
    pub items: Vec<T>,
    /// Where the next page begins: after this key. None on the last page.
    pub next: Option<Slug>,
}

/// Part of the flags of a project.
pub type FlagPage = Page<Flag>;

/// A project without its parts.
pub async fn get_project(
    store: &dyn ReadStore,
    generation: Generation,
    tenant: &TenantId,
    project: &Slug,
) -> Result<Option<Project>, Fault> {
    let key = project_key(tenant.as_str(), project);
    let row = store.get(&FLAG_PROJECTS, generation, key).await?;
    row.map(|row| project_from(project.clone(), &row.values)).transpose()
}

/// Up to `limit` (at least 1) projects behind the key `after`, of those that `is_wanted`.
/// A tenant has few: all are looked at.
pub async fn list_projects(
    store: &dyn ReadStore,
    generation: Generation,
    tenant: &TenantId,
    after: Option<&Slug>,
    limit: usize,
    is_wanted: &(dyn Fn(&Project) -> bool + Sync),
) -> Result<Page<Project>, Fault> {
    let partition = vec![Value::text(tenant.as_str())];
    let rows =
        chunk(store, &FLAG_PROJECTS, generation, partition, after, ROWS_EXAMINED_MAX).await?;
    page(&rows, limit.max(1), is_wanted, |key, row| project_from(key, &row.values))
}

/// An environment. The version of its snapshot is its own changes and its project's.
pub async fn get_environment(
    store: &dyn ReadStore,
    generation: Generation,
    tenant: &TenantId,
    project: &Slug,
    environment: &Slug,
) -> Result<Option<Environment>, Fault> {
    let key = part_key(tenant.as_str(), project, environment);
    let row = store.get(&FLAG_ENVIRONMENTS, generation, key).await?;
    row.map(|row| environment_from(environment.clone(), &row.values)).transpose()
}

/// Up to `limit` (at least 1) environments of a project behind the key `after`, of those
/// that `is_wanted`. A project has few: all are looked at.
pub async fn list_environments(
    store: &dyn ReadStore,
    generation: Generation,
    tenant: &TenantId,
    project: &Slug,
    after: Option<&Slug>,
    limit: usize,
    is_wanted: &(dyn Fn(&Environment) -> bool + Sync),
) -> Result<Page<Environment>, Fault> {
    let partition = parts_of(tenant.as_str(), project);
    let rows =
        chunk(store, &FLAG_ENVIRONMENTS, generation, partition, after, ROWS_EXAMINED_MAX).await?;
    page(&rows, limit.max(1), is_wanted, |key, row| environment_from(key, &row.values))
}

/// One flag.
pub async fn get_flag(
    store: &dyn ReadStore,
    generation: Generation,
    tenant: &TenantId,
    project: &Slug,
    flag: &Slug,
) -> Result<Option<Flag>, Fault> {
    let key = part_key(tenant.as_str(), project, flag);
    let row = store.get(&FLAGS, generation, key).await?;
    row.map(|row| flag_from(flag, &row.values)).transpose()
}

/// Which flags a list has.
#[derive(Clone, Copy)]
pub struct Wanted<'a> {
    /// Archived ones too.
    pub archived: bool,
    /// What else is asked of a flag.
    pub also: &'a (dyn Fn(&Flag) -> bool + Sync),
}

impl core::fmt::Debug for Wanted<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Wanted").field("archived", &self.archived).finish_non_exhaustive()
    }
}

/// Up to `limit` (at least 1) flags of a project behind the key `after`, of those that
/// are `wanted`. Fewer, or none, when [`ROWS_EXAMINED_MAX`] or
/// [`PAGE_BYTES_MAX`] is reached before.
pub async fn list_flags(
    store: &dyn ReadStore,
    generation: Generation,
    tenant: &TenantId,
    project: &Slug,
    after: Option<&Slug>,
    limit: usize,
    wanted: Wanted<'_>,
) -> Result<FlagPage, Fault> {
    let mut items = Vec::new();
    let mut bytes = 0;
    let mut last = after.cloned();
    for _ in 0..ROWS_EXAMINED_MAX.div_ceil(CHUNK_ROWS_MAX) {
        let partition = parts_of(tenant.as_str(), project);
        let rows =
            chunk(store, &FLAGS, generation, partition, last.as_ref(), CHUNK_ROWS_MAX).await?;
        let is_end = rows.len() < CHUNK_ROWS_MAX;
        for row in &rows {
            let key = key_of(&row.key)?;
            if wanted.archived || !is_archived(&row.values) {
                let flag = flag_from(&key, &row.values)?;
                if (wanted.also)(&flag) {
                    if items.len() == limit.max(1) || bytes >= PAGE_BYTES_MAX {
                        return Ok(Page { items, next: last });
                    }
                    bytes += row.values.last().map_or(0, |it| it.as_bytes().len());
                    items.push(flag);
                }
            }
            last = Some(key);
        }
        if is_end {
            return Ok(Page { items, next: None });
        }
    }
    Ok(Page { items, next: last })
}

/// A project with all its parts.
pub(crate) async fn whole(
    store: &dyn ReadStore,
    generation: Generation,
    tenant: &TenantId,
    project: &Slug,
) -> Result<Option<Project>, Fault> {
    let Some(mut whole) = get_project(store, generation, tenant, project).await? else {
        return Ok(None);
    };
    let environments = all(store, &FLAG_ENVIRONMENTS, generation, tenant, project).await?;
    for row in environments {
        whole.environments.put(environment_from(key_of(&row.key)?, &row.values)?);
    }
    for row in all(store, &FLAGS, generation, tenant, project).await? {
        whole.flags.put(flag_from(&key_of(&row.key)?, &row.values)?);
    }
    Ok(Some(whole))
}

/// All rows of a project's parts, of which there is a bound.
async fn all(
    store: &dyn ReadStore,
    table: &'static Table,
    generation: Generation,
    tenant: &TenantId,
    project: &Slug,
) -> Result<Vec<Row>, Fault> {
    let mut found = Vec::new();
    let mut after = None;
    loop {
        let partition = parts_of(tenant.as_str(), project);
        let rows =
            chunk(store, table, generation, partition, after.as_ref(), CHUNK_ROWS_MAX).await?;
        let is_end = rows.len() < CHUNK_ROWS_MAX;
        found.extend(rows);
        match found.last() {
            Some(last) if !is_end => after = Some(key_of(&last.key)?),
            _ => return Ok(found),
        }
    }
}

async fn chunk(
    store: &dyn ReadStore,
    table: &'static Table,
    generation: Generation,
    partition: Vec<Value>,
    after: Option<&Slug>,
    limit: usize,
) -> Result<Vec<Row>, Fault> {
    let mut scan = Scan::of(table, generation, partition, limit);
    scan.after = after.map(|it| vec![Value::text(it.as_str())]);
    store.scan(scan).await
}

/// The first `limit` of `rows` that are wanted.
fn page<T>(
    rows: &[Row],
    limit: usize,
    is_wanted: &(dyn Fn(&T) -> bool + Sync),
    read: impl Fn(Slug, &Row) -> Result<T, Fault>,
) -> Result<Page<T>, Fault> {
    let mut items = Vec::new();
    let mut last = None;
    for row in rows {
        let key = key_of(&row.key)?;
        let item = read(key.clone(), row)?;
        if is_wanted(&item) {
            if items.len() == limit {
                return Ok(Page { items, next: last });
            }
            items.push(item);
        }
        last = Some(key);
    }
    Ok(Page { items, next: None })
}
