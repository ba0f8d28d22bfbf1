//! The locked statements against those of today.

use crate::statements::Statements;

/// How the protos of today stand to the lock.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Comparison {
    /// What was agreed and is no longer so.
    pub broken: Vec<String>,
    /// What is to be locked, or is gone and reserved.
    pub pending: Vec<String>,
}

/// Compares; the order is the lock's.
pub fn compare(locked: &Statements, today: &Statements) -> Comparison {
    let mut comparison = Comparison::default();
    for (subject, stated) in locked {
        match today.get(subject) {
            Some(now) if now == stated => {}
            Some(now) => comparison.broken.push(format!("{subject}: was `{stated}`, is `{now}`")),
            None if is_reserved(subject, stated, today) => {
                comparison.pending.push(format!("{subject}: reserved"));
            }
            // A type that is gone says so for all that was in it.
            None if !is_owned(subject, today) => {}
            None => comparison.broken.push(removed(subject, stated)),
        }
    }
    for (subject, stated) in today {
        if !locked.contains_key(subject) {
            comparison.pending.push(added(subject, stated));
        }
    }
    comparison
}

/// A field or value may go when neither its number nor its name can come back.
fn is_reserved(subject: &str, stated: &str, today: &Statements) -> bool {
    let Some((owner, number)) = numbered(subject) else { return false };
    let name = declared_name(stated);
    today.contains_key(&format!("reserved {owner} {number}"))
        && today.contains_key(&format!("reserved {owner} {name}"))
}

/// Is the message or enum that a field, value or reservation belongs to still there?
fn is_owned(subject: &str, today: &Statements) -> bool {
    let mut words = subject.split(' ');
    let (Some("field" | "value" | "reserved"), Some(owner)) = (words.next(), words.next()) else {
        return true;
    };
    ["message", "enum"].iter().any(|kind| today.contains_key(&format!("{kind} {owner}")))
}

fn added(subject: &str, stated: &str) -> String {
    if stated.is_empty() {
        format!("{subject} is new")
    } else {
        format!("{subject}: `{stated}` is new")
    }
}

fn removed(subject: &str, stated: &str) -> String {
    match numbered(subject) {
        Some((_, number)) => {
            format!(
                "{subject}: `{stated}` is gone; reserve {number} and \"{}\"",
                declared_name(stated)
            )
        }
        None => format!("{subject} is gone"),
    }
}

/// `field OWNER NUMBER` or `value OWNER NUMBER`.
fn numbered(subject: &str) -> Option<(&str, &str)> {
    let (_, rest) =
        subject.split_once(' ').filter(|(kind, _)| matches!(*kind, "field" | "value"))?;
    rest.split_once(' ')
}

/// The name in `repeated string names in choice` or in `STATUS_ACTIVE`.
fn declared_name(stated: &str) -> &str {
    let declaration = stated.split(" in ").next().unwrap_or(stated);
    declaration.rsplit(' ').next().unwrap_or(declaration)
}
