//! The root as a whole: routing, following, timers before commands, the audit
//! chain, parking.

mod access;
mod quotas;
mod scheduled;

use std::collections::BTreeMap;
use std::sync::Arc;

use exchequer_domain_audit as audit;
use exchequer_domain_tenants as tenants;
use exchequer_kernel::Status;
use exchequer_types::{
    ActorId, CommandId, Hash, ProviderProfile, StreamId, TenantId, TenantStatus, Timestamp,
};
use sha2::{Digest as _, Sha256};

use crate::*;

fn at(seconds: i64) -> Timestamp {
    Timestamp::saturating_from_micros(seconds * 1_000_000)
}

fn request(id: &str, command: Command) -> Request {
    Request {
        stream: StreamId::parse("acme").unwrap(),
        issuer: "api".to_owned(),
        id: CommandId::parse(id).unwrap(),
        actor: ActorId::parse("u-1").unwrap(),
        home: None,
        claimed_at: at(1),
        expected_version: None,
        validate_only: false,
        origin: None,
        command,
    }
}

fn reference() -> Reference {
    let mut state = tenants::State::default();
    state.adopted.adopt(ProviderProfile {
        id: TenantId::platform(),
        version: 1,
        parent: None,
        depth: 0,
        status: TenantStatus::Active,
        settings: BTreeMap::new(),
    });
    Reference { tenants: Arc::new(state), ..Reference::default() }
}

fn create_with(test_clock: Option<Timestamp>) -> Command {
    Command::Create(Create {
        parent: TenantId::platform(),
        name: "Acme".to_owned(),
        settings: BTreeMap::new(),
        test_clock,
    })
}

fn create() -> Command {
    create_with(None)
}

fn decide(stream: &Stream, id: &str, command: Command, now: i64) -> Decision {
    let request = request(id, command);
    let once = step(stream, &request, &reference(), at(now)).unwrap();
    let twice = step(stream, &request, &reference(), at(now)).unwrap();
    assert_eq!((&once.events, &once.leaves), (&twice.events, &twice.leaves));
    once
}

fn schedule(seconds: i64) -> Command {
    Command::Tenants(tenants::Command::ScheduleClosing(tenants::ScheduleClosing {
        at: at(seconds),
    }))
}

fn rename(name: &str) -> Command {
    Command::Tenants(tenants::Command::Rename(tenants::Rename { name: name.to_owned() }))
}

// REQ: KER-05
#[test]
fn each_change_has_its_entry_in_a_chain() {
    let created = decide(&Stream::default(), "c-1", create(), 10);
    let renamed = decide(&created.stream, "c-2", rename("B"), 20);
    let first = &created.leaves[0].json;
    let second = &renamed.leaves[0].json;
    assert!(first.contains(&format!("\"prev\":\"{}\"", Hash::ZERO)));
    let digest = Hash(Sha256::digest(first.as_bytes()).into());
    assert!(second.contains(&format!("\"prev\":\"{digest}\"")));
    assert!(second.contains(
        "\"before\":{\"clock\":null,\"closes_at\":null,\"id\":\"acme\",\"name\":\"Acme\""
    ));
    assert!(
        second.contains(
            "\"after\":{\"clock\":null,\"closes_at\":null,\"id\":\"acme\",\"name\":\"B\""
        )
    );
    assert!(second.contains("\"seq\":2"));
}

// REQ: KER-09
#[test]
fn a_due_timer_is_decided_before_a_later_command() {
    let created = decide(&Stream::default(), "c-1", create(), 10);
    let scheduled = decide(&created.stream, "c-2", schedule(100), 20);
    assert_eq!(scheduled.stream.timers.len(), 1);
    let late = decide(&scheduled.stream, "c-3", rename("B"), 105);
    assert_eq!(late.status, Status::Rejected);
    assert_eq!(late.rejection.unwrap().code, "TENANT_CLOSED");
    assert_eq!(late.events[0].at, at(100), "decided at its due instant");
    assert!(late.events.iter().all(|decided| decided.timer.is_some()));
    assert!(late.leaves[0].json.contains("\"recorded\":\"1970-01-01T00:01:40Z\""));
    assert!(late.stream.timers.is_empty());
}

// REQ: KER-04
#[test]
fn a_stale_version_is_told_the_current_one() {
    let created = decide(&Stream::default(), "c-1", create(), 10);
    let renamed = decide(&created.stream, "c-2", rename("B"), 20);
    let mut stale = request("c-3", rename("C"));
    stale.expected_version = Some(1);
    let told = step(&renamed.stream, &stale, &reference(), at(30)).unwrap();
    assert_eq!((told.status, told.version), (Status::VersionConflict, 2));
    assert!(told.events.is_empty() && told.leaves.is_empty());
}

#[test]
fn a_provider_that_is_not_adopted_may_come_yet() {
    let command = Command::Create(Create {
        parent: TenantId::parse("nobody").unwrap(),
        name: "A".to_owned(),
        settings: BTreeMap::new(),
        test_clock: None,
    });
    assert_eq!(decide(&Stream::default(), "c-1", command, 1).status, Status::NotAdopted);
}

#[test]
fn a_parked_stream_decides_nothing_until_released() {
    let mut stream = decide(&Stream::default(), "c-1", create(), 10).stream;
    stream.evolve(&Event::Parked { reason: "bug".to_owned() }, at(11));
    assert_eq!(decide(&stream, "c-2", rename("B"), 12).status, Status::Parked);
    let release = Command::Release { reason: "fixed".to_owned() };
    let released = decide(&stream, "c-3", release, 13);
    assert_eq!(released.status, Status::Accepted);
    assert_eq!(released.leaves.len(), 1);
    assert_eq!(decide(&released.stream, "c-4", rename("B"), 14).status, Status::Accepted);
}

// REQ: AUD-02
#[test]
fn an_oversize_entry_keeps_its_hashes() {
    let created = decide(&Stream::default(), "c-1", create(), 10);
    let draft = audit::Draft {
        action: "file.changed".to_owned(),
        actor: "u-2".to_owned(),
        resource_type: "file".to_owned(),
        resource_id: "f".to_owned(),
        after: format!("\"{}\"", "x".repeat(LEAF_BYTES_MAX)),
        ..audit::Draft::default()
    };
    let append = audit::Command::Append(audit::Append { entries: vec![draft.clone()] });
    let decision = decide(&created.stream, "c-2", Command::Audit(append), 20);
    assert_eq!(decision.reply, Reply::Appended { first_seq: 2, count: 1 });
    let digest = Hash(Sha256::digest(draft.after.as_bytes()).into());
    let leaf = &decision.leaves[0].json;
    assert!(leaf.contains(&format!("\"after\":{{\"reduced\":true,\"sha256\":\"{digest}\"}}")));
    assert!(leaf.len() < LEAF_BYTES_MAX);
}

#[test]
fn entries_need_a_tenant() {
    let append = audit::Command::Append(audit::Append { entries: vec![] });
    let decision = decide(&Stream::default(), "c-1", Command::Audit(append), 1);
    assert_eq!(decision.rejection.unwrap().code, "TENANT_NOT_FOUND");
}

fn advance(seconds: i64) -> Command {
    Command::Tenants(tenants::Command::AdvanceClock(tenants::AdvanceClock { to: at(seconds) }))
}

// REQ: BIL-30
#[test]
fn a_sandbox_lives_in_its_own_time() {
    let created = decide(&Stream::default(), "c-1", create_with(Some(at(1_000))), 10);
    assert_eq!(created.stream.tenants.tenant.as_ref().unwrap().clock, Some(at(1_000)));
    let scheduled = decide(&created.stream, "c-2", schedule(1_100), 1_000_000);
    assert_eq!(scheduled.events[0].at, at(1_000), "decided at the own clock's instant");
    let set = scheduled.events.iter().map(|it| &it.event);
    let own: Vec<_> =
        set.filter(|it| matches!(it, Event::TimerSet { own_time: true, .. })).collect();
    assert_eq!(own.len(), 1);
    // Real time passes and wakes nothing.
    let woken = decide(&scheduled.stream, "w-1", Command::Wake, 2_000_000);
    assert!(woken.events.is_empty());
    let short = decide(&scheduled.stream, "c-3", advance(1_099), 2_000_000);
    assert_eq!(short.events.len(), 1);
    let far = decide(&scheduled.stream, "c-4", advance(5_000), 2_000_000);
    assert_eq!(far.status, Status::Accepted);
    assert_eq!(far.events[0].at, at(1_100), "the closing, at its instant");
    assert_eq!(far.events.last().unwrap().at, at(5_000), "the clock, where it was moved to");
    let mut stale = request("c-5", advance(5_000));
    stale.expected_version = Some(1);
    let told = step(&scheduled.stream, &stale, &reference(), at(2_000_000)).unwrap();
    assert_eq!((told.status, told.events.len()), (Status::VersionConflict, 0));
}

// REQ: BIL-30
#[test]
fn real_time_never_moves_backwards_into_a_sandbox() {
    let created = decide(&Stream::default(), "c-1", create_with(Some(at(1_000))), 10);
    let told = decide(&created.stream, "c-2", advance(900), 20);
    assert_eq!(told.rejection.unwrap().code, "CLOCK_BACKWARDS");
    let real = decide(&Stream::default(), "c-1", create(), 10);
    let told = decide(&real.stream, "c-2", advance(900), 20);
    assert_eq!(told.rejection.unwrap().code, "TENANT_NOT_SANDBOX");
}
