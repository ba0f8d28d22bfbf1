//! Whether a feature may be used, by which rule, and how much of it is left.
//! Pure functions of the state and an instant; nothing else is asked.

use core::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use exchequer_types::{Exceeded, HeldBy, PlanContent, PlanRef, Slug, Timestamp};

use crate::{Amount, EndedBy, Grant, GrantKind, State};

/// The answer for one feature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// Is the feature included, and is at least one unit left?
    pub allowed: bool,
    /// What decided: the first part, or why there is none.
    pub rule: Rule,
    /// All parts together.
    pub limit: Amount,
    /// Units in use: as last reported, or what is held when that is more.
    pub used: u64,
    pub reported: u64,
    pub held: Held,
    /// The first expiry of a grant in it: from then on the answer may be another one.
    pub expires_at: Option<Timestamp>,
    /// Everything that gives the feature, in the order of decision.
    pub parts: Vec<Part>,
}

/// What reservations hold of a feature.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Held {
    /// Finalised units of the present window.
    pub finalised: u64,
    /// Units of open reservations.
    pub reserved: u64,
    /// Units beyond the limit that are given all the same.
    pub extra: u64,
}

/// One source of a feature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    pub rule: Rule,
    /// More than nothing.
    pub amount: Amount,
}

/// What decides about a feature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rule {
    Grant {
        id: String,
        kind: GrantKind,
    },
    Plan {
        plan: PlanRef,
        by: HeldBy,
    },
    AddOn {
        add_on: Slug,
        packs: u64,
    },
    /// Nothing gives it now; this grant, the last that expired, did until `at`.
    Expired {
        grant: String,
        kind: GrantKind,
        at: Timestamp,
    },
    /// Neither the plan nor anything else gives it.
    NotIncluded {
        plan: PlanRef,
    },
    /// The tenant has no plan, and nothing else gives it.
    NoPlan,
}

impl Decision {
    /// Does anything give the feature, however much of it is used?
    pub fn is_included(&self) -> bool {
        self.limit > Amount::NOTHING
    }

    /// Is the feature included, and are so many units given?
    pub fn allows(&self, units: u64) -> bool {
        let most = self.limit.units().map(|limit| limit.saturating_add(self.held.extra));
        let fits = |most| self.used.checked_add(units).is_some_and(|used| used <= most);
        self.is_included() && most.is_none_or(fits)
    }

    /// With what reservations hold.
    #[must_use]
    pub fn holding(mut self, held: Held) -> Self {
        self.used = self.reported.max(held.finalised.saturating_add(held.reserved));
        self.held = held;
        self.allowed = self.allows(1);
        self
    }

    /// Units that are left; None when there is no number.
    pub fn remaining(&self) -> Option<u64> {
        self.limit.units().map(|units| units.saturating_sub(self.used))
    }
}

/// May the tenant use one more unit of `feature` at `at`, and why?
pub fn check(state: &State, feature: &Slug, at: Timestamp) -> Decision {
    let mut grants: Vec<&Grant> = state.live_grants(feature, at).collect();
    grants.sort_by_key(|grant| {
        let until = grant.expiry.as_ref().map_or(Timestamp::MAX, |expiry| expiry.at);
        (Reverse(grant.amount), Reverse(until), &grant.id)
    });
    let expires_at = grants.iter().filter_map(|grant| Some(grant.expiry.as_ref()?.at)).min();
    let granted = grants.iter().map(|grant| Part {
        rule: Rule::Grant { id: grant.id.clone(), kind: grant.kind },
        amount: grant.amount,
    });
    let mut parts: Vec<Part> = granted.collect();
    parts.extend(plan_parts(state, feature));
    parts.retain(|part| part.amount > Amount::NOTHING);
    let limit = parts.iter().fold(Amount::NOTHING, |sum, part| sum.plus(part.amount));
    let used = state.used.get(feature).copied().unwrap_or(0);
    let rule = match parts.first() {
        Some(part) => part.rule.clone(),
        None => denial(state, feature, at),
    };
    let allowed = limit.units().is_none_or(|units| used < units);
    let held = Held::default();
    Decision { allowed, rule, limit, used, reported: used, held, expires_at, parts }
}

/// The answer for every feature that the plan, its add-ons or a grant names, by feature.
pub fn list(state: &State, at: Timestamp) -> Vec<(Slug, Decision)> {
    let mut features: BTreeSet<&Slug> = state.grants.values().map(|it| &it.feature).collect();
    if let Some(given) = &state.plan {
        let held = |add_on: &&Slug| given.held.add_ons.contains_key(*add_on);
        let add_ons = given.content.add_ons.iter().filter(|(add_on, _)| held(add_on));
        features.extend(given.content.plan.keys());
        features.extend(add_ons.flat_map(|(_, included)| included.keys()));
    }
    features.into_iter().map(|feature| (feature.clone(), check(state, feature, at))).collect()
}

/// Is anything of `feature` given at `at`, however much of it is used? Allocates nothing.
pub fn is_entitled(state: &State, feature: &Slug, at: Timestamp) -> bool {
    amount(state, feature, at) > Amount::NOTHING
}

/// The limits that a plan of this content, with so many seats and packs of add-ons, would
/// have below the present use: those that it names, and those of features that the tenant
/// has now and would lose. Grants that have not ended stay, and count: whatever is due has
/// been decided before this is asked.
pub fn exceeded(
    state: &State,
    content: &PlanContent,
    seats: u64,
    add_ons: &BTreeMap<Slug, u64>,
) -> Vec<Exceeded> {
    let at = state.updated_at;
    let over = state.used.iter().filter_map(|(feature, used)| {
        let wanted = plan_amount(content, feature, seats).plus(packs(content, feature, add_ons));
        let is_named = content.plan.contains_key(feature) || wanted > Amount::NOTHING;
        if !is_named && !is_entitled(state, feature, at) {
            return None;
        }
        let limit = wanted.plus(granted(state, feature, at)).units()?;
        (limit < *used).then(|| Exceeded { feature: feature.clone(), limit, used: *used })
    });
    over.collect()
}

fn amount(state: &State, feature: &Slug, at: Timestamp) -> Amount {
    let given = state.plan.as_ref().map_or(Amount::NOTHING, |given| {
        let add_ons = packs(&given.content, feature, &given.held.add_ons);
        plan_amount(&given.content, feature, given.held.seats).plus(add_ons)
    });
    given.plus(granted(state, feature, at))
}

fn granted(state: &State, feature: &Slug, at: Timestamp) -> Amount {
    let live = state.live_grants(feature, at);
    live.fold(Amount::NOTHING, |sum, grant| sum.plus(grant.amount))
}

fn plan_amount(content: &PlanContent, feature: &Slug, seats: u64) -> Amount {
    content.plan.get(feature).map_or(Amount::NOTHING, |it| Amount::of(*it, seats))
}

/// All add-ons together.
fn packs(content: &PlanContent, feature: &Slug, add_ons: &BTreeMap<Slug, u64>) -> Amount {
    add_ons.iter().fold(Amount::NOTHING, |sum, (add_on, packs)| {
        sum.plus(add_on_amount(content, feature, add_on, *packs))
    })
}

fn add_on_amount(content: &PlanContent, feature: &Slug, add_on: &Slug, packs: u64) -> Amount {
    let allowance = content.add_ons.get(add_on).and_then(|included| included.get(feature));
    // An add-on has no seats of its own.
    allowance.map_or(Amount::NOTHING, |it| Amount::of(*it, 0).times(packs))
}

/// What the plan gives, then what each of its add-ons gives.
fn plan_parts(state: &State, feature: &Slug) -> Vec<Part> {
    let Some(given) = &state.plan else { return Vec::new() };
    let (held, content) = (&given.held, &given.content);
    let plan = Part {
        rule: Rule::Plan { plan: held.plan.clone(), by: held.by },
        amount: plan_amount(content, feature, held.seats),
    };
    let add_ons = held.add_ons.iter().map(|(add_on, packs)| Part {
        rule: Rule::AddOn { add_on: add_on.clone(), packs: *packs },
        amount: add_on_amount(content, feature, add_on, *packs),
    });
    [plan].into_iter().chain(add_ons).collect()
}

/// Why nothing gives the feature.
fn denial(state: &State, feature: &Slug, at: Timestamp) -> Rule {
    let expired = state.grants.values().filter(|grant| grant.feature == *feature);
    let expired = expired.filter_map(|grant| Some((expired_at(grant, at)?, grant)));
    match expired.max_by_key(|(at, grant)| (*at, Reverse(&grant.id))) {
        Some((at, grant)) => Rule::Expired { grant: grant.id.clone(), kind: grant.kind, at },
        None => match &state.plan {
            Some(given) => Rule::NotIncluded { plan: given.held.plan.clone() },
            None => Rule::NoPlan,
        },
    }
}

/// When the grant expired; None when it has not, or ended otherwise.
fn expired_at(grant: &Grant, now: Timestamp) -> Option<Timestamp> {
    let at = grant.expiry.as_ref()?.at;
    match &grant.ended {
        None => (at <= now).then_some(at),
        Some(ended) => (ended.by == EndedBy::Expiry).then_some(at),
    }
}
