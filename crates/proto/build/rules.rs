//! Who may call each method, as the option `access` says it: read from the compiled
//! contract and checked. Every method has one, its permission exists, and its paths
//! name string fields that the request has at most once.

use core::fmt::Write as _;

use protox::prost_reflect::{
    Cardinality, DescriptorPool, DynamicMessage, Kind, MessageDescriptor, MethodDescriptor, Value,
};

const ACCESS: &str = "exchequer.options.v1.access";
const OURS: &str = "exchequer.";
/// Instead of a permission: whoever belongs to the tenant may call it.
const MEMBER: &str = "member";

/// A method with its rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rule {
    /// `/exchequer.tenants.v1.TenantService/GetTenant`
    path: String,
    permission: String,
    /// Numbers of the fields on the way to a string; empty when the method names none.
    tenant: Vec<u32>,
    project: Vec<u32>,
    environment: Vec<u32>,
    flag: Vec<u32>,
    /// How the request calls the tenant.
    tenant_field: String,
    platform_by_default: bool,
    /// The service asks for each item's tenant.
    items: bool,
    audit: &'static str,
    streams: bool,
}

/// The rules of all methods, by path; or everything that is wrong with them.
pub(crate) fn read(
    pool: &DescriptorPool,
    is_permission: &dyn Fn(&str) -> bool,
) -> Result<Vec<Rule>, Vec<String>> {
    let mut rules = Vec::new();
    let mut wrong = Vec::new();
    for service in pool.services().filter(|it| it.full_name().starts_with(OURS)) {
        for method in service.methods() {
            match rule(pool, &method, is_permission) {
                Ok(rule) => rules.push(rule),
                Err(text) => wrong.push(format!("{}: {text}", method.full_name())),
            }
        }
    }
    rules.sort_by(|one, other| one.path.cmp(&other.path));
    if wrong.is_empty() { Ok(rules) } else { Err(wrong) }
}

fn rule(
    pool: &DescriptorPool,
    method: &MethodDescriptor,
    is_permission: &dyn Fn(&str) -> bool,
) -> Result<Rule, String> {
    let extension =
        pool.get_extension_by_name(ACCESS).ok_or("the option access is not declared")?;
    let options = method.options();
    if !options.has_extension(&extension) {
        return Err(format!("has no option ({ACCESS}): say who may call it"));
    }
    let value = options.get_extension(&extension);
    let access = value.as_message().ok_or("the option access is no message")?;
    let permission = text(access, "permission");
    if permission != MEMBER && !is_permission(&permission) {
        return Err(format!("asks for `{permission}`, which is no permission"));
    }
    let audit = match access.get_field_by_name("audit").as_deref() {
        Some(Value::EnumNumber(1)) => "Read",
        Some(Value::EnumNumber(2)) => "Write",
        Some(Value::EnumNumber(3)) => "SensitiveRead",
        Some(Value::EnumNumber(4)) => "None",
        _ => return Err("has no audit class".to_owned()),
    };
    let items = matches!(access.get_field_by_name("items").as_deref(), Some(Value::Bool(true)));
    if method.is_client_streaming() && !items {
        return Err("takes a stream, of which the guard sees the first message alone".to_owned());
    }
    let input = method.input();
    let path = |name: &str| fields(&input, &text(access, name));
    let platform_by_default = matches!(
        access.get_field_by_name("platform_by_default").as_deref(),
        Some(Value::Bool(true))
    );
    let rule = Rule {
        path: format!("/{}/{}", method.parent_service().full_name(), method.name()),
        tenant: path("tenant")?,
        project: path("project")?,
        environment: path("environment")?,
        flag: path("flag")?,
        tenant_field: text(access, "tenant"),
        permission,
        platform_by_default,
        items,
        audit,
        streams: method.is_server_streaming(),
    };
    if items && (rule.permission == MEMBER || !rule.tenant.is_empty()) {
        return Err("asks item by item: it needs a permission, and names no tenant".to_owned());
    }
    if rule.tenant.is_empty() && (!rule.project.is_empty() || platform_by_default) {
        return Err("names what lies in a tenant, and no tenant".to_owned());
    }
    if rule.project.is_empty() && !(rule.environment.is_empty() && rule.flag.is_empty()) {
        return Err("names what lies in a project, and no project".to_owned());
    }
    Ok(rule)
}

fn text(access: &DynamicMessage, field: &str) -> String {
    match access.get_field_by_name(field).as_deref() {
        Some(Value::String(text)) => text.clone(),
        _ => String::new(),
    }
}

/// The numbers on the way along `path`, which ends at a string.
fn fields(request: &MessageDescriptor, path: &str) -> Result<Vec<u32>, String> {
    let mut numbers = Vec::new();
    let mut message = Some(request.clone());
    for name in path.split('.').filter(|_| !path.is_empty()) {
        let here = message.take().ok_or_else(|| format!("`{path}` goes on behind a string"))?;
        let field = here
            .get_field_by_name(name)
            .ok_or_else(|| format!("`{path}`: {} has no field `{name}`", here.name()))?;
        if field.cardinality() == Cardinality::Repeated {
            return Err(format!("`{path}`: `{name}` can be there several times"));
        }
        // Of a choice the last member counts, and would hide one before it.
        if field.containing_oneof().is_some_and(|oneof| !oneof.is_synthetic()) {
            return Err(format!("`{path}`: `{name}` is one of a choice"));
        }
        match field.kind() {
            Kind::String => {}
            Kind::Message(inner) => message = Some(inner),
            _ => return Err(format!("`{path}`: `{name}` is no string")),
        }
        numbers.push(field.number());
    }
    if !path.is_empty() && message.is_some() {
        return Err(format!("`{path}` is no string"));
    }
    Ok(numbers)
}

/// The table of the rules, as the library includes it.
pub(crate) fn source(rules: &[Rule]) -> String {
    let mut out = String::from("pub const METHODS: &[Method] = &[\n");
    for rule in rules {
        // Writing to a String cannot fail.
        let _ = writeln!(
            out,
            "    Method {{ path: {:?}, permission: {:?}, tenant: &{:?}, tenant_field: {:?}, \
             project: &{:?}, environment: &{:?}, flag: &{:?}, audit: AuditClass::{}, \
             platform_by_default: {:?}, items: {:?}, streams: {:?} }},",
            rule.path,
            rule.permission,
            rule.tenant,
            rule.tenant_field,
            rule.project,
            rule.environment,
            rule.flag,
            rule.audit,
            rule.platform_by_default,
            rule.items,
            rule.streams,
        );
    }
    out.push_str("];\n");
    out
}
