//! The vectors under `schemas/vectors/`, by which a program in another language
//! checks itself. Compared byte for byte with what today's code makes;
//! `UPDATE_EXPECT=1` writes them anew.
#![expect(clippy::unwrap_used, reason = "helpers of tests stand outside test functions")]

mod support;

use std::path::Path;

use bytes::Bytes;
use exchequer_codec::{forward, open, seal_with_digest};
use exchequer_kernel::{Forwarding, SealKey};
use exchequer_proto::journal::v1 as pb;
use exchequer_types::{Identity, LogId, PartitionId, Timestamp, minted_id, partition_of};
use prost::Message as _;
use serde_json::{Value, json};
use support::{hex, journals, leaves, usage};

// REQ: KER-01
#[test]
fn partitions_of_keys() {
    // Kafka's own values: org.apache.kafka.common.utils.UtilsTest.testMurmur2.
    let published: [(&str, i32); 6] = [
        ("21", -973_932_308),
        ("foobar", -790_332_482),
        ("a-little-bit-long-string", -985_981_536),
        ("a-little-bit-longer-string", -1_486_304_829),
        ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
        ("abc", 479_470_107),
    ];
    let ours = ["", "a", "platform", "acme", "acme-corp", "0", "ключ", "acme/evt-000001"];
    let keys = published.iter().map(|(key, hash)| (*key, Some(*hash)));
    let cases = keys.chain(ours.map(|key| (key, None))).map(|(key, published)| {
        let of = |partitions| partition_of(key.as_bytes(), partitions).0;
        let positive = of(0x8000_0000);
        if let Some(hash) = published {
            assert_eq!(positive, hash.cast_unsigned() & 0x7fff_ffff, "{key}");
        }
        json!({
            "key": key,
            "kafkas_murmur2": published,
            "murmur2_positive": positive,
            "partition_of_16": of(16),
            "partition_of_3": of(3),
        })
    });
    compare("partitions.json", &cases.collect::<Value>());
}

// REQ: KER-04
#[test]
fn identities_and_minted_ids() {
    let cases = [
        ("acme", "api", "c-1"),
        ("acme", "api", "c-2"),
        ("platform", "bootstrap", "1"),
        ("~partition-3", "adoption", "platform/7"),
        ("a", "bc", "d"),
        ("ab", "c", "d"),
    ];
    let cases = cases.map(|(stream, issuer, id)| {
        let identity = Identity::of(stream, issuer, id);
        let minted = [
            ("tmr_", 0, 0),
            ("tmr_", 1_740_000_000_000_001, 0),
            ("tmr_", 1_740_000_000_000_001, 1),
            ("", 1, 4_294_967_295),
        ];
        let minted = minted.map(|(prefix, micros, index)| {
            let now = Timestamp::from_micros(micros).unwrap();
            let id = minted_id(prefix, identity, now, index);
            json!({"prefix": prefix, "at": micros, "index": index, "id": id})
        });
        json!({
            "stream": stream,
            "issuer": issuer,
            "id": id,
            "identity": hex(&identity.0),
            "minted": minted,
        })
    });
    compare("identities.json", &Value::from_iter(cases));
}

// REQ: KER-04
#[test]
fn sealed_commands() {
    let deployment_key: [u8; 32] = core::array::from_fn(|index| u8::try_from(index).unwrap());
    let key = SealKey::new(&deployment_key);
    let clear: &[u8] = b"what was asked for, in clear";
    let encrypted = support::envelopes().into_iter().last().map(|it| (it, Some(clear)));
    let envelopes = support::envelopes().into_iter().map(|it| (it, None)).chain(encrypted);
    let cases = envelopes.map(|(envelope, digest_of)| {
        let (sealed, _) = seal_with_digest(&key, envelope, digest_of);
        open(&key, &sealed, 16).unwrap();
        let at = Forwarding {
            partition: PartitionId(5),
            log: LogId([0xab; 16]),
            offset: 1_234_567,
            received_at: Timestamp::parse("2026-11-21T08:30:00.25Z").unwrap(),
        };
        let forwarded = forward(&key, &sealed, &at).unwrap();
        open(&key, &forwarded, 16).unwrap();
        case_of_sealed(&sealed, &forwarded, digest_of)
    });
    let document = json!({
        "deployment_key": hex(&deployment_key),
        "mac_key": hex(&blake3::derive_key("exchequer 2026-11 command mac v1", &deployment_key)),
        "digest_key": hex(&blake3::derive_key("exchequer 2026-11 command body digest v1", &deployment_key)),
        "cases": cases.collect::<Value>(),
    });
    compare("sealed-commands.json", &document);
}

fn case_of_sealed(sealed: &Bytes, forwarded: &Bytes, digest_of: Option<&[u8]>) -> Value {
    let plain = pb::SealedCommand::decode(sealed.clone()).unwrap();
    let envelope = pb::Envelope::decode(plain.envelope.clone()).unwrap();
    let again = pb::SealedCommand::decode(forwarded.clone()).unwrap();
    let place = again.forwarded.unwrap();
    json!({
        "stream": envelope.stream,
        "actor": envelope.actor,
        "type": envelope.r#type,
        "payload": hex(&envelope.payload),
        // What the digest is of, when that is not the payload.
        "digest_of": digest_of.map(hex),
        "validate_only": envelope.validate_only,
        "body_digest": hex(&envelope.body_digest),
        "envelope": hex(&plain.envelope),
        "mac": hex(&plain.mac),
        "sealed": hex(sealed),
        "forwarded": {
            "partition": place.partition,
            "log": hex(&place.log),
            "offset": place.offset,
            "received_at": place.received_at,
            "mac": hex(&again.mac),
            "sealed": hex(forwarded),
        },
    })
}

// REQ: AUD-03
#[test]
fn whole_journals_of_one_partition() {
    compare("journals.json", &journals::document());
}

// REQ: AUD-01
#[test]
fn a_tenants_audit_entries() {
    compare("audit.json", &leaves::document());
}

// REQ: USE-12
#[test]
fn usage_and_its_seals() {
    compare("usage.json", &usage::document());
}

fn compare(name: &str, document: &Value) {
    let text = serde_json::to_string_pretty(document).unwrap() + "\n";
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../schemas/vectors").join(name);
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        std::fs::write(&file, &text).unwrap();
    }
    let stored = std::fs::read_to_string(&file).unwrap_or_default();
    let differs = stored.lines().zip(text.lines()).position(|(stored, now)| stored != now);
    let line = differs.unwrap_or_else(|| stored.lines().count().min(text.lines().count())) + 1;
    assert!(
        stored == text,
        "{} differs from line {line} on; UPDATE_EXPECT=1 writes it anew, but what others verify by must not change",
        file.display()
    );
}
