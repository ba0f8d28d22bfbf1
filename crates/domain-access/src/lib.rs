//! Who may do what in a tenant: members, teams, roles, grants, credentials, and the
//! addresses it may be called from. Pure: `decide` per command in `commands/`, `evolve` in
//! `evolve.rs`. What a grant allows is the business of `exchequer-access`, whose policy is
//! built from the state.

#![deny(clippy::as_conversions, clippy::float_arithmetic)]

mod commands;
mod event;
mod evolve;
mod follow;
mod giving;
pub mod invariants;
mod policy;
mod rejection;
mod reply;
mod shown;
mod state;
#[cfg(test)]
mod tests;

pub use commands::{
    AddMember, Bootstrap, Command, CreateCredential, CreateRole, CreateTeam, DeleteRole,
    DeleteTeam, ErasePerson, FireTimer, Giving, GrantRole, RemoveMember, RevokeCredential,
    RevokeRole, RotateCredential, SetAddresses, UpdateCredential, UpdateMember, UpdateRole,
    UpdateTeam,
};
pub use event::{Cause, Event};
pub use follow::follow;
pub use giving::{DEPLOYMENT_ACTOR, FORMER_MEMBER_HELD, KEY_ACTOR_PREFIX};
pub use policy::{has_owner, policy};
pub use rejection::{
    HINT_CHARS_MAX, NAME_CHARS_MAX, OVERLAP_SECONDS_MAX, PROTECTED_BYTES_MAX,
    REQUESTS_PER_MINUTE_MAX, Rejection, codes,
};
pub use reply::{Reply, reply};
pub use shown::shown;
pub use state::{
    ADDRESSES_MAX, CREDENTIALS_MAX, Credential, CredentialKind, ENDED_CREDENTIALS_MAX,
    ERASED_KEYS_MAX, Ended, EndedBy, Expiry, FORMER_MEMBERS_MAX, GRANTS_MAX, Grant, MEMBERS_MAX,
    Member, PERSONAL_TOKENS_MAX, PRINCIPAL_GRANTS_MAX, Previous, ROLES_MAX, Role, Secret, State,
    TEAM_MEMBERS_MAX, TEAM_TEAMS_MAX, TEAMS_MAX, Team,
};

use exchequer_kernel::mutation::{self, Mutation};
use exchequer_kernel::{Ctx, Decider};
use exchequer_types::{Fact, Timestamp};

/// The domain's rules over one tenant. That the tenant exists and is not closed is checked
/// before. Expiries are judged by the log's time, also in a sandbox, where the
/// tenant root sets no timers for them.
#[derive(Clone, Copy, Debug)]
pub struct Access;

impl Decider for Access {
    type State = State;
    type Command = Command;
    type Event = Event;
    type Rejection = Rejection;

    fn decide(state: &State, command: &Command, ctx: &Ctx) -> Result<Vec<Event>, Rejection> {
        let events = match command {
            Command::Bootstrap(it) => it.decide(state, ctx),
            Command::AddMember(it) => it.decide(state),
            Command::UpdateMember(it) => it.decide(state),
            Command::RemoveMember(it) => it.decide(state, ctx),
            Command::CreateTeam(it) => it.decide(state, ctx),
            Command::UpdateTeam(it) => it.decide(state, ctx),
            Command::DeleteTeam(it) => it.decide(state, ctx),
            Command::CreateRole(it) => it.decide(state, ctx),
            Command::UpdateRole(it) => it.decide(state, ctx),
            Command::DeleteRole(it) => it.decide(state),
            Command::GrantRole(it) => it.decide(state, ctx),
            Command::RevokeRole(it) => it.decide(state, ctx),
            Command::SetAddresses(it) => it.decide(state),
            Command::CreateCredential(it) => it.decide(state, ctx),
            Command::UpdateCredential(it) => it.decide(state, ctx),
            Command::RotateCredential(it) => it.decide(state, ctx),
            Command::RevokeCredential(it) => it.decide(state),
            Command::ErasePerson(it) => it.decide(state),
            Command::FireTimer(it) => return it.decide(state),
        }?;
        check_owner_stays(state, &events, ctx.now)?;
        Ok(events)
    }

    fn evolve(state: &mut State, event: &Event, at: Timestamp) {
        evolve::evolve(state, event, at);
    }
}

/// A tenant that somebody owns is owned by somebody afterwards.
fn check_owner_stays(state: &State, events: &[Event], at: Timestamp) -> Result<(), Rejection> {
    let takes = |event: &Event| {
        matches!(
            event,
            Event::MemberRemoved { .. }
                | Event::TeamUpdated { .. }
                | Event::TeamDeleted { .. }
                | Event::RoleRevoked { .. }
                | Event::CredentialUpdated { .. }
                | Event::CredentialRevoked { .. }
        )
    };
    if !events.iter().any(takes) || !has_owner(state) || mutation::active(Mutation::OwnerStays) {
        return Ok(());
    }
    let mut after = state.clone();
    for event in events {
        evolve::evolve(&mut after, event, at);
    }
    if has_owner(&after) { Ok(()) } else { Err(Rejection::LastOwner) }
}

/// The small public form of `event`, for timers, the other domains and processes.
pub fn facts(event: &Event) -> Vec<Fact> {
    let cleared = |timer: &String, fired| Fact::TimerCleared { id: timer.clone(), fired };
    let set = |it: &Expiry| Fact::TimerSet { id: it.timer.clone(), due: it.at };
    match event {
        Event::RoleGranted { expiry, .. } | Event::CredentialCreated { expiry, .. } => {
            expiry.iter().map(set).collect()
        }
        Event::RoleRevoked { timer, .. } => timer.iter().map(|it| cleared(it, false)).collect(),
        Event::CredentialUpdated { expiry, moved: true, timer, .. } => {
            let cleared = timer.iter().map(|it| cleared(it, false));
            cleared.chain(expiry.iter().map(set)).collect()
        }
        Event::CredentialRotated { overlap, timer, .. } => {
            let cleared = timer.iter().map(|it| cleared(it, false));
            cleared.chain(overlap.iter().map(set)).collect()
        }
        Event::GrantExpired { timer, .. } | Event::CredentialOverlapEnded { timer, .. } => {
            vec![cleared(timer, true)]
        }
        Event::CredentialExpired { timer, overlap, .. } => {
            let overlap = overlap.iter().map(|it| cleared(it, false));
            [cleared(timer, true)].into_iter().chain(overlap).collect()
        }
        Event::CredentialRevoked { timers, .. } | Event::Closed { timers } => {
            timers.iter().map(|it| cleared(it, false)).collect()
        }
        _ => Vec::new(),
    }
}

/// The command that a due timer of this domain (`tma_`) stands for.
pub fn timer_command(timer: &str) -> Command {
    Command::FireTimer(FireTimer { timer: timer.to_owned() })
}

/// Version of what `command` is addressed to: the tenant's access control as a whole.
pub fn version(state: &State, _: &Command) -> u64 {
    state.version
}

/// About how many bytes the state holds.
pub fn weight(state: &State) -> usize {
    const ENTRY_BYTES: usize = 96;
    let protected = |it: &Option<exchequer_types::Protected>| {
        it.as_ref().map_or(0, |it| it.text.len() + ENTRY_BYTES)
    };
    let members = state.members.values();
    let members: usize =
        members.map(|it| 2 * ENTRY_BYTES + protected(&it.name) + protected(&it.email)).sum();
    let teams = state.teams.values();
    let teams: usize = teams.map(|it| (2 + it.members.len() + it.teams.len()) * ENTRY_BYTES).sum();
    let roles: usize =
        state.roles.values().map(|it| 2 * ENTRY_BYTES + it.permissions.len() * 8).sum();
    let credentials = state.credentials.values();
    let credentials: usize =
        credentials.map(|it| 6 * ENTRY_BYTES + it.name.len() + it.addresses.len() * 24).sum();
    let rest = state.grants.len() * 4 + state.former.len() + state.addresses.len();
    members + teams + roles + credentials + rest * ENTRY_BYTES + state.erased.len() * 32
}
