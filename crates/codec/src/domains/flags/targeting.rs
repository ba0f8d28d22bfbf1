//! What an environment makes of a flag: targets, rules and splits. What a caller sent
//! and cannot be read is told with its path.

use exchequer_domain_flags::Targeting;
use exchequer_flag_eval::{
    Condition, Gate, Number, Outcome, Rule, Scalar, Share, SlotRange, Split, Target, Test,
};
use exchequer_proto::flags::v1 as pb;
use pb::attribute_test::Test as T;
use pb::condition::Kind as C;
use pb::outcome::Kind as O;
use pb::scalar::Kind as S;

use super::{MisfitKind, at, each, misfit, required};
use crate::domains::catalog::Misfit;

/// Depth is what the reader of messages allows, and checked where it is compiled.
pub fn targeting_from_proto(it: Option<pb::Targeting>) -> Result<Targeting, Misfit> {
    let it = required(it)?;
    let target =
        |it: pb::Target| Target { variant: it.variant, attribute: it.attribute, values: it.values };
    let fallthrough = it.fallthrough.map(|it| outcome_from_proto(Some(it))).transpose();
    Ok(Targeting {
        enabled: it.enabled,
        off_variant: (!it.off_variant.is_empty()).then_some(it.off_variant),
        gate: it.gate.map(|it| Gate { features: it.features, plans: it.plans }),
        targets: it.targets.into_iter().map(target).collect(),
        rules: each(it.rules, "rules", rule_from_proto)?,
        fallthrough: fallthrough.map_err(at("fallthrough"))?,
    })
}

fn rule_from_proto(it: pb::Rule) -> Result<Rule, Misfit> {
    Ok(Rule {
        id: it.id,
        condition: condition_from_proto(it.condition).map_err(at("condition"))?,
        outcome: outcome_from_proto(it.outcome).map_err(at("outcome"))?,
    })
}

fn outcome_from_proto(it: Option<pb::Outcome>) -> Result<Outcome, Misfit> {
    Ok(match required(it.and_then(|it| it.kind))? {
        O::Variant(it) => Outcome::Variant(it),
        O::Split(it) => Outcome::Split(split_from_proto(it)),
    })
}

pub(super) fn split_from_proto(it: pb::Split) -> Split {
    let range = |it: pb::SlotRange| SlotRange { start: it.start, end: it.end };
    let share = |it: pb::Share| Share {
        variant: it.variant,
        weight: it.weight,
        slots: it.slots.into_iter().map(range).collect(),
    };
    Split { salt: it.salt, by: it.by, shares: it.shares.into_iter().map(share).collect() }
}

fn condition_from_proto(it: Option<pb::Condition>) -> Result<Condition, Misfit> {
    let parts = |it: pb::Conditions, name: &str| {
        each(it.conditions, name, |it| condition_from_proto(Some(it)))
    };
    Ok(match required(it.and_then(|it| it.kind))? {
        C::All(it) => Condition::All(parts(it, "all")?),
        C::Any(it) => Condition::Any(parts(it, "any")?),
        C::Not(it) => Condition::Not(Box::new(condition_from_proto(Some(*it)).map_err(at("not"))?)),
        C::Attribute(it) => {
            let test = test_from_proto(it.test).map_err(at("attribute"))?;
            Condition::Attribute { name: it.name, test }
        }
        C::Plan(it) => Condition::Plan(it.values),
        C::Entitled(it) => Condition::Entitled(it),
    })
}

fn test_from_proto(it: Option<T>) -> Result<Test, Misfit> {
    let it = it.ok_or_else(|| misfit(MisfitKind::Value, "must have one test"))?;
    Ok(match it {
        T::Exists(true) => Test::Exists,
        T::Exists(false) => {
            let message = "must be true: put it under `not` for what must not exist";
            return Err(at("exists")(misfit(MisfitKind::Value, message)));
        }
        T::Is(it) => Test::Is(scalar_from_proto(it).map_err(at("is"))?),
        T::In(it) => Test::In(each(it.values, "in", scalar_from_proto)?),
        T::Below(it) => Test::Below(number(&it).map_err(at("below"))?),
        T::AtMost(it) => Test::AtMost(number(&it).map_err(at("at_most"))?),
        T::Above(it) => Test::Above(number(&it).map_err(at("above"))?),
        T::AtLeast(it) => Test::AtLeast(number(&it).map_err(at("at_least"))?),
        T::StartsWith(it) => Test::StartsWith(it.values),
        T::EndsWith(it) => Test::EndsWith(it.values),
        T::Contains(it) => Test::Contains(it.values),
    })
}

fn scalar_from_proto(it: pb::Scalar) -> Result<Scalar, Misfit> {
    Ok(match required(it.kind)? {
        S::Boolean(it) => Scalar::Boolean(it),
        S::Number(it) => Scalar::Number(number(&it).map_err(at("number"))?),
        S::Text(it) => Scalar::Text(it),
    })
}

fn number(text: &str) -> Result<Number, Misfit> {
    text.parse::<Number>().map_err(|error| misfit(MisfitKind::Value, error.to_string()))
}

pub(super) fn targeting_to_proto(it: &Targeting) -> pb::Targeting {
    let target = |it: &Target| pb::Target {
        variant: it.variant.clone(),
        attribute: it.attribute.clone(),
        values: it.values.clone(),
    };
    let rule = |it: &Rule| pb::Rule {
        id: it.id.clone(),
        condition: Some(condition_to_proto(&it.condition)),
        outcome: Some(outcome_to_proto(&it.outcome)),
    };
    pb::Targeting {
        enabled: it.enabled,
        off_variant: it.off_variant.clone().unwrap_or_default(),
        gate: it
            .gate
            .as_ref()
            .map(|it| pb::Gate { features: it.features.clone(), plans: it.plans.clone() }),
        targets: it.targets.iter().map(target).collect(),
        rules: it.rules.iter().map(rule).collect(),
        fallthrough: it.fallthrough.as_ref().map(outcome_to_proto),
    }
}

fn outcome_to_proto(it: &Outcome) -> pb::Outcome {
    let kind = match it {
        Outcome::Variant(it) => O::Variant(it.clone()),
        Outcome::Split(it) => O::Split(split_to_proto(it)),
    };
    pb::Outcome { kind: Some(kind) }
}

pub(super) fn split_to_proto(it: &Split) -> pb::Split {
    let range = |it: &SlotRange| pb::SlotRange { start: it.start, end: it.end };
    let share = |it: &Share| pb::Share {
        variant: it.variant.clone(),
        weight: it.weight,
        slots: it.slots.iter().map(range).collect(),
    };
    pb::Split {
        salt: it.salt.clone(),
        by: it.by.clone(),
        shares: it.shares.iter().map(share).collect(),
    }
}

fn condition_to_proto(it: &Condition) -> pb::Condition {
    let parts = |parts: &[Condition]| pb::Conditions {
        conditions: parts.iter().map(condition_to_proto).collect(),
    };
    let kind = match it {
        Condition::All(it) => C::All(parts(it)),
        Condition::Any(it) => C::Any(parts(it)),
        Condition::Not(it) => C::Not(Box::new(condition_to_proto(it))),
        Condition::Attribute { name, test } => {
            C::Attribute(pb::AttributeTest { name: name.clone(), test: Some(test_to_proto(test)) })
        }
        Condition::Plan(it) => C::Plan(texts(it)),
        Condition::Entitled(it) => C::Entitled(it.clone()),
    };
    pb::Condition { kind: Some(kind) }
}

fn test_to_proto(it: &Test) -> T {
    match it {
        Test::Exists => T::Exists(true),
        Test::Is(it) => T::Is(scalar_to_proto(it)),
        Test::In(it) => T::In(pb::Scalars { values: it.iter().map(scalar_to_proto).collect() }),
        Test::Below(it) => T::Below(it.to_string()),
        Test::AtMost(it) => T::AtMost(it.to_string()),
        Test::Above(it) => T::Above(it.to_string()),
        Test::AtLeast(it) => T::AtLeast(it.to_string()),
        Test::StartsWith(it) => T::StartsWith(texts(it)),
        Test::EndsWith(it) => T::EndsWith(texts(it)),
        Test::Contains(it) => T::Contains(texts(it)),
    }
}

fn texts(texts: &[String]) -> pb::Texts {
    pb::Texts { values: texts.to_vec() }
}

fn scalar_to_proto(it: &Scalar) -> pb::Scalar {
    let kind = match it {
        Scalar::Boolean(it) => S::Boolean(*it),
        Scalar::Number(it) => S::Number(it.to_string()),
        Scalar::Text(it) => S::Text(it.clone()),
    };
    pb::Scalar { kind: Some(kind) }
}
