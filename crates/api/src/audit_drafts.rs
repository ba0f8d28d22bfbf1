//! Entries as applications give them: checked, and what is said of persons in them
//! encrypted under the key of whom it is about.

use std::collections::BTreeMap;

use bytes::Bytes;
use exchequer_codec::encode_command;
use exchequer_domain_audit::{self as domain, PERSONAL_FIELDS_MAX, codes::ENTRY_INVALID};
use exchequer_proto::audit::v1 as pb;
use exchequer_tenant::Command;
use exchequer_types::{KeyId, Protected, TenantId};
use tonic::Status;

use crate::check::Check;
use crate::edge::Edge;
use crate::personal::entry_field;

/// Bytes of one entry's personal fields together, in clear. Encrypted they fit what
/// the domain takes.
const PERSONAL_BYTES_MAX: usize = 19_000;
const _: () = assert!(
    PERSONAL_BYTES_MAX + PERSONAL_FIELDS_MAX * exchequer_vault::EXTRA_BYTES
        <= domain::PERSONAL_BYTES_MAX
);
const SUBJECT_CHARS_MAX: usize = 128;

/// An entry whose personal fields are in clear still.
#[derive(Debug)]
pub(crate) struct Given {
    draft: domain::Draft,
    subject: String,
    personal: BTreeMap<String, String>,
}

impl Given {
    /// Checks the entry at `field`, as far as it isn't for the domain to say.
    pub(crate) fn read(check: &mut Check, field: &str, entry: pb::NewEntry) -> Self {
        let at = |part: &str| format!("{field}.{part}");
        let resource = entry.resource.unwrap_or_default();
        let subject = if entry.subject.is_empty() { &entry.actor } else { &entry.subject };
        let subject = subject.clone();
        let personal: BTreeMap<String, String> = entry.personal.into_iter().collect();
        if !personal.is_empty() {
            check_subject(check, &at("subject"), &subject);
            check_personal(check, &at("personal"), &personal);
        } else if !entry.subject.is_empty() {
            check_subject(check, &at("subject"), &subject);
        }
        let draft = domain::Draft {
            action: entry.action,
            actor: entry.actor,
            resource_type: resource.r#type,
            resource_id: resource.id,
            before: check.value(&at("before"), entry.before),
            after: check.value(&at("after"), entry.after),
            context: check.object(&at("context"), entry.context),
            personal: BTreeMap::new(),
            origin: None,
            occurred_at: check.timestamp(&at("occurred_at"), entry.occurred_at),
        };
        if domain::is_reserved(&draft.action) {
            let text = "must begin with another word: this one is of the server's own entries";
            check.refuse(ENTRY_INVALID, &at("action"), text);
        }
        Self { draft, subject, personal }
    }
}

fn check_subject(check: &mut Check, field: &str, subject: &str) {
    let is_visible = subject.bytes().all(|byte| byte.is_ascii_graphic());
    if !(1..=SUBJECT_CHARS_MAX).contains(&subject.len()) || !is_visible {
        check.refuse(ENTRY_INVALID, field, "must be 1-128 visible ASCII characters");
    }
}

fn check_personal(check: &mut Check, field: &str, personal: &BTreeMap<String, String>) {
    if personal.len() > PERSONAL_FIELDS_MAX {
        check.refuse(ENTRY_INVALID, field, "must have at most 16 fields");
    }
    let is_name = |name: &str| {
        let is_allowed =
            |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._-".contains(&byte);
        (1..=64).contains(&name.len()) && name.bytes().all(is_allowed)
    };
    if !personal.keys().all(|name| is_name(name)) {
        check.refuse(ENTRY_INVALID, field, "must have names of 1-64 characters of [a-z0-9._-]");
    }
    if personal.values().map(String::len).sum::<usize>() > PERSONAL_BYTES_MAX {
        check.refuse(ENTRY_INVALID, field, "must have at most 19,000 bytes together");
    }
}

/// The command, and what tells it from another one: when something in it is
/// encrypted, the same command has other bytes each time.
pub(crate) async fn append(
    edge: &Edge,
    tenant: &TenantId,
    given: Vec<Given>,
) -> Result<(Command, Option<Bytes>), Status> {
    let is_personal = given.iter().any(|it| !it.personal.is_empty());
    let digest_of = if is_personal { tagged(edge, tenant, &given).await? } else { None };
    let mut entries = Vec::with_capacity(given.len());
    for Given { mut draft, subject, personal } in given {
        let vault = if personal.is_empty() { None } else { Some(edge.vault()?) };
        for (name, text) in personal {
            let Some(vault) = vault else { break };
            let field = entry_field(&name);
            let protected = vault.protect(tenant, &subject, &field, &text).await;
            let protected = protected.map_err(|error| crate::status::of_vault(&error, &field))?;
            draft.personal.insert(name, protected);
        }
        entries.push(draft);
    }
    Ok((command(entries), digest_of))
}

/// The command's bytes with a tag for each text that is encrypted: of whom, and what.
async fn tagged(edge: &Edge, tenant: &TenantId, given: &[Given]) -> Result<Option<Bytes>, Status> {
    let mut entries = Vec::with_capacity(given.len());
    for it in given {
        let mut personal = BTreeMap::new();
        for (name, text) in &it.personal {
            let tag = edge.tag(tenant, &it.subject, &entry_field(name), text).await?;
            let text = format!("{} {tag}", it.subject).into_bytes();
            personal.insert(name.clone(), Protected { key: KeyId::default(), text });
        }
        entries.push(domain::Draft { personal, ..it.draft.clone() });
    }
    Ok(encode_command(&command(entries)).map(|(_, payload)| payload))
}

fn command(entries: Vec<domain::Draft>) -> Command {
    Command::Audit(domain::Command::Append(domain::Append { entries }))
}
