//! Rules of meters, alike in the contract, in the journal and in seals. What a caller sent
//! and cannot be read is told with its path.

use exchequer_metering::{
    Aggregation, Filter, GROUPS_DEFAULT, GroupBy, Meter as Rules, Path, Scalar, Test,
};
use exchequer_proto::usage::v1 as pb;
use exchequer_types::{Quantity, Slug};
use pb::meter_filter::Test as T;
use pb::meter_filter_value::Value as V;

use crate::DecodeError;
use crate::convert::slug;
use crate::domains::catalog::{Misfit, MisfitKind};
use crate::domains::flags::{at, each, given, misfit, required};

/// A version of a meter, as events and seals have it.
pub fn meter_definition_to_proto(rules: &Rules) -> pb::MeterDefinition {
    pb::MeterDefinition {
        key: rules.key.to_string(),
        version: rules.version,
        rules: Some(meter_rules_to_proto(rules)),
    }
}

/// A version of a meter; one that is not there, or not readable, is refused.
pub fn meter_definition_from_proto(it: Option<pb::MeterDefinition>) -> Result<Rules, DecodeError> {
    let it = it.ok_or(DecodeError::Field { field: "meter" })?;
    let rules = given(meter_rules_from_proto(slug(it.key, "meter.key")?, it.rules), "meter.rules")?;
    Ok(Rules { version: it.version, ..rules })
}

/// The rules without key and version.
pub fn meter_rules_to_proto(rules: &Rules) -> pb::MeterRules {
    let group_by =
        |it: &GroupBy| pb::MeterGroupBy { name: it.name.to_string(), path: it.path.to_string() };
    pb::MeterRules {
        event_type: rules.event_type.clone(),
        aggregation: aggregation_to_proto(rules.aggregation).into(),
        value: rules.value.as_ref().map(ToString::to_string).unwrap_or_default(),
        group_by: rules.group_by.iter().map(group_by).collect(),
        filters: rules.filters.iter().map(filter_to_proto).collect(),
        unit: rules.unit.clone(),
        groups_max: rules.groups_max,
    }
}

/// The rules of the meter `key`, without a version. An aggregation that is not given counts
/// here: where it matters, callers check it first. Whether the rules may be used is checked
/// where they are decided.
pub fn meter_rules_from_proto(key: Slug, it: Option<pb::MeterRules>) -> Result<Rules, Misfit> {
    let it = required(it)?;
    let aggregation = match pb::Aggregation::try_from(it.aggregation) {
        Ok(pb::Aggregation::Unspecified) => Some(Aggregation::Count),
        _ => aggregation_from_proto(it.aggregation),
    };
    let aggregation =
        aggregation.ok_or_else(|| misfit(MisfitKind::Enum, "must be one of the aggregations"));
    let value = (!it.value.is_empty()).then(|| path(&it.value)).transpose();
    let mut group_by = each(it.group_by, "group_by", group_by_from_proto)?;
    group_by.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(Rules {
        key,
        version: 0,
        event_type: it.event_type,
        aggregation: aggregation.map_err(at("aggregation"))?,
        value: value.map_err(at("value"))?,
        group_by,
        filters: each(it.filters, "filters", filter_from_proto)?,
        unit: it.unit,
        groups_max: if it.groups_max == 0 { GROUPS_DEFAULT } else { it.groups_max },
    })
}

pub fn aggregation_to_proto(aggregation: Aggregation) -> pb::Aggregation {
    match aggregation {
        Aggregation::Count => pb::Aggregation::Count,
        Aggregation::Sum => pb::Aggregation::Sum,
        Aggregation::Min => pb::Aggregation::Min,
        Aggregation::Max => pb::Aggregation::Max,
        Aggregation::Average => pb::Aggregation::Average,
        Aggregation::Last => pb::Aggregation::Last,
        Aggregation::UniqueCount => pb::Aggregation::UniqueCount,
    }
}

/// None for a number that is no aggregation.
pub fn aggregation_from_proto(aggregation: i32) -> Option<Aggregation> {
    match pb::Aggregation::try_from(aggregation).ok()? {
        pb::Aggregation::Unspecified => None,
        pb::Aggregation::Count => Some(Aggregation::Count),
        pb::Aggregation::Sum => Some(Aggregation::Sum),
        pb::Aggregation::Min => Some(Aggregation::Min),
        pb::Aggregation::Max => Some(Aggregation::Max),
        pb::Aggregation::Average => Some(Aggregation::Average),
        pb::Aggregation::Last => Some(Aggregation::Last),
        pb::Aggregation::UniqueCount => Some(Aggregation::UniqueCount),
    }
}

fn path(text: &str) -> Result<Path, Misfit> {
    Path::parse(text).map_err(|error| misfit(MisfitKind::Value, error.to_string()))
}

fn group_by_from_proto(it: pb::MeterGroupBy) -> Result<GroupBy, Misfit> {
    let name = Slug::parse(it.name).map_err(|error| misfit(MisfitKind::Id, error.to_string()));
    Ok(GroupBy { name: name.map_err(at("name"))?, path: path(&it.path).map_err(at("path"))? })
}

fn filter_to_proto(it: &Filter) -> pb::MeterFilter {
    let values = |values: &[Scalar]| pb::MeterFilterValues {
        values: values.iter().map(value_to_proto).collect(),
    };
    let test = match &it.test {
        Test::In(them) => T::OneOf(values(them)),
        Test::NotIn(them) => T::NoneOf(values(them)),
        Test::Less(bound) => T::Less(bound.to_string()),
        Test::AtMost(bound) => T::AtMost(bound.to_string()),
        Test::Greater(bound) => T::Greater(bound.to_string()),
        Test::AtLeast(bound) => T::AtLeast(bound.to_string()),
        Test::Exists => T::Exists(true),
        Test::Missing => T::Exists(false),
    };
    pb::MeterFilter { path: it.path.to_string(), test: Some(test) }
}

fn filter_from_proto(it: pb::MeterFilter) -> Result<Filter, Misfit> {
    let path = path(&it.path).map_err(at("path"))?;
    let values = |them: pb::MeterFilterValues, name: &'static str| {
        each(them.values, "values", value_from_proto).map_err(at(name))
    };
    let bound = |text: &str, name: &'static str| quantity(text).map_err(at(name));
    let test = match required(it.test).map_err(at("test"))? {
        T::OneOf(them) => Test::In(values(them, "one_of")?),
        T::NoneOf(them) => Test::NotIn(values(them, "none_of")?),
        T::Less(it) => Test::Less(bound(&it, "less")?),
        T::AtMost(it) => Test::AtMost(bound(&it, "at_most")?),
        T::Greater(it) => Test::Greater(bound(&it, "greater")?),
        T::AtLeast(it) => Test::AtLeast(bound(&it, "at_least")?),
        T::Exists(true) => Test::Exists,
        T::Exists(false) => Test::Missing,
    };
    Ok(Filter { path, test })
}

fn value_to_proto(it: &Scalar) -> pb::MeterFilterValue {
    let value = match it {
        Scalar::Text(it) => V::Text(it.clone()),
        Scalar::Number(it) => V::Number(it.to_string()),
        Scalar::Bool(it) => V::Truth(*it),
    };
    pb::MeterFilterValue { value: Some(value) }
}

fn value_from_proto(it: pb::MeterFilterValue) -> Result<Scalar, Misfit> {
    Ok(match required(it.value)? {
        V::Text(it) => Scalar::Text(it),
        V::Number(it) => Scalar::Number(quantity(&it).map_err(at("number"))?),
        V::Truth(it) => Scalar::Bool(it),
    })
}

fn quantity(text: &str) -> Result<Quantity, Misfit> {
    Quantity::parse(text).map_err(|error| misfit(MisfitKind::Value, error.to_string()))
}
