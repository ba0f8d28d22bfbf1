//! The semantics of the README, read off the definition step by step, without any
//! of the crate's own evaluation.

use std::cmp::Ordering;

use exchequer_flag_eval::{Condition, Flag, Number, Outcome, Scalar, Split, Test};

use crate::given::{Customer, Fact, Person};

pub(crate) fn evaluate(flag: &Flag, person: &Person, customer: Option<&Customer>) -> String {
    let off = |reason: &str, by: &str| format!("{:?} {reason} {by}", Some(&flag.off_variant));
    if !flag.enabled {
        return off("Disabled", "Nothing");
    }
    if let Some(gate) = &flag.gate {
        let has = |it: &String| customer.is_some_and(|customer| customer.features.contains(it));
        let plan = customer.and_then(|it| it.plan.as_ref());
        let plan_fits = gate.plans.is_empty() || plan.is_some_and(|it| gate.plans.contains(it));
        if !plan_fits || !gate.features.iter().all(has) {
            return off("PlanRestriction", "Gate");
        }
    }
    for (index, target) in flag.targets.iter().enumerate() {
        if let Some(Fact::Text(text)) = fact(person, &target.attribute)
            && target.values.contains(&text)
        {
            return format!(
                "{:?} TargetingMatch Target {{ index: {index} }}",
                Some(&target.variant)
            );
        }
    }
    for (index, rule) in flag.rules.iter().enumerate() {
        if condition(&rule.condition, person, customer) != Truth::True {
            continue;
        }
        let by = format!("Rule {{ index: {index}, id: {:?} }}", rule.id);
        match &rule.outcome {
            Outcome::Variant(it) => return format!("{:?} TargetingMatch {by}", Some(it)),
            Outcome::Split(it) => {
                if let Some(variant) = bucket(it, person) {
                    return format!("{:?} Split {by}", Some(variant));
                }
            }
        }
    }
    match &flag.fallthrough {
        Outcome::Variant(it) if flag.rules.is_empty() && flag.targets.is_empty() => {
            format!("{:?} Static Fallthrough", Some(it))
        }
        Outcome::Variant(it) => format!("{:?} Default Fallthrough", Some(it)),
        Outcome::Split(it) => match bucket(it, person) {
            Some(variant) => format!("{:?} Split Fallthrough", Some(variant)),
            None => "None Error(TargetingKeyMissing) Fallthrough".to_owned(),
        },
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Truth {
    False,
    Unknown,
    True,
}

impl From<bool> for Truth {
    fn from(it: bool) -> Self {
        if it { Self::True } else { Self::False }
    }
}

fn fact(person: &Person, name: &str) -> Option<Fact> {
    match name {
        "targeting_key" => person.key.clone().map(Fact::Text),
        "tenant" => person.tenant.clone().map(Fact::Text),
        _ => person.facts.get(name).map(|it| match it {
            Fact::Boolean(it) => Fact::Boolean(*it),
            Fact::Number(it) => Fact::Number(*it),
            Fact::Text(it) => Fact::Text(it.clone()),
            Fact::List(it) => Fact::List(it.clone()),
        }),
    }
}

/// The least of all and the greatest of any; a negation turns the order around.
fn condition(it: &Condition, person: &Person, customer: Option<&Customer>) -> Truth {
    let rank = |truth: &Truth| match truth {
        Truth::False => 0,
        Truth::Unknown => 1,
        Truth::True => 2,
    };
    let of = |it: &Condition| condition(it, person, customer);
    match it {
        Condition::All(parts) => parts.iter().map(of).min_by_key(rank).unwrap(),
        Condition::Any(parts) => parts.iter().map(of).max_by_key(rank).unwrap(),
        Condition::Not(part) => match of(part) {
            Truth::True => Truth::False,
            Truth::Unknown => Truth::Unknown,
            Truth::False => Truth::True,
        },
        Condition::Plan(plans) => match customer.and_then(|it| it.plan.as_ref()) {
            Some(plan) => plans.contains(plan).into(),
            None => Truth::Unknown,
        },
        Condition::Entitled(feature) => match customer {
            Some(customer) => customer.features.contains(feature).into(),
            None => Truth::Unknown,
        },
        Condition::Attribute { name, test: Test::Exists } => fact(person, name).is_some().into(),
        Condition::Attribute { name, test } => match fact(person, name) {
            Some(Fact::List(items)) if is_for_text(test) => {
                items.iter().any(|it| of_text(test, it)).into()
            }
            Some(Fact::Text(it)) if is_for_text(test) => of_text(test, &it).into(),
            Some(Fact::Number(it)) => of_number(test, it),
            Some(Fact::Boolean(it)) => of_boolean(test, it),
            // Missing, or of another type.
            _ => Truth::Unknown,
        },
    }
}

fn scalars(test: &Test) -> Vec<Scalar> {
    match test {
        Test::Is(it) => vec![it.clone()],
        Test::In(them) => them.clone(),
        _ => Vec::new(),
    }
}

fn is_for_text(test: &Test) -> bool {
    matches!(test, Test::StartsWith(_) | Test::EndsWith(_) | Test::Contains(_))
        || scalars(test).iter().any(|it| matches!(it, Scalar::Text(_)))
}

fn of_text(test: &Test, value: &str) -> bool {
    match test {
        Test::StartsWith(them) => them.iter().any(|it| value.starts_with(it)),
        Test::EndsWith(them) => them.iter().any(|it| value.ends_with(it)),
        Test::Contains(them) => them.iter().any(|it| value.contains(it)),
        _ => scalars(test).contains(&Scalar::Text(value.to_owned())),
    }
}

fn of_number(test: &Test, number: Number) -> Truth {
    let order = |it: &Number| compare(&number.to_string(), &it.to_string());
    match test {
        Test::Below(it) => (order(it) == Ordering::Less).into(),
        Test::AtMost(it) => (order(it) != Ordering::Greater).into(),
        Test::Above(it) => (order(it) == Ordering::Greater).into(),
        Test::AtLeast(it) => (order(it) != Ordering::Less).into(),
        _ => {
            let numbers: Vec<_> = scalars(test)
                .into_iter()
                .filter_map(|it| if let Scalar::Number(it) = it { Some(it) } else { None })
                .collect();
            if numbers.is_empty() { Truth::Unknown } else { numbers.contains(&number).into() }
        }
    }
}

fn of_boolean(test: &Test, value: bool) -> Truth {
    let booleans: Vec<_> =
        scalars(test).into_iter().filter(|it| matches!(it, Scalar::Boolean(_))).collect();
    if booleans.is_empty() {
        Truth::Unknown
    } else {
        booleans.contains(&Scalar::Boolean(value)).into()
    }
}

/// Of the few numbers that occur here, digit by digit.
fn compare(one: &str, two: &str) -> Ordering {
    let parts = |text: &str| {
        if text == "1e30" {
            return (1, 10_i128.pow(30), 0_i128);
        }
        let sign = if text.starts_with('-') { -1 } else { 1 };
        let (whole, fraction) = text.trim_start_matches('-').split_once('.').unwrap_or((text, "0"));
        let whole: i128 = whole.trim_start_matches('-').parse().unwrap();
        (sign, whole, format!("{fraction:0<20}").parse::<i128>().unwrap())
    };
    let value = |(sign, whole, fraction): (i128, i128, i128)| (sign * whole, sign * fraction);
    value(parts(one)).cmp(&value(parts(two)))
}

fn bucket<'a>(split: &'a Split, person: &Person) -> Option<&'a str> {
    let unit = match fact(person, &split.by)? {
        Fact::Text(it) => it,
        Fact::Number(it) => it.to_string(),
        Fact::Boolean(it) => it.to_string(),
        Fact::List(_) => return None,
    };
    let hash = murmur3(format!("{}:{unit}", split.salt).as_bytes());
    let slot = ((u64::from(hash) * 100_000) >> 32) as u32;
    let mut shares = split.shares.iter();
    let share = shares.find(|it| it.slots.iter().any(|it| it.start <= slot && slot < it.end));
    Some(&share.unwrap().variant)
}

/// Block by block over the whole, as the algorithm is usually printed.
fn murmur3(bytes: &[u8]) -> u32 {
    let mut hash = 0_u32;
    let mut chunks = bytes.chunks_exact(4);
    for chunk in &mut chunks {
        let mut k = u32::from_le_bytes(chunk.try_into().unwrap());
        k = k.wrapping_mul(0xcc9e_2d51).rotate_left(15).wrapping_mul(0x1b87_3593);
        hash = (hash ^ k).rotate_left(13).wrapping_mul(5).wrapping_add(0xe654_6b64);
    }
    let mut k = 0_u32;
    for byte in chunks.remainder().iter().rev() {
        k = (k << 8) | u32::from(*byte);
    }
    hash ^= k.wrapping_mul(0xcc9e_2d51).rotate_left(15).wrapping_mul(0x1b87_3593);
    hash ^= bytes.len() as u32;
    hash = (hash ^ (hash >> 16)).wrapping_mul(0x85eb_ca6b);
    hash = (hash ^ (hash >> 13)).wrapping_mul(0xc2b2_ae35);
    hash ^ (hash >> 16)
}
