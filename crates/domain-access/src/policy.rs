//! What the gateways' policy is built from, who owns the tenant, and how teams nest.

use std::collections::{BTreeMap, BTreeSet};

use exchequer_access::{BuiltIn, Policy, Principal, Source, TEAM_DEPTH_MAX, TeamDef};
use exchequer_types::{ActorId, Slug};

use crate::{CredentialKind, State};

/// Who may do what, as the state has it. Credentials that have ended are nobody; personal
/// tokens act as their owners. Expiries are judged by whoever asks.
pub fn policy(state: &State) -> Policy {
    let is_own = |kind: &CredentialKind| !matches!(kind, CredentialKind::Personal { .. });
    let credentials = state.open_credentials().filter(|it| is_own(&it.kind));
    Policy::build(Source {
        members: state.members.keys().cloned().collect(),
        credentials: credentials.map(|it| it.id.clone()).collect(),
        teams: teams(state, |_| true),
        roles: roles(state),
        grants: state.grants.values().map(|grant| grant.to_policy()).collect(),
    })
}

/// The part of the policy that concerns `who`, a member or a credential.
pub(crate) fn policy_of(state: &State, who: &Principal) -> Policy {
    let mut source = Source { roles: roles(state), ..Source::default() };
    match who {
        Principal::Member(member) => {
            source.members.insert(member.clone());
            source.teams = teams(state, |it| it == member);
        }
        Principal::Credential(id) => {
            source.credentials.insert(id.clone());
        }
        Principal::Team(_) => {}
    }
    let may_be_its = |principal: &Principal| {
        principal == who
            || (matches!(who, Principal::Member(_)) && matches!(principal, Principal::Team(_)))
    };
    let grants = state.grants.values().filter(|grant| may_be_its(&grant.principal));
    source.grants = grants.map(|grant| grant.to_policy()).collect();
    Policy::build(source)
}

fn teams(state: &State, of: impl Fn(&ActorId) -> bool) -> BTreeMap<Slug, TeamDef> {
    let def = |team: &crate::Team| TeamDef {
        members: team.members.iter().filter(|it| of(it)).cloned().collect(),
        teams: team.teams.clone(),
    };
    state.teams.iter().map(|(key, team)| (key.clone(), def(team))).collect()
}

fn roles(state: &State) -> BTreeMap<Slug, exchequer_access::RoleDef> {
    state.roles.iter().map(|(key, role)| (key.clone(), role.def())).collect()
}

/// Does somebody own the tenant, for as long as nobody takes it away? That is a member, a
/// team with a member, or a service token without expiry, that has the role `owner` for
/// the whole tenant and without end.
pub fn has_owner(state: &State) -> bool {
    state.grants.values().any(|grant| {
        grant.role.as_str() == BuiltIn::Owner.as_str()
            && grant.scope.is_tenant()
            && grant.expiry.is_none()
            && is_somebody(state, &grant.principal)
    })
}

fn is_somebody(state: &State, principal: &Principal) -> bool {
    match principal {
        Principal::Member(member) => state.members.contains_key(member),
        Principal::Team(team) => layers_below(state, team)
            .iter()
            .flatten()
            .any(|it| state.teams.get(*it).is_some_and(|team| !team.members.is_empty())),
        Principal::Credential(id) => {
            state.open_credential(id).is_some_and(|it| it.expiry.is_none())
        }
    }
}

/// Is `wanted` inside `team`, directly or through others, or `team` itself?
pub(crate) fn is_inside(state: &State, team: &Slug, wanted: &Slug) -> bool {
    let mut seen = BTreeSet::from([team]);
    let mut rest = vec![team];
    while let Some(key) = rest.pop() {
        if key == wanted {
            return true;
        }
        let inner = state.teams.get(key).into_iter().flat_map(|it| &it.teams);
        rest.extend(inner.filter(|it| seen.insert(it)));
    }
    false
}

/// How many teams lie one in another at most, counting `team`, those around it and those
/// in it; at most one more than `TEAM_DEPTH_MAX`, so that a cycle ends too.
pub(crate) fn depth(state: &State, team: &Slug) -> usize {
    let above = |keys: &BTreeSet<&Slug>| {
        let outer = state.teams.values();
        outer
            .filter(|it| it.teams.iter().any(|inner| keys.contains(inner)))
            .map(|it| &it.key)
            .collect::<BTreeSet<_>>()
    };
    let mut layer = above(&BTreeSet::from([team]));
    let mut depth = layers_below(state, team).len();
    while !layer.is_empty() && depth <= TEAM_DEPTH_MAX {
        depth += 1;
        layer = above(&layer);
    }
    depth
}

/// The team by itself, those in it, those in these, and so on; at most one layer more than
/// `TEAM_DEPTH_MAX`.
fn layers_below<'a>(state: &'a State, team: &'a Slug) -> Vec<BTreeSet<&'a Slug>> {
    let mut layers = Vec::new();
    let mut layer = BTreeSet::from([team]);
    while !layer.is_empty() && layers.len() <= TEAM_DEPTH_MAX {
        let inner = layer.iter().filter_map(|key| state.teams.get(*key)).flat_map(|it| &it.teams);
        let inner = inner.collect();
        layers.push(core::mem::replace(&mut layer, inner));
    }
    layers
}
