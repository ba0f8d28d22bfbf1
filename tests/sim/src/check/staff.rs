//! SIM-24: who owns a tenant and which secrets it accepts, told from events alone.

use std::collections::{BTreeMap, BTreeSet};

use exchequer_access::Principal;
use exchequer_domain_access::{self as access, Event, Expiry};
use exchequer_types::{ActorId, Hash, Slug, Timestamp};

/// A tenant's staff as far as ownership and secrets go.
#[derive(Debug, Default)]
pub(crate) struct Staff {
    members: BTreeSet<ActorId>,
    teams: BTreeMap<Slug, (BTreeSet<ActorId>, BTreeSet<Slug>)>,
    /// Those that have not ended, by id.
    grants: BTreeMap<String, Grant>,
    /// Live ones, by id.
    credentials: BTreeMap<String, Live>,
    /// Of credentials that have ended.
    ended: BTreeSet<String>,
    /// Everything that is not accepted any more, for ever.
    gone: BTreeSet<Hash>,
    erased: BTreeSet<exchequer_types::KeyId>,
    had_owner: bool,
    is_closed: bool,
}

#[derive(Debug)]
struct Grant {
    principal: Principal,
    owns: bool,
    expiry: Option<Expiry>,
}

#[derive(Debug)]
struct Live {
    secret: Hash,
    before: Option<(Hash, Expiry)>,
    expiry: Option<Expiry>,
    owner: Option<ActorId>,
}

impl Staff {
    pub(crate) fn take(&mut self, event: &Event) -> Result<(), String> {
        let told = |what: &str| Err(format!("SIM-24 {what}: {event:?}"));
        match event {
            Event::MemberAdded { member, name, email }
            | Event::MemberUpdated { member, name, email } => {
                let said = [name, email].into_iter().flatten();
                if said.into_iter().any(|it| self.erased.contains(&it.key)) {
                    return told("an erased person's key is used");
                }
                self.members.insert(member.clone());
            }
            Event::MemberRemoved { member, .. } => {
                self.members.remove(member);
                self.teams.values_mut().for_each(|team| {
                    team.0.remove(member);
                });
                let has_token = |it: &Live| it.owner.as_ref() == Some(member);
                let whose = Principal::Member(member.clone());
                if self.credentials.values().any(has_token) || self.has_grant(&whose) {
                    return told("a member left something behind");
                }
            }
            Event::TeamCreated { team, members, teams, .. } => {
                self.teams.insert(team.clone(), (members.clone(), teams.clone()));
            }
            Event::TeamUpdated { team, added, removed, added_teams, removed_teams, .. } => {
                let it = self.teams.entry(team.clone()).or_default();
                it.0.retain(|it| !removed.contains(it));
                it.0.extend(added.iter().cloned());
                it.1.retain(|it| !removed_teams.contains(it));
                it.1.extend(added_teams.iter().cloned());
            }
            Event::TeamDeleted { team, .. } => {
                self.teams.remove(team);
                self.teams.values_mut().for_each(|it| {
                    it.1.remove(team);
                });
                if self.has_grant(&Principal::Team(team.clone())) {
                    return told("a team left a grant behind");
                }
            }
            Event::RoleGranted { id, principal, role, scope, expiry } => {
                let owns = role.as_str() == "owner" && scope.is_tenant() && expiry.is_none();
                let (principal, expiry) = (principal.clone(), expiry.clone());
                self.grants.insert(id.clone(), Grant { principal, owns, expiry });
            }
            Event::RoleRevoked { id, .. } | Event::GrantExpired { id, .. } => {
                if self.grants.remove(id).is_none() {
                    return told("a grant ended twice");
                }
            }
            Event::PersonErased { keys, .. } => self.erased.extend(keys.iter().copied()),
            Event::Closed { .. } => self.close(),
            _ => return self.take_credentials(event),
        }
        Ok(())
    }

    fn take_credentials(&mut self, event: &Event) -> Result<(), String> {
        let told = |what: &str| Err(format!("SIM-24 {what}: {event:?}"));
        if event.credential().is_some_and(|id| self.ended.contains(id)) {
            return told("something happens to a credential that has ended");
        }
        match event {
            Event::CredentialCreated { id, kind, secret, expiry, .. } => {
                if self.gone.contains(&secret.hash) {
                    return told("a secret comes back");
                }
                let (secret, expiry, owner) = (secret.hash, expiry.clone(), kind.owner().cloned());
                self.credentials.insert(id.clone(), Live { secret, before: None, expiry, owner });
            }
            Event::CredentialUpdated { id, expiry, .. } => {
                if let Some(it) = self.credentials.get_mut(id) {
                    it.expiry.clone_from(expiry);
                }
            }
            Event::CredentialRotated { id, secret, overlap, dropped, .. } => {
                let Some(it) = self.credentials.get_mut(id) else { return told("of nobody") };
                let mut gone: BTreeSet<Hash> =
                    it.before.take().into_iter().map(|it| it.0).collect();
                match overlap {
                    Some(until) => it.before = Some((it.secret, until.clone())),
                    None => {
                        gone.insert(it.secret);
                    }
                }
                if self.gone.contains(&secret.hash) {
                    return told("a secret comes back");
                }
                it.secret = secret.hash;
                if gone != dropped.iter().copied().collect() {
                    return told("not these secrets are dropped");
                }
                self.gone.extend(gone);
            }
            Event::CredentialOverlapEnded { id, dropped, .. } => {
                let before = self.credentials.get_mut(id).and_then(|it| it.before.take());
                if before.map(|it| it.0) != Some(*dropped) {
                    return told("not this secret overlapped");
                }
                self.gone.insert(*dropped);
            }
            Event::CredentialExpired { id, .. } | Event::CredentialRevoked { id, .. } => {
                self.end(id);
                if self.has_grant(&Principal::Credential(id.clone())) {
                    return told("a credential left a grant behind");
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn has_grant(&self, principal: &Principal) -> bool {
        self.grants.values().any(|it| it.principal == *principal)
    }

    fn end(&mut self, id: &str) {
        if let Some(it) = self.credentials.remove(id) {
            self.gone.insert(it.secret);
            self.gone.extend(it.before.map(|it| it.0));
        }
        self.ended.insert(id.to_owned());
    }

    fn close(&mut self) {
        for id in self.credentials.keys().cloned().collect::<Vec<_>>() {
            self.end(&id);
        }
        self.grants.retain(|_, it| !matches!(it.principal, Principal::Credential(_)));
        for grant in self.grants.values_mut() {
            grant.expiry = None;
        }
        self.is_closed = true;
    }

    /// What falls due: expiries and overlaps, by timer.
    pub(crate) fn due(&self) -> BTreeMap<String, Timestamp> {
        let grants = self.grants.values().filter_map(|it| it.expiry.as_ref());
        let of = |it: &'_ Live| [it.expiry.clone(), it.before.clone().map(|it| it.1)];
        let credentials = self.credentials.values().flat_map(of).flatten();
        grants.cloned().chain(credentials).map(|it| (it.timer, it.at)).collect()
    }

    /// SIM-24, after an input; `state` is what the decider makes of the same events.
    pub(crate) fn check(&mut self, state: &access::State, at: Timestamp) -> Result<(), String> {
        let has_owner = self.grants.values().any(|it| it.owns && self.is_somebody(&it.principal));
        if self.had_owner && !has_owner && !self.is_closed {
            return Err("SIM-24 nobody owns the tenant any more".to_owned());
        }
        self.had_owner |= has_owner;
        self.judge(state, at).map_err(|problem| format!("SIM-24 {problem}"))?;
        access::invariants::check(state).map_err(|broken| format!("SIM-24 {broken}"))
    }

    /// Does `state`, a decider's or a gateway's, know these people, and accept these secrets
    /// at `at`, and no others?
    pub(crate) fn judge(&self, state: &access::State, at: Timestamp) -> Result<(), String> {
        if !state.members.keys().eq(&self.members) || !state.grants.keys().eq(self.grants.keys()) {
            return Err(format!("{state:?}, not {self:?}"));
        }
        for (id, live) in &self.credentials {
            let lasts = live.expiry.as_ref().is_none_or(|it| at < it.at);
            let found = state.credentials.get(id);
            if found.is_some_and(|it| it.accepts(&live.secret, at)) != lasts {
                return Err(format!("{id} at {at}: {live:?}, {found:?}"));
            }
        }
        for credential in state.credentials.values() {
            if self.gone.iter().any(|hash| credential.accepts(hash, at)) {
                return Err(format!("{credential:?} accepts at {at} what is gone"));
            }
        }
        Ok(())
    }

    fn is_somebody(&self, principal: &Principal) -> bool {
        match principal {
            Principal::Member(member) => self.members.contains(member),
            Principal::Team(team) => self.has_member(team, &mut BTreeSet::new()),
            Principal::Credential(id) => {
                self.credentials.get(id).is_some_and(|it| it.expiry.is_none())
            }
        }
    }

    fn has_member<'a>(&'a self, team: &'a Slug, seen: &mut BTreeSet<&'a Slug>) -> bool {
        seen.insert(team)
            && self.teams.get(team).is_some_and(|(members, teams)| {
                !members.is_empty() || teams.iter().any(|it| self.has_member(it, seen))
            })
    }
}
