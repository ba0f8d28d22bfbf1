//! What an event comes to by one view, whatever was seen under its identity: sections 5
//! and 6 of the format, for data that the course has written.

use std::collections::BTreeMap;

use exchequer_proto::usage::v1 as pb;
use exchequer_proto::usage::v1::meter_filter::Test;

use super::adopted::View;
use super::{Adds, Amount};
use crate::usage::data::{Data, Members, Value, shortest};

/// Numbers of fates in the format.
pub(super) const COUNTED: u8 = 1;
pub(super) const LATE: u8 = 2;
pub(super) const DUPLICATE: u8 = 3;
pub(super) const CONFLICTING: u8 = 4;
pub(super) const UNMATCHED: u8 = 5;
pub(super) const INVALID: u8 = 6;
pub(super) const FORWARDED: u8 = 7;

const SECOND: i64 = 1_000_000;
/// What one thousandth is, in units.
const THOUSANDTH: i128 = 1_000_000_000;
const GROUP_BYTES_MAX: usize = 128;

/// What is judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Event {
    pub(super) tenant: String,
    pub(super) kind: String,
    pub(super) schema: String,
    pub(super) subject: String,
    pub(super) time: Option<i64>,
    /// When it was received first.
    pub(super) received_at: i64,
    pub(super) place: (u32, u64),
}

/// A meter cannot use the event, or a filter leaves it out.
enum Passed {
    Filtered,
    Unusable,
}

pub(super) fn is_counted(fate: u8) -> bool {
    fate == COUNTED || fate == LATE
}

impl Event {
    pub(super) fn at(&self) -> i64 {
        self.time.unwrap_or(self.received_at)
    }
}

pub(super) fn judge(view: View<'_>, event: &Event, data: &Data) -> (u8, Vec<Adds>) {
    let Data::Members(members) = data else { return (INVALID, Vec::new()) };
    let (ahead, behind, lateness) = match view.meters.and_then(|it| it.terms.as_ref()) {
        Some(terms) => (terms.ahead_s_max, terms.behind_s_max, terms.lateness_s),
        None => (3_600, 3_024_000, 3_600),
    };
    let later = |than: u64| than as i64 * SECOND;
    let (at, received_at) = (event.at(), event.received_at);
    if at - received_at > later(ahead) || received_at - at > later(behind) {
        return (INVALID, Vec::new());
    }
    let Some(meters) = view.meters else { return (UNMATCHED, Vec::new()) };
    let (mut counted, mut is_unusable) = (Vec::new(), false);
    for meter in &meters.meters {
        let Some(rules) = meter.rules.as_ref().filter(|it| it.event_type == event.kind) else {
            continue;
        };
        match read(rules, members) {
            Ok((value, groups)) => counted.push(Adds {
                tenant: event.tenant.clone(),
                meter: meter.key.clone(),
                version: meter.version,
                aggregation: rules.aggregation,
                groups,
                subject: event.subject.clone(),
                time: at,
                period: view.tenant.and_then(|it| period(it, at)),
                value,
                place: event.place,
            }),
            Err(Passed::Filtered) => {}
            Err(Passed::Unusable) => is_unusable = true,
        }
    }
    let fate = match (counted.is_empty(), is_unusable) {
        (false, _) if received_at - at > later(lateness) => LATE,
        (false, _) => COUNTED,
        (true, true) => INVALID,
        (true, false) => UNMATCHED,
    };
    (fate, counted)
}

fn period(tenant: &pb::AdoptedTenant, at: i64) -> Option<(i64, i64)> {
    let found = tenant.periods.iter().find(|it| it.start <= at && at < it.end);
    found.map(|it| (it.start, it.end))
}

fn member<'a>(members: &'a Members, path: &str) -> Option<&'a Value> {
    let name = path.strip_prefix("$['").and_then(|it| it.strip_suffix("']"));
    members.get(name.or_else(|| path.strip_prefix("$."))?)
}

fn read(
    rules: &pb::MeterRules,
    members: &Members,
) -> Result<(Amount, BTreeMap<String, String>), Passed> {
    for filter in &rules.filters {
        if !holds(filter.test.as_ref(), member(members, &filter.path)) {
            return Err(Passed::Filtered);
        }
    }
    let value = member(members, &rules.value);
    let value = match (rules.aggregation(), value) {
        (pb::Aggregation::Count, _) => Amount::Number(1_000 * THOUSANDTH),
        (pb::Aggregation::UniqueCount, Some(Value::Text(it))) => Amount::Member(format!("\"{it}")),
        (pb::Aggregation::UniqueCount, Some(Value::Truth(it))) => Amount::Member(it.to_string()),
        (pb::Aggregation::UniqueCount, Some(Value::Number(it))) => Amount::Member(shortest(*it)),
        (_, Some(Value::Number(it))) => Amount::Number(i128::from(*it) * THOUSANDTH),
        _ => return Err(Passed::Unusable),
    };
    let mut groups = BTreeMap::new();
    for group in &rules.group_by {
        let text = match member(members, &group.path) {
            None | Some(Value::Null) => String::new(),
            Some(Value::Text(it)) => it.clone(),
            Some(Value::Truth(it)) => it.to_string(),
            Some(Value::Number(it)) => shortest(*it),
            Some(Value::List | Value::Huge) => return Err(Passed::Unusable),
        };
        if text.len() > GROUP_BYTES_MAX {
            return Err(Passed::Unusable);
        }
        groups.insert(group.name.clone(), text);
    }
    Ok((value, groups))
}

/// As far as the course's meters ask.
fn holds(test: Option<&Test>, value: Option<&Value>) -> bool {
    let is_one = |values: &pb::MeterFilterValues, it: &Value| {
        values.values.iter().any(|wanted| match (&wanted.value, it) {
            (Some(pb::meter_filter_value::Value::Text(wanted)), Value::Text(it)) => wanted == it,
            _ => false,
        })
    };
    match (test, value) {
        (Some(Test::Exists(wanted)), value) => *wanted == value.is_some(),
        (Some(Test::OneOf(values)), Some(value)) => is_one(values, value),
        (Some(Test::NoneOf(_)), Some(Value::Null | Value::List)) => false,
        (Some(Test::NoneOf(values)), Some(value)) => !is_one(values, value),
        // The only bound that there is: 1.
        (Some(Test::AtLeast(_)), Some(Value::Number(it))) => *it >= 1_000,
        _ => false,
    }
}
