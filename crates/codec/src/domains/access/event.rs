//! The events of the domain by type name and version.

use exchequer_domain_access::{Cause, Event as E};
use exchequer_proto::access::v1 as pb;
use exchequer_types::Hash;
use prost::Message as _;

use super::super::Encoded;
use super::values::{
    actor, actors, actors_to_proto, addresses, addresses_to_proto, expiry, expiry_to_proto, hash,
    key_ids, kind_from_parts, kind_to_parts, optional, permissions, permissions_to_proto,
    principal_from_proto, principal_to_proto, rate_from_proto, rate_to_proto, role,
    scope_from_proto, scope_to_proto, secret, secret_to_proto, teams, texts,
};
use crate::DecodeError;
use crate::convert::{protected_from_proto, protected_to_proto, slug};

const BOOTSTRAPPED: &str = "access.bootstrapped.v1";
const MEMBER_ADDED: &str = "access.member-added.v1";
const MEMBER_UPDATED: &str = "access.member-updated.v1";
const MEMBER_REMOVED: &str = "access.member-removed.v1";
const TEAM_CREATED: &str = "access.team-created.v1";
const TEAM_UPDATED: &str = "access.team-updated.v1";
const TEAM_DELETED: &str = "access.team-deleted.v1";
const ROLE_CREATED: &str = "access.role-created.v1";
const ROLE_UPDATED: &str = "access.role-updated.v1";
const ROLE_DELETED: &str = "access.role-deleted.v1";
const ROLE_GRANTED: &str = "access.role-granted.v1";
const ROLE_REVOKED: &str = "access.role-revoked.v1";
const GRANT_EXPIRED: &str = "access.grant-expired.v1";
const ADDRESSES_SET: &str = "access.addresses-set.v1";
const CREDENTIAL_CREATED: &str = "access.credential-created.v1";
const CREDENTIAL_UPDATED: &str = "access.credential-updated.v1";
const CREDENTIAL_ROTATED: &str = "access.credential-rotated.v1";
const CREDENTIAL_OVERLAP_ENDED: &str = "access.credential-overlap-ended.v1";
const CREDENTIAL_EXPIRED: &str = "access.credential-expired.v1";
const CREDENTIAL_REVOKED: &str = "access.credential-revoked.v1";
const PERSON_ERASED: &str = "access.person-erased.v1";
const CLOSED: &str = "access.closed.v1";

/// Every event type and version of the domain that was ever written.
pub(crate) const EVENTS: &[&str] = &[
    BOOTSTRAPPED,
    MEMBER_ADDED,
    MEMBER_UPDATED,
    MEMBER_REMOVED,
    TEAM_CREATED,
    TEAM_UPDATED,
    TEAM_DELETED,
    ROLE_CREATED,
    ROLE_UPDATED,
    ROLE_DELETED,
    ROLE_GRANTED,
    ROLE_REVOKED,
    GRANT_EXPIRED,
    ADDRESSES_SET,
    CREDENTIAL_CREATED,
    CREDENTIAL_UPDATED,
    CREDENTIAL_ROTATED,
    CREDENTIAL_OVERLAP_ENDED,
    CREDENTIAL_EXPIRED,
    CREDENTIAL_REVOKED,
    PERSON_ERASED,
    CLOSED,
];

/// The event's type name and payload.
pub(crate) fn encode_event(event: &E) -> Encoded {
    match event {
        E::Bootstrapped { credential } => {
            let credential = credential.clone();
            (BOOTSTRAPPED, pb::Bootstrapped { credential }.encode_to_vec())
        }
        E::MemberAdded { .. }
        | E::MemberUpdated { .. }
        | E::MemberRemoved { .. }
        | E::PersonErased { .. } => encode_of_persons(event),
        E::TeamCreated { .. } | E::TeamUpdated { .. } | E::TeamDeleted { .. } => {
            encode_of_teams(event)
        }
        E::RoleCreated { role, name, permissions } => {
            let permissions = permissions_to_proto(permissions);
            let created =
                pb::RoleCreated { role: role.to_string(), name: name.clone(), permissions };
            (ROLE_CREATED, created.encode_to_vec())
        }
        E::RoleUpdated { role, name, permissions } => {
            let permissions = permissions_to_proto(permissions);
            let updated =
                pb::RoleUpdated { role: role.to_string(), name: name.clone(), permissions };
            (ROLE_UPDATED, updated.encode_to_vec())
        }
        E::RoleDeleted { role } => {
            (ROLE_DELETED, pb::RoleDeleted { role: role.to_string() }.encode_to_vec())
        }
        E::RoleGranted { id, principal, role, scope, expiry } => {
            let granted = pb::RoleGranted {
                id: id.clone(),
                principal: Some(principal_to_proto(principal)),
                role: role.to_string(),
                scope: scope_to_proto(scope),
                expiry: expiry.as_ref().map(expiry_to_proto),
            };
            (ROLE_GRANTED, granted.encode_to_vec())
        }
        E::RoleRevoked { id, timer } => {
            let timer = timer.clone().unwrap_or_default();
            (ROLE_REVOKED, pb::RoleRevoked { id: id.clone(), timer }.encode_to_vec())
        }
        E::GrantExpired { id, timer } => {
            let expired = pb::GrantExpired { id: id.clone(), timer: timer.clone() };
            (GRANT_EXPIRED, expired.encode_to_vec())
        }
        E::AddressesSet { addresses } => {
            let addresses = addresses_to_proto(addresses);
            (ADDRESSES_SET, pb::AddressesSet { addresses }.encode_to_vec())
        }
        E::CredentialCreated { .. } | E::CredentialUpdated { .. } | E::CredentialRotated { .. } => {
            encode_of_credentials(event)
        }
        _ => encode_of_ends(event),
    }
}

fn encode_of_persons(event: &E) -> Encoded {
    match event {
        E::MemberAdded { member, name, email } => {
            let added = pb::MemberAdded {
                member: member.to_string(),
                name: name.as_ref().map(protected_to_proto),
                email: email.as_ref().map(protected_to_proto),
            };
            (MEMBER_ADDED, added.encode_to_vec())
        }
        E::MemberUpdated { member, name, email } => {
            let updated = pb::MemberUpdated {
                member: member.to_string(),
                name: name.as_ref().map(protected_to_proto),
                email: email.as_ref().map(protected_to_proto),
            };
            (MEMBER_UPDATED, updated.encode_to_vec())
        }
        E::MemberRemoved { member, teams } => {
            let removed = pb::MemberRemoved { member: member.to_string(), teams: texts(teams) };
            (MEMBER_REMOVED, removed.encode_to_vec())
        }
        E::PersonErased { subject, keys } => {
            let keys = keys.iter().map(|key| key.0.to_vec()).collect();
            let erased = pb::PersonErased { subject: subject.to_string(), keys };
            (PERSON_ERASED, erased.encode_to_vec())
        }
        _ => unreachable!("events of persons alone come here"),
    }
}

fn encode_of_teams(event: &E) -> Encoded {
    match event {
        E::TeamCreated { team, name, members, teams } => {
            let created = pb::TeamCreated {
                team: team.to_string(),
                name: name.clone(),
                members: actors_to_proto(members),
                teams: texts(teams),
            };
            (TEAM_CREATED, created.encode_to_vec())
        }
        E::TeamUpdated { team, name, added, removed, added_teams, removed_teams } => {
            let updated = pb::TeamUpdated {
                team: team.to_string(),
                name: name.clone(),
                added: actors_to_proto(added),
                removed: actors_to_proto(removed),
                added_teams: texts(added_teams),
                removed_teams: texts(removed_teams),
            };
            (TEAM_UPDATED, updated.encode_to_vec())
        }
        E::TeamDeleted { team, parents } => {
            let deleted = pb::TeamDeleted { team: team.to_string(), parents: texts(parents) };
            (TEAM_DELETED, deleted.encode_to_vec())
        }
        _ => unreachable!("events of teams alone come here"),
    }
}

fn encode_of_credentials(event: &E) -> Encoded {
    match event {
        E::CredentialCreated { id, kind, name, secret, expiry, addresses, requests_per_minute } => {
            let (kind, owner, project, environment) = kind_to_parts(kind);
            let created = pb::CredentialCreated {
                id: id.clone(),
                kind: kind.into(),
                owner,
                project,
                environment,
                name: name.clone(),
                secret: Some(secret_to_proto(secret)),
                expiry: expiry.as_ref().map(expiry_to_proto),
                addresses: addresses_to_proto(addresses),
                requests_per_minute: rate_to_proto(*requests_per_minute),
            };
            (CREDENTIAL_CREATED, created.encode_to_vec())
        }
        E::CredentialUpdated { id, name, expiry, addresses, requests_per_minute, moved, timer } => {
            let updated = pb::CredentialUpdated {
                id: id.clone(),
                name: name.clone(),
                expiry: expiry.as_ref().map(expiry_to_proto),
                addresses: addresses_to_proto(addresses),
                requests_per_minute: rate_to_proto(*requests_per_minute),
                moved: *moved,
                timer: timer.clone().unwrap_or_default(),
            };
            (CREDENTIAL_UPDATED, updated.encode_to_vec())
        }
        E::CredentialRotated { id, secret, overlap, timer, dropped } => {
            let rotated = pb::CredentialRotated {
                id: id.clone(),
                secret: Some(secret_to_proto(secret)),
                overlap: overlap.as_ref().map(expiry_to_proto),
                timer: timer.clone().unwrap_or_default(),
                dropped: dropped.iter().map(|hash| hash.0.to_vec()).collect(),
            };
            (CREDENTIAL_ROTATED, rotated.encode_to_vec())
        }
        _ => unreachable!("events of credentials alone come here"),
    }
}

fn encode_of_ends(event: &E) -> Encoded {
    match event {
        E::CredentialOverlapEnded { id, timer, dropped } => {
            let (id, timer, dropped) = (id.clone(), timer.clone(), dropped.0.to_vec());
            let ended = pb::CredentialOverlapEnded { id, timer, dropped };
            (CREDENTIAL_OVERLAP_ENDED, ended.encode_to_vec())
        }
        E::CredentialExpired { id, timer, overlap } => {
            let overlap = overlap.clone().unwrap_or_default();
            let expired = pb::CredentialExpired { id: id.clone(), timer: timer.clone(), overlap };
            (CREDENTIAL_EXPIRED, expired.encode_to_vec())
        }
        E::CredentialRevoked { id, cause, timers } => {
            let cause = match cause {
                Cause::Asked => pb::RevocationCause::Asked,
                Cause::OwnerRemoved => pb::RevocationCause::OwnerRemoved,
            };
            let (id, timers) = (id.clone(), timers.clone());
            let revoked = pb::CredentialRevoked { id, cause: cause.into(), timers };
            (CREDENTIAL_REVOKED, revoked.encode_to_vec())
        }
        E::Closed { timers } => (CLOSED, pb::Closed { timers: timers.clone() }.encode_to_vec()),
        _ => unreachable!("events of ends alone come here"),
    }
}

/// The event with this type name and payload.
pub(crate) fn decode_event(_: &str, kind: &str, payload: &[u8]) -> Result<E, DecodeError> {
    Ok(match kind {
        BOOTSTRAPPED => {
            E::Bootstrapped { credential: pb::Bootstrapped::decode(payload)?.credential }
        }
        MEMBER_ADDED | MEMBER_UPDATED | MEMBER_REMOVED | PERSON_ERASED => {
            decode_of_persons(kind, payload)?
        }
        TEAM_CREATED | TEAM_UPDATED | TEAM_DELETED => decode_of_teams(kind, payload)?,
        ROLE_CREATED => {
            let it = pb::RoleCreated::decode(payload)?;
            let permissions = permissions(it.permissions, "permissions")?;
            E::RoleCreated { role: role(it.role)?, name: it.name, permissions }
        }
        ROLE_UPDATED => {
            let it = pb::RoleUpdated::decode(payload)?;
            let permissions = permissions(it.permissions, "permissions")?;
            E::RoleUpdated { role: role(it.role)?, name: it.name, permissions }
        }
        ROLE_DELETED => E::RoleDeleted { role: role(pb::RoleDeleted::decode(payload)?.role)? },
        ROLE_GRANTED => {
            let it = pb::RoleGranted::decode(payload)?;
            E::RoleGranted {
                id: it.id,
                principal: principal_from_proto(it.principal)?,
                role: role(it.role)?,
                scope: scope_from_proto(it.scope)?,
                expiry: expiry(it.expiry)?,
            }
        }
        ROLE_REVOKED => {
            let it = pb::RoleRevoked::decode(payload)?;
            E::RoleRevoked { id: it.id, timer: optional(it.timer) }
        }
        GRANT_EXPIRED => {
            let it = pb::GrantExpired::decode(payload)?;
            E::GrantExpired { id: it.id, timer: it.timer }
        }
        ADDRESSES_SET => {
            E::AddressesSet { addresses: addresses(pb::AddressesSet::decode(payload)?.addresses)? }
        }
        _ => decode_of_credentials(kind, payload)?,
    })
}

fn decode_of_persons(kind: &str, payload: &[u8]) -> Result<E, DecodeError> {
    Ok(match kind {
        MEMBER_ADDED => {
            let it = pb::MemberAdded::decode(payload)?;
            E::MemberAdded {
                member: actor(it.member, "member")?,
                name: protected_from_proto(it.name, "name")?,
                email: protected_from_proto(it.email, "email")?,
            }
        }
        MEMBER_UPDATED => {
            let it = pb::MemberUpdated::decode(payload)?;
            E::MemberUpdated {
                member: actor(it.member, "member")?,
                name: protected_from_proto(it.name, "name")?,
                email: protected_from_proto(it.email, "email")?,
            }
        }
        MEMBER_REMOVED => {
            let it = pb::MemberRemoved::decode(payload)?;
            let teams = teams(it.teams, "teams")?;
            E::MemberRemoved { member: actor(it.member, "member")?, teams }
        }
        _ => {
            let it = pb::PersonErased::decode(payload)?;
            let keys = key_ids(it.keys, "keys")?;
            E::PersonErased { subject: actor(it.subject, "subject")?, keys }
        }
    })
}

fn decode_of_teams(kind: &str, payload: &[u8]) -> Result<E, DecodeError> {
    Ok(match kind {
        TEAM_CREATED => {
            let it = pb::TeamCreated::decode(payload)?;
            E::TeamCreated {
                team: slug(it.team, "team")?,
                name: it.name,
                members: actors(it.members, "members")?,
                teams: teams(it.teams, "teams")?,
            }
        }
        TEAM_UPDATED => {
            let it = pb::TeamUpdated::decode(payload)?;
            E::TeamUpdated {
                team: slug(it.team, "team")?,
                name: it.name,
                added: actors(it.added, "added")?,
                removed: actors(it.removed, "removed")?,
                added_teams: teams(it.added_teams, "added_teams")?,
                removed_teams: teams(it.removed_teams, "removed_teams")?,
            }
        }
        _ => {
            let it = pb::TeamDeleted::decode(payload)?;
            let parents = teams(it.parents, "parents")?;
            E::TeamDeleted { team: slug(it.team, "team")?, parents }
        }
    })
}

fn decode_of_credentials(kind: &str, payload: &[u8]) -> Result<E, DecodeError> {
    Ok(match kind {
        CREDENTIAL_CREATED => {
            let it = pb::CredentialCreated::decode(payload)?;
            E::CredentialCreated {
                id: it.id,
                kind: kind_from_parts(it.kind, it.owner, it.project, it.environment)?,
                name: it.name,
                secret: secret(it.secret)?,
                expiry: expiry(it.expiry)?,
                addresses: addresses(it.addresses)?,
                requests_per_minute: rate_from_proto(it.requests_per_minute),
            }
        }
        CREDENTIAL_UPDATED => {
            let it = pb::CredentialUpdated::decode(payload)?;
            E::CredentialUpdated {
                id: it.id,
                name: it.name,
                expiry: expiry(it.expiry)?,
                addresses: addresses(it.addresses)?,
                requests_per_minute: rate_from_proto(it.requests_per_minute),
                moved: it.moved,
                timer: optional(it.timer),
            }
        }
        CREDENTIAL_ROTATED => {
            let it = pb::CredentialRotated::decode(payload)?;
            let dropped = it.dropped.iter().map(|it| hash(it, "dropped"));
            E::CredentialRotated {
                id: it.id,
                secret: secret(it.secret)?,
                overlap: expiry(it.overlap)?,
                timer: optional(it.timer),
                dropped: dropped.collect::<Result<Vec<Hash>, DecodeError>>()?,
            }
        }
        CREDENTIAL_OVERLAP_ENDED => {
            let it = pb::CredentialOverlapEnded::decode(payload)?;
            let dropped = hash(&it.dropped, "dropped")?;
            E::CredentialOverlapEnded { id: it.id, timer: it.timer, dropped }
        }
        CREDENTIAL_EXPIRED => {
            let it = pb::CredentialExpired::decode(payload)?;
            let overlap = optional(it.overlap);
            E::CredentialExpired { id: it.id, timer: it.timer, overlap }
        }
        CREDENTIAL_REVOKED => {
            let it = pb::CredentialRevoked::decode(payload)?;
            let cause = match pb::RevocationCause::try_from(it.cause) {
                Ok(pb::RevocationCause::Asked) => Cause::Asked,
                Ok(pb::RevocationCause::OwnerRemoved) => Cause::OwnerRemoved,
                _ => return Err(DecodeError::Field { field: "cause" }),
            };
            E::CredentialRevoked { id: it.id, cause, timers: it.timers }
        }
        CLOSED => E::Closed { timers: pb::Closed::decode(payload)?.timers },
        _ => return Err(DecodeError::UnknownType(kind.to_owned())),
    })
}
