//! Invariants by number: one pure predicate each, computed another way than what they
//! judge.

use std::collections::{BTreeMap, BTreeSet};

use exchequer_access::Principal;
use exchequer_kernel::invariant::Broken;
use exchequer_types::Slug;

use crate::State;
use crate::state::{
    CREDENTIALS_MAX, ENDED_CREDENTIALS_MAX, FORMER_MEMBERS_MAX, GRANTS_MAX, MEMBERS_MAX, ROLES_MAX,
    TEAMS_MAX,
};

/// All of them that concern one state.
pub fn check(state: &State) -> Result<(), Broken> {
    names_what_is_there(state)?;
    has_no_cycle(state)?;
    is_bounded(state)
}

/// ACC-1: what a grant, a team or a personal token names is there, and everything stands
/// under its id.
pub fn names_what_is_there(state: &State) -> Result<(), Broken> {
    let broken = |detail: String| Err(Broken { name: "ACC-1", detail });
    let is_open = |id: &String| state.credentials.get(id).is_some_and(|it| it.ended.is_none());
    for (id, grant) in state.grants.iter() {
        let is_there = match &grant.principal {
            Principal::Member(member) => state.members.contains_key(member),
            Principal::Team(team) => state.teams.contains_key(team),
            Principal::Credential(credential) => is_open(credential),
        };
        if *id != grant.id || !is_there || state.role(&grant.role).is_none() {
            return broken(format!("{grant:?} under {id}"));
        }
    }
    for (key, team) in state.teams.iter() {
        let members = team.members.iter().all(|it| state.members.contains_key(it));
        if *key != team.key || !members || !team.teams.iter().all(|it| state.teams.contains_key(it))
        {
            return broken(format!("{team:?} under {key}"));
        }
    }
    for (id, credential) in state.credentials.iter() {
        let has_owner = credential.kind.owner().is_none_or(|it| state.members.contains_key(it));
        if *id != credential.id || (credential.ended.is_none() && !has_owner) {
            return broken(format!("{credential:?} under {id}"));
        }
    }
    Ok(())
}

/// ACC-2: no team is in itself: teams that hold none can be taken away, again and again,
/// until none is left.
pub fn has_no_cycle(state: &State) -> Result<(), Broken> {
    let mut left: BTreeMap<&Slug, BTreeSet<&Slug>> =
        state.teams.iter().map(|(key, team)| (key, team.teams.iter().collect())).collect();
    while !left.is_empty() {
        let leaves: BTreeSet<&Slug> =
            left.iter().filter(|(_, inner)| inner.is_empty()).map(|(key, _)| *key).collect();
        if leaves.is_empty() {
            let detail = format!("a cycle among {:?}", left.keys().collect::<Vec<_>>());
            return Err(Broken { name: "ACC-2", detail });
        }
        left.retain(|key, _| !leaves.contains(key));
        for inner in left.values_mut() {
            inner.retain(|key| !leaves.contains(key));
        }
    }
    Ok(())
}

/// ACC-3: everything is no more than its bound.
pub fn is_bounded(state: &State) -> Result<(), Broken> {
    let ended = state.credentials.values().filter(|it| it.ended.is_some()).count();
    let counts = [
        (state.members.len(), MEMBERS_MAX),
        (state.teams.len(), TEAMS_MAX),
        (state.roles.len(), ROLES_MAX),
        (state.grants.len(), GRANTS_MAX),
        (state.credentials.len() - ended, CREDENTIALS_MAX),
        (ended, ENDED_CREDENTIALS_MAX),
        (state.former.len(), FORMER_MEMBERS_MAX),
    ];
    match counts.iter().find(|(count, bound)| count > bound) {
        None => Ok(()),
        Some((count, bound)) => {
            Err(Broken { name: "ACC-3", detail: format!("{count} of at most {bound}") })
        }
    }
}
