//! What accepted commands are answered with: the thing as it is now, or as it was when it
//! is gone.

use std::sync::Arc;

use exchequer_access::AddressRange;

use crate::{Command, Credential, Event, Grant, Member, Role, State, Team};

/// Each with the version of the tenant's access control after the command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    Nothing,
    Member(Arc<Member>, u64),
    Team(Arc<Team>, u64),
    Role(Arc<Role>, u64),
    Grant(Arc<Grant>, u64),
    Credential(Arc<Credential>, u64),
    Addresses(Arc<Vec<AddressRange>>, u64),
}

/// What the accepted `command` is answered with, given the states before and after it and
/// its events.
pub fn reply(before: &State, after: &State, command: &Command, events: &[Event]) -> Reply {
    let version = after.version;
    let found = match command {
        Command::AddMember(crate::AddMember { member, .. })
        | Command::UpdateMember(crate::UpdateMember { member, .. })
        | Command::RemoveMember(crate::RemoveMember { member }) => {
            let member = after.members.get(member).or_else(|| before.members.get(member));
            member.map(|it| Reply::Member(Arc::clone(it), version))
        }
        Command::CreateTeam(crate::CreateTeam { team, .. })
        | Command::UpdateTeam(crate::UpdateTeam { team, .. })
        | Command::DeleteTeam(crate::DeleteTeam { team }) => {
            let team = after.teams.get(team).or_else(|| before.teams.get(team));
            team.map(|it| Reply::Team(Arc::clone(it), version))
        }
        Command::CreateRole(crate::CreateRole { role, .. })
        | Command::UpdateRole(crate::UpdateRole { role, .. })
        | Command::DeleteRole(crate::DeleteRole { role }) => {
            let role = after.roles.get(role).or_else(|| before.roles.get(role));
            role.map(|it| Reply::Role(Arc::clone(it), version))
        }
        Command::GrantRole(_) | Command::RevokeRole(_) => grant_of(events).and_then(|id| {
            let grant = after.grants.get(id).or_else(|| before.grants.get(id));
            grant.map(|it| Reply::Grant(Arc::clone(it), version))
        }),
        Command::SetAddresses(_) => Some(Reply::Addresses(Arc::clone(&after.addresses), version)),
        Command::Bootstrap(_)
        | Command::CreateCredential(_)
        | Command::UpdateCredential(_)
        | Command::RotateCredential(_)
        | Command::RevokeCredential(_) => {
            let id = events.iter().find_map(Event::credential);
            let credential = id.and_then(|id| after.credentials.get(id));
            credential.map(|it| Reply::Credential(Arc::clone(it), version))
        }
        Command::ErasePerson(_) | Command::FireTimer(_) => None,
    };
    found.unwrap_or(Reply::Nothing)
}

/// The grant that was given or taken.
pub(crate) fn grant_of(events: &[Event]) -> Option<&str> {
    events.iter().find_map(|event| match event {
        Event::RoleGranted { id, .. } | Event::RoleRevoked { id, .. } => Some(id.as_str()),
        _ => None,
    })
}
