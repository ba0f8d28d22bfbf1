//! Tenants, members, teams, roles and grants as rows.

use std::collections::BTreeSet;

use bytes::Bytes;
use exchequer_access::{AddressRange, Permission, Principal, Scope};
use exchequer_domain_access::{Expiry, Grant, Member, Role, State, Team};
use exchequer_readstore::{Fault, Value};
use exchequer_types::{ActorId, KeyId, Protected, Slug, TenantId, Timestamp};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Instead of an instant.
const ABSENT: i64 = -1;

/// What `access_tenants` says of a tenant that is there.
#[derive(Clone, Debug, Default)]
pub(crate) struct TenantRow {
    pub(crate) provider: Option<TenantId>,
    /// Without members, teams, roles, grants and credentials.
    pub(crate) state: State,
    pub(crate) closed_at: Option<Timestamp>,
}

pub(crate) fn tenant_values(it: &TenantRow) -> Vec<Value> {
    vec![
        Value::text(it.provider.as_ref().map_or("", TenantId::as_str)),
        Value::uint(it.state.version),
        Value::Int(it.state.updated_at.micros()),
        Value::Int(i64::from(it.state.bootstrapped)),
        networks(&it.state.addresses),
        optional_instant(it.closed_at),
    ]
}

pub(crate) fn tenant_from(values: &[Value]) -> Result<TenantRow, Fault> {
    let [provider, version, updated_at, bootstrapped, addresses, closed_at] = values else {
        return Err(damaged("tenant", "number of columns"));
    };
    let provider = match provider.as_text() {
        "" => None,
        id => Some(TenantId::parse(id).map_err(|_| damaged("tenant", "provider"))?),
    };
    let addresses = networks_from(addresses).ok_or_else(|| damaged("tenant", "addresses"))?;
    let state = State {
        version: version.as_uint(),
        updated_at: instant(updated_at),
        bootstrapped: bootstrapped.as_int() != 0,
        addresses: addresses.into(),
        ..State::default()
    };
    Ok(TenantRow { provider, state, closed_at: optional_instant_from(closed_at) })
}

pub(crate) fn member_values(it: &Member) -> Vec<Value> {
    let [name_key, name] = protected(it.name.as_ref());
    let [email_key, email] = protected(it.email.as_ref());
    vec![name_key, name, email_key, email, Value::Int(it.added_at.micros())]
}

pub(crate) fn member_from(id: ActorId, values: &[Value]) -> Result<Member, Fault> {
    let [name_key, name, email_key, email, added_at] = values else {
        return Err(damaged("member", "number of columns"));
    };
    Ok(Member {
        id,
        name: protected_from(name_key, name, "name")?,
        email: protected_from(email_key, email, "email")?,
        added_at: instant(added_at),
    })
}

pub(crate) fn team_values(it: &Team) -> Vec<Value> {
    let members: Vec<&str> = it.members.iter().map(ActorId::as_str).collect();
    let teams: Vec<&str> = it.teams.iter().map(Slug::as_str).collect();
    vec![Value::text(&it.name), json(&members), json(&teams)]
}

pub(crate) fn team_from(key: Slug, values: &[Value]) -> Result<Team, Fault> {
    let [name, members, teams] = values else {
        return Err(damaged("team", "number of columns"));
    };
    let members = list(members, |id| ActorId::parse(id).ok());
    let teams = list(teams, |id| Slug::parse(id).ok());
    Ok(Team {
        key,
        name: name.as_text().to_owned(),
        members: members.ok_or_else(|| damaged("team", "members"))?,
        teams: teams.ok_or_else(|| damaged("team", "teams"))?,
    })
}

pub(crate) fn role_values(it: &Role) -> Vec<Value> {
    let permissions: Vec<&str> = it.permissions.iter().map(|it| it.as_str()).collect();
    vec![Value::text(&it.name), json(&permissions)]
}

pub(crate) fn role_from(key: Slug, values: &[Value]) -> Result<Role, Fault> {
    let [name, permissions] = values else {
        return Err(damaged("role", "number of columns"));
    };
    let permissions = list(permissions, |name| Permission::parse(&name).ok());
    Ok(Role {
        key,
        name: name.as_text().to_owned(),
        permissions: permissions.ok_or_else(|| damaged("role", "permissions"))?,
    })
}

pub(crate) fn grant_values(it: &Grant) -> Vec<Value> {
    let (kind, principal) = match &it.principal {
        Principal::Member(id) => ("member", id.as_str()),
        Principal::Team(key) => ("team", key.as_str()),
        Principal::Credential(id) => ("credential", id.as_str()),
    };
    let (project, environment, flag) = it.scope.parts();
    let part = |it: Option<&Slug>| Value::text(it.map_or("", Slug::as_str));
    let [expires_at, timer] = expiry(it.expiry.as_ref());
    vec![
        Value::text(kind),
        Value::text(principal),
        Value::text(it.role.as_str()),
        part(project),
        part(environment),
        part(flag),
        expires_at,
        timer,
        Value::Int(it.granted_at.micros()),
    ]
}

pub(crate) fn grant_from(id: String, values: &[Value]) -> Result<Grant, Fault> {
    let [kind, principal, role, project, environment, flag, expires_at, timer, granted_at] = values
    else {
        return Err(damaged("grant", "number of columns"));
    };
    let text = principal.as_text();
    let principal = match kind.as_text() {
        "member" => ActorId::parse(text).ok().map(Principal::Member),
        "team" => Slug::parse(text).ok().map(Principal::Team),
        "credential" => Some(Principal::Credential(text.to_owned())),
        _ => None,
    };
    let project = optional_slug(project)?;
    let environment = optional_slug(environment)?;
    let flag = optional_slug(flag)?;
    Ok(Grant {
        id,
        principal: principal.ok_or_else(|| damaged("grant", "principal"))?,
        role: Slug::parse(role.as_text()).map_err(|_| damaged("grant", "role"))?,
        scope: Scope::new(project, environment, flag).map_err(|_| damaged("grant", "scope"))?,
        expiry: expiry_from(expires_at, timer),
        granted_at: instant(granted_at),
    })
}

pub(crate) fn expiry(it: Option<&Expiry>) -> [Value; 2] {
    let timer = it.map_or("", |it| it.timer.as_str());
    [optional_instant(it.map(|it| it.at)), Value::text(timer)]
}

pub(crate) fn expiry_from(at: &Value, timer: &Value) -> Option<Expiry> {
    let at = optional_instant_from(at)?;
    Some(Expiry { at, timer: timer.as_text().to_owned() })
}

pub(crate) fn networks(list: &[AddressRange]) -> Value {
    json(&list.iter().map(ToString::to_string).collect::<Vec<String>>())
}

pub(crate) fn networks_from(value: &Value) -> Option<Vec<AddressRange>> {
    let texts: Vec<String> = parse(value)?;
    texts.iter().map(|text| AddressRange::parse(text).ok()).collect()
}

pub(crate) fn instant(value: &Value) -> Timestamp {
    Timestamp::saturating_from_micros(value.as_int())
}

pub(crate) fn optional_instant(at: Option<Timestamp>) -> Value {
    Value::Int(at.map_or(ABSENT, Timestamp::micros))
}

pub(crate) fn optional_instant_from(value: &Value) -> Option<Timestamp> {
    (value.as_int() >= 0).then(|| instant(value))
}

pub(crate) fn damaged(what: &str, column: &str) -> Fault {
    Fault::lasting(format!("access: a {what}'s {column} is damaged: rebuild the view"))
}

/// A part of a scope.
fn optional_slug(value: &Value) -> Result<Option<Slug>, Fault> {
    match value.as_text() {
        "" => Ok(None),
        text => Slug::parse(text).map(Some).map_err(|_| damaged("grant", "scope")),
    }
}

/// Key and text; both empty when there is none.
fn protected(it: Option<&Protected>) -> [Value; 2] {
    let key = it.map(|it| Bytes::copy_from_slice(&it.key.0)).unwrap_or_default();
    let text = it.map(|it| Bytes::copy_from_slice(&it.text)).unwrap_or_default();
    [Value::Bytes(key), Value::Bytes(text)]
}

fn protected_from(key: &Value, text: &Value, column: &str) -> Result<Option<Protected>, Fault> {
    let key = key.as_bytes();
    if key.is_empty() {
        return Ok(None);
    }
    let key = KeyId::from_slice(&key).ok_or_else(|| damaged("member", column))?;
    Ok(Some(Protected { key, text: text.as_bytes().to_vec() }))
}

fn list<T: Ord>(value: &Value, read: impl Fn(String) -> Option<T>) -> Option<BTreeSet<T>> {
    let texts: Vec<String> = parse(value)?;
    texts.into_iter().map(read).collect()
}

fn json(value: &impl Serialize) -> Value {
    // Lists of texts are always written.
    Value::Text(serde_json::to_string(value).unwrap_or_default())
}

fn parse<T: DeserializeOwned>(value: &Value) -> Option<T> {
    serde_json::from_str(value.as_text()).ok()
}
