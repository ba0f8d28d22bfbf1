//! What the api reads. The caller has waited for the freshness that it needs.

use exchequer_domain_subscriptions::{Charge, Subscription};
use exchequer_readstore::{Fault, Generation, ReadStore, Scan, Value};
use exchequer_types::TenantId;

use crate::rows::{
    SUBSCRIPTION_CHARGES, SUBSCRIPTIONS, charge_of, subscription_key, subscription_of,
};

/// Rows that one call of [`charges`] looks at: a page of a filtered list may be short.
pub const ROWS_EXAMINED_MAX: usize = 5_000;
/// A page that has reached this many lines ends there.
pub const PAGE_LINES_MAX: usize = 4_000;
const CHUNK_ROWS_MAX: usize = 128;

/// Which charges; each part narrows the list when given.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct ChargeFilter {
    pub subscription: Option<String>,
    pub period_index: Option<u32>,
}

/// Part of a list.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct ChargePage {
    /// Newest first.
    pub charges: Vec<Charge>,
    /// Where the next page begins: before this position. None on the last page.
    pub next: Option<u64>,
}

/// A tenant's current subscription, or the last one when that has ended.
pub async fn get(
    store: &dyn ReadStore,
    generation: Generation,
    tenant: &TenantId,
) -> Result<Option<Subscription>, Fault> {
    let key = subscription_key(tenant.as_str());
    let row = store.get(&SUBSCRIPTIONS, generation, key).await?;
    row.map(|row| subscription_of(tenant.as_str(), &row.values)).transpose()
}

/// Up to `limit` (at least 1) of a tenant's charges that `is_wanted`, newest first, from below the position `before` on. Fewer, or none, when
/// [`ROWS_EXAMINED_MAX`] or [`PAGE_LINES_MAX`] is reached before.
pub async fn charges(
    store: &dyn ReadStore,
    generation: Generation,
    tenant: &TenantId,
    is_wanted: &(dyn Fn(&Charge) -> bool + Sync),
    before: Option<u64>,
    limit: usize,
) -> Result<ChargePage, Fault> {
    let mut page = ChargePage::default();
    let (mut last, mut lines) = (before, 0);
    for _ in 0..ROWS_EXAMINED_MAX.div_ceil(CHUNK_ROWS_MAX) {
        let partition = vec![Value::text(tenant.as_str())];
        let mut scan = Scan::of(&SUBSCRIPTION_CHARGES, generation, partition, CHUNK_ROWS_MAX);
        scan.after = last.map(|position| vec![Value::uint(position)]);
        scan.reverse = true;
        let rows = store.scan(scan).await?;
        let is_end = rows.len() < CHUNK_ROWS_MAX;
        for row in &rows {
            let charge = charge_of(tenant.as_str(), &row.values)?;
            if is_wanted(&charge) {
                if page.charges.len() == limit.max(1) || lines >= PAGE_LINES_MAX {
                    page.next = last;
                    return Ok(page);
                }
                lines += charge.lines.len();
                page.charges.push(charge);
            }
            last = row.key.clustering.first().map(Value::as_uint);
        }
        if is_end {
            return Ok(page);
        }
    }
    page.next = last;
    Ok(page)
}

impl ChargeFilter {
    /// Does it let the charge through?
    pub fn holds(&self, charge: &Charge) -> bool {
        self.subscription.as_ref().is_none_or(|id| *id == charge.subscription)
            && self.period_index.is_none_or(|index| index == charge.period_index)
    }
}
