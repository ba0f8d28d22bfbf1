//! What has a comment before it, by full name, from the source information of
//! descriptors.

use std::collections::BTreeSet;

use prost_types::source_code_info::Location;
use prost_types::{DescriptorProto, EnumDescriptorProto, FileDescriptorProto, FileDescriptorSet};

/// Full names such as `exchequer.tenants.v1.Tenant.id`.
pub(crate) type Comments = BTreeSet<String>;

// Numbers of fields of descriptors, of which paths in source information are made.
const FILE_MESSAGE: i32 = 4;
const FILE_ENUM: i32 = 5;
const FILE_SERVICE: i32 = 6;
const MESSAGE_FIELD: i32 = 2;
const MESSAGE_NESTED: i32 = 3;
const MESSAGE_ENUM: i32 = 4;
const ENUM_VALUE: i32 = 2;
const SERVICE_METHOD: i32 = 2;

/// Everything in `set` that has one.
pub(crate) fn comments(set: &FileDescriptorSet) -> Comments {
    let mut found = Comments::new();
    for file in &set.file {
        let locations = file.source_code_info.as_ref().map_or(&[][..], |it| &it.location);
        let is_said = |it: &&Location| {
            it.leading_comments.as_ref().is_some_and(|text| !text.trim().is_empty())
                || it.trailing_comments.as_ref().is_some_and(|text| !text.trim().is_empty())
        };
        for location in locations.iter().filter(is_said) {
            found.extend(name_of(file, &location.path));
        }
    }
    found
}

fn name_of(file: &FileDescriptorProto, path: &[i32]) -> Option<String> {
    let package = file.package();
    match path {
        [FILE_SERVICE, at] => Some(format!("{package}.{}", file.service.get(index(*at))?.name())),
        [FILE_SERVICE, at, SERVICE_METHOD, of] => {
            let service = file.service.get(index(*at))?;
            let method = service.method.get(index(*of))?;
            Some(format!("{package}.{}.{}", service.name(), method.name()))
        }
        [FILE_MESSAGE, at, rest @ ..] => {
            of_message(package, file.message_type.get(index(*at))?, rest)
        }
        [FILE_ENUM, at, rest @ ..] => of_enum(package, file.enum_type.get(index(*at))?, rest),
        _ => None,
    }
}

fn of_message(scope: &str, message: &DescriptorProto, path: &[i32]) -> Option<String> {
    let name = format!("{scope}.{}", message.name());
    match path {
        [] => Some(name),
        [MESSAGE_FIELD, at] => Some(format!("{name}.{}", message.field.get(index(*at))?.name())),
        [MESSAGE_NESTED, at, rest @ ..] => {
            of_message(&name, message.nested_type.get(index(*at))?, rest)
        }
        [MESSAGE_ENUM, at, rest @ ..] => of_enum(&name, message.enum_type.get(index(*at))?, rest),
        _ => None,
    }
}

fn of_enum(scope: &str, values: &EnumDescriptorProto, path: &[i32]) -> Option<String> {
    let name = format!("{scope}.{}", values.name());
    match path {
        [] => Some(name),
        [ENUM_VALUE, at] => Some(format!("{name}.{}", values.value.get(index(*at))?.name())),
        _ => None,
    }
}

fn index(at: i32) -> usize {
    usize::try_from(at).unwrap_or(usize::MAX)
}
