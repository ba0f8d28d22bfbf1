//! The access domain on the wire: its commands, events and replies. What they share is in
//! `values.rs`, what the API shows in `message.rs`.

mod event;
mod message;
mod state;
mod values;

pub(crate) use event::{EVENTS, decode_event, encode_event};
pub use message::{
    addresses_message, credential_message, member_message, role_grant_message, role_message,
    team_message,
};
pub(crate) use state::{state_from_proto, state_to_proto};
pub use values::{principal_from_proto, principal_to_proto, scope_from_proto, scope_to_proto};

use exchequer_domain_access::{self as access, Command as C, Reply};
use exchequer_proto::access::v1 as pb;
use exchequer_tenant::Command;
use exchequer_types::{Protected, Timestamp};
use prost::Message as _;

use self::values::{
    actor, actors, actors_to_proto, addresses, addresses_to_proto, key_ids, kind_from_parts,
    kind_to_parts, permissions, permissions_to_proto, rate_from_proto, rate_to_proto, role, secret,
    secret_to_proto, teams, texts,
};
use super::Encoded;
use crate::DecodeError;
use crate::convert::{optional_timestamp, protected_from_proto, protected_to_proto, slug};

const BOOTSTRAP: &str = "access.bootstrap.v1";
const ADD_MEMBER: &str = "access.add-member.v1";
const UPDATE_MEMBER: &str = "access.update-member.v1";
const REMOVE_MEMBER: &str = "access.remove-member.v1";
const CREATE_TEAM: &str = "access.create-team.v1";
const UPDATE_TEAM: &str = "access.update-team.v1";
const DELETE_TEAM: &str = "access.delete-team.v1";
const CREATE_ROLE: &str = "access.create-role.v1";
const UPDATE_ROLE: &str = "access.update-role.v1";
const DELETE_ROLE: &str = "access.delete-role.v1";
const GRANT_ROLE: &str = "access.grant-role.v1";
const REVOKE_ROLE: &str = "access.revoke-role.v1";
const SET_ADDRESSES: &str = "access.set-addresses.v1";
const CREATE_CREDENTIAL: &str = "access.create-credential.v1";
const UPDATE_CREDENTIAL: &str = "access.update-credential.v1";
const ROTATE_CREDENTIAL: &str = "access.rotate-credential.v1";
const REVOKE_CREDENTIAL: &str = "access.revoke-credential.v1";
const ERASE_PERSON: &str = "access.erase-person.v1";

/// Every command type and version of the domain that was ever sent.
pub(crate) const COMMANDS: &[&str] = &[
    BOOTSTRAP,
    ADD_MEMBER,
    UPDATE_MEMBER,
    REMOVE_MEMBER,
    CREATE_TEAM,
    UPDATE_TEAM,
    DELETE_TEAM,
    CREATE_ROLE,
    UPDATE_ROLE,
    DELETE_ROLE,
    GRANT_ROLE,
    REVOKE_ROLE,
    SET_ADDRESSES,
    CREATE_CREDENTIAL,
    UPDATE_CREDENTIAL,
    ROTATE_CREDENTIAL,
    REVOKE_CREDENTIAL,
    ERASE_PERSON,
];

/// None for what is never sent: a timer's own command.
pub(crate) fn encode_command(command: &C) -> Option<Encoded> {
    Some(match command {
        C::AddMember(_) | C::UpdateMember(_) | C::RemoveMember(_) | C::ErasePerson(_) => {
            encode_of_persons(command)?
        }
        C::CreateTeam(_) | C::UpdateTeam(_) | C::DeleteTeam(_) => encode_of_teams(command)?,
        C::CreateRole(it) => {
            let (role, name) = (it.role.to_string(), it.name.clone());
            let permissions = permissions_to_proto(&it.permissions);
            (CREATE_ROLE, pb::CreateRole { role, name, permissions }.encode_to_vec())
        }
        C::UpdateRole(it) => {
            let update = pb::UpdateRole {
                role: it.role.to_string(),
                name: it.name.clone(),
                add_permissions: permissions_to_proto(&it.add_permissions),
                remove_permissions: permissions_to_proto(&it.remove_permissions),
            };
            (UPDATE_ROLE, update.encode_to_vec())
        }
        C::DeleteRole(it) => {
            (DELETE_ROLE, pb::DeleteRole { role: it.role.to_string() }.encode_to_vec())
        }
        C::GrantRole(it) => {
            let grant = pb::GrantRole {
                principal: Some(principal_to_proto(&it.principal)),
                role: it.role.to_string(),
                scope: scope_to_proto(&it.scope),
                expires_at: it.expires_at.map(Timestamp::micros),
            };
            (GRANT_ROLE, grant.encode_to_vec())
        }
        C::RevokeRole(it) => (REVOKE_ROLE, pb::RevokeRole { id: it.id.clone() }.encode_to_vec()),
        C::SetAddresses(it) => {
            let addresses = addresses_to_proto(&it.addresses);
            (SET_ADDRESSES, pb::SetAddresses { addresses }.encode_to_vec())
        }
        C::Bootstrap(_)
        | C::CreateCredential(_)
        | C::UpdateCredential(_)
        | C::RotateCredential(_)
        | C::RevokeCredential(_) => encode_of_credentials(command)?,
        C::FireTimer(_) => return None,
    })
}

fn encode_of_persons(command: &C) -> Option<Encoded> {
    let change = |it: &Option<Option<Protected>>| {
        it.as_ref().map(|to| pb::ProtectedChange { to: to.as_ref().map(protected_to_proto) })
    };
    Some(match command {
        C::AddMember(it) => {
            let add = pb::AddMember {
                member: it.member.to_string(),
                name: it.name.as_ref().map(protected_to_proto),
                email: it.email.as_ref().map(protected_to_proto),
            };
            (ADD_MEMBER, add.encode_to_vec())
        }
        C::UpdateMember(it) => {
            let (name, email) = (change(&it.name), change(&it.email));
            let member = it.member.to_string();
            (UPDATE_MEMBER, pb::UpdateMember { member, name, email }.encode_to_vec())
        }
        C::RemoveMember(it) => {
            let member = it.member.to_string();
            (REMOVE_MEMBER, pb::RemoveMember { member }.encode_to_vec())
        }
        C::ErasePerson(it) => {
            let keys = it.keys.iter().map(|key| key.0.to_vec()).collect();
            let subject = it.subject.to_string();
            (ERASE_PERSON, pb::ErasePerson { subject, keys }.encode_to_vec())
        }
        _ => return None,
    })
}

fn encode_of_teams(command: &C) -> Option<Encoded> {
    Some(match command {
        C::CreateTeam(it) => {
            let create = pb::CreateTeam {
                team: it.team.to_string(),
                name: it.name.clone(),
                members: actors_to_proto(&it.members),
                teams: texts(&it.teams),
            };
            (CREATE_TEAM, create.encode_to_vec())
        }
        C::UpdateTeam(it) => {
            let update = pb::UpdateTeam {
                team: it.team.to_string(),
                name: it.name.clone(),
                add_members: actors_to_proto(&it.add_members),
                remove_members: actors_to_proto(&it.remove_members),
                add_teams: texts(&it.add_teams),
                remove_teams: texts(&it.remove_teams),
            };
            (UPDATE_TEAM, update.encode_to_vec())
        }
        C::DeleteTeam(it) => {
            (DELETE_TEAM, pb::DeleteTeam { team: it.team.to_string() }.encode_to_vec())
        }
        _ => return None,
    })
}

fn encode_of_credentials(command: &C) -> Option<Encoded> {
    Some(match command {
        C::Bootstrap(it) => {
            let secret = Some(secret_to_proto(&it.secret));
            (BOOTSTRAP, pb::Bootstrap { secret }.encode_to_vec())
        }
        C::CreateCredential(it) => {
            let (kind, owner, project, environment) = kind_to_parts(&it.kind);
            let giving = |it: &access::Giving| pb::Giving {
                role: it.role.to_string(),
                scope: scope_to_proto(&it.scope),
            };
            let create = pb::CreateCredential {
                kind: kind.into(),
                owner,
                project,
                environment,
                name: it.name.clone(),
                secret: Some(secret_to_proto(&it.secret)),
                grants: it.grants.iter().map(giving).collect(),
                expires_at: it.expires_at.map(Timestamp::micros),
                addresses: addresses_to_proto(&it.addresses),
                requests_per_minute: rate_to_proto(it.requests_per_minute),
            };
            (CREATE_CREDENTIAL, create.encode_to_vec())
        }
        C::UpdateCredential(it) => {
            let change = |to| pb::AddressesChange { to };
            let update = pb::UpdateCredential {
                id: it.id.clone(),
                name: it.name.clone(),
                expires_at: it.expires_at.map(Timestamp::micros),
                addresses: it.addresses.as_deref().map(addresses_to_proto).map(change),
                requests_per_minute: it.requests_per_minute.map(rate_to_proto),
            };
            (UPDATE_CREDENTIAL, update.encode_to_vec())
        }
        C::RotateCredential(it) => {
            let rotate = pb::RotateCredential {
                id: it.id.clone(),
                secret: Some(secret_to_proto(&it.secret)),
                overlap_seconds: it.overlap_seconds,
            };
            (ROTATE_CREDENTIAL, rotate.encode_to_vec())
        }
        C::RevokeCredential(it) => {
            (REVOKE_CREDENTIAL, pb::RevokeCredential { id: it.id.clone() }.encode_to_vec())
        }
        _ => return None,
    })
}

pub(crate) fn decode_command(kind: &str, payload: &[u8]) -> Result<Command, DecodeError> {
    Ok(Command::Access(match kind {
        ADD_MEMBER | UPDATE_MEMBER | REMOVE_MEMBER | ERASE_PERSON => {
            decode_of_persons(kind, payload)?
        }
        CREATE_TEAM | UPDATE_TEAM | DELETE_TEAM => decode_of_teams(kind, payload)?,
        CREATE_ROLE => {
            let it = pb::CreateRole::decode(payload)?;
            let permissions = permissions(it.permissions, "permissions")?;
            C::CreateRole(access::CreateRole { role: role(it.role)?, name: it.name, permissions })
        }
        UPDATE_ROLE => {
            let it = pb::UpdateRole::decode(payload)?;
            C::UpdateRole(access::UpdateRole {
                role: role(it.role)?,
                name: it.name,
                add_permissions: permissions(it.add_permissions, "add_permissions")?,
                remove_permissions: permissions(it.remove_permissions, "remove_permissions")?,
            })
        }
        DELETE_ROLE => {
            let it = pb::DeleteRole::decode(payload)?;
            C::DeleteRole(access::DeleteRole { role: role(it.role)? })
        }
        GRANT_ROLE => {
            let it = pb::GrantRole::decode(payload)?;
            C::GrantRole(access::GrantRole {
                principal: principal_from_proto(it.principal)?,
                role: role(it.role)?,
                scope: scope_from_proto(it.scope)?,
                expires_at: optional_timestamp(it.expires_at, "expires_at")?,
            })
        }
        REVOKE_ROLE => {
            C::RevokeRole(access::RevokeRole { id: pb::RevokeRole::decode(payload)?.id })
        }
        SET_ADDRESSES => {
            let it = pb::SetAddresses::decode(payload)?;
            C::SetAddresses(access::SetAddresses { addresses: addresses(it.addresses)? })
        }
        _ => decode_of_credentials(kind, payload)?,
    }))
}

fn decode_of_persons(kind: &str, payload: &[u8]) -> Result<C, DecodeError> {
    let change = |it: Option<pb::ProtectedChange>, field| {
        it.map(|it| protected_from_proto(it.to, field)).transpose()
    };
    Ok(match kind {
        ADD_MEMBER => {
            let it = pb::AddMember::decode(payload)?;
            C::AddMember(access::AddMember {
                member: actor(it.member, "member")?,
                name: protected_from_proto(it.name, "name")?,
                email: protected_from_proto(it.email, "email")?,
            })
        }
        UPDATE_MEMBER => {
            let it = pb::UpdateMember::decode(payload)?;
            C::UpdateMember(access::UpdateMember {
                member: actor(it.member, "member")?,
                name: change(it.name, "name")?,
                email: change(it.email, "email")?,
            })
        }
        REMOVE_MEMBER => {
            let it = pb::RemoveMember::decode(payload)?;
            C::RemoveMember(access::RemoveMember { member: actor(it.member, "member")? })
        }
        _ => {
            let it = pb::ErasePerson::decode(payload)?;
            let subject = actor(it.subject, "subject")?;
            C::ErasePerson(access::ErasePerson { subject, keys: key_ids(it.keys, "keys")? })
        }
    })
}

fn decode_of_teams(kind: &str, payload: &[u8]) -> Result<C, DecodeError> {
    Ok(match kind {
        CREATE_TEAM => {
            let it = pb::CreateTeam::decode(payload)?;
            C::CreateTeam(access::CreateTeam {
                team: slug(it.team, "team")?,
                name: it.name,
                members: actors(it.members, "members")?,
                teams: teams(it.teams, "teams")?,
            })
        }
        UPDATE_TEAM => {
            let it = pb::UpdateTeam::decode(payload)?;
            C::UpdateTeam(access::UpdateTeam {
                team: slug(it.team, "team")?,
                name: it.name,
                add_members: actors(it.add_members, "add_members")?,
                remove_members: actors(it.remove_members, "remove_members")?,
                add_teams: teams(it.add_teams, "add_teams")?,
                remove_teams: teams(it.remove_teams, "remove_teams")?,
            })
        }
        _ => {
            let it = pb::DeleteTeam::decode(payload)?;
            C::DeleteTeam(access::DeleteTeam { team: slug(it.team, "team")? })
        }
    })
}

fn decode_of_credentials(kind: &str, payload: &[u8]) -> Result<C, DecodeError> {
    Ok(match kind {
        BOOTSTRAP => {
            let it = pb::Bootstrap::decode(payload)?;
            C::Bootstrap(access::Bootstrap { secret: secret(it.secret)? })
        }
        CREATE_CREDENTIAL => {
            let it = pb::CreateCredential::decode(payload)?;
            let giving = |it: pb::Giving| {
                let (role, scope) = (role(it.role)?, scope_from_proto(it.scope)?);
                Ok(access::Giving { role, scope })
            };
            C::CreateCredential(access::CreateCredential {
                kind: kind_from_parts(it.kind, it.owner, it.project, it.environment)?,
                name: it.name,
                secret: secret(it.secret)?,
                grants: it.grants.into_iter().map(giving).collect::<Result<_, DecodeError>>()?,
                expires_at: optional_timestamp(it.expires_at, "expires_at")?,
                addresses: addresses(it.addresses)?,
                requests_per_minute: rate_from_proto(it.requests_per_minute),
            })
        }
        UPDATE_CREDENTIAL => {
            let it = pb::UpdateCredential::decode(payload)?;
            C::UpdateCredential(access::UpdateCredential {
                id: it.id,
                name: it.name,
                expires_at: optional_timestamp(it.expires_at, "expires_at")?,
                addresses: it.addresses.map(|it| addresses(it.to)).transpose()?,
                requests_per_minute: it.requests_per_minute.map(rate_from_proto),
            })
        }
        ROTATE_CREDENTIAL => {
            let it = pb::RotateCredential::decode(payload)?;
            let (secret, overlap_seconds) = (secret(it.secret)?, it.overlap_seconds);
            C::RotateCredential(access::RotateCredential { id: it.id, secret, overlap_seconds })
        }
        REVOKE_CREDENTIAL => {
            let id = pb::RevokeCredential::decode(payload)?.id;
            C::RevokeCredential(access::RevokeCredential { id })
        }
        _ => return Err(DecodeError::UnknownType(kind.to_owned())),
    })
}

/// A reply's bytes. What is said of a person is not in them: whoever answers reads it from
/// the member.
pub(crate) fn encode_reply(reply: &Reply) -> Vec<u8> {
    match reply {
        Reply::Nothing => Vec::new(),
        Reply::Member(it, version) => member_message(it, *version).encode_to_vec(),
        Reply::Team(it, version) => team_message(it, *version).encode_to_vec(),
        Reply::Role(it, version) => role_message(it, *version).encode_to_vec(),
        Reply::Grant(it, version) => role_grant_message(it, *version).encode_to_vec(),
        Reply::Credential(it, version) => credential_message(it, *version).encode_to_vec(),
        Reply::Addresses(it, version) => addresses_message(it, *version).encode_to_vec(),
    }
}

#[cfg(test)]
mod tests;
