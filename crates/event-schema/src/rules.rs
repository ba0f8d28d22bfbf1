//! What a schema may consist of, so that a check of any data takes a bounded time:
//! references lead to places within it, never in a circle at one value, and how often one
//! value is looked at is counted beforehand.

use std::collections::HashMap;

use serde_json::{Map, Value};

use crate::rejection::Rejection;

/// Of a schema's text.
pub const SCHEMA_BYTES_MAX: usize = 32 * 1024;
/// Values in a schema, of all kinds.
pub const NODES_MAX: usize = 4_096;
/// Levels of a schema, and of the data that it is asked about.
pub const DEPTH_MAX: usize = 32;
/// How often the parts of a schema look at the values on one way through the data; a list
/// of allowed values counts for as many looks as it has values.
pub const VISITS_MAX: u64 = 4_096;

/// Of schemas that are read over, in bytes of a path in a message.
const PATH_BYTES_MAX: usize = 200;

/// Keywords whose reference is looked up elsewhere, or at the time of the check.
const REFUSED: [&str; 6] =
    ["$dynamicRef", "$recursiveRef", "$anchor", "$dynamicAnchor", "$recursiveAnchor", "id"];
/// Keywords with a schema for the same value.
const SAME_ONE: [&str; 4] = ["not", "if", "then", "else"];
const SAME_LIST: [&str; 3] = ["allOf", "anyOf", "oneOf"];
const SAME_MAP: [&str; 2] = ["dependentSchemas", "dependencies"];
/// Keywords with a schema for a value below it.
const BELOW_ONE: [&str; 8] = [
    "additionalProperties",
    "propertyNames",
    "unevaluatedProperties",
    "items",
    "additionalItems",
    "unevaluatedItems",
    "contains",
    "contentSchema",
];
const BELOW_LIST: [&str; 2] = ["prefixItems", "items"];
const BELOW_MAP: [&str; 2] = ["properties", "patternProperties"];

/// `schema` keeps to the rules.
pub(crate) fn check(schema: &Value) -> Result<(), Rejection> {
    let mut nodes = 0;
    count(schema, DEPTH_MAX, &mut nodes)?;
    references(schema, "", true)?;
    let mut visits = Visits { root: schema, known: HashMap::new(), open: Vec::new() };
    let total = visits.of(schema, "", DEPTH_MAX)?;
    if total > VISITS_MAX { Err(Rejection::TooCostly) } else { Ok(()) }
}

fn count(value: &Value, depth: usize, nodes: &mut usize) -> Result<(), Rejection> {
    *nodes += 1;
    if *nodes > NODES_MAX {
        return Err(Rejection::TooLarge);
    }
    let inner = || depth.checked_sub(1).ok_or(Rejection::TooLarge);
    match value {
        Value::Array(items) => {
            let depth = inner()?;
            items.iter().try_for_each(|it| count(it, depth, nodes))
        }
        Value::Object(members) => {
            let depth = inner()?;
            members.values().try_for_each(|it| count(it, depth, nodes))
        }
        _ => Ok(()),
    }
}

/// Looks at all members, also at those that are no keywords where they stand: a schema
/// has no need of them.
fn references(value: &Value, path: &str, is_root: bool) -> Result<(), Rejection> {
    let refuse = |name: &str, reason| {
        let path = short(&format!("{path}/{name}"));
        Err(Rejection::ReferenceInvalid { path, reason })
    };
    match value {
        Value::Object(members) => {
            for (name, inner) in members {
                match (name.as_str(), inner) {
                    ("$ref", Value::String(text)) if text != "#" && !text.starts_with("#/") => {
                        return refuse(name, "must lead to a place within the schema: # or #/...");
                    }
                    ("$id", Value::String(_)) if !is_root => {
                        return refuse(name, "must stand at the root alone");
                    }
                    (known, Value::String(_)) if REFUSED.contains(&known) => {
                        return refuse(name, "is not taken: use $ref with #/...");
                    }
                    _ => references(inner, &format!("{path}/{name}"), false)?,
                }
            }
            Ok(())
        }
        Value::Array(items) => {
            let mut items = items.iter().enumerate();
            items.try_for_each(|(at, it)| references(it, &format!("{path}/{at}"), false))
        }
        _ => Ok(()),
    }
}

/// How often schemas look at the values on one way through the data.
struct Visits<'a> {
    root: &'a Value,
    /// By the schema's address and the levels of data that are left.
    known: HashMap<(*const Value, usize), u64>,
    /// Schemas that are open at the same value.
    open: Vec<*const Value>,
}

impl<'a> Visits<'a> {
    fn of(&mut self, schema: &'a Value, path: &str, levels: usize) -> Result<u64, Rejection> {
        let key = (core::ptr::from_ref(schema), levels);
        if let Some(known) = self.known.get(&key) {
            return Ok(*known);
        }
        if self.open.contains(&key.0) {
            let reason = "leads in a circle back to the same value";
            return Err(Rejection::ReferenceInvalid { path: short(path), reason });
        }
        let Value::Object(members) = schema else { return Ok(1) };
        self.open.push(key.0);
        let same = self.same(members, path, levels)?;
        self.open.pop();
        let below = match levels.checked_sub(1) {
            Some(levels) => self.below(members, path, levels)?,
            None => 0,
        };
        let own = members.get("enum").and_then(Value::as_array).map_or(1, |it| 1 + it.len());
        let total = (own as u64).saturating_add(same).saturating_add(below);
        self.known.insert(key, total);
        Ok(total)
    }

    /// All that look at the same value.
    fn same(
        &mut self,
        members: &'a Map<String, Value>,
        path: &str,
        levels: usize,
    ) -> Result<u64, Rejection> {
        let mut total = 0_u64;
        if let Some(Value::String(text)) = members.get("$ref") {
            let path = format!("{path}/$ref");
            let pointer = text.strip_prefix('#').unwrap_or_default();
            let Some(target) = self.root.pointer(&percent_decoded(pointer)) else {
                let reason = "leads to nothing";
                return Err(Rejection::ReferenceInvalid { path: short(&path), reason });
            };
            total = self.of(target, &path, levels)?;
        }
        let lists = SAME_LIST.iter().filter_map(|name| members.get(*name)?.as_array());
        let maps = SAME_MAP.iter().filter_map(|name| members.get(*name)?.as_object());
        let inner = SAME_ONE.iter().filter_map(|name| members.get(*name));
        let inner = inner.chain(lists.flatten()).chain(maps.flat_map(Map::values));
        for schema in inner {
            total = total.saturating_add(self.of(schema, path, levels)?);
        }
        Ok(total)
    }

    /// The most that look at one value below.
    fn below(
        &mut self,
        members: &'a Map<String, Value>,
        path: &str,
        levels: usize,
    ) -> Result<u64, Rejection> {
        // Another value: what is open at the one above does not matter.
        let open = core::mem::take(&mut self.open);
        let mut total = 0_u64;
        for name in BELOW_ONE {
            if let Some(schema) = members.get(name).filter(|it| !it.is_array()) {
                total = total.saturating_add(self.of(schema, path, levels)?);
            }
        }
        for name in BELOW_LIST {
            let mut most = 0;
            for schema in members.get(name).and_then(Value::as_array).into_iter().flatten() {
                most = most.max(self.of(schema, path, levels)?);
            }
            total = total.saturating_add(most);
        }
        for name in BELOW_MAP {
            let Some(inner) = members.get(name).and_then(Value::as_object) else { continue };
            let (mut most, mut sum) = (0, 0_u64);
            for schema in inner.values() {
                let visits = self.of(schema, path, levels)?;
                most = most.max(visits);
                sum = sum.saturating_add(visits);
            }
            // Several patterns can fit one name, of names themselves only one.
            total = total.saturating_add(if name == "properties" { most } else { sum });
        }
        self.open = open;
        Ok(total)
    }
}

/// A pointer in a reference is part of a URI.
fn percent_decoded(pointer: &str) -> String {
    let mut out = Vec::with_capacity(pointer.len());
    let mut rest = pointer.as_bytes();
    while let Some((first, behind)) = rest.split_first() {
        let digits = behind.get(..2).and_then(|it| core::str::from_utf8(it).ok());
        let byte = digits.and_then(|it| u8::from_str_radix(it, 16).ok());
        let byte = byte.filter(|_| *first == b'%');
        out.push(byte.unwrap_or(*first));
        rest = behind.get(if byte.is_some() { 2 } else { 0 }..).unwrap_or_default();
    }
    String::from_utf8_lossy(&out).into_owned()
}

fn short(path: &str) -> String {
    cut(path, PATH_BYTES_MAX)
}

/// `text` up to `bytes_max`, between characters.
pub(crate) fn cut(text: &str, bytes_max: usize) -> String {
    let fits = |at: &usize| text.is_char_boundary(*at);
    let end = (0..=bytes_max.min(text.len())).rev().find(fits);
    end.and_then(|end| text.get(..end)).unwrap_or_default().to_owned()
}
