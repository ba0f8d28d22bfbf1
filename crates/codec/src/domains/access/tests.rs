//! State and messages: what goes in comes out, and what cannot have gone in is refused.

use exchequer_access::{AddressRange, BuiltIn, Principal, Scope};
use exchequer_domain_access::{
    Access, Cause, CredentialKind, Event, Expiry, Secret, State, reply as domain_reply,
};
use exchequer_kernel::Decider as _;
use exchequer_proto::access::v1 as pb;
use exchequer_types::{ActorId, Hash, KeyId, Protected, Slug, Timestamp};

use super::*;

fn at(seconds: i64) -> Timestamp {
    Timestamp::saturating_from_micros(seconds * 1_000_000)
}

fn word(text: &str) -> Slug {
    Slug::parse(text).unwrap()
}

fn person(text: &str) -> ActorId {
    ActorId::parse(text).unwrap()
}

fn expiry(timer: &str, seconds: i64) -> Expiry {
    Expiry { at: at(seconds), timer: timer.to_owned() }
}

fn made(id: &str, kind: CredentialKind) -> Event {
    Event::CredentialCreated {
        id: id.to_owned(),
        kind,
        name: id.to_uppercase(),
        secret: Secret { hash: Hash::blake3(id.as_bytes()), hint: "abcd".to_owned() },
        expiry: Some(expiry("tma_e", 500)),
        addresses: vec![AddressRange::parse("192.0.2.0/24").unwrap()],
        requests_per_minute: Some(7),
    }
}

fn given(id: &str, principal: Principal, scope: Scope) -> Event {
    let role = word(BuiltIn::Viewer.as_str());
    Event::RoleGranted {
        id: id.to_owned(),
        principal,
        role,
        scope,
        expiry: Some(expiry("tma_g", 90)),
    }
}

/// Everything that a state can hold.
fn full() -> State {
    let said = |byte| Some(Protected { key: KeyId([byte; 16]), text: vec![byte; 9] });
    let (project, environment) = (word("web"), word("live"));
    let flag = Scope::new(Some(word("web")), None, Some(word("search"))).unwrap();
    let events = [
        Event::Bootstrapped { credential: "crd_a".to_owned() },
        Event::MemberAdded { member: person("ann"), name: said(1), email: said(2) },
        Event::MemberAdded { member: person("ben"), name: None, email: None },
        Event::MemberRemoved { member: person("ben"), teams: Vec::new() },
        Event::TeamCreated {
            team: word("inner"),
            name: "Inner".to_owned(),
            members: [person("ann")].into(),
            teams: [].into(),
        },
        Event::TeamCreated {
            team: word("outer"),
            name: "Outer".to_owned(),
            members: [].into(),
            teams: [word("inner")].into(),
        },
        Event::RoleCreated {
            role: word("mine"),
            name: "Mine".to_owned(),
            permissions: [exchequer_access::Permission::FlagsRead].into(),
        },
        made("crd_a", CredentialKind::Service),
        made("crd_b", CredentialKind::Personal { owner: person("ann") }),
        made("crd_c", CredentialKind::ClientSdk { project, environment }),
        given("rgr_a", Principal::Member(person("ann")), Scope::tenant()),
        given("rgr_b", Principal::Team(word("outer")), flag),
        given("rgr_c", Principal::Credential("crd_a".to_owned()), Scope::project(word("web"))),
        Event::CredentialRotated {
            id: "crd_a".to_owned(),
            secret: Secret { hash: Hash([9; 32]), hint: "wxyz".to_owned() },
            overlap: Some(expiry("tma_o", 60)),
            timer: None,
            dropped: Vec::new(),
        },
        Event::CredentialRevoked {
            id: "crd_c".to_owned(),
            cause: Cause::Asked,
            timers: vec!["tma_e".to_owned()],
        },
        Event::AddressesSet { addresses: vec![AddressRange::parse("2001:db8::/32").unwrap()] },
        Event::PersonErased { subject: person("ben"), keys: [KeyId([3; 16])].into() },
    ];
    let mut state = State::default();
    for (seconds, event) in (1..).zip(&events) {
        Access::evolve(&mut state, event, at(seconds));
    }
    state
}

// REQ: KER-14
#[test]
fn a_state_comes_back_as_it_was() {
    let state = full();
    assert_eq!(state_from_proto(state_to_proto(&state)), Ok(state));
    assert_eq!(state_from_proto(state_to_proto(&State::default())), Ok(State::default()));
}

#[test]
fn a_damaged_state_is_refused() {
    let damage: [fn(&mut pb::State); 8] = [
        |it| it.members[0].id = String::new(),
        |it| it.erased[0] = vec![1; 15],
        |it| it.roles[0].permissions[0] = "flags.fly".to_owned(),
        |it| it.grants[0].principal = None,
        |it| it.grants[1].scope = Some(pb::Scope { flag: "f".to_owned(), ..Default::default() }),
        |it| it.credentials[0].secret = None,
        |it| it.credentials[0].previous.as_mut().unwrap().until = None,
        |it| it.addresses[0] = "2001:db8::/129".to_owned(),
    ];
    for (number, damage) in damage.iter().enumerate() {
        let mut state = state_to_proto(&full());
        damage(&mut state);
        assert!(state_from_proto(state).is_err(), "{number}");
    }
}

// REQ: IAM-12
#[test]
fn messages_show_all_but_secrets_and_persons() {
    let state = full();
    let message = credential_message(&state.credentials["crd_a"], 17);
    assert_eq!((message.kind, message.status), (1, 1));
    assert_eq!((message.hint.as_str(), message.version), ("wxyz", 17));
    assert_eq!(message.networks, ["192.0.2.0/24"]);
    assert_eq!(message.overlap_ends_at.unwrap().seconds, 60);
    let ended = credential_message(&state.credentials["crd_c"], 17);
    assert_eq!((ended.status, ended.revoked_at.unwrap().seconds), (3, 15));
    assert_eq!((ended.project.as_str(), ended.environment.as_str()), ("web", "live"));
    let owned = credential_message(&state.credentials["crd_b"], 17);
    assert_eq!(owned.owner, "ann");
    let ann = member_message(&state.members[&person("ann")], 17);
    assert_eq!((ann.name.as_str(), ann.email.as_str()), ("", ""));
    let grant = role_grant_message(&state.grants["rgr_b"], 17);
    assert_eq!(grant.scope.unwrap().flag, "search");
    assert_eq!(role_grant_message(&state.grants["rgr_a"], 17).scope, None);
}

#[test]
fn a_reply_is_the_message_of_what_was_changed() {
    let (before, mut after) = (full(), full());
    let revoked = Event::RoleRevoked { id: "rgr_a".to_owned(), timer: None };
    Access::evolve(&mut after, &revoked, at(99));
    let command = C::RevokeRole(access::RevokeRole { id: "rgr_a".to_owned() });
    let reply = domain_reply(&before, &after, &command, &[revoked]);
    let read = pb::Grant::decode(encode_reply(&reply).as_slice()).unwrap();
    assert_eq!((read.id.as_str(), read.version), ("rgr_a", after.version));
}
