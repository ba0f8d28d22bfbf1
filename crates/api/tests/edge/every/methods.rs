//! The methods of the contract and a good request for each.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use exchequer_proto::{DESCRIPTORS, METHODS};
use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor};
use serde_json::Value;

/// A method, as its descriptor and its rule have it.
#[derive(Clone, Debug)]
pub(crate) struct Method {
    /// Such as `exchequer.tenants.v1.TenantService/GetTenant`.
    pub(crate) name: String,
    pub(crate) input: MessageDescriptor,
    pub(crate) output: MessageDescriptor,
    pub(crate) rule: &'static exchequer_proto::Method,
}

impl Method {
    pub(crate) fn path(&self) -> String {
        format!("/{}", self.name)
    }

    /// Without the service.
    pub(crate) fn verb(&self) -> &str {
        self.name.rsplit('/').next().unwrap()
    }

    pub(crate) fn writes(&self) -> bool {
        self.input.get_field_by_name("write").is_some()
    }

    /// The field that names the tenant, when it is one of the request itself.
    pub(crate) fn tenant_field(&self) -> Option<&'static str> {
        Some(self.rule.tenant_field).filter(|it| !it.is_empty())
    }

    /// The bytes of a request.
    pub(crate) fn encode(&self, request: &Value) -> Vec<u8> {
        use prost::Message as _;
        let message = DynamicMessage::deserialize(self.input.clone(), request);
        let message = message.unwrap_or_else(|error| panic!("{}: {error}: {request}", self.name));
        message.encode_to_vec()
    }

    /// A reply as JSON.
    pub(crate) fn decode(&self, reply: &[u8]) -> Value {
        let message = DynamicMessage::decode(self.output.clone(), reply).unwrap();
        serde_json::to_value(message).unwrap()
    }
}

fn pool() -> &'static DescriptorPool {
    static POOL: OnceLock<DescriptorPool> = OnceLock::new();
    POOL.get_or_init(|| DescriptorPool::decode(DESCRIPTORS).unwrap())
}

/// All that the guard decides on as a whole, in the order of their names; what is decided
/// item by item has tests of its own.
pub(crate) fn all() -> Vec<Method> {
    let services = pool().services();
    let ours = services.filter(|it| it.full_name().starts_with("exchequer."));
    let mut methods: Vec<Method> = ours
        .flat_map(|service| service.methods().collect::<Vec<_>>())
        .map(|it| {
            let name = format!("{}/{}", it.parent_service().full_name(), it.name());
            let rule = METHODS.iter().find(|rule| rule.path[1..] == name);
            let rule = rule.unwrap_or_else(|| panic!("{name} has no rule"));
            Method { name, input: it.input(), output: it.output(), rule }
        })
        .collect();
    methods.retain(|it| !it.rule.items);
    methods.sort_by(|one, other| one.name.cmp(&other.name));
    methods
}

/// The method whose name ends so.
pub(crate) fn method(name: &str) -> Method {
    let found = all().into_iter().find(|it| it.name.ends_with(&format!("/{name}")));
    found.unwrap_or_else(|| panic!("no method {name}"))
}

/// A good request for each method, by its name, with `$names` in place of ids that are
/// made by the server.
pub(crate) fn requests() -> BTreeMap<String, Value> {
    serde_json::from_str(include_str!("requests.json")).unwrap()
}

/// `request` with each text that is a key of `names` replaced.
pub(crate) fn replaced(request: &Value, names: &[(&str, &str)]) -> Value {
    match request {
        Value::String(text) => {
            let found = names.iter().find(|(from, _)| from == text);
            Value::String(found.map_or(text.as_str(), |(_, to)| to).to_owned())
        }
        Value::Array(items) => Value::Array(items.iter().map(|it| replaced(it, names)).collect()),
        Value::Object(members) => {
            let members = members.iter().map(|(key, it)| (key.clone(), replaced(it, names)));
            Value::Object(members.collect())
        }
        other => other.clone(),
    }
}

/// `request` with the text at one of its own fields set.
pub(crate) fn with(request: &Value, field: &str, value: Value) -> Value {
    let mut request = request.clone();
    request.as_object_mut().unwrap().insert(field.to_owned(), value);
    request
}
