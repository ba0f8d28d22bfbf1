//! A partition of usage with its seals, told record by record: what a verifier in another
//! language is tried on.

use bytes::{Bytes, BytesMut};
use exchequer_codec::usage::{
    Root, adopted_to_proto, counts_to_proto, encode_claim, encode_event, encode_refused,
    encode_seal,
};
use exchequer_kernel::SealKey;
use exchequer_metering::{
    AdoptedMeters, AdoptedTenant, Adoption, Aggregation, Body, BodyDigest, EventIdentity,
    EventRecord, Fate, GroupBy, Meter, Path, Terms, normal_form, partition_of_event,
};
use exchequer_proto::usage::v1 as pb;
use exchequer_types::{Hash, PartitionId, Slug, TenantId, Timestamp};
use serde_json::{Value, json};

use super::{MORNING, hex};

const PARTITIONS: u32 = 2;
const KEY: [u8; 32] = [7; 32];
const SMALL: &str = r#"{"tokens": 10, "model": "small"}"#;
const LARGE: &str = r#"{"tokens": 0.5, "model": "large"}"#;

/// An id like `name` that belongs to `partition`.
fn id_of(tenant: &str, name: &str, partition: u32) -> String {
    let ids = (0..).map(|n| format!("{name}-{n}"));
    let own = |id: &String| partition_of_event(tenant, id, PARTITIONS, &mut Vec::new()).0;
    ids.into_iter().find(|id| own(id) == partition).unwrap()
}

fn event(tenant: &str, id: &str, behind_s: i64, data: &str) -> Bytes {
    let at = |micros| Timestamp::from_micros(micros).unwrap();
    let time = Some(at(MORNING - behind_s * 1_000_000));
    let body = Body { kind: "llm.call", schema: "", subject: "u1", time, data };
    let event = EventRecord { tenant, source: "/svc", id, body };
    encode_event(&mut BytesMut::new(), at(MORNING), &event)
}

fn records() -> Vec<(&'static str, Bytes, Fate)> {
    let own = |name| id_of("acme", name, 0);
    let refused = pb::Refused { tenant: "acme".to_owned(), ..pb::Refused::default() };
    let key = SealKey::new(&KEY);
    let received_at = Timestamp::from_micros(MORNING).unwrap();
    let refused = |key| encode_refused(received_at, refused.clone(), key);
    let spelt = r#"{"model":"small","tokens":1e1}"#;
    vec![
        ("a first event", event("acme", &own("one"), 5, SMALL), Fate::Counted),
        ("more than an hour late", event("acme", &own("two"), 3_601, LARGE), Fate::Late),
        ("the first, written otherwise", event("acme", &own("one"), 5, spelt), Fate::Duplicate),
        ("the first, with other data", event("acme", &own("one"), 5, LARGE), Fate::Conflicting),
        ("of nobody", event("nobody", &id_of("nobody", "u", 0), 5, SMALL), Fate::Unmatched),
        ("no number", event("acme", &own("three"), 5, r#"{"tokens":"ten"}"#), Fate::Invalid),
        ("mended, under the same id", event("acme", &own("three"), 5, SMALL), Fate::Counted),
        ("from the future", event("acme", &own("four"), -3_601, SMALL), Fate::Invalid),
        ("of another partition", event("acme", &id_of("acme", "a", 1), 5, SMALL), Fate::Forwarded),
        ("what a gateway refused", refused(&key), Fate::Invalid),
        ("the same by somebody else", refused(&SealKey::new(&[8; 32])), Fate::Invalid),
        ("no record", Bytes::from_static(b"text"), Fate::Invalid),
        ("a name twice", event("acme", &own("five"), 5, r#"{"a":1,"a":1}"#), Fate::Invalid),
        ("not rounded", event("acme", &own("six"), 5, r#"{"tokens":1e-12}"#), Fate::Counted),
        ("too small", event("acme", &own("seven"), 5, r#"{"tokens":1e-13}"#), Fate::Invalid),
    ]
}

fn adopted() -> Vec<pb::Adopted> {
    let path = |text| Path::parse(text).unwrap();
    let meter = Meter {
        key: Slug::parse("tokens").unwrap(),
        version: 3,
        event_type: "llm.call".to_owned(),
        aggregation: Aggregation::Sum,
        value: Some(path("$.tokens")),
        group_by: vec![GroupBy { name: Slug::parse("model").unwrap(), path: path("$.model") }],
        filters: Vec::new(),
        unit: "tokens".to_owned(),
        groups_max: 10,
    };
    let (tenant, provider) = (TenantId::parse("acme").unwrap(), TenantId::platform());
    let tenant = AdoptedTenant { tenant, provider: Some(provider.clone()), periods: Vec::new() };
    let (meters, version) = (vec![meter], 1);
    let (terms, backfills) = (Terms::default(), Vec::new());
    let meters = AdoptedMeters { provider, version, meters, terms, schemas: Vec::new(), backfills };
    let all = [Adoption::Tenant(tenant), Adoption::Meters(meters)];
    all.iter().map(|it| adopted_to_proto(it, (PartitionId(0), 4))).collect()
}

/// The records of the seals: a claim, then two seals.
fn seals(records: &[(&str, Bytes, Fate)]) -> Vec<(Bytes, Hash)> {
    let owner = Bytes::from_static(&[1; 16]);
    let claim = pb::SealClaim { epoch: 1, owner: owner.clone(), feature_level: 1 };
    let claim = encode_claim(PartitionId(0), claim);
    let mut out = vec![(claim.clone(), Hash::blake3(&claim))];
    let bytes = |hash: &Hash| Bytes::copy_from_slice(&hash.0);
    let mut prev = Hash::ZERO;
    for (seq, range) in [(1, 0..4), (2, 4..records.len())] {
        let (mut counts, mut root) = ([0; 7], Root::default());
        for (_, record, fate) in &records[range.clone()] {
            counts[Fate::ALL.iter().position(|it| it == fate).unwrap()] += 1;
            root.add(&Hash::blake3(record), *fate);
        }
        let seal = pb::Seal {
            epoch: 1,
            owner: owner.clone(),
            seq,
            prev: bytes(&prev),
            claim: if seq == 1 { bytes(&out[0].1) } else { Bytes::new() },
            from: range.start as u64,
            to: range.end as u64,
            through: MORNING,
            adopted: if seq == 1 { adopted() } else { Vec::new() },
            counts: counts_to_proto(&counts),
            root: bytes(&root.finish()),
            revision: None,
        };
        let sealed = encode_seal(PartitionId(0), seal);
        prev = sealed.1;
        out.push(sealed);
    }
    out
}

fn normal_forms() -> Vec<Value> {
    let all = [
        " { \"b\" : 1.0 , \"a\" : [ true , null ] } ",
        "12.50",
        "-0.0",
        "1500",
        "1.5E+3",
        "\"\\u0041\\/\\u00e9\\u0001\\n\"",
        "{\"é\":1,\"z\":2,\"\u{1f600}\":3,\"\u{ffff}\":4}",
        "100000000000000000000000000000000000001",
        "{\"a\":1,\"a\":1}",
        "01",
        "nul",
        "[1,]",
        "\"\\ud800\"",
        "1e99999999999999999999",
    ];
    let form = |data: &&str| json!({ "data": data, "form": normal_form(data).ok() });
    all.iter().map(form).collect()
}

fn identities() -> Vec<Value> {
    let all = [("acme", "/svc", "e-1", None), ("acme", "/s", "vce-1", Some(MORNING))];
    let one = |(tenant, source, id, time): (&str, &str, &str, Option<i64>)| {
        let time_of = time.map(|it| Timestamp::from_micros(it).unwrap());
        let body =
            Body { kind: "llm.call", schema: "urn:s", subject: "u1", time: time_of, data: SMALL };
        let tenant_id = TenantId::parse(tenant).unwrap();
        json!({
            "tenant": tenant, "source": source, "id": id, "type": body.kind,
            "schema": body.schema, "subject": body.subject, "time": time, "data": SMALL,
            "identity": hex(&EventIdentity::of(&tenant_id, source, id).0),
            "body_digest": hex(&BodyDigest::of(&body).unwrap().0),
        })
    };
    all.into_iter().map(one).collect()
}

pub(crate) fn document() -> Value {
    let records = records();
    let seals = seals(&records);
    let told = records.iter().map(|(what, record, fate)| {
        let hash = Hash::blake3(record).to_hex();
        json!({ "what": what, "record": hex(record), "hash": hash, "fate": fate.as_str() })
    });
    let sealed =
        seals.iter().map(|(record, hash)| json!({ "record": hex(record), "hash": hash.to_hex() }));
    json!({
        "partitions": PARTITIONS,
        "partition": 0,
        "deployment_key": hex(&KEY),
        "normal_forms": normal_forms(),
        "identities": identities(),
        "records": told.collect::<Vec<_>>(),
        "seals": sealed.collect::<Vec<_>>(),
        "figure": {
            "tenant": "acme", "meter": "tokens", "version": 3, "start": MORNING - 3_600_000_000,
            "end": MORNING, "figure": "20.000000000001",
            "groups": { "": "0.000000000001", "small": "20" },
        },
    })
}
