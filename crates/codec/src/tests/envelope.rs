//! Sealed commands: what opens, and the typed reason of each that does not.

use bytes::Bytes;
use exchequer_kernel::{Forwarding, SealKey};
use exchequer_proto::{journal::v1 as pb, tenants::v1 as pbt};
use exchequer_types::{Identity, LogId, PartitionId, StreamId, Timestamp, partition_of};
use proptest::option;
use proptest::prelude::*;
use prost::Message as _;

use super::values;
use crate::*;

const PARTITIONS: u32 = 16;

fn key() -> SealKey {
    SealKey::new(&[7; 32])
}

fn rename() -> pb::Envelope {
    pb::Envelope {
        stream: "acme".to_owned(),
        issuer: "api".to_owned(),
        id: "c-1".to_owned(),
        r#type: "tenants.rename.v1".to_owned(),
        payload: pbt::Rename { name: "Acme".to_owned() }.encode_to_vec().into(),
        actor: "u-1".to_owned(),
        claimed_at: 1_000_000,
        ..pb::Envelope::default()
    }
}

fn place() -> Forwarding {
    Forwarding {
        partition: PartitionId(5),
        log: LogId([9; 16]),
        offset: 77,
        received_at: Timestamp::from_micros(2_000_000).unwrap(),
    }
}

/// Sealed as given, without a digest being filled in.
fn sealed_as_is(envelope: &pb::Envelope) -> Bytes {
    let envelope = Bytes::from(envelope.encode_to_vec());
    let mac = Bytes::copy_from_slice(&key().mac(&envelope, None));
    pb::SealedCommand { envelope, forwarded: None, mac }.encode_to_vec().into()
}

fn resealed(command: &Bytes, change: impl FnOnce(&mut pb::SealedCommand)) -> Bytes {
    let mut sealed = pb::SealedCommand::decode(command.clone()).unwrap();
    change(&mut sealed);
    sealed.encode_to_vec().into()
}

fn reason(command: &Bytes) -> UnopenedReason {
    open(&key(), command, PARTITIONS).expect_err("must not open").reason
}

proptest! {
    // REQ: KER-04
    #[test]
    fn what_is_sealed_opens(
        command in values::command(),
        stream in values::tenant_id(),
        id in "[!-~]{1,128}",
        actor in "[!-~]{1,128}",
        claimed_at in values::instant(),
        not_after in option::of(values::instant()),
        expected_version in option::of(any::<u64>()),
        validate_only in any::<bool>(),
    ) {
        let (kind, payload) = encode_command(&command).unwrap();
        let envelope = pb::Envelope {
            stream: stream.to_string(),
            issuer: "api".to_owned(),
            id: id.clone(),
            r#type: kind.to_owned(),
            payload,
            actor: actor.clone(),
            claimed_at: claimed_at.micros(),
            expected_version,
            not_after: not_after.map(Timestamp::micros),
            validate_only,
            ..pb::Envelope::default()
        };
        let opened = open(&key(), &seal(&key(), envelope), PARTITIONS).unwrap();
        prop_assert_eq!(opened.identity, Identity::of(stream.as_str(), "api", &id));
        prop_assert_eq!(opened.partition, partition_of(stream.as_str().as_bytes(), PARTITIONS));
        prop_assert_eq!((opened.not_after, opened.forwarding), (not_after, None));
        let request = opened.request;
        prop_assert_eq!(request.stream, StreamId::Tenant(stream));
        prop_assert_eq!((request.issuer.as_str(), request.id.as_str()), ("api", id.as_str()));
        prop_assert_eq!(request.actor.as_str(), actor.as_str());
        prop_assert_eq!(request.claimed_at, claimed_at);
        prop_assert_eq!(request.expected_version, expected_version);
        prop_assert_eq!(request.validate_only, validate_only);
        prop_assert_eq!(request.command, command);
    }

    #[test]
    fn arbitrary_bytes_do_not_open(bytes in any::<Vec<u8>>()) {
        prop_assert!(open(&key(), &Bytes::from(bytes), PARTITIONS).is_err());
    }
}

// REQ: KER-04
#[test]
fn no_bit_of_a_sealed_command_can_be_flipped() {
    let sealed = seal(&key(), rename());
    let forwarded = forward(&key(), &sealed, &place()).unwrap();
    for command in [sealed, forwarded] {
        for bit in 0..command.len() * 8 {
            let mut flipped = command.to_vec();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let unopened = open(&key(), &Bytes::from(flipped), PARTITIONS).unwrap_err();
            assert_ne!(unopened.reason, UnopenedReason::Unreadable, "bit {bit}");
        }
    }
}

// REQ: KER-04
#[test]
fn what_is_no_sealed_command_is_malformed() {
    let sealed = seal(&key(), rename());
    assert_eq!(reason(&Bytes::from_static(b"\xff")), UnopenedReason::Malformed);
    assert_eq!(reason(&sealed.slice(..sealed.len() - 1)), UnopenedReason::Malformed);
    // Under a good MAC, but not an envelope.
    let garbage = Bytes::from_static(b"\x0a\x7f");
    let mac = Bytes::copy_from_slice(&key().mac(&garbage, None));
    let garbage = pb::SealedCommand { envelope: garbage, forwarded: None, mac };
    assert_eq!(reason(&garbage.encode_to_vec().into()), UnopenedReason::Malformed);
    let forwarded = forward(&key(), &sealed, &place()).unwrap();
    let short_log = resealed(&forwarded, |it| {
        it.forwarded.as_mut().unwrap().log = Bytes::from_static(b"short");
    });
    let late = resealed(&forwarded, |it| it.forwarded.as_mut().unwrap().received_at = i64::MAX);
    for (command, field) in [(short_log, "forwarded.log"), (late, "forwarded.received_at")] {
        let unopened = open(&key(), &command, PARTITIONS).unwrap_err();
        assert_eq!(unopened.reason, UnopenedReason::Malformed);
        assert!(unopened.message.contains(field), "{unopened:?}");
    }
}

// REQ: KER-04
#[test]
fn another_deployments_mac_does_not_open() {
    let foreign = seal(&SealKey::new(&[8; 32]), rename());
    assert_eq!(reason(&foreign), UnopenedReason::Mac);
    let sealed = seal(&key(), rename());
    let forwarded = forward(&key(), &sealed, &place()).unwrap();
    let changes: [(&str, fn(&mut pb::SealedCommand)); 5] = [
        ("no mac", |it| it.mac = Bytes::new()),
        ("a cut mac", |it| it.mac = it.mac.slice(..31)),
        ("forwarding taken off", |it| it.forwarded = None),
        ("another offset", |it| it.forwarded.as_mut().unwrap().offset += 1),
        ("another partition", |it| it.forwarded.as_mut().unwrap().partition += 1),
    ];
    for (what, change) in changes {
        assert_eq!(reason(&resealed(&forwarded, change)), UnopenedReason::Mac, "{what}");
    }
    let put_on = resealed(&sealed, |it| {
        it.forwarded = pb::SealedCommand::decode(forwarded).unwrap().forwarded;
    });
    assert_eq!(reason(&put_on), UnopenedReason::Mac);
}

// REQ: KER-04
#[test]
fn a_command_this_version_cannot_read_names_the_field() {
    let cases: [(&str, fn(&mut pb::Envelope)); 17] = [
        ("stream", |it| it.stream.clear()),
        ("stream", |it| it.stream = "Not A Slug".to_owned()),
        ("stream", |it| it.stream = "~partition-01".to_owned()),
        ("issuer", |it| it.issuer.clear()),
        ("id", |it| it.id.clear()),
        ("id", |it| it.id = "x".repeat(10_000)),
        ("actor", |it| it.actor = "two words".to_owned()),
        ("claimed_at", |it| it.claimed_at = -1),
        ("not_after", |it| it.not_after = Some(i64::MAX)),
        ("partition", |it| it.partition = Some(1)),
        ("partition", |it| it.stream = "~partition-3".to_owned()),
        ("partition", |it| {
            it.stream = "~partition-3".to_owned();
            it.partition = Some(4);
        }),
        ("partition", |it| {
            it.stream = "~partition-16".to_owned();
            it.partition = Some(16);
        }),
        ("tenants.rename.v9", |it| it.r#type = "tenants.rename.v9".to_owned()),
        ("not a message", |it| it.payload = Bytes::from_static(b"\x0a\x7f")),
        ("not a message", |it| it.payload = Bytes::from_static(b"\x0a\x01\xff")),
        ("at", |it| {
            it.r#type = "tenants.schedule-closing.v1".to_owned();
            it.payload = pbt::ScheduleClosing { at: -1 }.encode_to_vec().into();
        }),
    ];
    for (names, spoil) in cases {
        let mut envelope = rename();
        spoil(&mut envelope);
        let unopened = open(&key(), &seal(&key(), envelope), PARTITIONS).unwrap_err();
        assert_eq!(unopened.reason, UnopenedReason::Unreadable, "{names}");
        assert!(unopened.message.contains(names), "{names}: {unopened:?}");
    }
    for digest in [0, 7, 9] {
        let envelope = pb::Envelope { body_digest: vec![0; digest].into(), ..rename() };
        let unopened = open(&key(), &sealed_as_is(&envelope), PARTITIONS).unwrap_err();
        assert_eq!(unopened.reason, UnopenedReason::Unreadable);
        assert!(unopened.message.contains("body_digest"));
    }
}

#[test]
fn each_reason_has_its_own_code() {
    let reasons = [UnopenedReason::Malformed, UnopenedReason::Mac, UnopenedReason::Unreadable];
    let codes = reasons.map(UnopenedReason::code);
    assert_eq!(codes, ["RECORD_MALFORMED", "RECORD_MAC_INVALID", "COMMAND_UNREADABLE"]);
}

// REQ: KER-05
#[test]
fn a_forwarded_command_keeps_its_identity_and_says_where_it_was() {
    let sealed = seal(&key(), rename());
    let first = open(&key(), &sealed, PARTITIONS).unwrap();
    let again = open(&key(), &forward(&key(), &sealed, &place()).unwrap(), PARTITIONS).unwrap();
    assert_eq!(again.forwarding, Some(place()));
    assert_eq!((again.identity, again.body_digest), (first.identity, first.body_digest));
    assert_eq!((again.request, again.partition), (first.request, first.partition));
    assert!(matches!(forward(&key(), b"\xff", &place()), Err(DecodeError::Malformed(_))));
}

#[test]
fn a_partitions_own_stream_is_not_placed_by_hash() {
    let envelope =
        pb::Envelope { stream: "~partition-3".to_owned(), partition: Some(3), ..rename() };
    let opened = open(&key(), &seal(&key(), envelope), PARTITIONS).unwrap();
    assert_eq!(opened.partition, PartitionId(3));
    assert_eq!(opened.request.stream, StreamId::Partition(PartitionId(3)));
}

// REQ: KER-06
#[test]
fn the_body_digest_tells_bodies_apart_and_nothing_else() {
    let digest = |envelope| open(&key(), &seal(&key(), envelope), PARTITIONS).unwrap().body_digest;
    let first = digest(rename());
    let same: [fn(&mut pb::Envelope); 4] = [
        |it| it.id = "c-2".to_owned(),
        |it| it.claimed_at = 5,
        |it| it.expected_version = Some(4),
        |it| it.not_after = Some(9),
    ];
    for change in same {
        let mut envelope = rename();
        change(&mut envelope);
        assert_eq!(digest(envelope), first);
    }
    let other: [fn(&mut pb::Envelope); 5] = [
        |it| it.stream = "acmf".to_owned(),
        |it| it.actor = "u-2".to_owned(),
        |it| it.payload = pbt::Rename { name: "Acmf".to_owned() }.encode_to_vec().into(),
        |it| it.r#type = "tenants.suspend.v1".to_owned(),
        |it| it.validate_only = true,
    ];
    for change in other {
        let mut envelope = rename();
        change(&mut envelope);
        assert_ne!(digest(envelope), first);
    }
}
