//! Access control in the tenant's stream: what a grant names is looked up, what ends is
//! decided in time, and a closed tenant accepts no credential.

use exchequer_access::{Principal, Scope};
use exchequer_domain_access as access;
use exchequer_domain_flags as flags;
use exchequer_types::{Hash, Slug};

use super::*;

fn slug(text: &str) -> Slug {
    Slug::parse(text).unwrap()
}

fn add(id: &str) -> Command {
    let member = ActorId::parse(id).unwrap();
    Command::Access(access::Command::AddMember(access::AddMember {
        member,
        name: None,
        email: None,
    }))
}

fn give(scope: Scope, expires: Option<i64>) -> Command {
    Command::Access(access::Command::GrantRole(access::GrantRole {
        principal: Principal::Member(ActorId::parse("ann").unwrap()),
        role: slug("viewer"),
        scope,
        expires_at: expires.map(at),
    }))
}

fn key(project: &str, expires: Option<i64>) -> Command {
    let (project, environment) = (slug(project), slug("live"));
    let kind = access::CredentialKind::ClientSdk { project, environment };
    Command::Access(access::Command::CreateCredential(access::CreateCredential {
        kind,
        name: "page".to_owned(),
        secret: access::Secret { hash: Hash::blake3(b"page"), hint: "abcd".to_owned() },
        grants: Vec::new(),
        expires_at: expires.map(at),
        addresses: Vec::new(),
        requests_per_minute: None,
    }))
}

fn web() -> [Command; 2] {
    let project = flags::CreateProject { project: slug("web"), name: "Web".to_owned() };
    let environment = flags::CreateEnvironment {
        project: slug("web"),
        environment: slug("live"),
        name: "Live".to_owned(),
        dialect: flags::Dialect::default(),
        salt: None,
        production: true,
    };
    [
        Command::Flags(flags::Command::CreateProject(project)),
        Command::Flags(flags::Command::CreateEnvironment(environment)),
    ]
}

/// A tenant with an environment and the member `ann`.
fn begun(test_clock: Option<Timestamp>) -> Stream {
    let [project, environment] = web();
    let mut stream = Stream::default();
    for (number, command) in
        [create_with(test_clock), project, environment, add("ann")].into_iter().enumerate()
    {
        let decided = decide(&stream, &format!("b-{number}"), command, 10);
        assert_eq!(decided.status, Status::Accepted);
        stream = decided.stream;
    }
    stream
}

fn refused(stream: &Stream, command: Command) -> String {
    decide(stream, "c-1", command, 20).rejection.unwrap().code
}

// REQ: IAM-10
#[test]
fn what_a_grant_or_a_key_is_for_must_be_there() {
    assert_eq!(refused(&Stream::default(), give(Scope::tenant(), None)), "TENANT_NOT_FOUND");
    let stream = begun(None);
    let scope = |environment: Option<&str>, flag: Option<&str>| {
        Scope::new(Some(slug("web")), environment.map(slug), flag.map(slug)).unwrap()
    };
    assert_eq!(refused(&stream, give(Scope::project(slug("app")), None)), "PROJECT_NOT_FOUND");
    assert_eq!(refused(&stream, give(scope(Some("qa"), None), None)), "ENVIRONMENT_NOT_FOUND");
    assert_eq!(refused(&stream, give(scope(None, Some("search")), None)), "FLAG_NOT_FOUND");
    assert_eq!(refused(&stream, key("app", None)), "PROJECT_NOT_FOUND");
    let given = decide(&stream, "c-1", give(scope(Some("live"), None), None), 20);
    assert_eq!(given.status, Status::Accepted);
    assert_eq!(given.version, given.stream.access.version);
}

// REQ: KER-09
#[test]
fn a_grant_ends_at_its_instant_before_a_later_command() {
    let given = decide(&begun(None), "c-1", give(Scope::tenant(), Some(100)), 20);
    assert_eq!(given.stream.timers.len(), 1);
    let later = decide(&given.stream, "c-2", add("ben"), 500);
    assert_eq!(later.events[0].at, at(100));
    assert!(matches!(later.events[0].event, Event::Access(access::Event::GrantExpired { .. })));
    assert!(later.stream.timers.is_empty() && later.stream.access.grants.is_empty());
    assert!(later.leaves[0].json.contains("\"action\":\"role.expired\""));
}

// REQ: IAM-13
#[test]
fn a_closed_tenant_accepts_no_credential() {
    let made = decide(&begun(None), "c-1", key("web", Some(900)), 20);
    let close = tenants::Command::Close(tenants::Close { reason: "gone".to_owned() });
    let closed = decide(&made.stream, "c-2", Command::Tenants(close), 30);
    let page = closed.stream.access.credentials.values().next().unwrap();
    assert!(!page.accepts(&Hash::blake3(b"page"), at(31)));
    assert!(closed.stream.timers.is_empty());
    assert_eq!(refused(&closed.stream, add("ben")), "TENANT_CLOSED");
}

// REQ: BIL-30
#[test]
fn nothing_of_access_falls_due_in_a_sandbox() {
    let made = decide(&begun(Some(at(1_000))), "c-1", key("web", Some(900)), 20);
    assert_eq!(made.status, Status::Accepted, "900 lies in the future of the world");
    assert!(made.stream.timers.is_empty());
    let moved = decide(&made.stream, "c-2", advance(5_000), 30);
    let page = moved.stream.access.credentials.values().next().unwrap();
    assert!(page.ended.is_none() && page.accepts(&Hash::blake3(b"page"), at(899)));
}
