//! A proto set as sorted statements, such as
//! `field exchequer.tenants.v1.Tenant 1` = `string id`.

use std::collections::BTreeMap;

use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{
    DescriptorProto, EnumDescriptorProto, FieldDescriptorProto, FileDescriptorSet,
    ServiceDescriptorProto,
};

/// What is stated about each subject.
pub type Statements = BTreeMap<String, String>;

/// Says everything about the set that bytes or callers depend on.
pub fn statements(set: &FileDescriptorSet) -> Statements {
    let mut statements = Statements::new();
    for file in &set.file {
        let package = file.package();
        if !package.starts_with("exchequer.") {
            continue;
        }
        for message in &file.message_type {
            state_message(&mut statements, package, message);
        }
        for values in &file.enum_type {
            state_enum(&mut statements, package, values);
        }
        for service in &file.service {
            state_service(&mut statements, package, service);
        }
    }
    statements
}

fn state_message(statements: &mut Statements, scope: &str, message: &DescriptorProto) {
    let name = format!("{scope}.{}", message.name());
    statements.insert(format!("message {name}"), String::new());
    for field in &message.field {
        statements.insert(format!("field {name} {}", field.number()), declaration(message, field));
    }
    for range in &message.reserved_range {
        // The end of a message's range is exclusive.
        state_reserved(statements, &name, range.start(), range.end() - 1);
    }
    for reserved in &message.reserved_name {
        statements.insert(format!("reserved {name} {reserved}"), String::new());
    }
    for nested in &message.nested_type {
        state_message(statements, &name, nested);
    }
    for values in &message.enum_type {
        state_enum(statements, &name, values);
    }
}

fn state_enum(statements: &mut Statements, scope: &str, values: &EnumDescriptorProto) {
    let name = format!("{scope}.{}", values.name());
    statements.insert(format!("enum {name}"), String::new());
    for value in &values.value {
        statements.insert(format!("value {name} {}", value.number()), value.name().to_owned());
    }
    for range in &values.reserved_range {
        state_reserved(statements, &name, range.start(), range.end());
    }
    for reserved in &values.reserved_name {
        statements.insert(format!("reserved {name} {reserved}"), String::new());
    }
}

fn state_service(statements: &mut Statements, package: &str, service: &ServiceDescriptorProto) {
    let name = format!("{package}.{}", service.name());
    statements.insert(format!("service {name}"), String::new());
    for method in &service.method {
        let stream = |is_stream| if is_stream { "stream " } else { "" };
        statements.insert(
            format!("rpc {name}.{}", method.name()),
            format!(
                "{}{} -> {}{}",
                stream(method.client_streaming()),
                plain(method.input_type()),
                stream(method.server_streaming()),
                plain(method.output_type())
            ),
        );
    }
}

/// Reserved numbers are stated one by one, so that ranges may be joined and split; long ranges as they are.
fn state_reserved(statements: &mut Statements, name: &str, first: i32, last: i32) {
    const ONE_BY_ONE_MAX: i32 = 1000;
    if last - first >= ONE_BY_ONE_MAX {
        statements.insert(format!("reserved {name} {first}-{last}"), String::new());
        return;
    }
    for number in first..=last {
        statements.insert(format!("reserved {name} {number}"), String::new());
    }
}

/// `repeated string names`, `optional exchequer.a.v1.B b`, `string c in choice`.
fn declaration(message: &DescriptorProto, field: &FieldDescriptorProto) -> String {
    let label = match field.label() {
        Label::Repeated => "repeated ",
        Label::Required => "required ",
        Label::Optional if field.proto3_optional() => "optional ",
        Label::Optional => "",
    };
    let kind = match field.r#type() {
        Type::Message | Type::Enum | Type::Group => plain(field.type_name()).to_owned(),
        scalar => scalar.as_str_name().trim_start_matches("TYPE_").to_lowercase(),
    };
    let choice = field
        .oneof_index
        .filter(|_| !field.proto3_optional())
        .and_then(|index| message.oneof_decl.get(usize::try_from(index).ok()?))
        .map_or(String::new(), |choice| format!(" in {}", choice.name()));
    format!("{label}{kind} {}{choice}", field.name())
}

fn plain(type_name: &str) -> &str {
    type_name.trim_start_matches('.')
}
