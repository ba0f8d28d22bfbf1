//! One file per command: its fields, its rule, its rejections in order of
//! precedence.

mod add_member;
mod bootstrap;
mod create_credential;
mod create_role;
mod create_team;
mod delete_role;
mod delete_team;
mod erase_person;
mod fire_timer;
mod grant_role;
mod remove_member;
mod revoke_credential;
mod revoke_role;
mod rotate_credential;
mod set_addresses;
mod update_credential;
mod update_member;
mod update_role;
mod update_team;

pub use add_member::AddMember;
pub use bootstrap::Bootstrap;
pub use create_credential::{CreateCredential, Giving};
pub use create_role::CreateRole;
pub use create_team::CreateTeam;
pub use delete_role::DeleteRole;
pub use delete_team::DeleteTeam;
pub use erase_person::ErasePerson;
pub use fire_timer::FireTimer;
pub use grant_role::GrantRole;
pub use remove_member::RemoveMember;
pub use revoke_credential::RevokeCredential;
pub use revoke_role::RevokeRole;
pub use rotate_credential::RotateCredential;
pub use set_addresses::SetAddresses;
pub use update_credential::UpdateCredential;
pub use update_member::UpdateMember;
pub use update_role::UpdateRole;
pub use update_team::UpdateTeam;

use std::collections::BTreeSet;

use exchequer_access::{AddressRange, Scope};
use exchequer_kernel::Ctx;
use exchequer_types::{ActorId, Hash, Protected, Slug, Timestamp};

use crate::rejection::{
    HINT_CHARS_MAX, NAME_CHARS_MAX, PROTECTED_BYTES_MAX, REQUESTS_PER_MINUTE_MAX,
};
use crate::state::{ADDRESSES_MAX, TEAM_MEMBERS_MAX, TEAM_TEAMS_MAX};
use crate::{Event, Expiry, Grant, Rejection, Secret, State};

/// What can be asked of a tenant's access control.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    Bootstrap(Bootstrap),
    AddMember(AddMember),
    UpdateMember(UpdateMember),
    RemoveMember(RemoveMember),
    CreateTeam(CreateTeam),
    UpdateTeam(UpdateTeam),
    DeleteTeam(DeleteTeam),
    CreateRole(CreateRole),
    UpdateRole(UpdateRole),
    DeleteRole(DeleteRole),
    GrantRole(GrantRole),
    RevokeRole(RevokeRole),
    SetAddresses(SetAddresses),
    CreateCredential(CreateCredential),
    UpdateCredential(UpdateCredential),
    RotateCredential(RotateCredential),
    RevokeCredential(RevokeCredential),
    ErasePerson(ErasePerson),
    FireTimer(FireTimer),
}

impl Command {
    /// Places that the command names, which the tenant root looks up.
    pub fn scopes(&self) -> Vec<Scope> {
        match self {
            Self::GrantRole(it) => vec![it.scope.clone()],
            Self::CreateCredential(it) => {
                let own = it.kind.environment().and_then(|(project, environment)| {
                    Scope::new(Some(project.clone()), Some(environment.clone()), None).ok()
                });
                it.grants.iter().map(|it| it.scope.clone()).chain(own).collect()
            }
            _ => Vec::new(),
        }
    }
}

fn check_name(name: &str) -> Result<(), Rejection> {
    let fits = (1..=NAME_CHARS_MAX).contains(&name.chars().count());
    if fits && !name.chars().any(char::is_control) { Ok(()) } else { Err(Rejection::NameInvalid) }
}

/// Is the field as the gateway makes it, and under a key that is still there?
fn check_protected(
    state: &State,
    value: Option<&Protected>,
    field: &'static str,
) -> Result<(), Rejection> {
    let Some(value) = value else { return Ok(()) };
    if value.text.len() > PROTECTED_BYTES_MAX {
        return Err(Rejection::ProtectedFieldInvalid { field });
    }
    if state.erased.contains(&value.key) {
        return Err(Rejection::PersonErased { field });
    }
    Ok(())
}

fn check_addresses(addresses: &[AddressRange]) -> Result<(), Rejection> {
    let each_once: BTreeSet<&AddressRange> = addresses.iter().collect();
    if addresses.len() <= ADDRESSES_MAX && each_once.len() == addresses.len() {
        Ok(())
    } else {
        Err(Rejection::AddressesInvalid)
    }
}

fn check_rate(requests_per_minute: Option<u32>) -> Result<(), Rejection> {
    let fits = requests_per_minute.is_none_or(|it| (1..=REQUESTS_PER_MINUTE_MAX).contains(&it));
    if fits { Ok(()) } else { Err(Rejection::RateInvalid) }
}

fn check_expiry(expires_at: Option<Timestamp>, now: Timestamp) -> Result<(), Rejection> {
    if expires_at.is_some_and(|at| at <= now) {
        return Err(Rejection::ExpiryInThePast { now });
    }
    Ok(())
}

/// Members and teams that are to be in a team must be there.
fn check_known<'a>(
    state: &State,
    members: impl IntoIterator<Item = &'a ActorId>,
    teams: impl IntoIterator<Item = &'a Slug>,
) -> Result<(), Rejection> {
    if members.into_iter().any(|it| !state.members.contains_key(it)) {
        return Err(Rejection::MemberNotFound { field: "members" });
    }
    if teams.into_iter().any(|it| !state.teams.contains_key(it)) {
        return Err(Rejection::TeamNotFound { field: "teams" });
    }
    Ok(())
}

fn check_size(members: usize, teams: usize) -> Result<(), Rejection> {
    if members > TEAM_MEMBERS_MAX {
        return Err(Rejection::TeamTooLarge { field: "members" });
    }
    if teams > TEAM_TEAMS_MAX {
        return Err(Rejection::TeamTooLarge { field: "teams" });
    }
    Ok(())
}

/// A secret is used once: a hash that is known already is another's.
fn check_secret(state: &State, secret: &Secret) -> Result<(), Rejection> {
    let is_known = |hash: &Hash| {
        state.credentials.values().any(|it| {
            it.secret.hash == *hash
                || it.previous.as_ref().is_some_and(|before| before.secret.hash == *hash)
        })
    };
    let fits =
        secret.hint.len() <= HINT_CHARS_MAX && secret.hint.bytes().all(|it| it.is_ascii_graphic());
    if !fits || is_known(&secret.hash) { Err(Rejection::SecretUsed) } else { Ok(()) }
}

/// What ends at `at`, with a timer of its own.
fn expiry(at: Option<Timestamp>, index: u32, ctx: &Ctx) -> Option<Expiry> {
    at.map(|at| Expiry { at, timer: ctx.mint("tma_", index) })
}

/// The events by which grants end before their time.
fn revoked<'a>(grants: impl Iterator<Item = &'a Grant>) -> Vec<Event> {
    let revoked = grants.map(|grant| Event::RoleRevoked {
        id: grant.id.clone(),
        timer: grant.expiry.as_ref().map(|expiry| expiry.timer.clone()),
    });
    revoked.collect()
}
