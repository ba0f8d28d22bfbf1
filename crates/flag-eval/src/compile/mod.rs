//! From definitions to what is evaluated, with every check on the way.

mod conditions;
mod splits;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;

use crate::compiled::{Compiled, Gate, Name, Rule, Serve, Target, Texts};
use crate::definition::{self, Flag, Outcome, Value, Variant};
use crate::limits::{ATTRIBUTE_CHARS_MAX, KEY_CHARS_MAX, Limits};
use crate::rejection::{Found, Violation, codes};
use crate::snapshot::Snapshot;
use crate::text::Text;

/// All `flags` of an environment, or everything that is wrong with them.
pub fn compile(flags: &[Flag], limits: &Limits) -> Result<Snapshot, Vec<Violation>> {
    let mut found = Found::default();
    if flags.len() > limits.flags_max {
        let message = format!("must be at most {}", limits.flags_max);
        found.refuse("flags", codes::FLAGS_TOO_MANY, message);
        return Err(found.violations);
    }
    let mut keys = BTreeMap::new();
    let mut compiled = Vec::with_capacity(flags.len());
    for (index, flag) in flags.iter().enumerate() {
        found.within(&format!("flags[{index}]"), |found| {
            if keys.insert(&flag.key, index).is_some() {
                found.refuse("key", codes::FLAG_KEY_REPEATED, "must be used once");
            }
            compiled.extend(check(flag, limits, found).map(Arc::new));
        });
    }
    if found.violations.is_empty() { Ok(Snapshot::of(compiled)) } else { Err(found.violations) }
}

impl Compiled {
    /// One flag, or everything that is wrong with it.
    pub fn of(flag: &Flag, limits: &Limits) -> Result<Self, Vec<Violation>> {
        let mut found = Found::default();
        match check(flag, limits, &mut found) {
            Some(compiled) if found.violations.is_empty() => Ok(compiled),
            _ => Err(found.violations),
        }
    }
}

/// None, or something of no use, when anything is wrong.
fn check(flag: &Flag, limits: &Limits, found: &mut Found) -> Option<Compiled> {
    check_key(&flag.key, "key", found);
    check_variants(flag, limits, found);
    let scope = Scope { variants: &flag.variants, limits, names: RefCell::default() };
    let off = scope.variant(&flag.off_variant, "off_variant", found);
    let gate = flag.gate.as_ref().map(|gate| scope.gate(gate, found));
    let targets = scope.targets(&flag.targets, found);
    let rules = scope.rules(&flag.rules, found);
    let fallthrough = found.within("fallthrough", |it| scope.outcome(&flag.fallthrough, it));
    Some(Compiled {
        key: Text::new(&flag.key),
        names: scope.names.into_inner().into(),
        kind: flag.kind,
        variants: flag.variants.as_slice().into(),
        enabled: flag.enabled,
        off: off?,
        gate: gate.filter(|it| !it.asks_nothing()),
        targets,
        rules: rules?,
        fallthrough: fallthrough?,
    })
}

fn check_key(key: &str, at: &str, found: &mut Found) {
    let is_head = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let is_slug = key.len() <= KEY_CHARS_MAX
        && key.bytes().next().is_some_and(is_head)
        && key.bytes().all(|byte| is_head(byte) || byte == b'-');
    if !is_slug {
        found.refuse(at, codes::FLAG_KEY_INVALID, "must match [a-z0-9][a-z0-9-]{0,62}");
    }
}

fn check_variants(flag: &Flag, limits: &Limits, found: &mut Found) {
    let max = limits.variants_max;
    if !(1..=max).contains(&flag.variants.len()) {
        let message = format!("must be 1 to {max}");
        found.refuse("variants", codes::FLAG_VARIANTS_INVALID, message);
        return;
    }
    for (index, variant) in flag.variants.iter().enumerate() {
        found.within(&format!("variants[{index}]"), |found| {
            check_key(&variant.key, "key", found);
            if flag.variants[..index].iter().any(|it| it.key == variant.key) {
                found.refuse("key", codes::FLAG_KEY_REPEATED, "must be used once");
            }
            if variant.value.kind() != flag.kind {
                let message = "must be of the flag's type";
                found.refuse("value", codes::FLAG_VALUE_INVALID, message);
            }
            if let Value::Text(text) = &variant.value
                && text.len() > limits.value_bytes_max
            {
                let message = format!("must have at most {} bytes", limits.value_bytes_max);
                found.refuse("value", codes::FLAG_VALUE_INVALID, message);
            }
        });
    }
}

/// What a flag's parts are checked against.
struct Scope<'a> {
    variants: &'a [Variant],
    limits: &'a Limits,
    /// The attributes met so far.
    names: RefCell<Vec<Text>>,
}

impl Scope<'_> {
    /// The place of an attribute among those of the flag.
    fn name(&self, name: &str) -> Name {
        let mut names = self.names.borrow_mut();
        let text = Text::new(name);
        Name(names.iter().position(|it| *it == text).unwrap_or_else(|| {
            names.push(text);
            names.len() - 1
        }))
    }

    /// The place of a variant.
    fn variant(&self, key: &str, at: &str, found: &mut Found) -> Option<usize> {
        let place = self.variants.iter().position(|it| it.key == key);
        if place.is_none() {
            let message = "must be the key of one of the flag's variants";
            found.refuse(at, codes::FLAG_VARIANT_UNKNOWN, message);
        }
        place
    }

    fn gate(&self, gate: &definition::Gate, found: &mut Found) -> Gate {
        found.within("gate", |found| {
            for (at, list) in [("features", &gate.features), ("plans", &gate.plans)] {
                if !list.is_empty() {
                    self.texts(list, at, found);
                }
                for (index, key) in list.iter().enumerate() {
                    check_key(key, &format!("{at}[{index}]"), found);
                }
            }
            let plans = Texts::of(gate.plans.iter().map(String::as_str));
            Gate { features: boxed(&gate.features), plans }
        })
    }

    fn targets(&self, targets: &[definition::Target], found: &mut Found) -> Box<[Target]> {
        let count: usize = targets.iter().map(|it| it.values.len().max(1)).sum();
        if count > self.limits.targets_max {
            let message = format!("must name at most {} individuals", self.limits.targets_max);
            found.refuse("targets", codes::FLAG_TARGETS_TOO_MANY, message);
            return Box::default();
        }
        // By attribute, then by value: the definition's target, and its variant.
        let mut by_attribute: BTreeMap<&str, BTreeMap<&str, (usize, usize)>> = BTreeMap::new();
        for (index, target) in targets.iter().enumerate() {
            found.within(&format!("targets[{index}]"), |found| {
                let variant = self.variant(&target.variant, "variant", found).unwrap_or(0);
                check_attribute(&target.attribute, "attribute", found);
                self.texts(&target.values, "values", found);
                let values = by_attribute.entry(&target.attribute).or_default();
                for (at, value) in target.values.iter().enumerate() {
                    if values.insert(value, (index, variant)).is_some() {
                        let at = format!("values[{at}]");
                        let message = "must be named once for its attribute";
                        found.refuse(&at, codes::FLAG_TARGET_REPEATED, message);
                    }
                }
            });
        }
        let targets = by_attribute.into_iter().map(|(attribute, values)| Target {
            attribute: self.name(attribute),
            values: Texts::of(values.keys().copied()),
            serve: values.into_values().collect(),
        });
        targets.collect()
    }

    fn rules(&self, rules: &[definition::Rule], found: &mut Found) -> Option<Box<[Rule]>> {
        if rules.len() > self.limits.rules_max {
            let message = format!("must be at most {}", self.limits.rules_max);
            found.refuse("rules", codes::FLAG_RULES_TOO_MANY, message);
            return None;
        }
        let compiled = rules.iter().enumerate().map(|(index, rule)| {
            found.within(&format!("rules[{index}]"), |found| {
                check_key(&rule.id, "id", found);
                if rules[..index].iter().any(|it| it.id == rule.id) {
                    found.refuse("id", codes::FLAG_KEY_REPEATED, "must be used once");
                }
                let condition = self.rule_condition(&rule.condition, found);
                let serve = found.within("outcome", |it| self.outcome(&rule.outcome, it));
                Some(Rule { id: rule.id.as_str().into(), condition: condition?, serve: serve? })
            })
        });
        // All of them, so that all that is wrong is found.
        let compiled: Vec<Option<Rule>> = compiled.collect();
        compiled.into_iter().collect()
    }

    fn outcome(&self, outcome: &Outcome, found: &mut Found) -> Option<Serve> {
        match outcome {
            Outcome::Variant(key) => self.variant(key, "variant", found).map(Serve::Variant),
            Outcome::Split(split) => {
                found.within("split", |found| self.split(split, found)).map(Serve::Split)
            }
        }
    }

    /// A list of texts that has at least one.
    fn texts(&self, list: &[String], at: &str, found: &mut Found) {
        if self.count(list.len(), at, found)
            && list.iter().any(|it| it.len() > self.limits.value_bytes_max)
        {
            let message = format!("must have at most {} bytes each", self.limits.value_bytes_max);
            found.refuse(at, codes::FLAG_VALUE_INVALID, message);
        }
    }

    fn count(&self, count: usize, at: &str, found: &mut Found) -> bool {
        let fits = (1..=self.limits.values_max).contains(&count);
        if !fits {
            let message = format!("must have 1 to {} entries", self.limits.values_max);
            found.refuse(at, codes::FLAG_LIST_INVALID, message);
        }
        fits
    }
}

impl Gate {
    fn asks_nothing(&self) -> bool {
        self.features.is_empty() && self.plans.is_empty()
    }
}

fn check_attribute(name: &str, at: &str, found: &mut Found) {
    if name.is_empty() {
        let message = "must be given: targeting_key, tenant, or an attribute of the context";
        found.refuse(at, codes::FLAG_ATTRIBUTE_INVALID, message);
    } else if name.len() > ATTRIBUTE_CHARS_MAX || name.chars().any(char::is_control) {
        let message =
            format!("must have 1 to {ATTRIBUTE_CHARS_MAX} bytes, none of them control characters");
        found.refuse(at, codes::FLAG_ATTRIBUTE_INVALID, message);
    }
}

fn boxed(texts: &[String]) -> Box<[Box<str>]> {
    texts.iter().map(|it| it.as_str().into()).collect()
}
