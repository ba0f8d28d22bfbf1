//! given/when/then over the whole domain, every rejection in order of precedence.

mod bounds;
mod credentials;
mod endings;
mod giving;
mod members;
mod roles;
mod teams;

use std::collections::BTreeSet;

use exchequer_access::{Permission, Principal, Scope, Target};
use exchequer_kernel::{Ctx, Decider as _, Reason as _};
use exchequer_types::{
    ActorId, CommandId, Fact, Hash, Identity, KeyId, Protected, Slug, TenantId, Timestamp,
};

use crate::*;

fn at(seconds: i64) -> Timestamp {
    Timestamp::saturating_from_micros(seconds * 1_000_000)
}

fn slug(text: &str) -> Slug {
    Slug::parse(text).unwrap()
}

fn actor(text: &str) -> ActorId {
    ActorId::parse(text).unwrap()
}

fn actors(texts: &[&str]) -> BTreeSet<ActorId> {
    texts.iter().map(|it| actor(it)).collect()
}

fn slugs(texts: &[&str]) -> BTreeSet<Slug> {
    texts.iter().map(|it| slug(it)).collect()
}

fn permissions(words: &[&str]) -> BTreeSet<Permission> {
    words.iter().map(|it| Permission::parse(it).unwrap()).collect()
}

fn secret(text: &str) -> Secret {
    Secret { hash: Hash::blake3(text.as_bytes()), hint: "wxyz".to_owned() }
}

/// Something said of a person, encrypted under `key`.
fn said(key: u8, text: &str) -> Protected {
    Protected { key: KeyId([key; 16]), text: text.as_bytes().to_vec() }
}

fn member(id: &str) -> Principal {
    Principal::Member(actor(id))
}

fn team(key: &str) -> Principal {
    Principal::Team(slug(key))
}

fn add(id: &str) -> Command {
    Command::AddMember(AddMember { member: actor(id), name: None, email: None })
}

fn remove(id: &str) -> Command {
    Command::RemoveMember(RemoveMember { member: actor(id) })
}

fn create_team(key: &str, members: &[&str], teams: &[&str]) -> Command {
    Command::CreateTeam(CreateTeam {
        team: slug(key),
        name: key.to_owned(),
        members: actors(members),
        teams: slugs(teams),
    })
}

fn join(key: &str, members: &[&str], teams: &[&str]) -> Command {
    Command::UpdateTeam(UpdateTeam {
        add_members: actors(members),
        add_teams: slugs(teams),
        ..leave(key, &[], &[])
    })
}

fn leave(key: &str, members: &[&str], teams: &[&str]) -> UpdateTeam {
    UpdateTeam {
        team: slug(key),
        name: None,
        add_members: BTreeSet::new(),
        remove_members: actors(members),
        add_teams: BTreeSet::new(),
        remove_teams: slugs(teams),
    }
}

fn create_role(key: &str, words: &[&str]) -> Command {
    let permissions = permissions(words);
    Command::CreateRole(CreateRole { role: slug(key), name: key.to_owned(), permissions })
}

fn grant(principal: Principal, role: &str) -> Command {
    grant_in(principal, role, Scope::tenant(), None)
}

fn grant_in(principal: Principal, role: &str, scope: Scope, expires: Option<i64>) -> Command {
    let expires_at = expires.map(at);
    Command::GrantRole(GrantRole { principal, role: slug(role), scope, expires_at })
}

fn revoke_role(id: &str) -> Command {
    Command::RevokeRole(RevokeRole { id: id.to_owned() })
}

fn service(name: &str, roles: &[&str]) -> CreateCredential {
    let giving = |role: &&str| Giving { role: slug(role), scope: Scope::tenant() };
    CreateCredential {
        kind: CredentialKind::Service,
        name: name.to_owned(),
        secret: secret(name),
        grants: roles.iter().map(giving).collect(),
        expires_at: None,
        addresses: Vec::new(),
        requests_per_minute: None,
    }
}

fn personal(name: &str, owner: &str, expires: i64) -> CreateCredential {
    let kind = CredentialKind::Personal { owner: actor(owner) };
    CreateCredential { kind, expires_at: Some(at(expires)), ..service(name, &[]) }
}

fn rotate(id: &str, text: &str, overlap_seconds: u64) -> Command {
    let secret = secret(text);
    Command::RotateCredential(RotateCredential { id: id.to_owned(), secret, overlap_seconds })
}

fn revoke(id: &str) -> Command {
    Command::RevokeCredential(RevokeCredential { id: id.to_owned() })
}

/// A history of commands, each decided twice. Every state keeps the invariants.
#[derive(Clone)]
struct Story {
    state: State,
    now: i64,
    actor: String,
    home: Option<String>,
    tenant: String,
    commands: u32,
    timers: BTreeSet<(String, Timestamp)>,
}

impl Story {
    /// Nobody is there yet; somebody of the provider acts.
    fn new() -> Self {
        Self {
            state: State::default(),
            now: 1,
            actor: "operator".to_owned(),
            home: None,
            tenant: "acme".to_owned(),
            commands: 0,
            timers: BTreeSet::new(),
        }
    }

    /// The members `ann`, who owns the tenant, and `ben`, its admin.
    fn begun() -> Self {
        Self::new()
            .given(&add("ann"))
            .given(&add("ben"))
            .given(&grant(member("ann"), "owner"))
            .given(&grant(member("ben"), "admin"))
    }

    fn by(mut self, actor: &str) -> Self {
        actor.clone_into(&mut self.actor);
        self.home = None;
        self
    }

    /// Somebody of whom the gateway knows where they belong.
    fn by_of(mut self, actor: &str, home: &str) -> Self {
        actor.clone_into(&mut self.actor);
        self.home = Some(home.to_owned());
        self
    }

    fn ctx(&mut self) -> Ctx {
        self.commands += 1;
        let id = format!("c-{}", self.commands);
        Ctx {
            now: at(self.now),
            recorded_at: at(self.now),
            claimed_at: at(self.now),
            tenant: TenantId::parse(self.tenant.as_str()).unwrap(),
            actor: actor(&self.actor),
            home: self.home.as_deref().map(|home| TenantId::parse(home).unwrap()),
            command_id: CommandId::parse(id.as_str()).unwrap(),
            identity: Identity::of(&self.tenant, "api", &id),
        }
    }

    fn decide(&mut self, command: &Command) -> Result<Vec<Event>, Rejection> {
        let ctx = self.ctx();
        let decided = Access::decide(&self.state, command, &ctx);
        assert_eq!(decided, Access::decide(&self.state, command, &ctx));
        let events = decided?;
        let before = self.state.clone();
        self.take(&events);
        let shown = shown(&before, &self.state, command);
        assert!(!shown.resource_id.is_empty() || shown.resource_type == "addresses");
        assert_ne!(shown.before, shown.after, "{command:?}");
        let text = format!("{}{}", shown.before.canonical(), shown.after.canonical());
        for credential in self.state.credentials.values() {
            assert!(!text.contains(&credential.secret.hash.to_hex()), "a hash is shown");
        }
        let is_silent = matches!(command, Command::ErasePerson(_) | Command::FireTimer(_));
        let reply = reply(&before, &self.state, command, &events);
        assert_eq!(reply == Reply::Nothing, is_silent, "{command:?}");
        Ok(events)
    }

    /// Takes events over, and their timers as the tenant root does.
    fn take(&mut self, events: &[Event]) {
        for event in events {
            Access::evolve(&mut self.state, event, at(self.now));
            for fact in facts(event) {
                match fact {
                    Fact::TimerSet { id, due } => assert!(self.timers.insert((id, due))),
                    Fact::TimerCleared { id, .. } => {
                        let before = self.timers.len();
                        self.timers.retain(|it| it.0 != id);
                        assert_eq!(self.timers.len() + 1, before, "{id} was not pending");
                    }
                    _ => {}
                }
            }
        }
        invariants::check(&self.state).unwrap();
    }

    fn given(mut self, command: &Command) -> Self {
        let decided = self.decide(command);
        assert!(decided.is_ok(), "{command:?}: {decided:?}");
        self
    }

    fn refuses(&mut self, command: &Command) -> &'static str {
        let rejection = self.decide(command).unwrap_err();
        assert!(!rejection.message().is_empty());
        rejection.code()
    }

    /// Time passes, and what falls due is decided at its instant.
    fn until(mut self, seconds: i64) -> Self {
        while let Some((timer, due)) =
            self.timers.iter().filter(|it| it.1 <= at(seconds)).min_by_key(|it| it.1).cloned()
        {
            self.now = due.micros() / 1_000_000;
            let command = timer_command(&timer);
            let ctx = self.ctx();
            let events = Access::decide(&self.state, &command, &ctx).unwrap();
            let before = self.state.clone();
            self.take(&events);
            let shown = shown(&before, &self.state, &command);
            assert_ne!(shown.before, shown.after);
        }
        self.now = seconds;
        self
    }

    fn may(&self, who: &Principal, word: &str) -> bool {
        let permission = Permission::parse(word).unwrap();
        policy(&self.state).decide(who, permission, &Target::default(), at(self.now)).allowed
    }

    fn grant_of(&self, principal: &Principal, role: &str) -> String {
        let mut grants = self.state.grants_of(principal);
        grants.find(|it| it.role.as_str() == role).unwrap().id.clone()
    }

    fn credential(&self, name: &str) -> &Credential {
        self.state.credentials.values().find(|it| it.name == name).unwrap()
    }
}
