//! The state of the domain as the decider's cell keeps it.

use std::sync::Arc;

use exchequer_domain_access::{
    Credential, Ended, EndedBy, Grant, Member, Previous, Role, State, Team,
};
use exchequer_proto::access::v1 as pb;
use exchequer_types::Timestamp;

use super::values::{
    actor, actors, actors_to_proto, addresses, addresses_to_proto, expiry, expiry_to_proto,
    key_ids, kind_from_parts, kind_to_parts, permissions, permissions_to_proto,
    principal_from_proto, principal_to_proto, rate_from_proto, rate_to_proto, role,
    scope_from_proto, scope_to_proto, secret, secret_to_proto, teams, texts,
};
use crate::DecodeError;
use crate::convert::{
    optional_timestamp, protected_from_proto, protected_to_proto, slug, timestamp,
};

pub(crate) fn state_to_proto(state: &State) -> pb::State {
    let member = |it: &Arc<Member>| pb::MemberState {
        id: it.id.to_string(),
        name: it.name.as_ref().map(protected_to_proto),
        email: it.email.as_ref().map(protected_to_proto),
        added_at: it.added_at.micros(),
    };
    let team = |it: &Arc<Team>| pb::TeamState {
        key: it.key.to_string(),
        name: it.name.clone(),
        members: actors_to_proto(&it.members),
        teams: texts(&it.teams),
    };
    let role = |it: &Arc<Role>| pb::RoleState {
        key: it.key.to_string(),
        name: it.name.clone(),
        permissions: permissions_to_proto(&it.permissions),
    };
    let former = state.former.iter();
    let former =
        former.map(|(id, at)| pb::FormerMember { id: id.to_string(), removed_at: at.micros() });
    pb::State {
        version: state.version,
        updated_at: state.updated_at.micros(),
        bootstrapped: state.bootstrapped,
        members: state.members.values().map(member).collect(),
        former: former.collect(),
        teams: state.teams.values().map(team).collect(),
        roles: state.roles.values().map(role).collect(),
        grants: state.grants.values().map(|it| grant_to_proto(it)).collect(),
        credentials: state.credentials.values().map(|it| credential_to_proto(it)).collect(),
        addresses: addresses_to_proto(&state.addresses),
        erased: state.erased.iter().map(|key| key.0.to_vec()).collect(),
    }
}

pub(crate) fn state_from_proto(it: pb::State) -> Result<State, DecodeError> {
    let members = it.members.into_iter().map(member);
    let members = members.map(|it| it.map(|it| (it.id.clone(), Arc::new(it))));
    let former = it
        .former
        .into_iter()
        .map(|it| Ok((actor(it.id, "former.id")?, timestamp(it.removed_at, "former.removed_at")?)));
    let all_teams = it.teams.into_iter().map(team);
    let all_teams = all_teams.map(|it| it.map(|it| (it.key.clone(), Arc::new(it))));
    let roles = it.roles.into_iter().map(own_role);
    let roles = roles.map(|it| it.map(|it| (it.key.clone(), Arc::new(it))));
    let grants = it.grants.into_iter().map(grant);
    let grants = grants.map(|it| it.map(|it| (it.id.clone(), Arc::new(it))));
    let credentials = it.credentials.into_iter().map(credential);
    let credentials = credentials.map(|it| it.map(|it| (it.id.clone(), Arc::new(it))));
    Ok(State {
        version: it.version,
        updated_at: timestamp(it.updated_at, "updated_at")?,
        bootstrapped: it.bootstrapped,
        members: Arc::new(members.collect::<Result<_, DecodeError>>()?),
        former: Arc::new(former.collect::<Result<_, DecodeError>>()?),
        teams: Arc::new(all_teams.collect::<Result<_, DecodeError>>()?),
        roles: Arc::new(roles.collect::<Result<_, DecodeError>>()?),
        grants: Arc::new(grants.collect::<Result<_, DecodeError>>()?),
        credentials: Arc::new(credentials.collect::<Result<_, DecodeError>>()?),
        addresses: Arc::new(addresses(it.addresses)?),
        erased: Arc::new(key_ids(it.erased, "erased")?),
    })
}

fn member(it: pb::MemberState) -> Result<Member, DecodeError> {
    Ok(Member {
        id: actor(it.id, "members.id")?,
        name: protected_from_proto(it.name, "members.name")?,
        email: protected_from_proto(it.email, "members.email")?,
        added_at: timestamp(it.added_at, "members.added_at")?,
    })
}

fn team(it: pb::TeamState) -> Result<Team, DecodeError> {
    Ok(Team {
        key: slug(it.key, "teams.key")?,
        name: it.name,
        members: actors(it.members, "teams.members")?,
        teams: teams(it.teams, "teams.teams")?,
    })
}

fn own_role(it: pb::RoleState) -> Result<Role, DecodeError> {
    Ok(Role {
        key: slug(it.key, "roles.key")?,
        name: it.name,
        permissions: permissions(it.permissions, "roles.permissions")?,
    })
}

fn grant_to_proto(grant: &Grant) -> pb::GrantState {
    pb::GrantState {
        id: grant.id.clone(),
        principal: Some(principal_to_proto(&grant.principal)),
        role: grant.role.to_string(),
        scope: scope_to_proto(&grant.scope),
        expiry: grant.expiry.as_ref().map(expiry_to_proto),
        granted_at: grant.granted_at.micros(),
    }
}

fn grant(it: pb::GrantState) -> Result<Grant, DecodeError> {
    Ok(Grant {
        id: it.id,
        principal: principal_from_proto(it.principal)?,
        role: role(it.role)?,
        scope: scope_from_proto(it.scope)?,
        expiry: expiry(it.expiry)?,
        granted_at: timestamp(it.granted_at, "grants.granted_at")?,
    })
}

fn credential_to_proto(it: &Credential) -> pb::CredentialState {
    let (kind, owner, project, environment) = kind_to_parts(&it.kind);
    let ended_by = |by: EndedBy| match by {
        EndedBy::Expiry => pb::EndedBy::Expiry,
        EndedBy::Revocation => pb::EndedBy::Revocation,
        EndedBy::OwnerRemoved => pb::EndedBy::OwnerRemoved,
        EndedBy::Closing => pb::EndedBy::Closing,
    };
    pb::CredentialState {
        id: it.id.clone(),
        kind: kind.into(),
        owner,
        project,
        environment,
        name: it.name.clone(),
        secret: Some(secret_to_proto(&it.secret)),
        previous: it.previous.as_ref().map(|it| pb::Previous {
            secret: Some(secret_to_proto(&it.secret)),
            until: Some(expiry_to_proto(&it.until)),
        }),
        expiry: it.expiry.as_ref().map(expiry_to_proto),
        addresses: addresses_to_proto(&it.addresses),
        requests_per_minute: rate_to_proto(it.requests_per_minute),
        created_at: it.created_at.micros(),
        rotated_at: it.rotated_at.map(Timestamp::micros),
        ended: it.ended.map(|it| pb::Ended { at: it.at.micros(), by: ended_by(it.by).into() }),
    }
}

fn credential(it: pb::CredentialState) -> Result<Credential, DecodeError> {
    let previous = |it: pb::Previous| {
        let until = expiry(it.until)?.ok_or(DecodeError::Field { field: "previous.until" })?;
        Ok::<_, DecodeError>(Previous { secret: secret(it.secret)?, until })
    };
    Ok(Credential {
        id: it.id,
        kind: kind_from_parts(it.kind, it.owner, it.project, it.environment)?,
        name: it.name,
        secret: secret(it.secret)?,
        previous: it.previous.map(previous).transpose()?,
        expiry: expiry(it.expiry)?,
        addresses: addresses(it.addresses)?,
        requests_per_minute: rate_from_proto(it.requests_per_minute),
        created_at: timestamp(it.created_at, "credentials.created_at")?,
        rotated_at: optional_timestamp(it.rotated_at, "credentials.rotated_at")?,
        ended: it.ended.map(ended).transpose()?,
    })
}

fn ended(it: pb::Ended) -> Result<Ended, DecodeError> {
    let by = match pb::EndedBy::try_from(it.by) {
        Ok(pb::EndedBy::Expiry) => EndedBy::Expiry,
        Ok(pb::EndedBy::Revocation) => EndedBy::Revocation,
        Ok(pb::EndedBy::OwnerRemoved) => EndedBy::OwnerRemoved,
        Ok(pb::EndedBy::Closing) => EndedBy::Closing,
        Ok(pb::EndedBy::Unspecified) | Err(_) => {
            return Err(DecodeError::Field { field: "credentials.ended.by" });
        }
    };
    Ok(Ended { at: timestamp(it.at, "credentials.ended.at")?, by })
}
