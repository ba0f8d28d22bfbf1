//! The fields of every message of the contract, from its descriptors: by name for who
//! writes a path, by number for who reads bytes.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use exchequer_proto::DESCRIPTORS;
use prost::Message as _;
use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{DescriptorProto, FileDescriptorSet};

/// A field of a message.
#[derive(Debug)]
pub(crate) struct Field {
    pub(crate) number: u32,
    pub(crate) is_repeated: bool,
    pub(crate) is_text: bool,
    /// A whole number without a sign.
    pub(crate) is_count: bool,
    /// The full name of its message type.
    pub(crate) message: Option<String>,
}

/// The fields of a message by name.
pub(crate) type Fields = BTreeMap<String, Field>;

/// The fields of the message called `name`, such as `exchequer.tenants.v1.Tenant`.
pub(crate) fn fields(name: &str) -> Option<&'static Fields> {
    all().get(name)
}

fn all() -> &'static BTreeMap<String, Fields> {
    static ALL: OnceLock<BTreeMap<String, Fields>> = OnceLock::new();
    ALL.get_or_init(|| {
        // The build wrote these bytes; without them no path is known.
        let set = FileDescriptorSet::decode(DESCRIPTORS).unwrap_or_default();
        let mut all = BTreeMap::new();
        for file in &set.file {
            for message in &file.message_type {
                take(&mut all, file.package(), message);
            }
        }
        all
    })
}

fn take(all: &mut BTreeMap<String, Fields>, scope: &str, message: &DescriptorProto) {
    let name = format!("{scope}.{}", message.name());
    for nested in &message.nested_type {
        take(all, &name, nested);
    }
    let fields = message.field.iter().map(|it| {
        let is_message = it.r#type() == Type::Message;
        let field = Field {
            number: it.number().unsigned_abs(),
            is_repeated: it.label() == Label::Repeated,
            is_text: it.r#type() == Type::String,
            is_count: matches!(it.r#type(), Type::Uint32 | Type::Uint64),
            message: is_message.then(|| it.type_name().trim_start_matches('.').to_owned()),
        };
        (it.name().to_owned(), field)
    });
    all.insert(name, fields.collect());
}
