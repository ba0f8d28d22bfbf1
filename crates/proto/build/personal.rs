//! What belongs to persons and what is secret, as the option `data` says it: what
//! the log and the state keep of it is encrypted, and what comes in with a request
//! is in the table of what the gateway encrypts.

use std::collections::BTreeSet;

use protox::prost_reflect::{
    DescriptorPool, ExtensionDescriptor, FieldDescriptor, Kind, MessageDescriptor, Value,
};

const DATA: &str = "exchequer.options.v1.data";
const SUBJECT: &str = "exchequer.options.v1.subject";
const PROTECTED: &str = "exchequer.common.v1.Protected";
const OURS: &str = "exchequer.";

/// Request fields that the gateway encrypts before anything is written. A field with
/// the option `data` that is not here does not compile, nor does one here without it.
pub(crate) const ENCRYPTED: &[&str] = &[
    "exchequer.access.v1.AddMemberRequest.email",
    "exchequer.access.v1.AddMemberRequest.name",
    "exchequer.access.v1.UpdateMemberRequest.email",
    "exchequer.access.v1.UpdateMemberRequest.name",
    "exchequer.audit.v1.NewEntry.personal",
];

/// Everything that is wrong with the contract's fields.
pub(crate) fn check(pool: &DescriptorPool, encrypted: &[&str]) -> Result<(), Vec<String>> {
    let Some((data, subject)) =
        pool.get_extension_by_name(DATA).zip(pool.get_extension_by_name(SUBJECT))
    else {
        return Err(vec![format!("the options {DATA} and {SUBJECT} are not declared")]);
    };
    let requested = requested(pool);
    let (mut wrong, mut found) = (Vec::new(), BTreeSet::new());
    for message in pool.all_messages().filter(|it| it.full_name().starts_with(OURS)) {
        for field in message.fields() {
            let name = field.full_name().to_owned();
            let is_marked = field.options().has_extension(&data);
            let problem = if is_stored(&message) {
                stored(&field, is_marked)
            } else if is_marked && requested.contains(message.full_name()) {
                found.insert(name.clone());
                asked(&field, &subject, encrypted)
            } else {
                None
            };
            wrong.extend(problem.map(|problem| format!("{name}: {problem}")));
        }
    }
    let missing = encrypted.iter().filter(|name| !found.contains(**name));
    wrong.extend(missing.map(|name| {
        format!("{name}: is encrypted, and no request has such a field with the option data")
    }));
    if wrong.is_empty() { Ok(()) } else { Err(wrong) }
}

/// Do the log or the state hold it?
fn is_stored(message: &MessageDescriptor) -> bool {
    let file = message.parent_file();
    let stored = ["/commands.proto", "/events.proto", "/state.proto", "/journal.proto"];
    stored.iter().any(|end| file.name().ends_with(end))
}

fn stored(field: &FieldDescriptor, is_marked: bool) -> Option<String> {
    let is_protected =
        matches!(field.kind(), Kind::Message(message) if message.full_name() == PROTECTED);
    match (is_marked, is_protected) {
        (true, false) => Some(format!("is kept for ever: its type must be {PROTECTED}")),
        (false, true) => Some(format!("has no option ({DATA}): say whether it is a person's")),
        _ => None,
    }
}

fn asked(
    field: &FieldDescriptor,
    subject: &ExtensionDescriptor,
    encrypted: &[&str],
) -> Option<String> {
    if !encrypted.contains(&field.full_name()) {
        return Some("is not in the table of what the gateway encrypts".to_owned());
    }
    let options = field.options();
    let named = options.get_extension(subject);
    let named = named.as_str().unwrap_or_default();
    let is_secret = matches!(data_of(field), Some(2));
    let sibling = field.parent_message().get_field_by_name(named);
    match sibling.map(|it| it.kind()) {
        _ if is_secret => None,
        Some(Kind::String) => None,
        _ => Some(format!("its subject `{named}` is no string beside it")),
    }
}

fn data_of(field: &FieldDescriptor) -> Option<i32> {
    let pool = field.parent_pool();
    let extension = pool.get_extension_by_name(DATA)?;
    match field.options().get_extension(&extension).as_ref() {
        Value::EnumNumber(number) => Some(*number),
        _ => None,
    }
}

/// Names of all messages that requests are made of.
fn requested(pool: &DescriptorPool) -> BTreeSet<String> {
    let services = pool.services().filter(|it| it.full_name().starts_with(OURS));
    let mut open: Vec<MessageDescriptor> = services
        .flat_map(|it| it.methods().map(|method| method.input()).collect::<Vec<_>>())
        .collect();
    let mut found = BTreeSet::new();
    while let Some(message) = open.pop() {
        if !found.insert(message.full_name().to_owned()) {
            continue;
        }
        open.extend(message.fields().filter_map(|field| match field.kind() {
            Kind::Message(inner) => Some(inner),
            _ => None,
        }));
    }
    found
}
