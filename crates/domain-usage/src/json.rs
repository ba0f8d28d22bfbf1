//! Meters, schemas and corrections as audit entries and people read them.

use exchequer_metering::{Filter, GroupBy, Meter as Rules, Path, Scalar, Test};
use exchequer_types::{Hash, Json, Timestamp};

use crate::{Backfill, Meter, Schema};

impl Meter {
    pub fn to_json(&self) -> Json {
        Json::object([
            ("backfills", Json::List(self.backfills.iter().map(backfill).collect())),
            ("key", Json::text(self.rules.key.as_str())),
            ("retired", Json::Bool(self.retired)),
            ("rules", rules(&self.rules)),
            ("rules_version", Json::Int(i64::from(self.rules.version))),
            ("version", count(self.version)),
        ])
    }
}

impl Schema {
    /// With the digest of its text.
    pub fn to_json(&self) -> Json {
        Json::object([
            ("retired", Json::Bool(self.retired)),
            ("schema_blake3", digest(&self.text)),
            ("schema_version", Json::Int(i64::from(self.version))),
            ("type", Json::text(&self.kind)),
            ("version", count(self.changes)),
        ])
    }
}

/// What a correction asks for; of data, its digest.
pub(crate) fn correction(source: &str, event: &str, data: Option<&str>, reason: &str) -> Json {
    Json::object([
        ("data_blake3", data.map_or(Json::Null, digest)),
        ("id", Json::text(event)),
        ("reason", Json::text(reason)),
        ("source", Json::text(source)),
        ("voided", Json::Bool(data.is_none())),
    ])
}

fn digest(text: &str) -> Json {
    Json::Text(Hash::blake3(text.as_bytes()).to_hex())
}

fn count(count: u64) -> Json {
    Json::Int(i64::try_from(count).unwrap_or(i64::MAX))
}

fn time(at: Timestamp) -> Json {
    Json::Text(at.to_string())
}

fn backfill(it: &Backfill) -> Json {
    Json::object([
        ("from", time(it.from)),
        ("id", Json::text(&it.id)),
        ("until", it.until.map_or(Json::Null, time)),
    ])
}

fn rules(it: &Rules) -> Json {
    Json::object([
        ("aggregation", Json::text(it.aggregation.as_str())),
        ("event_type", Json::text(&it.event_type)),
        ("filters", Json::List(it.filters.iter().map(filter).collect())),
        ("group_by", Json::List(it.group_by.iter().map(group_by).collect())),
        ("groups_max", Json::Int(i64::from(it.groups_max))),
        ("unit", Json::text(&it.unit)),
        ("value", it.value.as_ref().map_or(Json::Null, path)),
    ])
}

fn path(path: &Path) -> Json {
    Json::Text(path.to_string())
}

fn group_by(it: &GroupBy) -> Json {
    Json::object([("name", Json::text(it.name.as_str())), ("path", path(&it.path))])
}

fn filter(it: &Filter) -> Json {
    let (name, operand) = match &it.test {
        Test::In(values) => ("one_of", scalars(values)),
        Test::NotIn(values) => ("none_of", scalars(values)),
        Test::Less(bound) => ("less", Json::Text(bound.to_string())),
        Test::AtMost(bound) => ("at_most", Json::Text(bound.to_string())),
        Test::Greater(bound) => ("greater", Json::Text(bound.to_string())),
        Test::AtLeast(bound) => ("at_least", Json::Text(bound.to_string())),
        Test::Exists => ("exists", Json::Bool(true)),
        Test::Missing => ("exists", Json::Bool(false)),
    };
    Json::object([("path", path(&it.path)), (name, operand)])
}

fn scalars(values: &[Scalar]) -> Json {
    Json::List(values.iter().map(scalar).collect())
}

/// A number is an object, so that it is not taken for a text.
fn scalar(scalar: &Scalar) -> Json {
    match scalar {
        Scalar::Text(it) => Json::text(it),
        Scalar::Number(it) => Json::object([("number", Json::Text(it.to_string()))]),
        Scalar::Bool(it) => Json::Bool(*it),
    }
}
