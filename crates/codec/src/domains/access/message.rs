//! What the API shows: members, teams, roles, grants and credentials. `version` is that of
//! the tenant's access control as a whole.

use exchequer_access::AddressRange;
use exchequer_domain_access::{Credential, EndedBy, Grant, Member, Role, Team};
use exchequer_proto::access::v1 as pb;

use super::values::{
    actors_to_proto, addresses_to_proto, kind_to_parts, permissions_to_proto, principal_to_proto,
    rate_to_proto, scope_to_proto, texts,
};
use crate::convert::instant;

/// Without name and e-mail address, which whoever answers reveals.
pub fn member_message(member: &Member, version: u64) -> pb::Member {
    pb::Member {
        id: member.id.to_string(),
        name: String::new(),
        email: String::new(),
        added_at: Some(instant(member.added_at)),
        version,
    }
}

pub fn team_message(team: &Team, version: u64) -> pb::Team {
    pb::Team {
        key: team.key.to_string(),
        name: team.name.clone(),
        members: actors_to_proto(&team.members),
        teams: texts(&team.teams),
        version,
    }
}

/// A role of the tenant's own.
pub fn role_message(role: &Role, version: u64) -> pb::Role {
    pb::Role {
        key: role.key.to_string(),
        name: role.name.clone(),
        permissions: permissions_to_proto(&role.permissions),
        built_in: false,
        version,
        description: String::new(),
    }
}

pub fn role_grant_message(grant: &Grant, version: u64) -> pb::Grant {
    pb::Grant {
        id: grant.id.clone(),
        principal: Some(principal_to_proto(&grant.principal)),
        role: grant.role.to_string(),
        scope: scope_to_proto(&grant.scope),
        expires_at: grant.expires_at().map(instant),
        granted_at: Some(instant(grant.granted_at)),
        version,
    }
}

pub fn addresses_message(addresses: &[AddressRange], version: u64) -> pb::Addresses {
    pb::Addresses { networks: addresses_to_proto(addresses), version }
}

/// With the bare hint, and without its use, which whoever answers knows.
pub fn credential_message(credential: &Credential, version: u64) -> pb::Credential {
    let (kind, owner, project, environment) = kind_to_parts(&credential.kind);
    let (status, revoked_at) = match credential.ended {
        None => (pb::CredentialStatus::Active, None),
        Some(ended) if ended.by == EndedBy::Expiry => (pb::CredentialStatus::Expired, None),
        Some(ended) => (pb::CredentialStatus::Revoked, Some(instant(ended.at))),
    };
    pb::Credential {
        id: credential.id.clone(),
        kind: kind.into(),
        name: credential.name.clone(),
        hint: credential.secret.hint.clone(),
        owner,
        project,
        environment,
        status: status.into(),
        networks: addresses_to_proto(&credential.addresses),
        requests_per_minute: rate_to_proto(credential.requests_per_minute),
        created_at: Some(instant(credential.created_at)),
        expires_at: credential.expiry.as_ref().map(|it| instant(it.at)),
        rotated_at: credential.rotated_at.map(instant),
        overlap_ends_at: credential.previous.as_ref().map(|it| instant(it.until.at)),
        revoked_at,
        last_used_at: None,
        request_count: 0,
        version,
    }
}
