//! A credential as a row.

use bytes::Bytes;
use exchequer_domain_access::{Credential, CredentialKind, Ended, EndedBy, Previous, Secret};
use exchequer_readstore::{Fault, Value};
use exchequer_types::{ActorId, Hash, Slug, Timestamp};

use super::columns::{
    damaged, expiry, expiry_from, instant, networks, networks_from, optional_instant,
    optional_instant_from,
};

const ENDS: [EndedBy; 4] =
    [EndedBy::Expiry, EndedBy::Revocation, EndedBy::OwnerRemoved, EndedBy::Closing];

pub(crate) fn credential_values(it: &Credential) -> Vec<Value> {
    let environment = it.kind.environment();
    let previous = it.previous.as_ref();
    let [overlap_ends_at, overlap_timer] = expiry(previous.map(|it| &it.until));
    let [expires_at, timer] = expiry(it.expiry.as_ref());
    vec![
        Value::text(it.kind.word()),
        Value::text(it.kind.owner().map_or("", ActorId::as_str)),
        Value::text(environment.map_or("", |(project, _)| project.as_str())),
        Value::text(environment.map_or("", |(_, environment)| environment.as_str())),
        Value::text(&it.name),
        Value::Bytes(Bytes::copy_from_slice(&it.secret.hash.0)),
        Value::text(&it.secret.hint),
        Value::Bytes(
            previous.map(|it| Bytes::copy_from_slice(&it.secret.hash.0)).unwrap_or_default(),
        ),
        Value::text(previous.map_or("", |it| it.secret.hint.as_str())),
        overlap_ends_at,
        overlap_timer,
        expires_at,
        timer,
        networks(&it.addresses),
        Value::Int(it.requests_per_minute.map_or(0, i64::from)),
        Value::Int(it.created_at.micros()),
        optional_instant(it.rotated_at),
        optional_instant(it.ended.map(|it| it.at)),
        Value::text(it.ended.map_or("", |it| it.by.word())),
    ]
}

pub(crate) fn credential_from(id: String, values: &[Value]) -> Result<Credential, Fault> {
    let [
        kind,
        owner,
        project,
        environment,
        name,
        hash,
        hint,
        previous_hash,
        previous_hint,
        overlap_ends_at,
        overlap_timer,
        expires_at,
        timer,
        addresses,
        requests_per_minute,
        created_at,
        rotated_at,
        ended_at,
        ended_by,
    ] = values
    else {
        return Err(damaged("credential", "number of columns"));
    };
    let previous = match expiry_from(overlap_ends_at, overlap_timer) {
        Some(until) => Some(Previous { secret: secret(previous_hash, previous_hint)?, until }),
        None => None,
    };
    let limit = u32::try_from(requests_per_minute.as_uint());
    let limit = limit.map_err(|_| damaged("credential", "requests_per_minute"))?;
    Ok(Credential {
        id,
        kind: kind_from(kind, owner, project, environment)
            .ok_or_else(|| damaged("credential", "kind"))?,
        name: name.as_text().to_owned(),
        secret: secret(hash, hint)?,
        previous,
        expiry: expiry_from(expires_at, timer),
        addresses: networks_from(addresses).ok_or_else(|| damaged("credential", "addresses"))?,
        requests_per_minute: (limit > 0).then_some(limit),
        created_at: instant(created_at),
        rotated_at: optional_instant_from(rotated_at),
        ended: ended_from(optional_instant_from(ended_at), ended_by)?,
    })
}

fn kind_from(
    kind: &Value,
    owner: &Value,
    project: &Value,
    environment: &Value,
) -> Option<CredentialKind> {
    let slug = |value: &Value| Slug::parse(value.as_text()).ok();
    Some(match kind.as_text() {
        "service" => CredentialKind::Service,
        "personal" => CredentialKind::Personal { owner: ActorId::parse(owner.as_text()).ok()? },
        "server-sdk" => {
            let (project, environment) = (slug(project)?, slug(environment)?);
            CredentialKind::ServerSdk { project, environment }
        }
        "client-sdk" => {
            let (project, environment) = (slug(project)?, slug(environment)?);
            CredentialKind::ClientSdk { project, environment }
        }
        _ => return None,
    })
}

fn secret(hash: &Value, hint: &Value) -> Result<Secret, Fault> {
    let hash: Result<[u8; 32], _> = hash.as_bytes().as_ref().try_into();
    let hash = hash.map_err(|_| damaged("credential", "hash"))?;
    Ok(Secret { hash: Hash(hash), hint: hint.as_text().to_owned() })
}

fn ended_from(at: Option<Timestamp>, by: &Value) -> Result<Option<Ended>, Fault> {
    let Some(at) = at else { return Ok(None) };
    let by = ENDS.into_iter().find(|it| it.word() == by.as_text());
    let by = by.ok_or_else(|| damaged("credential", "ended_by"))?;
    Ok(Some(Ended { at, by }))
}
