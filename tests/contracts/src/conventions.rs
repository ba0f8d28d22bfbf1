//! The conventions of `docs/reference/api-conventions.md` as far as descriptors show them:
//! names, the shape of each kind of method, numbers that mean the same everywhere, and a
//! comment on everything that callers see.

use std::collections::{BTreeMap, BTreeSet};

use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{
    DescriptorProto, EnumDescriptorProto, FieldDescriptorProto, FileDescriptorSet, MessageOptions,
    MethodDescriptorProto,
};

use crate::comments::{Comments, comments};

const FILTER: i32 = 13;
const MASK: i32 = 14;
const WRITE: i32 = 15;
const WRITE_OPTIONS: &str = ".exchequer.common.v1.WriteOptions";
const FIELD_MASK: &str = ".google.protobuf.FieldMask";
const TIMESTAMP: &str = ".google.protobuf.Timestamp";
const ERROR: &str = ".exchequer.common.v1.Error";

/// Reads that are called otherwise than Get and List.
const READS: &[&str] = &[
    "Check",
    "Diff",
    "Evaluate",
    "Explain",
    "Export",
    "Query",
    "Reconcile",
    "Tail",
    "Test",
    "Watch",
];
/// Neither reads nor commands: they ask the process itself to do something, and asking
/// twice does no harm.
const OPERATIONS: &[&str] =
    &["PublishEvents", "RebuildView", "ReplayDeadLetter", "RotateKeys", "StreamEvents"];
/// Lists of what the program itself knows, which fit one reply.
const WHOLE_LISTS: &[&str] = &["ListPermissions"];
/// Batches that are one command, or one read: all of it or nothing.
const WHOLE_BATCHES: &[&str] = &["BatchAppendEntries", "BatchCheckEntitlements", "BatchEvaluate"];

/// Everything of the API in `set` that deviates, each with what it must be.
pub fn deviations(set: &FileDescriptorSet) -> Vec<String> {
    let walk = Walk::of(set);
    let mut found = Vec::new();
    for (service, method) in &walk.methods {
        let name = format!("{service}.{}", method.name());
        found.extend(walk.method(method).into_iter().map(|it| format!("{name}: {it}")));
    }
    for (name, message) in walk.reachable() {
        found.extend(Walk::message(message).into_iter().map(|it| format!("{name}: {it}")));
    }
    found.extend(walk.enums());
    found.extend(walk.uncommented());
    found
}

struct Walk<'a> {
    /// Such as `exchequer.tenants.v1.TenantService`, and a method of it.
    methods: Vec<(String, &'a MethodDescriptorProto)>,
    services: Vec<String>,
    /// By full name with a point before it.
    messages: BTreeMap<String, &'a DescriptorProto>,
    enums: BTreeMap<String, &'a EnumDescriptorProto>,
    comments: Comments,
}

impl<'a> Walk<'a> {
    fn of(set: &'a FileDescriptorSet) -> Self {
        let mut walk = Self {
            methods: Vec::new(),
            services: Vec::new(),
            messages: BTreeMap::new(),
            enums: BTreeMap::new(),
            comments: comments(set),
        };
        for file in &set.file {
            for it in &file.message_type {
                walk.take(&format!(".{}", file.package()), it);
            }
            for it in &file.enum_type {
                walk.enums.insert(format!(".{}.{}", file.package(), it.name()), it);
            }
            for service in &file.service {
                let name = format!("{}.{}", file.package(), service.name());
                walk.methods.extend(service.method.iter().map(|it| (name.clone(), it)));
                walk.services.push(name);
            }
        }
        walk
    }

    fn take(&mut self, scope: &str, message: &'a DescriptorProto) {
        let name = format!("{scope}.{}", message.name());
        message.nested_type.iter().for_each(|it| self.take(&name, it));
        for it in &message.enum_type {
            self.enums.insert(format!("{name}.{}", it.name()), it);
        }
        self.messages.insert(name, message);
    }

    /// Our messages that a method takes or gives, with what is in them.
    fn reachable(&self) -> BTreeMap<&str, &'a DescriptorProto> {
        let mut found = BTreeMap::new();
        let types = self.methods.iter().flat_map(|(_, it)| [it.input_type(), it.output_type()]);
        let mut left: Vec<&str> = types.collect();
        while let Some(name) = left.pop() {
            let Some((name, message)) = self.messages.get_key_value(name) else { continue };
            let is_map = message.options.as_ref().is_some_and(MessageOptions::map_entry);
            if name.starts_with(".exchequer.")
                && !is_map
                && found.insert(name.as_str(), *message).is_none()
            {
                left.extend(message.field.iter().map(FieldDescriptorProto::type_name));
            }
        }
        found
    }

    fn method(&self, method: &MethodDescriptorProto) -> Vec<String> {
        let mut found = Vec::new();
        let name = method.name();
        let input = method.input_type().rsplit('.').next().unwrap_or_default();
        if input != format!("{name}Request") {
            found.push(format!("must take {name}Request, not {input}"));
        }
        let Some(request) = self.messages.get(method.input_type()) else { return found };
        let is = |verbs: &[&str]| verbs.iter().any(|verb| has_verb(name, verb));
        let is_read = is(&["Get", "List"]) || is(READS);
        match field(request, "write") {
            None if !is_read && !OPERATIONS.contains(&name) => {
                found.push(format!("writes, and must have `write` at {WRITE}"));
            }
            Some(_) if is_read => found.push("reads, and must not have `write`".to_owned()),
            _ => {}
        }
        if is(&["Get"]) && field(request, "read_mask").is_none() {
            found.push(format!("must have `read_mask` at {MASK}"));
        }
        if is(&["List"]) && !WHOLE_LISTS.contains(&name) {
            found.extend(self.list(method, request));
        }
        if is(&["Update"]) && !is_partial(request) {
            let text = "must leave what is not given: `update_mask`, optional fields, or add_ and remove_ lists";
            found.push(text.to_owned());
        }
        if let Some(single) = name.strip_prefix("Batch")
            && !WHOLE_BATCHES.contains(&name)
        {
            found.extend(self.batch(method, request, single));
        }
        found
    }

    fn list(&self, method: &MethodDescriptorProto, request: &DescriptorProto) -> Vec<String> {
        let mut found = Vec::new();
        let wanted = [("page_size", Type::Uint32), ("page_token", Type::String)];
        let more = [("filter", Type::String), ("read_mask", Type::Message)];
        for (name, kind) in wanted.into_iter().chain(more) {
            if field(request, name).is_none_or(|it| it.r#type() != kind) {
                found.push(format!("must have `{name}`"));
            }
        }
        let Some(response) = self.messages.get(method.output_type()) else { return found };
        if response.name() != format!("{}Response", method.name()) {
            found.push(format!("must give {}Response", method.name()));
        }
        let is_list = |it: &FieldDescriptorProto| {
            it.label() == Label::Repeated && it.r#type() == Type::Message && it.number() == 1
        };
        if !response.field.iter().any(is_list) {
            found.push("must give the resources as field 1".to_owned());
        }
        if field(response, "next_page_token").is_none_or(|it| it.r#type() != Type::String) {
            found.push("must give `next_page_token`".to_owned());
        }
        found
    }

    fn batch(
        &self,
        method: &MethodDescriptorProto,
        request: &DescriptorProto,
        single: &str,
    ) -> Vec<String> {
        let mut found = Vec::new();
        let items = field(request, "requests").filter(|it| it.label() == Label::Repeated);
        let singular = |plural: &str| plural.strip_suffix("sRequest").map(str::to_owned);
        // A verb that needs no object has no plural.
        let one = format!("{single}Request");
        let one = singular(&one).map_or_else(|| format!(".{one}"), |it| format!(".{it}Request"));
        let is_one = |it: &FieldDescriptorProto| it.type_name().ends_with(one.as_str());
        if items.is_none_or(|it| !is_one(it)) {
            found.push(format!("must take the requests of {single} one by one, as `requests`"));
        }
        let response = self.messages.get(method.output_type());
        let results = response.and_then(|it| field(it, "results"));
        let result = results.and_then(|it| self.messages.get(it.type_name()));
        let tells = |it: &&DescriptorProto| {
            field(it, "error").is_some_and(|it| it.type_name() == ERROR) && it.field.len() == 2
        };
        if result.as_ref().is_none_or(|it| !tells(it)) {
            found.push("must give `results`, each the resource or an `error`".to_owned());
        }
        found
    }

    fn message(message: &DescriptorProto) -> Vec<String> {
        let mut found = Vec::new();
        let is_request = message.name().ends_with("Request");
        let fixed = [
            ("filter", FILTER, ""),
            ("read_mask", MASK, FIELD_MASK),
            ("update_mask", MASK, FIELD_MASK),
            ("write", WRITE, WRITE_OPTIONS),
        ];
        for it in &message.field {
            let name = it.name();
            if name.chars().any(|it| !(it.is_ascii_lowercase() || it.is_ascii_digit() || it == '_'))
            {
                found.push(format!("`{name}` must be in lower snake case"));
            }
            if name.ends_with("_at") && it.r#type() == Type::Message && it.type_name() != TIMESTAMP
                || name.ends_with("_at") && it.r#type() == Type::String
            {
                found.push(format!("`{name}` must be a Timestamp"));
            }
            if !is_request {
                continue;
            }
            for (wanted, number, kind) in fixed {
                if name == wanted && (it.number() != number || it.type_name() != kind) {
                    found.push(format!("`{name}` must have the number {number} and type {kind}"));
                }
            }
            if (FILTER..=WRITE).contains(&it.number()) && fixed.iter().all(|it| it.0 != name) {
                found.push(format!("`{name}` must not have the number {}", it.number()));
            }
        }
        found
    }

    fn enums(&self) -> Vec<String> {
        let mut found = Vec::new();
        let ours = self.enums.iter().filter(|(name, _)| name.starts_with(".exchequer."));
        for (name, it) in ours {
            let prefix = format!("{}_", upper_snake(it.name()));
            for value in &it.value {
                let is_first = value.number() == 0;
                if !value.name().starts_with(&prefix)
                    || is_first != (value.name() == format!("{prefix}UNSPECIFIED"))
                {
                    found.push(format!(
                        "{name}: {} must begin with {prefix}, and 0 be UNSPECIFIED",
                        value.name()
                    ));
                }
            }
        }
        found
    }

    fn uncommented(&self) -> Vec<String> {
        let mut wanted: BTreeSet<String> = self.services.iter().cloned().collect();
        wanted.extend(self.methods.iter().map(|(it, method)| format!("{it}.{}", method.name())));
        for (name, message) in self.reachable() {
            let name = name.trim_start_matches('.');
            let is_plain = !(name.ends_with("Request") || name.ends_with("Response"));
            wanted.extend(is_plain.then(|| name.to_owned()));
            let fields = message.field.iter().filter(|it| it.name() != "write");
            wanted.extend(fields.map(|it| format!("{name}.{}", it.name())));
            for it in &message.field {
                let Some(values) = self.enums.get(it.type_name()) else { continue };
                let kind = it.type_name().trim_start_matches('.');
                if !kind.starts_with("exchequer.") {
                    continue;
                }
                wanted.insert(kind.to_owned());
                let values = values.value.iter().filter(|it| it.number() != 0);
                wanted.extend(values.map(|it| format!("{kind}.{}", it.name())));
            }
        }
        let missing = wanted.iter().filter(|it| !self.comments.contains(*it));
        missing.map(|it| format!("{it}: has no comment")).collect()
    }
}

fn field<'a>(message: &'a DescriptorProto, name: &str) -> Option<&'a FieldDescriptorProto> {
    message.field.iter().find(|it| it.name() == name)
}

/// Does the method's name begin with the verb, alone or after `Batch`?
fn has_verb(name: &str, verb: &str) -> bool {
    let name = name.strip_prefix("Batch").unwrap_or(name);
    let rest = name.strip_prefix(verb);
    rest.is_some_and(|it| it.is_empty() || it.starts_with(char::is_uppercase))
}

fn is_partial(request: &DescriptorProto) -> bool {
    request.field.iter().any(|it| {
        it.proto3_optional()
            || it.name() == "update_mask"
            || ["add_", "remove_", "set", "unset"].iter().any(|verb| it.name().starts_with(verb))
    })
}

/// `TenantStatus` to `TENANT_STATUS`.
fn upper_snake(name: &str) -> String {
    let mut out = String::new();
    for (index, char) in name.char_indices() {
        if char.is_ascii_uppercase() && index > 0 {
            out.push('_');
        }
        out.push(char.to_ascii_uppercase());
    }
    out
}
