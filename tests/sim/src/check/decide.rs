//! SIM-21: what a flag serves, decided once more from its definition as it stands, by
//! the published rules alone: nothing is compiled, and nothing is shared with the
//! evaluation but the hash.

use exchequer_flag_eval::{
    Condition, ErrorCode, Flag, Outcome, Reason, Scalar, Split, Test, Value, slot,
};

use crate::workload::{Facts, Given};

/// What a flag serves: the variant's key and value, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Served {
    pub(crate) variant: Option<(String, Value)>,
    pub(crate) reason: Reason,
    /// Of the rule that decided.
    pub(crate) rule: Option<String>,
}

/// What the customer has; None when the context names none.
#[derive(Clone, Debug)]
pub(crate) struct Customer {
    pub(crate) plan: Option<String>,
    pub(crate) features: Vec<String>,
}

pub(crate) fn decide(flag: Option<&Flag>, facts: &Facts, customer: Option<&Customer>) -> Served {
    let error = |code| Served { variant: None, reason: Reason::Error(code), rule: None };
    let Some(flag) = flag else { return error(ErrorCode::FlagNotFound) };
    let serve = |key: &str, reason| {
        let variant = flag.variants.iter().find(|it| it.key == key);
        let variant = variant.map(|it| (it.key.clone(), it.value.clone()));
        Served { variant, reason, rule: None }
    };
    if !flag.enabled {
        return serve(&flag.off_variant, Reason::Disabled);
    }
    if let Some(gate) = &flag.gate {
        let has = |feature: &String| customer.is_some_and(|it| it.features.contains(feature));
        let plan = customer.and_then(|it| it.plan.as_ref());
        let has_plan = gate.plans.is_empty() || plan.is_some_and(|plan| gate.plans.contains(plan));
        if !has_plan || !gate.features.iter().all(has) {
            return serve(&flag.off_variant, Reason::PlanRestriction);
        }
    }
    for target in &flag.targets {
        let Some(Given::Text(text)) = facts.get(&target.attribute) else { continue };
        if target.values.contains(&text) {
            return serve(&target.variant, Reason::TargetingMatch);
        }
    }
    for rule in &flag.rules {
        if holds(&rule.condition, facts, customer) != Some(true) {
            continue;
        }
        let by = |served: Served| Served { rule: Some(rule.id.clone()), ..served };
        match &rule.outcome {
            Outcome::Variant(key) => return by(serve(key, Reason::TargetingMatch)),
            Outcome::Split(split) => {
                if let Some(key) = owner(split, facts) {
                    return by(serve(key, Reason::Split));
                }
            }
        }
    }
    match &flag.fallthrough {
        Outcome::Variant(key) if flag.targets.is_empty() && flag.rules.is_empty() => {
            serve(key, Reason::Static)
        }
        Outcome::Variant(key) => serve(key, Reason::Default),
        Outcome::Split(split) => match owner(split, facts) {
            Some(key) => serve(key, Reason::Split),
            None => error(ErrorCode::TargetingKeyMissing),
        },
    }
}

/// The variant that owns the unit's slot; None without a unit.
fn owner<'a>(split: &'a Split, facts: &Facts) -> Option<&'a str> {
    let unit = match facts.get(&split.by)? {
        Given::Text(text) => text,
        Given::Number(number) => number.to_string(),
        Given::Boolean(it) => it.to_string(),
        Given::List(_) => return None,
    };
    let slot = slot(&split.salt, &unit);
    let owns = |share: &&exchequer_flag_eval::Share| {
        share.slots.iter().any(|range| (range.start..range.end).contains(&slot))
    };
    split.shares.iter().find(owns).map(|share| share.variant.as_str())
}

/// None: unknown.
fn holds(condition: &Condition, facts: &Facts, customer: Option<&Customer>) -> Option<bool> {
    let parts = |parts: &[Condition]| -> Vec<Option<bool>> {
        parts.iter().map(|part| holds(part, facts, customer)).collect()
    };
    match condition {
        Condition::All(all) => {
            let all = parts(all);
            if all.contains(&Some(false)) {
                Some(false)
            } else if all.contains(&None) {
                None
            } else {
                Some(true)
            }
        }
        Condition::Any(any) => {
            let any = parts(any);
            if any.contains(&Some(true)) {
                Some(true)
            } else if any.contains(&None) {
                None
            } else {
                Some(false)
            }
        }
        Condition::Not(part) => holds(part, facts, customer).map(|it| !it),
        Condition::Attribute { name, test } => {
            let given = facts.get(name);
            if *test == Test::Exists { Some(given.is_some()) } else { passes(test, &given?) }
        }
        Condition::Plan(plans) => Some(plans.contains(customer?.plan.as_ref()?)),
        Condition::Entitled(feature) => Some(customer?.features.contains(feature)),
    }
}

/// None: the test is not for such a value.
fn passes(test: &Test, given: &Given) -> Option<bool> {
    if let Given::List(items) = given {
        let items: Vec<_> = items.iter().map(|it| passes(test, &Given::Text(it.clone()))).collect();
        // Of an empty list too the test must be one of texts.
        passes(test, &Given::Text(String::new()))?;
        return Some(items.contains(&Some(true)));
    }
    match (test, given) {
        (Test::Is(scalar), _) => is(scalar, given),
        (Test::In(scalars), _) => {
            let all: Vec<_> = scalars.iter().filter_map(|scalar| is(scalar, given)).collect();
            if all.is_empty() { None } else { Some(all.contains(&true)) }
        }
        (Test::Below(it), Given::Number(number)) => Some(number < it),
        (Test::AtMost(it), Given::Number(number)) => Some(number <= it),
        (Test::Above(it), Given::Number(number)) => Some(number > it),
        (Test::AtLeast(it), Given::Number(number)) => Some(number >= it),
        (Test::StartsWith(them), Given::Text(word)) => {
            Some(them.iter().any(|it| word.starts_with(it.as_str())))
        }
        (Test::EndsWith(them), Given::Text(word)) => {
            Some(them.iter().any(|it| word.ends_with(it.as_str())))
        }
        (Test::Contains(them), Given::Text(word)) => {
            Some(them.iter().any(|it| word.contains(it.as_str())))
        }
        _ => None,
    }
}

/// None: of another type.
fn is(scalar: &Scalar, given: &Given) -> Option<bool> {
    match (scalar, given) {
        (Scalar::Boolean(one), Given::Boolean(other)) => Some(one == other),
        (Scalar::Number(one), Given::Number(other)) => Some(one == other),
        (Scalar::Text(one), Given::Text(other)) => Some(one == other),
        _ => None,
    }
}
