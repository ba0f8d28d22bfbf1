//! Examples of the access domain's types.

use std::collections::BTreeSet;

use exchequer_access::{AddressRange, Permission, Principal, Scope};
use exchequer_domain_access::{
    AddMember, Bootstrap, Cause, Command as C, CreateCredential, CreateRole, CreateTeam,
    CredentialKind, DeleteRole, DeleteTeam, ErasePerson, Event as E, Expiry, Giving, GrantRole,
    RemoveMember, RevokeCredential, RevokeRole, RotateCredential, Secret, SetAddresses,
    UpdateCredential, UpdateMember, UpdateRole, UpdateTeam,
};
use exchequer_tenant::{Command, Event};
use exchequer_types::{ActorId, Hash, KeyId, Protected, Slug};

use crate::tenants::at;

const GRANT: &str = "rgr_abcdefghijklmnopqrstuvwxyz";
const CREDENTIAL: &str = "crd_abcdefghijklmnopqrstuvwxyz";
const TIMER: &str = "tma_abcdefghijklmnopqrstuvwxyz";

fn slug(text: &str) -> Slug {
    Slug::parse(text).unwrap()
}

fn slugs(texts: &[&str]) -> BTreeSet<Slug> {
    texts.iter().map(|it| slug(it)).collect()
}

fn actor(text: &str) -> ActorId {
    ActorId::parse(text).unwrap()
}

fn actors(texts: &[&str]) -> BTreeSet<ActorId> {
    texts.iter().map(|it| actor(it)).collect()
}

fn permissions(words: &[&str]) -> BTreeSet<Permission> {
    words.iter().map(|it| Permission::parse(it).unwrap()).collect()
}

fn protected(byte: u8) -> Protected {
    Protected { key: KeyId([0xa7; 16]), text: vec![byte; 40] }
}

fn secret() -> Secret {
    Secret { hash: Hash([0x5e; 32]), hint: "h1nT".to_owned() }
}

fn expiry() -> Expiry {
    Expiry { at: at(), timer: TIMER.to_owned() }
}

fn addresses() -> Vec<AddressRange> {
    ["192.0.2.0/24", "2001:db8::1"].map(|it| AddressRange::parse(it).unwrap()).into()
}

fn scope() -> Scope {
    Scope::new(Some(slug("web")), Some(slug("live")), Some(slug("search"))).unwrap()
}

fn keys() -> BTreeSet<KeyId> {
    BTreeSet::from([KeyId([1; 16]), KeyId([2; 16])])
}

/// One event of each type, every field filled.
pub(crate) fn events() -> Vec<Event> {
    let [persons, credentials] = [of_persons(), of_credentials()];
    persons.into_iter().chain(credentials).map(Event::Access).collect()
}

fn of_persons() -> Vec<E> {
    let (team, role, name) = (|| slug("web"), || slug("toggler"), || "Its name".to_owned());
    let both = || permissions(&["flags.read", "flags.toggle"]);
    vec![
        E::Bootstrapped { credential: CREDENTIAL.to_owned() },
        E::MemberAdded {
            member: actor("u-1"),
            name: Some(protected(1)),
            email: Some(protected(2)),
        },
        E::MemberUpdated {
            member: actor("u-1"),
            name: Some(protected(3)),
            email: Some(protected(4)),
        },
        E::MemberRemoved { member: actor("u-1"), teams: vec![slug("a"), slug("b")] },
        E::TeamCreated {
            team: team(),
            name: name(),
            members: actors(&["u-1", "u-2"]),
            teams: slugs(&["inner"]),
        },
        E::TeamUpdated {
            team: team(),
            name: Some(name()),
            added: actors(&["u-1"]),
            removed: actors(&["u-2"]),
            added_teams: slugs(&["a"]),
            removed_teams: slugs(&["b"]),
        },
        E::TeamDeleted { team: team(), parents: vec![slug("outer")] },
        E::RoleCreated { role: role(), name: name(), permissions: both() },
        E::RoleUpdated { role: role(), name: name(), permissions: both() },
        E::RoleDeleted { role: role() },
        E::RoleGranted {
            id: GRANT.to_owned(),
            principal: Principal::Team(team()),
            role: role(),
            scope: scope(),
            expiry: Some(expiry()),
        },
        E::RoleRevoked { id: GRANT.to_owned(), timer: Some(TIMER.to_owned()) },
        E::GrantExpired { id: GRANT.to_owned(), timer: TIMER.to_owned() },
        E::AddressesSet { addresses: addresses() },
        E::PersonErased { subject: actor("u-1"), keys: keys() },
    ]
}

fn of_credentials() -> Vec<E> {
    let id = || CREDENTIAL.to_owned();
    let timer = || Some(TIMER.to_owned());
    vec![
        E::CredentialCreated {
            id: id(),
            kind: CredentialKind::ServerSdk { project: slug("web"), environment: slug("live") },
            name: "Checkout".to_owned(),
            secret: secret(),
            expiry: Some(expiry()),
            addresses: addresses(),
            requests_per_minute: Some(600),
        },
        E::CredentialUpdated {
            id: id(),
            name: "Checkout".to_owned(),
            expiry: Some(expiry()),
            addresses: addresses(),
            requests_per_minute: Some(600),
            moved: true,
            timer: timer(),
        },
        E::CredentialRotated {
            id: id(),
            secret: secret(),
            overlap: Some(expiry()),
            timer: timer(),
            dropped: vec![Hash([6; 32])],
        },
        E::CredentialOverlapEnded { id: id(), timer: TIMER.to_owned(), dropped: Hash([6; 32]) },
        E::CredentialExpired { id: id(), timer: TIMER.to_owned(), overlap: timer() },
        E::CredentialRevoked {
            id: id(),
            cause: Cause::OwnerRemoved,
            timers: vec![TIMER.to_owned()],
        },
        E::Closed { timers: vec![TIMER.to_owned()] },
    ]
}

/// One command of each type, every field filled.
pub(crate) fn commands() -> Vec<Command> {
    let all = commands_of_roles().into_iter().chain(commands_of_credentials());
    all.map(Command::Access).collect()
}

fn commands_of_roles() -> Vec<C> {
    let (team, role, name) = (|| slug("web"), || slug("toggler"), || "Its name".to_owned());
    let member = || actor("u-1");
    vec![
        C::Bootstrap(Bootstrap { secret: secret() }),
        C::AddMember(AddMember {
            member: member(),
            name: Some(protected(1)),
            email: Some(protected(2)),
        }),
        C::UpdateMember(UpdateMember {
            member: member(),
            name: Some(Some(protected(3))),
            email: Some(None),
        }),
        C::RemoveMember(RemoveMember { member: member() }),
        C::CreateTeam(CreateTeam {
            team: team(),
            name: name(),
            members: actors(&["u-1", "u-2"]),
            teams: slugs(&["inner"]),
        }),
        C::UpdateTeam(UpdateTeam {
            team: team(),
            name: Some(name()),
            add_members: actors(&["u-1"]),
            remove_members: actors(&["u-2"]),
            add_teams: slugs(&["a"]),
            remove_teams: slugs(&["b"]),
        }),
        C::DeleteTeam(DeleteTeam { team: team() }),
        C::CreateRole(CreateRole {
            role: role(),
            name: name(),
            permissions: permissions(&["flags.read", "flags.toggle"]),
        }),
        C::UpdateRole(UpdateRole {
            role: role(),
            name: Some(name()),
            add_permissions: permissions(&["flags.edit"]),
            remove_permissions: permissions(&["flags.toggle"]),
        }),
        C::DeleteRole(DeleteRole { role: role() }),
        C::GrantRole(GrantRole {
            principal: Principal::Credential(CREDENTIAL.to_owned()),
            role: role(),
            scope: scope(),
            expires_at: Some(at()),
        }),
        C::RevokeRole(RevokeRole { id: GRANT.to_owned() }),
    ]
}

fn commands_of_credentials() -> Vec<C> {
    let (name, id) = (|| "Its name".to_owned(), || CREDENTIAL.to_owned());
    vec![
        C::SetAddresses(SetAddresses { addresses: addresses() }),
        C::CreateCredential(CreateCredential {
            kind: CredentialKind::Service,
            name: name(),
            secret: secret(),
            grants: vec![Giving { role: slug("toggler"), scope: scope() }],
            expires_at: Some(at()),
            addresses: addresses(),
            requests_per_minute: Some(600),
        }),
        C::UpdateCredential(UpdateCredential {
            id: id(),
            name: Some(name()),
            expires_at: Some(at()),
            addresses: Some(addresses()),
            requests_per_minute: Some(Some(600)),
        }),
        C::RotateCredential(RotateCredential {
            id: id(),
            secret: secret(),
            overlap_seconds: 3_600,
        }),
        C::RevokeCredential(RevokeCredential { id: id() }),
        C::ErasePerson(ErasePerson { subject: actor("u-1"), keys: keys() }),
    ]
}
