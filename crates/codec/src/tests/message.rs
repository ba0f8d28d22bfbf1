//! Commands, events, streams, outcomes and replies.

use exchequer_domain_audit as audit;
use exchequer_domain_tenants as tenants;
use exchequer_kernel::{Rejection, Status};
use exchequer_proto::{audit::v1 as pba, journal::v1 as pbk, tenants::v1 as pb};
use exchequer_tenant::{Command, Event, Reply};
use exchequer_types::{TenantId, TenantStatus, Timestamp};
use proptest::prelude::*;
use prost::Message as _;

use super::values;
use crate::*;

proptest! {
    // REQ: KER-10
    #[test]
    fn a_command_is_read_back(command in values::command()) {
        let (kind, payload) = encode_command(&command).unwrap();
        prop_assert!(command_types().contains(&kind));
        prop_assert_eq!(decode_command(kind, &payload), Ok(command));
    }

    // REQ: KER-10
    #[test]
    fn an_event_is_read_back(
        (id, event) in values::tenant_id().prop_flat_map(|id| (Just(id.clone()), values::event(id)))
    ) {
        let (kind, payload) = encode_event(&event);
        prop_assert!(event_types().contains(&kind));
        prop_assert_eq!(decode_event(id.as_str(), kind, &payload), Ok(event));
    }

    // REQ: KER-08
    #[test]
    fn a_streams_state_is_read_back(stream in values::stream()) {
        prop_assert_eq!(decode_stream(&encode_stream(&stream)), Ok(stream));
    }

    #[test]
    fn arbitrary_payloads_never_panic(payload in any::<Vec<u8>>()) {
        for kind in command_types() {
            let _ = decode_command(kind, &payload);
        }
        for kind in event_types() {
            let _ = decode_event("acme", kind, &payload);
        }
        let _ = decode_stream(&payload);
    }
}

// REQ: KER-10
#[test]
fn an_unknown_type_is_never_skipped() {
    for kind in ["tenants.created.v2", "tenants.created", "", "invoices.issued.v1"] {
        let expected = DecodeError::UnknownType(kind.to_owned());
        assert_eq!(decode_event("acme", kind, &[]), Err(expected.clone()));
        assert_eq!(decode_command(kind, &[]), Err(expected));
    }
    for kind in event_types() {
        assert!(!command_types().contains(&kind), "{kind} is a command too");
    }
}

#[test]
fn what_is_never_sent_has_no_bytes() {
    let fire = tenants::FireClosing { timer: "tmr_x".to_owned() };
    assert_eq!(encode_command(&Command::Tenants(tenants::Command::FireClosing(fire))), None);
}

// REQ: IAM-15
#[test]
fn a_setting_that_stands_twice_is_refused() {
    let settings = || {
        let setting = |value: &str| pb::Setting { key: "k".to_owned(), value: value.to_owned() };
        vec![setting("1"), setting("2")]
    };
    let refused = Err(DecodeError::Field { field: "settings" });
    let create =
        pb::Create { parent: "platform".to_owned(), settings: settings(), ..pb::Create::default() };
    assert_eq!(decode_command("tenants.create.v1", &create.encode_to_vec()), refused);
    let update = pb::UpdateSettings { set: settings(), unset: vec![] };
    assert_eq!(decode_command("tenants.update-settings.v1", &update.encode_to_vec()), refused);
    let profile = Some(pb::ProviderProfile {
        id: "acme".to_owned(),
        status: pb::TenantStatus::Active.into(),
        settings: settings(),
        ..pb::ProviderProfile::default()
    });
    let adopt = pb::AdoptProvider { profile };
    assert_eq!(decode_command("tenants.adopt-provider.v1", &adopt.encode_to_vec()), refused);
}

#[test]
fn each_field_out_of_range_is_named() {
    let commands: [(&str, Vec<u8>, &str); 6] = [
        ("tenants.create.v1", pb::Create::default().encode_to_vec(), "parent"),
        ("tenants.schedule-closing.v1", pb::ScheduleClosing { at: -1 }.encode_to_vec(), "at"),
        ("tenants.schedule-closing.v1", pb::ScheduleClosing { at: i64::MAX }.encode_to_vec(), "at"),
        ("tenants.adopt-provider.v1", vec![], "profile"),
        (
            "tenants.adopt-provider.v1",
            profiled(&pb::ProviderProfile {
                id: "acme".to_owned(),
                status: 9,
                ..Default::default()
            }),
            "profile.status",
        ),
        (
            "audit.append.v1",
            pba::Append { entries: vec![pba::Draft { occurred_at: -5, ..Default::default() }] }
                .encode_to_vec(),
            "occurred_at",
        ),
    ];
    for (kind, payload, field) in commands {
        assert_eq!(decode_command(kind, &payload), Err(DecodeError::Field { field }), "{kind}");
    }
    let created = decode_event("~partition-3", "tenants.created.v1", &[]);
    assert_eq!(created, Err(DecodeError::Field { field: "stream" }));
    let invalid_utf8 = decode_command("tenants.rename.v1", &[0x0a, 1, 0xff]);
    assert!(matches!(invalid_utf8, Err(DecodeError::Malformed(_))), "{invalid_utf8:?}");
    let cut = pbk::StreamState { audit_prev: vec![0; 31].into(), ..Default::default() };
    let cut = decode_stream(&cut.encode_to_vec());
    assert_eq!(cut, Err(DecodeError::Field { field: "audit_prev" }));
}

fn profiled(profile: &pb::ProviderProfile) -> Vec<u8> {
    pb::AdoptProvider { profile: Some(profile.clone()) }.encode_to_vec()
}

// REQ: KER-03
#[test]
fn every_status_survives_the_log() {
    let all = [
        Status::Accepted,
        Status::Rejected,
        Status::VersionConflict,
        Status::IdentityConflict,
        Status::Repeated,
        Status::Expired,
        Status::Parked,
        Status::NotAdopted,
        Status::TooLarge,
        Status::Poisoned,
        Status::Misrouted,
        Status::DeadLettered,
        Status::Validated,
        Status::Unknown,
    ];
    for (number, status) in (1..).zip(all) {
        let no =
            Rejection { code: "C".to_owned(), message: "m".to_owned(), ..Rejection::default() };
        let outcome = rejected(status, no, 7);
        assert_eq!((outcome.status, outcome.version, outcome.field.as_str()), (number, 7, ""));
        assert_eq!(status_of(&outcome), Some(status));
        let name = outcome_status(status).as_str_name();
        let word = status_word(status).to_ascii_uppercase();
        assert_eq!(name.strip_prefix("OUTCOME_STATUS_"), Some(word.as_str()));
    }
    for status in [0, -1, 15, i32::MAX] {
        assert_eq!(status_of(&pbk::Outcome { status, ..Default::default() }), None);
    }
}

#[test]
fn a_reply_is_the_calls_own_message() {
    let append = |count: usize| {
        let draft = audit::Draft {
            action: "a".to_owned(),
            actor: "b".to_owned(),
            resource_type: "c".to_owned(),
            resource_id: "d".to_owned(),
            ..audit::Draft::default()
        };
        Command::Audit(audit::Command::Append(audit::Append { entries: vec![draft; count] }))
    };
    let one = encode_reply(&append(1), &Reply::Appended { first_seq: 4, count: 1 });
    assert_eq!(pba::AppendEntryResponse::decode(one).unwrap().seq, 4);
    let two = encode_reply(&append(2), &Reply::Appended { first_seq: 4, count: 2 });
    let two = pba::BatchAppendEntriesResponse::decode(two).unwrap();
    assert_eq!((two.first_seq, two.count), (4, 2));
    assert!(encode_reply(&Command::Wake, &Reply::Nothing).is_empty());
}

#[test]
fn a_tenants_reply_has_its_instants() {
    let tenant = tenants::Tenant {
        id: TenantId::parse("acme").unwrap(),
        parent: Some(TenantId::platform()),
        name: "Acme".to_owned(),
        status: TenantStatus::Suspended,
        depth: 1,
        provider: true,
        settings: [("k".to_owned(), "v".to_owned())].into(),
        version: 3,
        created_at: Timestamp::from_micros(1_000_001).unwrap(),
        updated_at: Timestamp::MAX,
        closing: None,
        clock: None,
        reason: "unpaid".to_owned(),
    };
    let reply = encode_reply(&Command::Wake, &Reply::Tenant(Box::new(tenant)));
    let read = pb::Tenant::decode(reply).unwrap();
    let created_at = read.created_at.unwrap();
    assert_eq!((created_at.seconds, created_at.nanos), (1, 1_000));
    assert_eq!(read.updated_at.unwrap().nanos, 999_999_000);
    assert_eq!((read.parent.as_str(), read.closes_at, read.children), ("platform", None, None));
    assert_eq!(status_from_proto(read.status), Some(TenantStatus::Suspended));
}

#[test]
fn the_epoch_stands_for_no_claim_of_time() {
    let command = decode_command(
        "audit.append.v1",
        &pba::Append { entries: vec![pba::Draft::default()] }.encode_to_vec(),
    );
    let Ok(Command::Audit(audit::Command::Append(append))) = command else {
        panic!("{command:?}");
    };
    assert_eq!(append.entries[0].occurred_at, None);
}

#[test]
fn events_name_no_stream_of_their_own() {
    // The id of a created tenant is its stream's, so it cannot disagree.
    let created = decode_event("acme", "tenants.created.v1", &[]).unwrap();
    let Event::Tenants(tenants::Event::Created { id, parent, .. }) = created else {
        panic!("{created:?}");
    };
    assert_eq!((id.as_str(), parent), ("acme", None));
}
