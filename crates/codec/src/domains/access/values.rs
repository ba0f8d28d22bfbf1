//! What the messages of the domain share: principals, scopes, permissions, addresses,
//! secrets and kinds of credentials.

use std::collections::BTreeSet;

use exchequer_access::{AddressRange, Permission, Principal, Scope};
use exchequer_domain_access::{CredentialKind, Expiry, Secret};
use exchequer_proto::access::v1 as pb;
use exchequer_types::{ActorId, Hash, KeyId, Slug};

use crate::DecodeError;
use crate::convert::{slug, timestamp};

pub fn principal_to_proto(principal: &Principal) -> pb::Principal {
    use pb::principal::Principal as P;
    let principal = match principal {
        Principal::Member(id) => P::Member(id.to_string()),
        Principal::Team(key) => P::Team(key.to_string()),
        Principal::Credential(id) => P::Credential(id.clone()),
    };
    pb::Principal { principal: Some(principal) }
}

/// An error when absent, or when it is nobody that there could be.
pub fn principal_from_proto(it: Option<pb::Principal>) -> Result<Principal, DecodeError> {
    use pb::principal::Principal as P;
    let field = "principal";
    match it.and_then(|it| it.principal).ok_or(DecodeError::Field { field })? {
        P::Member(id) => Ok(Principal::Member(actor(id, "principal.member")?)),
        P::Team(key) => Ok(Principal::Team(slug(key, "principal.team")?)),
        P::Credential(id) if is_id(&id) => Ok(Principal::Credential(id)),
        P::Credential(_) => Err(DecodeError::Field { field: "principal.credential" }),
    }
}

/// Could it be the id of a credential?
fn is_id(id: &str) -> bool {
    (1..=64).contains(&id.len()) && id.bytes().all(|it| it.is_ascii_graphic())
}

/// None for the whole tenant.
pub fn scope_to_proto(scope: &Scope) -> Option<pb::Scope> {
    if scope.is_tenant() {
        return None;
    }
    let part = |part: Option<&Slug>| part.map(ToString::to_string).unwrap_or_default();
    let (project, environment, flag) = scope.parts();
    Some(pb::Scope { project: part(project), environment: part(environment), flag: part(flag) })
}

/// The whole tenant when absent or empty. An error when a part is no key, or names what is
/// in a project without naming the project.
pub fn scope_from_proto(it: Option<pb::Scope>) -> Result<Scope, DecodeError> {
    let it = it.unwrap_or_default();
    let part = |text: String, field| {
        if text.is_empty() { Ok(None) } else { slug(text, field).map(Some) }
    };
    let project = part(it.project, "scope.project")?;
    let environment = part(it.environment, "scope.environment")?;
    let flag = part(it.flag, "scope.flag")?;
    Scope::new(project, environment, flag)
        .map_err(|_| DecodeError::Field { field: "scope.project" })
}

pub(super) fn permissions_to_proto(permissions: &BTreeSet<Permission>) -> Vec<String> {
    permissions.iter().map(|it| it.as_str().to_owned()).collect()
}

pub(super) fn permissions(
    words: Vec<String>,
    field: &'static str,
) -> Result<BTreeSet<Permission>, DecodeError> {
    let parse = |word: String| Permission::parse(&word).map_err(|_| DecodeError::Field { field });
    words.into_iter().map(parse).collect()
}

pub(super) fn addresses_to_proto(addresses: &[AddressRange]) -> Vec<String> {
    addresses.iter().map(ToString::to_string).collect()
}

pub(super) fn addresses(texts: Vec<String>) -> Result<Vec<AddressRange>, DecodeError> {
    let field = "addresses";
    let parse = |text: String| AddressRange::parse(&text).map_err(|_| DecodeError::Field { field });
    texts.into_iter().map(parse).collect()
}

pub(super) fn secret_to_proto(secret: &Secret) -> pb::Secret {
    pb::Secret { hash: secret.hash.0.to_vec(), hint: secret.hint.clone() }
}

pub(super) fn secret(it: Option<pb::Secret>) -> Result<Secret, DecodeError> {
    let it = it.ok_or(DecodeError::Field { field: "secret" })?;
    Ok(Secret { hash: hash(&it.hash, "secret.hash")?, hint: it.hint })
}

pub(super) fn hash(bytes: &[u8], field: &'static str) -> Result<Hash, DecodeError> {
    Hash::from_slice(bytes).ok_or(DecodeError::Field { field })
}

pub(super) fn key_ids(
    keys: Vec<Vec<u8>>,
    field: &'static str,
) -> Result<BTreeSet<KeyId>, DecodeError> {
    let parse = |key: Vec<u8>| KeyId::from_slice(&key).ok_or(DecodeError::Field { field });
    keys.into_iter().map(parse).collect()
}

pub(super) fn expiry_to_proto(expiry: &Expiry) -> pb::Expiry {
    pb::Expiry { at: expiry.at.micros(), timer: expiry.timer.clone() }
}

pub(super) fn expiry(it: Option<pb::Expiry>) -> Result<Option<Expiry>, DecodeError> {
    let read = |it: pb::Expiry| Ok(Expiry { at: timestamp(it.at, "expiry.at")?, timer: it.timer });
    it.map(read).transpose()
}

/// 0 stands for none.
pub(super) fn rate_to_proto(rate: Option<u32>) -> u32 {
    rate.unwrap_or(0)
}

pub(super) fn rate_from_proto(rate: u32) -> Option<u32> {
    (rate > 0).then_some(rate)
}

/// The kind, and what goes with it: owner, project and environment.
pub(super) fn kind_to_parts(kind: &CredentialKind) -> (pb::CredentialKind, String, String, String) {
    let none = String::new;
    let word = match kind {
        CredentialKind::Service => pb::CredentialKind::Service,
        CredentialKind::Personal { .. } => pb::CredentialKind::Personal,
        CredentialKind::ServerSdk { .. } => pb::CredentialKind::Server,
        CredentialKind::ClientSdk { .. } => pb::CredentialKind::Client,
    };
    let owner = kind.owner().map_or_else(none, ToString::to_string);
    let (project, environment) = kind.environment().unzip();
    let part = |it: Option<&Slug>| it.map_or_else(none, ToString::to_string);
    (word, owner, part(project), part(environment))
}

pub(super) fn kind_from_parts(
    kind: i32,
    owner: String,
    project: String,
    environment: String,
) -> Result<CredentialKind, DecodeError> {
    match pb::CredentialKind::try_from(kind) {
        Ok(pb::CredentialKind::Service) => Ok(CredentialKind::Service),
        Ok(pb::CredentialKind::Personal) => {
            Ok(CredentialKind::Personal { owner: actor(owner, "owner")? })
        }
        Ok(pb::CredentialKind::Server) => Ok(CredentialKind::ServerSdk {
            project: slug(project, "project")?,
            environment: slug(environment, "environment")?,
        }),
        Ok(pb::CredentialKind::Client) => Ok(CredentialKind::ClientSdk {
            project: slug(project, "project")?,
            environment: slug(environment, "environment")?,
        }),
        Ok(pb::CredentialKind::Unspecified) | Err(_) => Err(DecodeError::Field { field: "kind" }),
    }
}

pub(super) fn actor(text: String, field: &'static str) -> Result<ActorId, DecodeError> {
    ActorId::parse(text).map_err(|_| DecodeError::Field { field })
}

pub(super) fn actors_to_proto(actors: &BTreeSet<ActorId>) -> Vec<String> {
    actors.iter().map(ToString::to_string).collect()
}

pub(super) fn actors(
    texts: Vec<String>,
    field: &'static str,
) -> Result<BTreeSet<ActorId>, DecodeError> {
    texts.into_iter().map(|text| actor(text, field)).collect()
}

pub(super) fn texts<'a>(keys: impl IntoIterator<Item = &'a Slug>) -> Vec<String> {
    keys.into_iter().map(ToString::to_string).collect()
}

pub(super) fn teams<T: FromIterator<Slug>>(
    texts: Vec<String>,
    field: &'static str,
) -> Result<T, DecodeError> {
    texts.into_iter().map(|text| slug(text, field)).collect()
}

pub(super) fn role(text: String) -> Result<Slug, DecodeError> {
    slug(text, "role")
}

/// None for an empty text.
pub(super) fn optional(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}
