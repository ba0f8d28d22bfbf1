//! Invariants by number: one pure predicate each, computed another way than what
//! they judge.

use std::sync::Arc;

use exchequer_kernel::invariant::Broken;
use exchequer_types::{Slug, Timestamp};

use crate::decision::{Decision, Part, Rule, list};
use crate::state::{ENDED_GRANTS_MAX, FEATURES_IN_USE_MAX, GRANTS_MAX};
use crate::{Amount, State};

/// All of them, for the state as it is at `at`.
pub fn check(state: &State, at: Timestamp) -> Result<(), Broken> {
    for (feature, decision) in &list(state, at) {
        has_reasons(state, feature, decision, at)?;
    }
    is_bounded(state)
}

/// ENT-1: every part of an answer refers to a grant of this feature that has neither ended
/// nor expired, or to what the held plan and its add-ons include; a feature without such a
/// part is denied, and the rule is the first part's.
pub fn has_reasons(
    state: &State,
    feature: &Slug,
    decision: &Decision,
    at: Timestamp,
) -> Result<(), Broken> {
    let broken = |detail: String| Err(Broken { name: "ENT-1", detail });
    for part in &decision.parts {
        if !is_true(state, feature, part, at) {
            return broken(format!("{feature}: {part:?} is not true at {at}"));
        }
    }
    let rule_is_first = decision.parts.first().is_none_or(|part| part.rule == decision.rule);
    if !rule_is_first {
        return broken(format!("{feature}: {:?} is not what decided", decision.rule));
    }
    if decision.parts.is_empty() && (decision.allowed || decision.limit != Amount::NOTHING) {
        return broken(format!("{feature}: allowed, and nothing gives it"));
    }
    Ok(())
}

/// ENT-2: grants, ended grants and features in use are no more than their bounds; a use is
/// more than 0; a grant stands under its id.
pub fn is_bounded(state: &State) -> Result<(), Broken> {
    let ended = state.grants.values().filter(|grant| grant.ended.is_some()).count();
    let open = state.grants.len() - ended;
    let fits = open <= GRANTS_MAX
        && ended <= ENDED_GRANTS_MAX
        && state.used.len() <= FEATURES_IN_USE_MAX
        && state.used.values().all(|used| *used > 0)
        && state.grants.iter().all(|(id, grant)| *id == grant.id);
    if fits {
        return Ok(());
    }
    let in_use = state.used.len();
    let detail = format!("{open} live and {ended} ended grants, {in_use} features in use");
    Err(Broken { name: "ENT-2", detail })
}

fn is_true(state: &State, feature: &Slug, part: &Part, at: Timestamp) -> bool {
    if part.amount == Amount::NOTHING {
        return false;
    }
    match &part.rule {
        Rule::Grant { id, kind } => state.grants.get(id).is_some_and(|grant| {
            grant.feature == *feature
                && grant.kind == *kind
                && grant.amount == part.amount
                && grant.ended.is_none()
                && grant.expiry.as_ref().is_none_or(|expiry| expiry.at > at)
        }),
        Rule::Plan { plan, by } => state.plan.as_ref().map(Arc::as_ref).is_some_and(|given| {
            given.held.plan == *plan
                && given.held.by == *by
                && given.content.plan.contains_key(feature)
        }),
        Rule::AddOn { add_on, packs } => state.plan.as_ref().is_some_and(|given| {
            *packs > 0
                && given.held.add_ons.get(add_on) == Some(packs)
                && given.content.add_ons.get(add_on).is_some_and(|it| it.contains_key(feature))
        }),
        Rule::Expired { .. } | Rule::NotIncluded { .. } | Rule::NoPlan => false,
    }
}
