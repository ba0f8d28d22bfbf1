//! A tenant's limits and what is taken of them, with the percentages that it was told of.

use exchequer_domain_quotas::{Quota, State};
use exchequer_projection_entitlements::LiveEntitlements;
use exchequer_projection_quotas::{self as quotas, LiveQuotas};
use exchequer_types::{TenantId, Timestamp};

use super::text::{none, table};
use super::{Shown, View, now};

impl View<'_> {
    /// As they are at the tenant's time.
    pub(super) fn quotas(&self, tenant: &TenantId) -> Shown {
        let store = self.world.store.as_ref();
        let row = now(quotas::get(store, self.generation("quotas"), tenant))?;
        let row = row.map(|(state, _)| state).unwrap_or_default();
        let live = self.world.live::<LiveQuotas>(tenant.clone())?;
        if *live.snapshot != row {
            return Err(format!("in memory: {:?}, in the view: {row:?}", live.snapshot));
        }
        let time = self.world.live::<LiveEntitlements>(tenant.clone())?;
        Ok(all(&row, time.snapshot.time(self.world.now())))
    }
}

fn all(state: &State, now: Timestamp) -> String {
    let rows = state.quotas().map(|it| row(&it.at(now)));
    let heads =
        ["feature", ">limit", "beyond", ">used", ">reserved", ">left", "resets at", "told of"];
    table(&heads, rows)
}

fn row(it: &Quota) -> Vec<String> {
    let number = |it: Option<u64>| it.map_or_else(none, |it| it.to_string());
    let told: Vec<String> = it.noted.iter().map(|percent| format!("{percent} %")).collect();
    vec![
        it.feature.to_string(),
        number(it.terms.limit),
        it.terms.beyond.word().to_owned(),
        it.used.to_string(),
        it.reserved.to_string(),
        number(it.remaining()),
        it.resets_at().map_or_else(none, |at| at.to_string()),
        if told.is_empty() { none() } else { told.join(", ") },
    ]
}
