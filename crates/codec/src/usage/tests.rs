//! What is written by hand is what protobuf says, and damage is never taken for a record.

use bytes::{Bytes, BytesMut};
use exchequer_kernel::{RecordHead, SealKey};
use exchequer_metering::{
    AdoptedMeters, AdoptedSchema, AdoptedTenant, Adoption, Aggregation, Body, EventRecord, Fate,
    Meter, Path, RecordBody, Terms,
};
use exchequer_proto::usage::v1 as pb;
use exchequer_types::{Hash, PartitionId, Period, Slug, TenantId, Timestamp};
use proptest::prelude::*;
use prost::Message as _;

use super::*;

fn at(micros: i64) -> Timestamp {
    Timestamp::from_micros(micros).unwrap()
}

fn key() -> SealKey {
    SealKey::new(&[7; 32])
}

fn event<'a>(
    tenant: &'a str,
    texts: [&'a str; 5],
    time: Option<i64>,
    data: &'a str,
) -> EventRecord<'a> {
    let [source, id, kind, subject, schema] = texts;
    let body = Body { kind, schema, subject, time: time.map(at), data };
    EventRecord { tenant, source, id, body }
}

proptest! {
    // REQ: USE-02
    #[test]
    fn an_event_is_written_as_protobuf_says_and_read_back(
        texts in proptest::array::uniform5("[ -~é€]{0,200}"),
        tenant in "[a-z]{0,63}",
        time in proptest::option::of(0..=Timestamp::MAX.micros()),
        received in 0..=Timestamp::MAX.micros(),
        data in "[ -~]{0,20000}",
    ) {
        let parts: [&str; 5] = core::array::from_fn(|at| texts[at].as_str());
        let event = event(&tenant, parts, time, &data);
        let mut out = BytesMut::new();
        let bytes = encode_event(&mut out, at(received), &event);
        prop_assert!(out.is_empty());
        let message = pb::UsageRecord {
            received_at: received,
            body: Some(pb::usage_record::Body::Event(pb::Event {
                tenant: tenant.clone(),
                source: texts[0].clone(),
                id: texts[1].clone(),
                r#type: texts[2].clone(),
                subject: texts[3].clone(),
                schema: texts[4].clone(),
                time,
                data: data.clone(),
            })),
            ..pb::UsageRecord::default()
        };
        prop_assert_eq!(&bytes, &message.encode_to_vec());
        let read = decode_record(&bytes, Some(&key()));
        prop_assert_eq!(read.received_at, at(received));
        prop_assert_eq!(read.body, RecordBody::Event(event));
        prop_assert_eq!((read.forwarded, read.is_authentic), (None, false));
    }

    // REQ: USE-02
    #[test]
    fn any_bytes_are_read_without_a_panic_and_as_protobuf_reads_them(
        bytes in proptest::collection::vec(any::<u8>(), 0..200),
    ) {
        let read = decode_record(&bytes, Some(&key()));
        if pb::UsageRecord::decode(bytes.as_slice()).is_err() {
            prop_assert!(matches!(read.body, RecordBody::Unreadable(_)));
        }
    }
}

// REQ: USE-05, USE-12
#[test]
fn refusals_corrections_and_what_is_sent_on_are_under_a_mac() {
    let refused = pb::Refused {
        tenant: "acme".to_owned(),
        id: "e1".to_owned(),
        field: "data.tokens".to_owned(),
        reason: "must be a number".to_owned(),
        ..pb::Refused::default()
    };
    let bytes = encode_refused(at(5), refused, &key());
    let read = decode_record(&bytes, Some(&key()));
    assert!(read.is_authentic);
    let RecordBody::Refused { tenant: "acme", id: "e1", field: "data.tokens", .. } = read.body
    else {
        panic!("{read:?}")
    };
    assert_eq!(pb::UsageRecord::decode(bytes.clone()).unwrap().mac.len(), 32);
    assert!(!decode_record(&bytes, Some(&SealKey::new(&[8; 32]))).is_authentic);
    assert!(decode_record(&bytes, None).is_authentic, "not checked without a key");
    for bit in 0..bytes.len() * 8 {
        let mut flipped = bytes.to_vec();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert!(!decode_record(&flipped, Some(&key())).is_authentic, "bit {bit}");
    }
    let mut longer = bytes.to_vec();
    longer.extend([0x40, 1]);
    assert!(!decode_record(&longer, Some(&key())).is_authentic, "the MAC is not the last field");

    let what = Some(pb::correction::What::Amend(pb::Amend { data: "{}".to_owned() }));
    let correction = pb::Correction {
        id: "c1".to_owned(),
        tenant: "acme".to_owned(),
        event: "e1".to_owned(),
        what,
        ..pb::Correction::default()
    };
    let bytes = encode_correction(at(5), correction, &key());
    let read = decode_record(&bytes, Some(&key()));
    let RecordBody::Correction(it) = read.body else { panic!("{read:?}") };
    assert_eq!((it.id, it.event, it.amended), ("c1", "e1", Some("{}")));

    let event = event("acme", ["s", "e1", "t", "", ""], None, "null");
    let astray = encode_event(&mut BytesMut::new(), at(5), &event);
    let from = pb::Forwarded { partition: 3, offset: 9, received_at: 5 };
    let bytes = encode_forwarded(&astray, at(6), from, &key()).unwrap();
    let read = decode_record(&bytes, Some(&key()));
    assert_eq!((read.received_at, read.forwarded), (at(6), Some(at(5))));
    assert!(read.is_authentic);
    assert_eq!(read.body, RecordBody::Event(event));
    assert!(encode_forwarded(b"\xff", at(6), from, &key()).is_err());
}

// REQ: USE-02
#[test]
fn what_is_no_record_says_so() {
    let body = pb::usage_record::Body::Raw(pb::Raw::default());
    let raw = pb::UsageRecord { body: Some(body), ..pb::UsageRecord::default() };
    let raw = raw.encode_to_vec();
    let negative = pb::UsageRecord { received_at: -1, ..pb::UsageRecord::default() };
    let mut two = raw.clone();
    two.extend(&raw);
    for bytes in [&[][..], b"text", &[0x12, 0x01], &negative.encode_to_vec(), &two, &raw] {
        let read = decode_record(bytes, None);
        assert!(matches!(read.body, RecordBody::Unreadable(_)), "{bytes:?} {read:?}");
    }
}

fn seal() -> pb::Seal {
    pb::Seal {
        epoch: 1,
        owner: Bytes::from_static(&[1; 16]),
        seq: 1,
        prev: Bytes::from_static(&[0; 32]),
        claim: Bytes::from_static(&[2; 32]),
        from: 0,
        to: 3,
        through: 5,
        counts: counts_to_proto(&[2, 0, 1, 0, 0, 0, 0]),
        root: Bytes::from_static(&[3; 32]),
        ..pb::Seal::default()
    }
}

// REQ: KER-12
#[test]
fn a_seal_is_folded_like_a_commit() {
    let partition = PartitionId(2);
    let (bytes, hash) = encode_seal(partition, seal());
    let (head, read_hash, read) = decode_seal(partition, &bytes);
    assert_eq!((hash, read.as_ref()), (read_hash, Some(&seal())));
    let claim = Some(Hash([2; 32]));
    let expected = RecordHead::Commit { epoch: 1, owner: [1; 16], seq: 1, prev: Hash::ZERO, claim };
    assert_eq!(head, expected);
    assert_eq!(decode_seal(PartitionId(3), &bytes).0, RecordHead::Unreadable);
    let claim = pb::SealClaim { epoch: 4, owner: Bytes::from_static(&[9; 16]), feature_level: 1 };
    let bytes = encode_claim(partition, claim);
    assert_eq!(decode_seal(partition, &bytes).0, RecordHead::Claim { epoch: 4, owner: [9; 16] });
    let kind = Some(pb::revision::Kind::Unmatched(pb::Unmatched { tenant: "acme".to_owned() }));
    let revision =
        pb::Revision { kind, to: 3, root: Bytes::from_static(&[4; 32]), ..Default::default() };
    let revised = pb::Seal { from: 3, revision: Some(revision.clone()), ..seal() };
    assert!(seal_head(&revised).is_some());
    for malformed in [
        pb::Seal { owner: Bytes::new(), ..seal() },
        pb::Seal { prev: Bytes::new(), ..seal() },
        pb::Seal { claim: Bytes::from_static(b"claim"), ..seal() },
        pb::Seal { root: Bytes::new(), ..seal() },
        pb::Seal { from: 4, ..seal() },
        pb::Seal { from: 2, ..revised.clone() },
        pb::Seal { revision: Some(pb::Revision { to: 4, ..revision.clone() }), ..revised.clone() },
        pb::Seal { revision: Some(pb::Revision { kind: None, ..revision }), ..revised },
    ] {
        let (bytes, _) = encode_seal(partition, malformed);
        assert_eq!(decode_seal(partition, &bytes).0, RecordHead::Unreadable);
    }
}

// REQ: KER-12
#[test]
fn counts_and_roots_tell_every_fate_apart() {
    let counts = [1, 2, 3, 4, 5, 6, 7];
    assert_eq!(counts_from_proto(&counts_to_proto(&counts)), Ok(counts));
    let twice = [counts_to_proto(&counts), counts_to_proto(&counts)].concat();
    assert!(counts_from_proto(&twice).is_err());
    assert!(counts_from_proto(&[pb::FateCount { fate: 8, count: 1 }]).is_err());
    let of = |fates: &[Fate]| {
        let mut root = Root::default();
        for fate in fates {
            root.add(&Hash::ZERO, *fate);
        }
        root.finish()
    };
    let mut roots: Vec<Hash> = Fate::ALL.iter().map(|fate| of(&[*fate])).collect();
    roots.push(of(&[]));
    roots.push(of(&Fate::ALL));
    roots.sort();
    roots.dedup();
    assert_eq!(roots.len(), 9);
    // Longer than what is hashed at once.
    let mut plain = blake3::Hasher::new_derive_key("exchequer usage seal root v1");
    let many = vec![Fate::Late; 2_000];
    for _ in &many {
        plain.update(&[0; 32]).update(&[2]);
    }
    assert_eq!(of(&many), Hash(*plain.finalize().as_bytes()));
    for fate in Fate::ALL {
        assert_eq!(fate_from_proto(fate_to_proto(fate).into()), Some(fate));
    }
    assert_eq!(fate_from_proto(0), None);
}

// REQ: KER-12
#[test]
fn what_is_adopted_is_read_back_and_must_have_its_hash() {
    let (acme, platform) = (TenantId::parse("acme").unwrap(), TenantId::platform());
    let meter = Meter {
        key: Slug::parse("tokens").unwrap(),
        version: 2,
        event_type: "llm.call".to_owned(),
        aggregation: Aggregation::Sum,
        value: Some(Path::parse("$.tokens").unwrap()),
        group_by: Vec::new(),
        filters: Vec::new(),
        unit: "tokens".to_owned(),
        groups_max: 10,
    };
    let period = Period { start: at(0), end: at(10) };
    for adoption in [
        Adoption::Tenant(AdoptedTenant {
            tenant: acme.clone(),
            provider: Some(platform.clone()),
            periods: vec![period],
        }),
        Adoption::Tenant(AdoptedTenant { tenant: acme, provider: None, periods: Vec::new() }),
        Adoption::Meters(AdoptedMeters {
            provider: platform,
            version: 7,
            meters: vec![meter],
            terms: Terms::default(),
            schemas: vec![AdoptedSchema {
                kind: "completion".to_owned(),
                version: 2,
                text: r#"{"required":["tokens"]}"#.to_owned(),
            }],
            backfills: Vec::new(),
        }),
    ] {
        let message = adopted_to_proto(&adoption, (PartitionId(3), 12));
        assert_eq!((message.journal_partition, message.journal_offset), (3, 12));
        assert_eq!(adopted_from_proto(&message), Ok(adoption));
        let other = pb::Adopted { content: Bytes::from_static(&[1; 32]), ..message };
        assert!(adopted_from_proto(&other).is_err());
    }
}

type Header<'a> = (&'a str, &'a [u8]);

fn produced(headers: &[Header<'_>], value: &str) -> Bytes {
    encode_produced(at(7), Some(b"key"), headers, Some(value.as_bytes()))
}

/// A record as a gateway would have written it at the same instant.
fn as_taken(event: &EventRecord<'_>) -> Bytes {
    encode_event(&mut BytesMut::new(), at(7), event)
}

// REQ: USE-02
#[test]
fn an_event_of_a_producer_is_the_record_that_a_gateway_writes_in_either_mode() {
    let expected = event("acme", ["/s", "e%201é", "t", "u-1", ""], Some(1_000_000), r#"{"n":1}"#);
    let structured = r#"{"specversion":"1.0","id":"e%201\u00e9","source":"/s","type":"t",
        "tenant":"acme","subject":"u-1","time":"1970-01-01T00:00:01Z","data":{"n":1}}"#;
    for kind in [
        "application/cloudevents+json",
        "application/cloudevents+json; charset=UTF-8",
        "Application/CloudEvents+JSON",
    ] {
        let headers: [Header<'_>; 2] = [("content-type", kind.as_bytes()), ("traceparent", b"x")];
        assert_eq!(produced(&headers, structured), as_taken(&expected), "{kind}");
    }
    let binary: [Header<'_>; 9] = [
        ("Content-Type", b"application/json"),
        ("ce_specversion", b"1.0"),
        // Headers of Kafka hold texts as they are: nothing is percent-encoded.
        ("ce_id", "e%201é".as_bytes()),
        ("ce_source", b"/s"),
        ("ce_type", b"t"),
        ("ce_tenant", b"acme"),
        ("ce_subject", b"u-1"),
        ("ce_time", b"1970-01-01T00:00:01Z"),
        ("other", &[0xff]),
    ];
    assert_eq!(produced(&binary, r#"{"n":1}"#), as_taken(&expected));
    let none = event("acme", ["/s", "e%201é", "t", "u-1", ""], Some(1_000_000), "null");
    assert_eq!(encode_produced(at(7), None, &binary, None), as_taken(&none), "no data");
    let own = as_taken(&expected);
    assert_eq!(encode_produced(at(9), None, &[], Some(&own)), own, "what a gateway wrote");
}

// REQ: USE-02, USE-12
#[test]
fn no_meter_waits_for_a_time_that_a_gateway_made_up() {
    let expected = event("acme", ["/s", "e1", "t", "u-1", ""], None, "null");
    let of = |micros| encode_event(&mut BytesMut::new(), at(micros), &expected);
    let (minute, beyond) = (of(60_000_009), of(60_000_010));
    assert_eq!(encode_produced(at(9), None, &[], Some(&minute)), minute);
    assert_eq!(encode_produced(at(9), None, &[], Some(&beyond)), of(9));
    assert_eq!(encode_produced(at(9), None, &[], Some(&of(Timestamp::MAX.micros()))), of(9));
    // Of anything else the time is under a MAC.
    let sealed = |micros| encode_correction(at(micros), pb::Correction::default(), &key());
    let (minute, beyond) = (sealed(60_000_009), sealed(60_000_010));
    assert_eq!(encode_produced(at(9), None, &[], Some(&minute)), minute);
    let kept = encode_produced(at(9), None, &[], Some(&beyond));
    let kept = pb::UsageRecord::decode(kept).unwrap();
    assert_eq!(kept.received_at, 9);
    assert!(matches!(kept.body, Some(pb::usage_record::Body::Raw(raw)) if raw.value == beyond));
    // Whoever can write to the topic could have each of these waited for.
    let whole = of(9);
    let body = &whole[2..];
    let far = of(Timestamp::MAX.micros());
    let far = &far[..far.len() - body.len()];
    for wrong in [
        [&[0x08, 9], body, far].concat(),
        [&[0x08, 9], far, body].concat(),
        [&[0x08, 9], body, body].concat(),
        [far, body, &[0x40, 1]].concat(),
        [&[0x08, 9], body, &[0x3a, 0], &[0x3a, 0]].concat(),
        [&[0x08, 9], &body[..body.len() - 1]].concat(),
        vec![0x08, 9],
    ] {
        let kept = encode_produced(at(9), None, &[], Some(&wrong));
        let kept = pb::UsageRecord::decode(kept).unwrap();
        assert_eq!(kept.received_at, 9);
        let Some(pb::usage_record::Body::Raw(raw)) = kept.body else { panic!("{wrong:?}") };
        assert_eq!(raw.value, wrong);
    }
}

// REQ: USE-02
#[test]
fn what_a_producer_writes_and_is_no_event_says_why_and_is_kept() {
    let structured: Header<'_> = ("content-type", b"application/cloudevents+json");
    let binary: [Header<'_>; 4] = [
        ("ce_specversion", b"1.0"),
        ("ce_id", b"e-1"),
        ("ce_source", b"/s"),
        ("ce_tenant", b"acme"),
    ];
    let cases: [(&[Header<'_>], &str, &str, &str); 7] = [
        (&[], r#"{"specversion":"1.0"}"#, "", "EVENT_MALFORMED: the record must be an event"),
        (&[("a", b"b")], "x", "", "EVENT_MALFORMED: the record must be an event"),
        (&[structured], "{", "", "EVENT_MALFORMED: the event must be a JSON object"),
        (
            &[("content-type", b"application/cloudevents-batch+json")],
            "[]",
            "",
            "EVENT_MALFORMED: a record holds one event",
        ),
        (
            &[("content-type", b"application/cloudevents+protobuf")],
            "x",
            "",
            "EVENT_MALFORMED: the event must be in JSON",
        ),
        (&[("content-type", &[0xff]), ("ce_id", b"e")], "1", "specversion", "EVENT_ATTRIBUTE_"),
        (&binary, "{}", "type", "EVENT_ATTRIBUTE_MISSING: type is missing"),
    ];
    for (headers, value, at_fault, why) in cases {
        let bytes = produced(headers, value);
        assert_eq!(bytes, produced(headers, value), "the same record makes the same bytes");
        let read = decode_record(&bytes, Some(&key()));
        let RecordBody::Refused { field, reason, .. } = read.body else { panic!("{read:?}") };
        assert_eq!((read.received_at, field, read.is_authentic), (at(7), at_fault, true));
        assert!(reason.starts_with(why), "{reason}");
        let record = pb::UsageRecord::decode(bytes).unwrap();
        let Some(pb::usage_record::Body::Raw(raw)) = record.body else { panic!("{record:?}") };
        assert_eq!((&raw.value[..], raw.key.as_deref()), (value.as_bytes(), Some(&b"key"[..])));
        let kept = raw.headers.len() + usize::from(!raw.content_type.is_empty());
        assert_eq!(kept, headers.len());
    }
    let bytes = produced(&binary, "{}");
    assert_eq!(decode_record(&bytes, Some(&key())).names(), ("acme", "/s", "e-1"));
}

// REQ: USE-02
#[test]
fn what_is_kept_of_a_record_that_is_no_event_is_bounded() {
    let (value, name) = (vec![7; 900_000], "n".repeat(2_000));
    let headers: Vec<Header<'_>> = (0..200).map(|_| (name.as_str(), &[1_u8; 100][..])).collect();
    let bytes = encode_produced(at(7), Some(&[1; 9_000]), &headers, Some(&value));
    assert!(bytes.len() < 700_000, "{} bytes", bytes.len());
    let record = pb::UsageRecord::decode(bytes).unwrap();
    let Some(pb::usage_record::Body::Raw(raw)) = record.body else { panic!("{record:?}") };
    assert_eq!((raw.value.len(), raw.headers.len()), (512 * 1024, 31));
    assert_eq!(raw.key.map(|it| it.len()), Some(1_024));
    assert_eq!(raw.refused.map(|it| it.bytes), Some(900_000));
}
