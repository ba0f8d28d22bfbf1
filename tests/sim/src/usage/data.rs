//! The data of events, as what it means and not as JSON: the course knows what it wrote,
//! so that whoever checks needs no parser of the product.

use std::collections::BTreeMap;

use crate::rng::Rng;

/// A number that no quantity can hold, always the same.
const HUGE: &str = "123456789012345678901234567890123456789012345678901234567890";
/// Members that an event's data may have; `$.<name>` is their path.
pub(crate) const MEMBERS: [&str; 4] = ["n", "model", "region", "user"];

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Value {
    Null,
    /// In thousandths.
    Number(i64),
    Huge,
    Text(String),
    Truth(bool),
    List,
}

/// By name; what is missing is not there.
pub(crate) type Members = BTreeMap<&'static str, Value>;

/// What a text means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Data {
    Members(Members),
    /// No JSON, or a member stands twice.
    NoNormalForm,
}

/// Everything that was ever written, by its text.
pub(crate) type Written = BTreeMap<String, Data>;

/// A decimal without zeros that mean nothing.
pub(crate) fn shortest(thousandths: i64) -> String {
    let sign = if thousandths < 0 { "-" } else { "" };
    let (whole, rest) = (thousandths.unsigned_abs() / 1_000, thousandths.unsigned_abs() % 1_000);
    let text = format!("{sign}{whole}.{rest:03}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// Members that fit most meters.
pub(crate) fn draw(rng: &mut Rng) -> Members {
    let mut members = Members::new();
    let n = match rng.below(20) {
        0 => None,
        1 => Some(Value::Text("many".to_owned())),
        2 => Some(Value::Huge),
        3 => Some(Value::Null),
        4..8 => Some(Value::Number(rng.below(9_999) as i64 - 3_000)),
        _ => Some(Value::Number(rng.within(1, 9) as i64 * 1_000)),
    };
    let text = |rng: &mut Rng, word: &str| match rng.below(24) {
        0 => None,
        1 => Some(Value::Null),
        2 => Some(Value::Number(rng.below(3) as i64 * 500)),
        3 => Some(Value::Truth(rng.chance(500))),
        4 if rng.chance(300) => Some(Value::List),
        5 if rng.chance(300) => Some(Value::Text("long".repeat(rng.within(30, 40) as usize))),
        _ => Some(Value::Text(format!("{word}{}", rng.below(3)))),
    };
    let all = [n, text(rng, "m"), text(rng, "r"), text(rng, "u")];
    for (name, value) in MEMBERS.into_iter().zip(all) {
        members.extend(value.map(|value| (name, value)));
    }
    members
}

/// One of the texts that mean the same.
pub(crate) fn write(members: &Members, rng: &mut Rng) -> String {
    let mut all: Vec<_> = members.iter().collect();
    if rng.chance(500) {
        all.reverse();
    }
    let space = if rng.chance(300) { " " } else { "" };
    let each = all.into_iter().map(|(name, value)| {
        let text = match value {
            Value::Null => "null".to_owned(),
            Value::Number(it) => number(*it, rng),
            Value::Huge => HUGE.to_owned(),
            Value::Text(it) => format!("\"{it}\""),
            Value::Truth(it) => it.to_string(),
            Value::List => "[1]".to_owned(),
        };
        format!("\"{name}\":{space}{text}")
    });
    let each: Vec<String> = each.collect();
    format!("{{{}}}", each.join(&format!(",{space}")))
}

fn number(thousandths: i64, rng: &mut Rng) -> String {
    let sign = if thousandths < 0 { "-" } else { "" };
    match rng.below(4) {
        0 => format!("{thousandths}e-3"),
        1 => {
            let (whole, rest) =
                (thousandths.unsigned_abs() / 1_000, thousandths.unsigned_abs() % 1_000);
            format!("{sign}{whole}.{rest:03}0")
        }
        _ => shortest(thousandths),
    }
}

/// A text without a normal form.
pub(crate) fn broken(rng: &mut Rng) -> String {
    rng.word(&["{\"n\":1,\"n\":2}", "{", "{\"n\":01}", "[1,", "{\"model\":{\"a\":1,\"a\":1}}"])
        .to_owned()
}
