//! A provider's price list: its versions, and what each of them asks.

use core::fmt::Write as _;

use exchequer_codec::document_from_proto;
use exchequer_domain_catalog::{Document, Plan};
use exchequer_projection_catalogs as catalogs;
use exchequer_types::{Component, ComponentKind, Currency, Slug, TenantId};

use super::text::{money, none, table};
use super::{ROWS_MAX, Shown, View, now};

impl View<'_> {
    /// `name` is `PROVIDER/ID`.
    pub(super) fn catalog(&self, name: &str) -> Shown {
        let store = self.world.store.as_ref();
        let generation = self.generation("catalogs");
        let (provider, id) = name.split_once('/').ok_or("show catalog PROVIDER/ID")?;
        let provider = TenantId::parse(provider).map_err(|error| error.to_string())?;
        let id = Slug::parse(id).map_err(|error| error.to_string())?;
        let Some((row, _)) = now(catalogs::get(store, generation, &provider, &id))? else {
            return Ok("no such catalog\n".to_owned());
        };
        let page =
            now(catalogs::versions(store, generation, &provider, &id, None, ROWS_MAX, &|_| true))?;
        let rows = page.items.iter().rev().map(|(number, version)| {
            let retired = version.retired_at.map_or_else(none, |at| at.to_string());
            vec![number.to_string(), version.published_at.to_string(), retired]
        });
        let mut out = table(&[">version", "published", "retired"], rows);
        let draft = row.draft.map_or_else(none, |(_, at)| format!("saved {at}"));
        let _ = writeln!(out, "draft  {draft}");
        for (number, _) in page.items.iter().rev() {
            let found = catalogs::version(store, generation, &provider, &id, Some(*number));
            let (.., document) = now(found)?.ok_or("a version has no document")?;
            let document = document_from_proto(document).map_err(|it| format!("{it:?}"))?;
            let _ = writeln!(out, "version {number}");
            for line in prices(&document).lines() {
                let _ = writeln!(out, "  {line}");
            }
        }
        Ok(out)
    }
}

fn prices(document: &Document) -> String {
    let mut rows = Vec::new();
    for plan in &document.plans {
        rows.extend(of_plan(plan));
    }
    table(&["plan", "price", "every", "amounts"], rows.into_iter())
}

fn of_plan(plan: &Plan) -> Vec<Vec<String>> {
    if plan.prices.is_empty() {
        return vec![vec![plan.id.to_string(), none(), none(), none()]];
    }
    let rows = plan.prices.iter().map(|price| {
        let amounts = price.currencies.iter().map(|it| components(&it.components, it.currency));
        let amounts: Vec<String> = amounts.collect();
        let cycle = price.cycle.to_string();
        vec![plan.id.to_string(), price.id.to_string(), cycle, amounts.join(", ")]
    });
    rows.collect()
}

/// `10.00 USD and 2.00 USD a seat`
pub(super) fn components(components: &[Component], currency: Currency) -> String {
    let parts = components.iter().map(|it| {
        let each = if it.kind == ComponentKind::PerSeat { " a seat" } else { "" };
        format!("{}{each}", money(it.amount, currency))
    });
    let parts: Vec<String> = parts.collect();
    parts.join(" and ")
}
