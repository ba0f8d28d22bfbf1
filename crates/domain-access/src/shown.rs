//! How the audit log tells of a command: what it was about, before and after it. A hash of
//! a secret is never shown, and what is said of a person only by its key and a digest.

use exchequer_access::{AddressRange, Principal};
use exchequer_kernel::Shown;
use exchequer_types::{ActorId, Hash, Json, Protected, Slug, Timestamp};

use crate::{Command, Credential, Grant, Member, Role, State, Team};

/// How the audit log tells of `command`.
pub fn shown(before: &State, after: &State, command: &Command) -> Shown {
    let (action, what) = match command {
        Command::Bootstrap(_) => ("access.bootstrapped", new_credential(before, after)),
        Command::AddMember(it) => ("member.added", About::Member(&it.member)),
        Command::UpdateMember(it) => ("member.updated", About::Member(&it.member)),
        Command::RemoveMember(it) => ("member.removed", About::Member(&it.member)),
        Command::CreateTeam(it) => ("team.created", About::Team(&it.team)),
        Command::UpdateTeam(it) => ("team.updated", About::Team(&it.team)),
        Command::DeleteTeam(it) => ("team.deleted", About::Team(&it.team)),
        Command::CreateRole(it) => ("role.created", About::Role(&it.role)),
        Command::UpdateRole(it) => ("role.updated", About::Role(&it.role)),
        Command::DeleteRole(it) => ("role.deleted", About::Role(&it.role)),
        Command::GrantRole(_) => ("role.granted", new_grant(before, after)),
        Command::RevokeRole(it) => ("role.revoked", About::Grant(&it.id)),
        Command::SetAddresses(_) => ("addresses.set", About::Addresses),
        Command::CreateCredential(_) => ("credential.created", new_credential(before, after)),
        Command::UpdateCredential(it) => ("credential.updated", About::Credential(&it.id)),
        Command::RotateCredential(it) => ("credential.rotated", About::Credential(&it.id)),
        Command::RevokeCredential(it) => ("credential.revoked", About::Credential(&it.id)),
        Command::ErasePerson(it) => ("person.erased", About::Person(&it.subject)),
        Command::FireTimer(it) => due(before, &it.timer),
    };
    let (resource_type, resource_id) = what.resource();
    Shown {
        action,
        resource_type,
        resource_id: resource_id.to_owned(),
        before: what.in_state(before),
        after: what.in_state(after),
    }
}

/// What a command is about.
#[derive(Clone, Copy)]
enum About<'a> {
    Member(&'a ActorId),
    Team(&'a Slug),
    Role(&'a Slug),
    Grant(&'a str),
    Credential(&'a str),
    Addresses,
    Person(&'a ActorId),
}

impl<'a> About<'a> {
    fn resource(self) -> (&'static str, &'a str) {
        match self {
            Self::Member(id) => ("member", id.as_str()),
            Self::Team(key) => ("team", key.as_str()),
            Self::Role(key) => ("role", key.as_str()),
            Self::Grant(id) => ("role-grant", id),
            Self::Credential(id) => ("credential", id),
            Self::Addresses => ("addresses", ""),
            Self::Person(id) => ("person", id.as_str()),
        }
    }

    /// Null when it is not there.
    fn in_state(self, state: &State) -> Json {
        let found = match self {
            Self::Member(id) => state.members.get(id).map(|it| it.to_json(state)),
            Self::Team(key) => state.teams.get(key).map(|it| it.to_json()),
            Self::Role(key) => state.roles.get(key).map(|it| it.to_json()),
            Self::Grant(id) => state.grants.get(id).map(|it| it.to_json()),
            Self::Credential(id) => state.credentials.get(id).map(|it| it.to_json(state)),
            Self::Addresses => Some(addresses(&state.addresses)),
            Self::Person(id) => Some(Json::object([
                ("erased_keys", count(state.erased.len())),
                ("is_member", Json::Bool(state.members.contains_key(id))),
            ])),
        };
        found.unwrap_or(Json::Null)
    }
}

fn new_grant<'a>(before: &State, after: &'a State) -> About<'a> {
    let id = after.grants.keys().find(|id| !before.grants.contains_key(*id));
    About::Grant(id.map_or("", String::as_str))
}

fn new_credential<'a>(before: &State, after: &'a State) -> About<'a> {
    let id = after.credentials.keys().find(|id| !before.credentials.contains_key(*id));
    About::Credential(id.map_or("", String::as_str))
}

/// What ended by itself.
fn due<'a>(before: &'a State, timer: &str) -> (&'static str, About<'a>) {
    let grant = before
        .grants
        .values()
        .find(|grant| grant.expiry.as_ref().is_some_and(|expiry| expiry.timer == timer));
    if let Some(grant) = grant {
        return ("role.expired", About::Grant(&grant.id));
    }
    let of_overlap = |it: &&Credential| {
        it.previous.as_ref().is_some_and(|previous| previous.until.timer == timer)
    };
    if let Some(credential) = before.open_credentials().find(of_overlap) {
        return ("credential.overlap-ended", About::Credential(&credential.id));
    }
    let credential = before.open_credentials().find(|it| it.timers().any(|it| it == timer));
    ("credential.expired", About::Credential(credential.map_or("", |it| &it.id)))
}

impl Member {
    /// As audit entries show it before and after a change, with its grants and
    /// personal tokens.
    fn to_json(&self, state: &State) -> Json {
        let principal = Principal::Member(self.id.clone());
        let tokens = state.open_credentials().filter(|it| it.kind.owner() == Some(&self.id));
        Json::object([
            ("email", self.email.as_ref().map_or(Json::Null, protected)),
            ("grants", grants(state, &principal)),
            ("id", Json::text(self.id.as_str())),
            ("name", self.name.as_ref().map_or(Json::Null, protected)),
            ("tokens", list(tokens.map(|it| it.id.as_str()))),
        ])
    }
}

impl Team {
    fn to_json(&self) -> Json {
        Json::object([
            ("key", Json::text(self.key.as_str())),
            ("members", list(self.members.iter().map(ActorId::as_str))),
            ("name", Json::text(&self.name)),
            ("teams", list(self.teams.iter().map(Slug::as_str))),
        ])
    }
}

impl Role {
    fn to_json(&self) -> Json {
        Json::object([
            ("key", Json::text(self.key.as_str())),
            ("name", Json::text(&self.name)),
            ("permissions", list(self.permissions.iter().map(|it| it.as_str()))),
        ])
    }
}

impl Grant {
    fn to_json(&self) -> Json {
        let principal = match &self.principal {
            Principal::Member(id) => format!("member {id}"),
            Principal::Team(key) => format!("team {key}"),
            Principal::Credential(id) => format!("credential {id}"),
        };
        Json::object([
            ("expires_at", instant(self.expires_at())),
            ("id", Json::text(&self.id)),
            ("principal", Json::Text(principal)),
            ("role", Json::text(self.role.as_str())),
            ("scope", Json::text(self.scope.to_string())),
        ])
    }
}

impl Credential {
    /// With its grants, and without what its secret could be guessed by.
    fn to_json(&self, state: &State) -> Json {
        let part = |text: Option<&Slug>| text.map_or(Json::Null, |it| Json::text(it.as_str()));
        let environment = self.kind.environment();
        let rate = self.requests_per_minute.map_or(Json::Null, |it| Json::Int(i64::from(it)));
        let owner = self.kind.owner().map_or(Json::Null, |it| Json::text(it.as_str()));
        Json::object([
            ("addresses", addresses(&self.addresses)),
            ("ended_at", instant(self.ended.map(|it| it.at))),
            ("ended_by", self.ended.map_or(Json::Null, |it| Json::text(it.by.word()))),
            ("environment", part(environment.map(|it| it.1))),
            ("expires_at", instant(self.expiry.as_ref().map(|it| it.at))),
            ("grants", grants(state, &Principal::Credential(self.id.clone()))),
            ("hint", Json::text(&self.secret.hint)),
            ("id", Json::text(&self.id)),
            ("kind", Json::text(self.kind.word())),
            ("name", Json::text(&self.name)),
            ("overlap_ends_at", instant(self.previous.as_ref().map(|it| it.until.at))),
            ("owner", owner),
            ("project", part(environment.map(|it| it.0))),
            ("requests_per_minute", rate),
            ("rotated_at", instant(self.rotated_at)),
        ])
    }
}

/// An encrypted field: enough to see that it changed, and under which key it is.
fn protected(it: &Protected) -> Json {
    let digest = Hash::blake3(&it.text).to_hex();
    Json::object([("digest", Json::Text(digest)), ("key", Json::text(it.key.to_string()))])
}

fn grants(state: &State, principal: &Principal) -> Json {
    let line = |grant: &Grant| format!("{} of {}", grant.role, grant.scope);
    Json::List(state.grants_of(principal).map(|it| Json::Text(line(it))).collect())
}

fn addresses(addresses: &[AddressRange]) -> Json {
    Json::List(addresses.iter().map(|it| Json::text(it.to_string())).collect())
}

fn list<'a>(texts: impl Iterator<Item = &'a str>) -> Json {
    Json::List(texts.map(Json::text).collect())
}

fn instant(at: Option<Timestamp>) -> Json {
    at.map_or(Json::Null, |at| Json::text(at.to_string()))
}

fn count(count: usize) -> Json {
    Json::Int(i64::try_from(count).unwrap_or(i64::MAX))
}
