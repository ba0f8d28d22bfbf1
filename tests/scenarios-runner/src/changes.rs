//! What an audit entry tells, in few words, and whether a tenant's entries are a
//! chain.

use exchequer_projection_audit::AuditEntry;
use exchequer_types::Hash;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

const SHOWN_CHARS_MAX: usize = 90;

/// What the entry says was before and is after, as differences where both are
/// objects.
pub(crate) fn changes(entry: &AuditEntry) -> String {
    let json: Value = serde_json::from_str(&entry.json).unwrap_or_default();
    let (before, after, context) = (&json["before"], &json["after"], &json["context"]);
    let mut parts: Vec<String> = Vec::new();
    match (before, after) {
        (Value::Object(old), Value::Object(new)) => {
            let mut names: Vec<&String> = old.keys().chain(new.keys()).collect();
            names.sort_unstable();
            names.dedup();
            let differs = names.into_iter().filter(|name| old.get(*name) != new.get(*name));
            parts.extend(differs.map(|name| {
                format!("{name}: {} -> {}", shown(&before[name]), shown(&after[name]))
            }));
        }
        (Value::Null, Value::Null) => {}
        (Value::Null, Value::Object(new)) => {
            let members = new.iter().filter(|(_, value)| !is_empty(value));
            parts.extend(members.map(|(name, value)| format!("{name}: {}", shown(value))));
        }
        _ => parts.push(format!("{} -> {}", shown(before), shown(after))),
    }
    if *context != Value::Null {
        parts.push(format!("context: {}", shown(context)));
    }
    if entry.claimed_at != entry.recorded_at {
        parts.push(format!("happened {}", entry.claimed_at));
    }
    if entry.committed_at != entry.recorded_at {
        parts.push(format!("carried out {}", entry.committed_at));
    }
    if parts.is_empty() { "-".to_owned() } else { parts.join(", ") }
}

/// Does each of a tenant's entries, newest first, name the one before it?
pub(crate) fn chain(entries: &[AuditEntry]) -> String {
    let mut prev = Hash::ZERO.to_hex();
    for (entry, seq) in entries.iter().rev().zip(1..) {
        if entry.seq != seq || entry.prev != prev {
            return format!("CHAIN BROKEN at entry {}", entry.seq);
        }
        prev = Hash(Sha256::digest(&entry.json).into()).to_hex();
    }
    match entries.len() {
        1 => "chain of 1 entry, unbroken".to_owned(),
        count => format!("chain of {count} entries, unbroken"),
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Object(members) => members.is_empty(),
        _ => false,
    }
}

fn shown(value: &Value) -> String {
    if *value == Value::Null {
        return "none".to_owned();
    }
    let text = value.to_string();
    if text.len() <= SHOWN_CHARS_MAX {
        return text;
    }
    let start: String = text.chars().take(SHOWN_CHARS_MAX / 2).collect();
    format!("{start}... ({} bytes)", text.len())
}
