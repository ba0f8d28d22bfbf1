//! How events change a tenant's access control. Total: what names something that is not
//! there changes nothing.

use std::sync::Arc;

use exchequer_access::Principal;
use exchequer_types::Timestamp;

use crate::state::{ENDED_CREDENTIALS_MAX, FORMER_MEMBERS_MAX};
use crate::{Cause, Credential, Ended, EndedBy, Event, Grant, Member, Previous, Role, State, Team};

pub(crate) fn evolve(state: &mut State, event: &Event, at: Timestamp) {
    state.version += 1;
    state.updated_at = at;
    match event {
        Event::Bootstrapped { .. } => state.bootstrapped = true,
        Event::AddressesSet { addresses } => state.addresses = Arc::new(addresses.clone()),
        Event::PersonErased { keys, .. } => Arc::make_mut(&mut state.erased).extend(keys),
        Event::MemberAdded { .. } | Event::MemberUpdated { .. } | Event::MemberRemoved { .. } => {
            members(state, event, at);
        }
        Event::TeamCreated { .. } | Event::TeamUpdated { .. } | Event::TeamDeleted { .. } => {
            teams(state, event);
        }
        Event::RoleCreated { role, name, permissions }
        | Event::RoleUpdated { role, name, permissions } => {
            let (key, name) = (role.clone(), name.clone());
            let role = Role { key, name, permissions: permissions.clone() };
            Arc::make_mut(&mut state.roles).insert(role.key.clone(), Arc::new(role));
        }
        Event::RoleDeleted { role } => {
            Arc::make_mut(&mut state.roles).remove(role);
        }
        Event::RoleGranted { id, principal, role, scope, expiry } => {
            let grant = Grant {
                id: id.clone(),
                principal: principal.clone(),
                role: role.clone(),
                scope: scope.clone(),
                expiry: expiry.clone(),
                granted_at: at,
            };
            Arc::make_mut(&mut state.grants).insert(id.clone(), Arc::new(grant));
        }
        Event::RoleRevoked { id, .. } | Event::GrantExpired { id, .. } => {
            Arc::make_mut(&mut state.grants).remove(id);
        }
        Event::CredentialCreated { .. }
        | Event::CredentialUpdated { .. }
        | Event::CredentialRotated { .. }
        | Event::CredentialOverlapEnded { .. }
        | Event::CredentialExpired { .. }
        | Event::CredentialRevoked { .. } => credentials(state, event, at),
        Event::Closed { .. } => close(state, at),
    }
}

fn members(state: &mut State, event: &Event, at: Timestamp) {
    let members = Arc::make_mut(&mut state.members);
    match event {
        Event::MemberAdded { member, name, email } => {
            let (id, name, email) = (member.clone(), name.clone(), email.clone());
            members.insert(member.clone(), Arc::new(Member { id, name, email, added_at: at }));
            if state.former.contains_key(member) {
                Arc::make_mut(&mut state.former).remove(member);
            }
        }
        Event::MemberUpdated { member, name, email } => {
            if let Some(member) = members.get_mut(member) {
                let member = Arc::make_mut(member);
                member.name.clone_from(name);
                member.email.clone_from(email);
            }
        }
        Event::MemberRemoved { member, teams } => {
            members.remove(member);
            for team in teams {
                if let Some(team) = Arc::make_mut(&mut state.teams).get_mut(team) {
                    Arc::make_mut(team).members.remove(member);
                }
            }
            let former = Arc::make_mut(&mut state.former);
            if former.len() >= FORMER_MEMBERS_MAX
                && let Some((_, oldest)) = former.iter().map(|(id, at)| (*at, id.clone())).min()
            {
                former.remove(&oldest);
            }
            former.insert(member.clone(), at);
        }
        _ => {}
    }
}

fn teams(state: &mut State, event: &Event) {
    let all = Arc::make_mut(&mut state.teams);
    match event {
        Event::TeamCreated { team, name, members, teams } => {
            let (key, name) = (team.clone(), name.clone());
            let it = Team { key, name, members: members.clone(), teams: teams.clone() };
            all.insert(team.clone(), Arc::new(it));
        }
        Event::TeamUpdated { team, name, added, removed, added_teams, removed_teams } => {
            let Some(team) = all.get_mut(team).map(Arc::make_mut) else { return };
            if let Some(name) = name {
                team.name.clone_from(name);
            }
            team.members.retain(|it| !removed.contains(it));
            team.members.extend(added.iter().cloned());
            team.teams.retain(|it| !removed_teams.contains(it));
            team.teams.extend(added_teams.iter().cloned());
        }
        Event::TeamDeleted { team, parents } => {
            all.remove(team);
            for parent in parents {
                if let Some(parent) = all.get_mut(parent) {
                    Arc::make_mut(parent).teams.remove(team);
                }
            }
        }
        _ => {}
    }
}

fn credentials(state: &mut State, event: &Event, at: Timestamp) {
    if let Event::CredentialCreated {
        id,
        kind,
        name,
        secret,
        expiry,
        addresses,
        requests_per_minute,
    } = event
    {
        let credential = Credential {
            id: id.clone(),
            kind: kind.clone(),
            name: name.clone(),
            secret: secret.clone(),
            previous: None,
            expiry: expiry.clone(),
            addresses: addresses.clone(),
            requests_per_minute: *requests_per_minute,
            created_at: at,
            rotated_at: None,
            ended: None,
        };
        Arc::make_mut(&mut state.credentials).insert(id.clone(), Arc::new(credential));
        return;
    }
    match event {
        Event::CredentialExpired { id, .. } => end(state, id, at, EndedBy::Expiry),
        Event::CredentialRevoked { id, cause: Cause::Asked, .. } => {
            end(state, id, at, EndedBy::Revocation);
        }
        Event::CredentialRevoked { id, cause: Cause::OwnerRemoved, .. } => {
            end(state, id, at, EndedBy::OwnerRemoved);
        }
        _ => {
            let id = event.credential().unwrap_or_default();
            if let Some(credential) = Arc::make_mut(&mut state.credentials).get_mut(id) {
                change(Arc::make_mut(credential), event, at);
            }
        }
    }
}

fn change(credential: &mut Credential, event: &Event, at: Timestamp) {
    match event {
        Event::CredentialUpdated { name, expiry, addresses, requests_per_minute, .. } => {
            credential.name.clone_from(name);
            credential.expiry.clone_from(expiry);
            credential.addresses.clone_from(addresses);
            credential.requests_per_minute = *requests_per_minute;
        }
        Event::CredentialRotated { secret, overlap, .. } => {
            let before = core::mem::replace(&mut credential.secret, secret.clone());
            let previous =
                |until: &crate::Expiry| Previous { secret: before, until: until.clone() };
            credential.previous = overlap.as_ref().map(previous);
            credential.rotated_at = Some(at);
        }
        Event::CredentialOverlapEnded { .. } => credential.previous = None,
        _ => {}
    }
}

/// Ends a credential. Of those that ended before, the oldest gives way when there are too
/// many.
fn end(state: &mut State, id: &str, at: Timestamp, by: EndedBy) {
    let credentials = Arc::make_mut(&mut state.credentials);
    let ended = || credentials.values().filter_map(|it| Some((it.ended.as_ref()?.at, &it.id)));
    if ended().count() >= ENDED_CREDENTIALS_MAX
        && let Some(oldest) = ended().min().map(|(_, id)| id.clone())
    {
        credentials.remove(&oldest);
    }
    if let Some(credential) = credentials.get_mut(id) {
        let credential = Arc::make_mut(credential);
        credential.previous = None;
        credential.ended = Some(Ended { at, by });
    }
}

/// No credential is accepted any more. Members keep their grants: what a closed tenant
/// still answers, they may read.
fn close(state: &mut State, at: Timestamp) {
    let open: Vec<String> = state.open_credentials().map(|it| it.id.clone()).collect();
    for id in open {
        end(state, &id, at, EndedBy::Closing);
    }
    let is_of_credential = |grant: &Grant| matches!(grant.principal, Principal::Credential(_));
    Arc::make_mut(&mut state.grants).retain(|_, grant| !is_of_credential(grant));
}
