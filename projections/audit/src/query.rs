//! What the api reads. Entries of a tenant count from 1 without gaps: a gap among
//! the rows is an entry that the store does not show yet, and is never passed over.

use core::fmt;

use exchequer_readstore::{Fault, Generation, ReadStore, Scan, Value};
use exchequer_types::{TenantId, Timestamp};

use crate::rows::{AUDIT_ENTRIES, AuditEntry};

/// Rows that one call of [`list`] looks at: a page of a filtered list may be short.
pub const ROWS_EXAMINED_MAX: usize = 5_000;
/// A page that has reached this many bytes of entries ends there.
pub const PAGE_BYTES_MAX: usize = 1 << 20;
/// Rows that are read in one step, each with up to 60 KiB.
const CHUNK_ROWS_MAX: usize = 128;

/// Which entries; each part narrows the list when given.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Filter {
    pub actor: Option<String>,
    pub action: Option<String>,
    pub resource_type: Option<String>,
    pub resource_id: Option<String>,
    /// `recorded_at`: not before.
    pub from: Option<Timestamp>,
    /// `recorded_at`: before.
    pub to: Option<Timestamp>,
}

/// Which entries a list has.
#[derive(Clone, Copy)]
pub struct Wanted<'a> {
    pub filter: &'a Filter,
    /// Says more than `filter` can.
    pub also: &'a (dyn Fn(&AuditEntry) -> bool + Sync),
}

impl fmt::Debug for Wanted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wanted").field("filter", self.filter).finish_non_exhaustive()
    }
}

impl<'a> From<&'a Filter> for Wanted<'a> {
    fn from(filter: &'a Filter) -> Self {
        Self { filter, also: &|_| true }
    }
}

/// Part of a list.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Page {
    /// Newest first.
    pub entries: Vec<AuditEntry>,
    /// Where the next page begins: before this seq. None on the last page.
    pub next: Option<u64>,
}

/// Up to `limit` (at least 1) entries that are `wanted`, newest first,
/// from below the seq `before` on. Fewer, or none, when [`ROWS_EXAMINED_MAX`] or
/// [`PAGE_BYTES_MAX`] is reached before.
///
/// A retryable fault when an entry below `before` is not visible yet.
pub async fn list(
    store: &dyn ReadStore,
    generation: Generation,
    tenant: &TenantId,
    wanted: Wanted<'_>,
    before: Option<u64>,
    limit: usize,
) -> Result<Page, Fault> {
    let filter = wanted.filter;
    let limit = limit.max(1);
    let mut page = Page::default();
    let (mut last, mut bytes, mut examined) = (before, 0, 0);
    while last != Some(1) {
        let partition = vec![Value::text(tenant.as_str())];
        let rows_max = if filter.is_all() { limit.min(CHUNK_ROWS_MAX) } else { CHUNK_ROWS_MAX };
        let mut scan = Scan::of(&AUDIT_ENTRIES, generation, partition, rows_max);
        scan.after = last.map(|seq| vec![Value::uint(seq)]);
        scan.reverse = true;
        let rows = store.scan(scan).await?;
        let is_end = rows.len() < rows_max;
        for row in rows {
            let entry = AuditEntry::from_row(row)?;
            if last.is_some_and(|seq| entry.seq + 1 != seq) {
                // What is above the gap is not whole yet.
                let seq = last.map_or(0, |seq| seq.saturating_sub(1));
                page = hidden(tenant, seq, before)?;
                bytes = 0;
            }
            if filter.from.is_some_and(|from| entry.committed_at < from) {
                return Ok(page);
            }
            last = Some(entry.seq);
            examined += 1;
            if filter.holds(&entry) && (wanted.also)(&entry) {
                bytes += entry.json.len();
                page.entries.push(entry);
            }
            let is_full = page.entries.len() == limit || bytes >= PAGE_BYTES_MAX;
            if is_full || examined == ROWS_EXAMINED_MAX {
                page.next = last.filter(|seq| *seq > 1);
                return Ok(page);
            }
        }
        if is_end {
            return match last {
                None | Some(0 | 1) => Ok(page),
                Some(seq) => hidden(tenant, seq - 1, before),
            };
        }
    }
    Ok(page)
}

/// Up to `limit` entries behind the entry `seq` (0: from the first on), oldest
/// first, without a gap. Fewer when [`PAGE_BYTES_MAX`] is reached or an entry is
/// not visible yet; none when there is no newer one.
pub async fn after(
    store: &dyn ReadStore,
    generation: Generation,
    tenant: &TenantId,
    seq: u64,
    limit: usize,
) -> Result<Vec<AuditEntry>, Fault> {
    let mut entries: Vec<AuditEntry> = Vec::new();
    let (mut last, mut bytes) = (seq, 0);
    while entries.len() < limit {
        let partition = vec![Value::text(tenant.as_str())];
        let rows_max = (limit - entries.len()).min(CHUNK_ROWS_MAX);
        let mut scan = Scan::of(&AUDIT_ENTRIES, generation, partition, rows_max);
        scan.after = Some(vec![Value::uint(last)]);
        let rows = store.scan(scan).await?;
        let is_end = rows.len() < rows_max;
        for row in rows {
            let entry = AuditEntry::from_row(row)?;
            if entry.seq != last + 1 || bytes >= PAGE_BYTES_MAX {
                return Ok(entries);
            }
            last = entry.seq;
            bytes += entry.json.len();
            entries.push(entry);
        }
        if is_end {
            break;
        }
    }
    Ok(entries)
}

/// The entry `seq` is not visible. A list from the top on begins anew below it;
/// one that goes on from an earlier page cannot.
fn hidden(tenant: &TenantId, seq: u64, before: Option<u64>) -> Result<Page, Fault> {
    if before.is_none() {
        return Ok(Page::default());
    }
    let message = format!("audit entry {seq} of tenant {tenant} is not visible yet: ask again");
    Err(Fault::retryable(message))
}

impl Filter {
    fn is_all(&self) -> bool {
        *self == Self::default()
    }

    fn holds(&self, entry: &AuditEntry) -> bool {
        let is = |wanted: &Option<String>, found: &str| {
            wanted.as_deref().is_none_or(|wanted| wanted == found)
        };
        is(&self.actor, &entry.actor)
            && is(&self.action, &entry.action)
            && is(&self.resource_type, &entry.resource_type)
            && is(&self.resource_id, &entry.resource_id)
            && self.from.is_none_or(|from| from <= entry.recorded_at)
            && self.to.is_none_or(|to| entry.recorded_at < to)
    }
}
