//! Entries from an application, one or many: all of them or none.

use std::collections::BTreeMap;

use exchequer_types::{Protected, Timestamp};

use crate::{Event, Rejection};

/// Entries in one command.
pub const ENTRIES_MAX: usize = 500;
/// Bytes of one entry's before, after and context together.
const FREE_BYTES_MAX: usize = 128 * 1024;

/// Personal fields of one entry.
pub const PERSONAL_FIELDS_MAX: usize = 16;
/// Bytes of one entry's personal fields together, encrypted. An entry is never cut
/// short of them, so that they fit beside whatever else it has.
pub const PERSONAL_BYTES_MAX: usize = 20 * 1024;

/// First words of the actions that the server itself tells of. An application says what it
/// did in words of its own.
pub const RESERVED: [&str; 31] = [
    "access",
    "addresses",
    "audit",
    "billing",
    "catalog",
    "charge",
    "clock",
    "credential",
    "entitlement",
    "environment",
    "event-schema",
    "flag",
    "grant",
    "member",
    "meter",
    "person",
    "project",
    "provider",
    "quota",
    "role",
    "sandbox",
    "setting",
    "settings",
    "subscription",
    "system",
    "team",
    "tenant",
    "timer",
    "usage",
    "usage-event",
    "use",
];

/// Does the server alone tell of this action?
pub fn is_reserved(action: &str) -> bool {
    RESERVED.contains(&action.split('.').next().unwrap_or_default())
}

/// One entry as an application gives it.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Draft {
    pub action: String,
    pub actor: String,
    pub resource_type: String,
    pub resource_id: String,
    /// Canonical JSON, or empty.
    pub before: String,
    pub after: String,
    pub context: String,
    /// What is said of a person, by name, encrypted under that person's key.
    pub personal: BTreeMap<String, Protected>,
    /// Where what it tells of came from, encrypted; None for where the command came from.
    pub origin: Option<Protected>,
    /// When the application says it happened; None for the command's own claim.
    pub occurred_at: Option<Timestamp>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Append {
    pub entries: Vec<Draft>,
}

impl Append {
    pub(crate) fn decide(&self) -> Result<Vec<Event>, Rejection> {
        if self.entries.is_empty() || self.entries.len() > ENTRIES_MAX {
            return Err(Rejection::Count { entries_max: ENTRIES_MAX });
        }
        for (index, entry) in self.entries.iter().enumerate() {
            let fault = |(field, expected)| Rejection::Entry { index, field, expected };
            entry.check().map_err(fault)?;
        }
        Ok(vec![Event::Appended { count: u32::try_from(self.entries.len()).unwrap_or(u32::MAX) }])
    }
}

impl Draft {
    fn check(&self) -> Result<(), (&'static str, &'static str)> {
        let visible = |text: &str, max: usize| {
            (1..=max).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
        };
        let name = |text: &str, max: usize| {
            (1..=max).contains(&text.len())
                && text.bytes().all(|byte| {
                    byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._-".contains(&byte)
                })
        };
        if !name(&self.action, 128) {
            return Err(("action", "1-128 characters of [a-z0-9._-]"));
        }
        if !visible(&self.actor, 128) {
            return Err(("actor", "1-128 visible ASCII characters"));
        }
        if !name(&self.resource_type, 64) {
            return Err(("resource.type", "1-64 characters of [a-z0-9._-]"));
        }
        let id_chars = self.resource_id.chars().count();
        if !(1..=256).contains(&id_chars) || self.resource_id.chars().any(char::is_control) {
            return Err(("resource.id", "1-256 characters, none of them control characters"));
        }
        if self.before.len() + self.after.len() + self.context.len() > FREE_BYTES_MAX {
            return Err(("context", "at most 128 KiB together with before and after"));
        }
        if self.personal.len() > PERSONAL_FIELDS_MAX {
            return Err(("personal", "at most 16 fields"));
        }
        if !self.personal.keys().all(|field| name(field, 64)) {
            return Err(("personal", "named by 1-64 characters of [a-z0-9._-]"));
        }
        let encrypted = self.personal.values().chain(&self.origin);
        if encrypted.map(|it| it.text.len()).sum::<usize>() > PERSONAL_BYTES_MAX {
            return Err(("personal", "at most 19,000 bytes together"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use exchequer_kernel::Reason as _;
    use exchequer_types::KeyId;

    use super::*;

    fn draft() -> Draft {
        Draft {
            action: "invoice.downloaded".to_owned(),
            actor: "u-7".to_owned(),
            resource_type: "invoice".to_owned(),
            resource_id: "2026-0001".to_owned(),
            ..Draft::default()
        }
    }

    fn at(refused: &Rejection) -> String {
        let [fault] = refused.faults().try_into().unwrap();
        assert!(fault.message.starts_with("must be "));
        fault.field
    }

    // REQ: AUD-02
    #[test]
    fn entries_come_all_or_none() {
        let append = Append { entries: vec![draft(), draft()] };
        assert_eq!(append.decide(), Ok(vec![Event::Appended { count: 2 }]));
        let bad = Draft { actor: "two words".to_owned(), ..draft() };
        let refused = Append { entries: vec![draft(), bad] }.decide().unwrap_err();
        assert_eq!((refused.code(), refused.field()), ("ENTRY_INVALID", Some("entries")));
        assert_eq!(at(&refused), "entries[1].actor");
        assert!(refused.message().starts_with("entries[1].actor must be 1-128 "));
    }

    #[test]
    fn every_part_is_checked() {
        let personal = |name: &str, bytes: usize| {
            let it = Protected { key: KeyId([1; 16]), text: vec![0; bytes] };
            (name.to_owned(), it)
        };
        let fits = Draft { personal: [personal("customer.name", 89)].into(), ..draft() };
        assert!(Append { entries: vec![fits] }.decide().is_ok());
        let many = (0..17).map(|it| personal(&format!("n{it}"), 89)).collect();
        for fields in [many, [personal("Name", 89)].into(), [personal("n", 20 * 1024 + 1)].into()] {
            let refused = Append { entries: vec![Draft { personal: fields, ..draft() }] };
            assert_eq!(at(&refused.decide().unwrap_err()), "entries[0].personal");
        }
        let cases: [(&str, fn(&mut Draft)); 5] = [
            ("action", |it| it.action = "Nope".to_owned()),
            ("actor", |it| it.actor.clear()),
            ("resource.type", |it| it.resource_type = "x".repeat(65)),
            ("resource.id", |it| it.resource_id = "a\tb".to_owned()),
            ("context", |it| it.context = "x".repeat(FREE_BYTES_MAX + 1)),
        ];
        for (field, spoil) in cases {
            let mut entry = draft();
            spoil(&mut entry);
            let refused = Append { entries: vec![entry] }.decide().unwrap_err();
            assert_eq!(at(&refused), format!("entries[0].{field}"));
        }
        let none = Append { entries: vec![] }.decide().unwrap_err();
        assert_eq!(none.code(), "ENTRIES_COUNT_INVALID");
        let many = Append { entries: vec![draft(); ENTRIES_MAX + 1] }.decide().unwrap_err();
        assert_eq!((many.field(), many.faults()), (Some("entries"), Vec::new()));
    }

    // REQ: AUD-02
    #[test]
    fn the_words_of_the_server_are_told_from_others() {
        for word in RESERVED {
            assert!(is_reserved(word) && is_reserved(&format!("{word}.done")), "{word}");
            assert!(!is_reserved(&format!("{word}s-own.done")), "{word}");
        }
        assert!(is_reserved("usage.ingested"));
        assert!(!is_reserved("invoice.downloaded"));
        assert!(RESERVED.is_sorted(), "as the reference lists them");
        let contract = include_str!("../../../proto/exchequer/audit/v1/audit.proto");
        let contract = contract.replace("\n  // ", " ");
        assert!(contract.contains(&RESERVED.join(", ")), "and the contract, too");
    }
}
