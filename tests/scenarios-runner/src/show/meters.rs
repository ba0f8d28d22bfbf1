//! What a provider counts, and what meters know of a tenant.

use exchequer_domain_usage::{Meter, Schema};
use exchequer_metering::Meter as Rules;
use exchequer_projection_meters::{
    self as meters, Definitions, LiveMeters, LiveTerms, TenantTerms,
};
use exchequer_types::{Slug, TenantId};

use super::text::{none, sheet, table};
use super::{Shown, View, now};

impl View<'_> {
    /// All meters, retired ones too.
    pub(super) fn meters(&self, provider: &TenantId) -> Shown {
        let rows = self.definitions(provider)?.state.meters.into_values();
        let heads =
            ["meter", ">version", "counts", "of", "by", ">filters", "in", "state", "backfilled"];
        Ok(table(&heads, rows.map(|it| meter(&it))))
    }

    /// A version of a meter's rules, as it was set.
    pub(super) fn meter_version(&self, provider: &TenantId, key: &Slug, version: u32) -> Shown {
        let store = self.world.store.as_ref();
        let generation = self.generation("meters");
        let found = now(meters::get_meter_version(store, generation, provider, key, version))?;
        Ok(found.map_or_else(
            || "no such version\n".to_owned(),
            |(rules, set_at)| {
                sheet(&[
                    ("set at", set_at.to_string()),
                    ("counts", counts(&rules)),
                    ("in", rules.unit),
                ])
            },
        ))
    }

    /// All schemas, retired ones too.
    pub(super) fn event_schemas(&self, provider: &TenantId) -> Shown {
        let rows = self.definitions(provider)?.state.schemas.into_values();
        Ok(table(&["type", ">version", "schema", "state"], rows.map(|it| schema(&it))))
    }

    /// Whose meters count a tenant's events, and its billing periods.
    pub(super) fn terms(&self, tenant: &TenantId) -> Shown {
        let terms = self.tenant_terms(tenant)?;
        let by = terms.counted_by(tenant).map_or_else(none, |it| it.to_string());
        let mut out = sheet(&[("counted by", by)]);
        let rows = terms.periods().into_iter();
        let rows = rows.map(|it| vec![it.start.to_string(), it.end.to_string()]);
        out.push_str(&table(&["period from", "to"], rows));
        Ok(out)
    }

    /// What the view's row says, which is what the gateway has in memory.
    fn definitions(&self, provider: &TenantId) -> Result<Definitions, String> {
        let store = self.world.store.as_ref();
        let row = now(meters::get_definitions(store, self.generation("meters"), provider))?;
        let live = self.world.live::<LiveMeters>(provider.clone())?;
        if *live.snapshot != row {
            return Err(format!("in memory: {:?}, in the view: {row:?}", live.snapshot));
        }
        Ok(row)
    }

    fn tenant_terms(&self, tenant: &TenantId) -> Result<TenantTerms, String> {
        let store = self.world.store.as_ref();
        let row = now(meters::get_terms(store, self.generation("meters"), tenant))?;
        let live = self.world.live::<LiveTerms>(tenant.clone())?;
        if *live.snapshot != row {
            return Err(format!("in memory: {:?}, in the view: {row:?}", live.snapshot));
        }
        Ok(row)
    }
}

fn meter(it: &Meter) -> Vec<String> {
    let rules = &it.rules;
    let groups: Vec<&str> = rules.group_by.iter().map(|it| it.name.as_str()).collect();
    let backfills = it.backfills.iter().map(|it| match it.until {
        Some(until) => format!("{} to {until}", it.from),
        None => format!("from {}", it.from),
    });
    let backfills: Vec<String> = backfills.collect();
    vec![
        rules.key.to_string(),
        rules.version.to_string(),
        counts(rules),
        rules.event_type.clone(),
        if groups.is_empty() { none() } else { groups.join(", ") },
        rules.filters.len().to_string(),
        rules.unit.clone(),
        state(it.retired),
        if backfills.is_empty() { none() } else { backfills.join(", ") },
    ]
}

fn counts(rules: &Rules) -> String {
    let value = rules.value.as_ref().map(|it| format!(" {it}")).unwrap_or_default();
    format!("{}{value}", rules.aggregation)
}

fn schema(it: &Schema) -> Vec<String> {
    vec![it.kind.clone(), it.version.to_string(), it.text.clone(), state(it.retired)]
}

fn state(is_retired: bool) -> String {
    if is_retired { "retired" } else { "in force" }.to_owned()
}
