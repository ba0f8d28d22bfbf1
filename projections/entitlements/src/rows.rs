//! Table, key and rows of the view.

use std::collections::BTreeMap;
use std::sync::Arc;

use exchequer_domain_entitlements::{GivenPlan, Grant, State};
use exchequer_readstore::{Column, Fault, Key, Kind, Table, Value};
use exchequer_types::{
    Allowance, Features, HeldBy, HeldPlan, PlanContent, PlanRef, Slug, TenantId, Timestamp,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::snapshot::Snapshot;
use grant_text::GrantText;

mod grant_text;

/// By tenant.
pub static ENTITLEMENTS: Table = Table {
    name: "entitlements",
    partition_key: &[text("tenant")],
    clustering: &[],
    columns: COLUMNS,
};

/// In the order of [`values_of`].
const COLUMNS: &[Column] = &[
    // The own time of a sandbox, in microseconds since the Unix epoch as all instants; below
    // 0 when the tenant lives in real time.
    int("clock"),
    int("version"),
    int("updated_at"),
    // The tenant's provider, whose plan it has; empty for the root.
    text("provider"),
    // Empty, and 0, without a plan.
    text("catalog"),
    int("catalog_version"),
    text("plan"),
    // trial, subscription or fallback.
    text("held_by"),
    int("seats"),
    int("held_since"),
    // A JSON object: packs by add-on.
    text("packs"),
    // A JSON object: allowance by feature.
    text("plan_features"),
    // A JSON object: by add-on, the allowance by feature.
    text("add_on_features"),
    // A JSON list.
    text("grants"),
    // A JSON object: units by feature.
    text("used"),
];

const fn text(name: &'static str) -> Column {
    Column { name, kind: Kind::Text }
}

const fn int(name: &'static str) -> Column {
    Column { name, kind: Kind::Int }
}

/// Instead of a clock.
const REAL_TIME: i64 = -1;

/// Key of `entitlements`.
pub(crate) fn key(tenant: &str) -> Key {
    Key { partition: vec![Value::text(tenant)], clustering: Vec::new() }
}

/// The row of a tenant that exists.
pub(crate) fn values_of(snapshot: &Snapshot) -> Vec<Value> {
    let state = &snapshot.state;
    let held = state.plan.as_ref().map(|given| &given.held);
    let plan = held.map(|held| &held.plan);
    let nothing = PlanContent::default();
    let content = state.plan.as_ref().map_or(&nothing, |given| &given.content);
    let add_ons = content.add_ons.iter();
    let add_ons: BTreeMap<&str, BTreeMap<&str, String>> =
        add_ons.map(|(add_on, included)| (add_on.as_str(), words(included))).collect();
    let grants: Vec<GrantText> = state.grants.values().map(|grant| GrantText::of(grant)).collect();
    vec![
        Value::Int(snapshot.clock.map_or(REAL_TIME, Timestamp::micros)),
        Value::uint(state.version),
        Value::Int(state.updated_at.micros()),
        Value::text(snapshot.provider.as_ref().map_or("", TenantId::as_str)),
        Value::text(plan.map_or("", |plan| plan.catalog.as_str())),
        Value::Int(plan.map_or(0, |plan| i64::from(plan.version))),
        Value::text(plan.map_or("", |plan| plan.plan.as_str())),
        Value::text(held.map_or("", |held| held_by_word(held.by))),
        Value::uint(held.map_or(0, |held| held.seats)),
        Value::Int(held.map_or(0, |held| held.since.micros())),
        json(&held.map(|held| counts(&held.add_ons)).unwrap_or_default()),
        json(&words(&content.plan)),
        json(&add_ons),
        json(&grants),
        json(&counts(&state.used)),
    ]
}

/// The snapshot that a row of `tenant` holds. A fault when it cannot be what was written.
pub(crate) fn snapshot_of(tenant: &str, values: &[Value]) -> Result<Snapshot, Fault> {
    let damaged = |column: &str| {
        Fault::lasting(format!(
            "entitlements of {tenant:?}: the row's {column} is damaged: rebuild the view"
        ))
    };
    let [clock, version, updated_at, provider, plan @ .., grants, used] = values else {
        return Err(damaged("number of columns"));
    };
    let provider = match provider.as_text() {
        "" => None,
        id => Some(TenantId::parse(id).map_err(|_| damaged("provider"))?),
    };
    let grants: Vec<GrantText> = parse(grants).ok_or_else(|| damaged("grants"))?;
    let grants = grants.into_iter().map(|grant| {
        let grant: Grant = grant.grant()?;
        Some((grant.id.clone(), Arc::new(grant)))
    });
    let grants: Option<BTreeMap<_, _>> = grants.collect();
    let state = State {
        version: version.as_uint(),
        updated_at: instant(updated_at),
        plan: given_plan(provider.as_ref(), plan).map_err(damaged)?.map(Arc::new),
        grants: Arc::new(grants.ok_or_else(|| damaged("grants"))?),
        used: Arc::new(counts_of(used).ok_or_else(|| damaged("used"))?),
    };
    let clock = Some(clock.as_int()).filter(|clock| *clock >= 0);
    let clock = clock.map(Timestamp::saturating_from_micros);
    Ok(Snapshot { exists: true, provider, clock, state })
}

/// Of the columns from `catalog` to `add_on_features`; or the column that is damaged.
fn given_plan(
    provider: Option<&TenantId>,
    values: &[Value],
) -> Result<Option<GivenPlan>, &'static str> {
    let [catalog, version, plan, by, seats, since, packs, features, add_ons] = values else {
        return Err("number of columns");
    };
    if plan.as_text().is_empty() {
        return Ok(None);
    }
    let slug = |value: &Value, column| Slug::parse(value.as_text()).map_err(|_| column);
    let held = HeldPlan {
        plan: PlanRef {
            provider: provider.cloned().ok_or("provider")?,
            catalog: slug(catalog, "catalog")?,
            version: u32::try_from(version.as_int()).map_err(|_| "catalog_version")?,
            plan: slug(plan, "plan")?,
        },
        by: held_by(by.as_text()).ok_or("held_by")?,
        seats: seats.as_uint(),
        add_ons: counts_of(packs).ok_or("packs")?,
        since: instant(since),
    };
    let add_ons: BTreeMap<String, BTreeMap<String, String>> =
        parse(add_ons).ok_or("add_on_features")?;
    let add_ons = add_ons
        .into_iter()
        .map(|(add_on, included)| Some((Slug::parse(add_on).ok()?, features_of(included)?)));
    let content = PlanContent {
        plan: parse(features).and_then(features_of).ok_or("plan_features")?,
        add_ons: add_ons.collect::<Option<_>>().ok_or("add_on_features")?,
    };
    Ok(Some(GivenPlan { held, content }))
}

fn instant(value: &Value) -> Timestamp {
    Timestamp::saturating_from_micros(value.as_int())
}

fn json(value: &impl Serialize) -> Value {
    // Maps with keys of text, and lists, are always written.
    Value::Text(serde_json::to_string(value).unwrap_or_default())
}

fn parse<T: DeserializeOwned>(value: &Value) -> Option<T> {
    serde_json::from_str(value.as_text()).ok()
}

fn counts(counts: &BTreeMap<Slug, u64>) -> BTreeMap<&str, u64> {
    counts.iter().map(|(key, count)| (key.as_str(), *count)).collect()
}

fn counts_of(value: &Value) -> Option<BTreeMap<Slug, u64>> {
    let counts: BTreeMap<String, u64> = parse(value)?;
    counts.into_iter().map(|(key, count)| Some((Slug::parse(key).ok()?, count))).collect()
}

fn words(features: &Features) -> BTreeMap<&str, String> {
    let word = |allowance: &Allowance| match allowance {
        Allowance::On => "on".to_owned(),
        Allowance::Limit(units) => units.to_string(),
        Allowance::Unlimited => "unlimited".to_owned(),
        Allowance::Seats => "seats".to_owned(),
    };
    features.iter().map(|(feature, allowance)| (feature.as_str(), word(allowance))).collect()
}

fn features_of(words: BTreeMap<String, String>) -> Option<Features> {
    let allowance = |word: &str| {
        Some(match word {
            "on" => Allowance::On,
            "unlimited" => Allowance::Unlimited,
            "seats" => Allowance::Seats,
            units => Allowance::Limit(units.parse().ok()?),
        })
    };
    let words = words.into_iter();
    words.map(|(feature, word)| Some((Slug::parse(feature).ok()?, allowance(&word)?))).collect()
}

fn held_by_word(by: HeldBy) -> &'static str {
    match by {
        HeldBy::Trial => "trial",
        HeldBy::Subscription => "subscription",
        HeldBy::Fallback => "fallback",
    }
}

fn held_by(word: &str) -> Option<HeldBy> {
    match word {
        "trial" => Some(HeldBy::Trial),
        "subscription" => Some(HeldBy::Subscription),
        "fallback" => Some(HeldBy::Fallback),
        _ => None,
    }
}
