//! What a policy says, in the words of the requirements.

mod addresses;
mod decisions;
mod giving;
mod roles;

use std::collections::{BTreeMap, BTreeSet};

use exchequer_types::{ActorId, Slug, Timestamp};

use crate::{Grant, Policy, Principal, RoleDef, Scope, Source, Target, TeamDef};

pub(super) fn slug(text: &str) -> Slug {
    Slug::parse(text).unwrap()
}

pub(super) fn member(name: &str) -> Principal {
    Principal::Member(ActorId::parse(name).unwrap())
}

pub(super) fn at(micros: i64) -> Timestamp {
    Timestamp::saturating_from_micros(micros)
}

pub(super) fn scope(project: &str, environment: &str, flag: &str) -> Scope {
    let part = |text: &str| (!text.is_empty()).then(|| slug(text));
    Scope::new(part(project), part(environment), part(flag)).unwrap()
}

pub(super) fn target<'a>(project: &'a str, environment: &'a str, flag: &'a str) -> Target<'a> {
    let part = |text: &'a str| (!text.is_empty()).then_some(text);
    Target {
        project: part(project),
        environment: part(environment),
        flag: part(flag),
        production: environment == "production",
    }
}

/// A tenant in the making: each line adds one thing.
#[derive(Default)]
pub(super) struct World(Source);

impl World {
    pub(super) fn member(mut self, name: &str) -> Self {
        self.0.members.insert(ActorId::parse(name).unwrap());
        self
    }

    pub(super) fn team(mut self, key: &str, members: &[&str], teams: &[&str]) -> Self {
        let members = members.iter().map(|it| ActorId::parse(*it).unwrap()).collect();
        let teams = teams.iter().map(|it| slug(it)).collect();
        self.0.teams.insert(slug(key), TeamDef { members, teams });
        self
    }

    pub(super) fn role(mut self, key: &str, permissions: &[crate::Permission]) -> Self {
        let permissions: BTreeSet<_> = permissions.iter().copied().collect();
        self.0.roles.insert(slug(key), RoleDef::new(key, permissions));
        self
    }

    pub(super) fn grant(self, to: Principal, role: &str, scope: Scope) -> Self {
        self.grant_until(to, role, scope, None)
    }

    pub(super) fn grant_until(
        mut self,
        principal: Principal,
        role: &str,
        scope: Scope,
        expires_at: Option<Timestamp>,
    ) -> Self {
        let id = format!("grt_{}", self.0.grants.len());
        self.0.grants.push(Grant { id, principal, role: slug(role), scope, expires_at });
        self
    }

    pub(super) fn policy(self) -> Policy {
        Policy::build(self.0)
    }
}

/// No names resolve to anything: nobody may do anything, and nothing fails.
#[test]
fn an_empty_tenant_knows_nobody() {
    let policy = Policy::build(Source { teams: BTreeMap::new(), ..Source::default() });
    assert!(!policy.knows(&member("ann")));
}
