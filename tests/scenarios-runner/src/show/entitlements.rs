//! What a tenant may use, and where each part of it comes from.

use exchequer_domain_entitlements::{Decision, Part, Rule, State, check, list};
use exchequer_projection_entitlements::{self as entitlements, LiveEntitlements, Snapshot};
use exchequer_types::{HeldBy, PlanRef, Slug, TenantId, Timestamp};

use super::text::{none, sheet, table};
use super::{Shown, View, now};

impl View<'_> {
    pub(super) fn entitlements(&self, tenant: &TenantId) -> Shown {
        let it = self.snapshot(tenant)?;
        Ok(all(&it.state, &self.world.grants(tenant), it.time(self.world.now())))
    }

    pub(super) fn entitlement(&self, tenant: &TenantId, feature: &Slug) -> Shown {
        let it = self.snapshot(tenant)?;
        Ok(one(&it.state, &self.world.grants(tenant), feature, it.time(self.world.now())))
    }

    /// What the view's row says, which is what the gateway has in memory.
    fn snapshot(&self, tenant: &TenantId) -> Result<Snapshot, String> {
        let store = self.world.store.as_ref();
        let row = now(entitlements::get(store, self.generation("entitlements"), tenant))?;
        let row = row.map(|(snapshot, _)| snapshot).unwrap_or_default();
        let live = self.world.live::<LiveEntitlements>(tenant.clone())?;
        if *live.snapshot != row {
            return Err(format!("in memory: {:?}, in the view: {row:?}", live.snapshot));
        }
        Ok(row)
    }
}

/// Every feature that a plan or a grant names. `grants` are the ids of all of the
/// tenant's grants, in the order in which they were given.
fn all(state: &State, grants: &[String], now: Timestamp) -> String {
    let mut out = match &state.plan {
        None => "no plan\n".to_owned(),
        Some(given) => {
            let (held, unit) = (&given.held, if given.held.seats == 1 { "seat" } else { "seats" });
            format!("{}, {} {unit}\n", plan(&held.plan, held.by), held.seats)
        }
    };
    let rows = list(state, now).into_iter().map(|(feature, it)| {
        vec![
            feature.to_string(),
            yes_or_no(it.allowed),
            it.limit.to_string(),
            it.used.to_string(),
            it.expires_at.map_or_else(none, |at| at.to_string()),
            because(&it, grants),
        ]
    });
    out.push_str(&table(&["feature", "allowed", ">limit", ">used", "until", "from"], rows));
    out
}

/// The answer for one feature.
fn one(state: &State, grants: &[String], feature: &Slug, now: Timestamp) -> String {
    let it = check(state, feature, now);
    sheet(&[
        ("allowed", yes_or_no(it.allowed)),
        ("decided by", rule(&it.rule, grants)),
        ("limit", it.limit.to_string()),
        ("used", it.used.to_string()),
        ("until", it.expires_at.map(|at| at.to_string()).unwrap_or_default()),
        ("from", because(&it, grants)),
    ])
}

fn because(it: &Decision, grants: &[String]) -> String {
    if it.parts.is_empty() {
        return rule(&it.rule, grants);
    }
    let part = |part: &Part| format!("{} from {}", part.amount, rule(&part.rule, grants));
    let parts: Vec<String> = it.parts.iter().map(part).collect();
    parts.join(", ")
}

fn rule(it: &Rule, grants: &[String]) -> String {
    let grant = |id: &String| {
        let place = grants.iter().position(|known| known == id);
        place.map_or_else(|| "an unknown grant".to_owned(), |at| format!("grant {}", at + 1))
    };
    match it {
        Rule::Grant { id, kind } => format!("{} ({})", grant(id), kind.word()),
        Rule::Plan { plan: of, by } => plan(of, *by),
        Rule::AddOn { add_on, packs } => format!("{packs} x {add_on}"),
        Rule::Expired { grant: id, kind, at } => {
            format!("{} ({}) expired at {at}", grant(id), kind.word())
        }
        Rule::NotIncluded { plan } => format!("not in the plan {}", plan.plan),
        Rule::NoPlan => "no plan, no grant".to_owned(),
    }
}

fn plan(plan: &PlanRef, by: HeldBy) -> String {
    let how = match by {
        HeldBy::Trial => " on trial",
        HeldBy::Subscription => "",
        HeldBy::Fallback => " to fall back on",
    };
    format!("the plan {}{how}", plan.plan)
}

fn yes_or_no(yes: bool) -> String {
    if yes { "yes" } else { "no" }.to_owned()
}
