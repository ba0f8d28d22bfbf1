//! Projects, environments and flags as audit entries and people read them.

use exchequer_flag_eval::{
    Condition, Gate, Kind, Outcome, Rule, SLOTS, Scalar, Split, Target, Test, Value, Variant,
};
use exchequer_types::{Json, Slug};

use crate::{Dialect, Environment, Flag, Project, Targeting};

impl Project {
    pub fn to_json(&self) -> Json {
        Json::object([
            ("key", Json::text(self.key.as_str())),
            ("name", Json::text(&self.name)),
            ("version", count(self.version)),
        ])
    }
}

impl Environment {
    pub fn to_json(&self) -> Json {
        let dialect = match self.dialect {
            Dialect::FractionalV2 => "fractional-v2",
        };
        Json::object([
            ("dialect", Json::text(dialect)),
            ("key", Json::text(self.key.as_str())),
            ("name", Json::text(&self.name)),
            ("production", Json::Bool(self.production)),
            ("salt", Json::text(&self.salt)),
        ])
    }
}

impl Flag {
    /// With what `environment` alone makes of it, or all of them.
    pub fn to_json(&self, environment: Option<&Slug>) -> Json {
        let it = &self.definition;
        let shown =
            self.targeting.iter().filter(|(key, _)| environment.is_none_or(|it| it == *key));
        let targeting = shown.map(|(key, it)| (key.to_string(), it.to_json())).collect();
        Json::object([
            ("archived", Json::Bool(self.archived)),
            ("default_variant", Json::text(&it.default_variant)),
            ("description", Json::text(&it.description)),
            ("key", Json::text(self.key.as_str())),
            ("kind", Json::text(kind_word(it.kind))),
            ("name", Json::text(&it.name)),
            ("off_variant", Json::text(&it.off_variant)),
            ("tags", texts(&it.tags)),
            ("targeting", Json::Map(targeting)),
            ("variants", Json::List(it.variants.iter().map(variant).collect())),
            ("version", count(self.version)),
        ])
    }
}

impl Targeting {
    fn to_json(&self) -> Json {
        let optional = |text: &Option<String>| text.as_ref().map_or(Json::Null, Json::text);
        Json::object([
            ("enabled", Json::Bool(self.enabled)),
            ("fallthrough", self.fallthrough.as_ref().map_or(Json::Null, outcome)),
            ("gate", self.gate.as_ref().map_or(Json::Null, gate)),
            ("off_variant", optional(&self.off_variant)),
            ("rules", Json::List(self.rules.iter().map(rule).collect())),
            ("targets", Json::List(self.targets.iter().map(target).collect())),
        ])
    }
}

/// The word for a type of values.
fn kind_word(kind: Kind) -> &'static str {
    match kind {
        Kind::Boolean => "boolean",
        Kind::Text => "string",
    }
}

fn count(count: u64) -> Json {
    Json::Int(i64::try_from(count).unwrap_or(i64::MAX))
}

fn texts(texts: &[String]) -> Json {
    Json::List(texts.iter().map(Json::text).collect())
}

fn variant(variant: &Variant) -> Json {
    let value = match &variant.value {
        Value::Boolean(it) => Json::Bool(*it),
        Value::Text(it) => Json::text(it),
    };
    Json::object([("key", Json::text(&variant.key)), ("value", value)])
}

fn gate(gate: &Gate) -> Json {
    Json::object([("features", texts(&gate.features)), ("plans", texts(&gate.plans))])
}

fn target(target: &Target) -> Json {
    Json::object([
        ("attribute", Json::text(&target.attribute)),
        ("values", texts(&target.values)),
        ("variant", Json::text(&target.variant)),
    ])
}

fn rule(rule: &Rule) -> Json {
    Json::object([
        ("condition", condition(&rule.condition)),
        ("id", Json::text(&rule.id)),
        ("outcome", outcome(&rule.outcome)),
    ])
}

fn outcome(outcome: &Outcome) -> Json {
    match outcome {
        Outcome::Variant(variant) => Json::object([("variant", Json::text(variant))]),
        Outcome::Split(it) => Json::object([("split", split(it))]),
    }
}

/// Slots as pairs of the first and the one behind the last, as everywhere; weights of all
/// of [`SLOTS`].
fn split(split: &Split) -> Json {
    let shares = split.shares.iter().map(|share| {
        let slots = share.slots.iter().map(|range| {
            let (start, end) = (range.start.min(SLOTS), range.end.min(SLOTS));
            Json::List(vec![Json::Int(i64::from(start)), Json::Int(i64::from(end))])
        });
        Json::object([
            ("slots", Json::List(slots.collect())),
            ("variant", Json::text(&share.variant)),
            ("weight", Json::Int(i64::from(share.weight))),
        ])
    });
    Json::object([
        ("by", Json::text(&split.by)),
        ("salt", Json::text(&split.salt)),
        ("shares", Json::List(shares.collect())),
    ])
}

fn condition(it: &Condition) -> Json {
    let parts = |parts: &[Condition]| Json::List(parts.iter().map(condition).collect());
    match it {
        Condition::All(them) => Json::object([("all", parts(them))]),
        Condition::Any(them) => Json::object([("any", parts(them))]),
        Condition::Not(part) => Json::object([("not", condition(part))]),
        Condition::Attribute { name, test: it } => {
            let (operator, operand) = test(it);
            Json::object([("attribute", Json::text(name)), (operator, operand)])
        }
        Condition::Plan(plans) => Json::object([("plan", texts(plans))]),
        Condition::Entitled(feature) => Json::object([("entitled", Json::text(feature))]),
    }
}

fn test(test: &Test) -> (&'static str, Json) {
    let number = |it: &exchequer_flag_eval::Number| Json::Text(it.to_string());
    match test {
        Test::Exists => ("exists", Json::Bool(true)),
        Test::Is(it) => ("is", scalar(it)),
        Test::In(them) => ("in", Json::List(them.iter().map(scalar).collect())),
        Test::Below(it) => ("below", number(it)),
        Test::AtMost(it) => ("at_most", number(it)),
        Test::Above(it) => ("above", number(it)),
        Test::AtLeast(it) => ("at_least", number(it)),
        Test::StartsWith(them) => ("starts_with", texts(them)),
        Test::EndsWith(them) => ("ends_with", texts(them)),
        Test::Contains(them) => ("contains", texts(them)),
    }
}

/// A number is an object, so that it is not taken for a text.
fn scalar(scalar: &Scalar) -> Json {
    match scalar {
        Scalar::Boolean(it) => Json::Bool(*it),
        Scalar::Number(it) => Json::object([("number", Json::Text(it.to_string()))]),
        Scalar::Text(it) => Json::text(it),
    }
}
