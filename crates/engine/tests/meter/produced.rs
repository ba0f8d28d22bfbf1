//! Events that producers write to the topic of usage by themselves.

use exchequer_journal::Outgoing;
use exchequer_metering::{Body, EventRecord, Fate};
use exchequer_projection_usage::Kind;
use exchequer_types::PartitionId;

use crate::world::{PARTITIONS, World, event, now, own_of as own};

type Header<'a> = (&'a str, &'a [u8]);

const DATA: &str = r#"{"tokens":2,"model":"large"}"#;
const STRUCTURED: Header<'_> = ("content-type", b"application/cloudevents+json");

/// The same event as [`event`] makes.
fn structured(id: &str, data: &str) -> String {
    format!(
        r#"{{"specversion":"1.0","id":"{id}","source":"test","type":"completion",
            "tenant":"acme","subject":"user-1","data":{data}}}"#
    )
}

fn binary(id: &str) -> Vec<Header<'_>> {
    vec![
        ("content-type", b"application/json"),
        ("ce_specversion", b"1.0"),
        ("ce_id", id.as_bytes()),
        ("ce_source", b"test"),
        ("ce_type", b"completion"),
        ("ce_tenant", b"acme"),
        ("ce_subject", b"user-1"),
    ]
}

fn text(letter: &Outgoing, name: &str) -> String {
    let value = letter.header(name).map(|it| it.to_vec()).unwrap_or_default();
    String::from_utf8(value).unwrap()
}

// REQ: USE-02 USE-03
#[tokio::test(flavor = "multi_thread")]
async fn an_event_counts_once_whichever_ways_it_comes() {
    let mut world = World::new();
    let process = world.start().await;
    for id in ["e-1", "e-2", "e-3"] {
        world.produce(own(id), &[STRUCTURED], &structured(id, DATA));
        world.produce(own(id), &binary(id), r#"{ "model": "large", "tokens": 2.0 }"#);
        world.send(id, DATA);
        world.produce(own(id), &[STRUCTURED], &structured(id, DATA));
    }
    process.settled().await;
    assert_eq!(process.shown("tokens").await, "6");
    assert_eq!(process.count("acme", Fate::Counted).await, 3);
    assert_eq!(process.count("acme", Fate::Duplicate).await, 9);
    process.stop().await;

    // The records make the same bytes again: the seals hold.
    world.store = std::sync::Arc::new(exchequer_readstore::MemoryStore::new(true));
    let process = world.start().await;
    process.settled().await;
    assert_eq!(process.shown("tokens").await, "6");
    assert!(world.letters().is_empty());
    process.stop().await;
}

// REQ: USE-02
#[tokio::test(flavor = "multi_thread")]
async fn an_event_on_another_partition_is_sent_on_and_not_counted_in_place() {
    let mut world = World::new();
    let process = world.start().await;
    let other = PartitionId((own("astray").0 + 1) % PARTITIONS);
    world.produce(other, &[STRUCTURED], &structured("astray", DATA));
    world.produce(other, &binary("astray"), DATA);
    process.settled().await;
    // What was sent on is in the log by then.
    process.settled().await;
    assert_eq!(process.shown("tokens").await, "2");
    assert_eq!(process.count("acme", Fate::Forwarded).await, 2);
    assert_eq!(process.count("acme", Fate::Duplicate).await, 1);
    assert!(world.letters().is_empty());
    process.stop().await;
}

// REQ: USE-02
#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_event_is_a_dead_letter_and_counts_when_it_is_mended() {
    let mut world = World::new();
    let process = world.start().await;
    let place = own("e-1");
    let broken = structured("e-1", "{\"tokens\":");
    let at = world.produce(place, &[STRUCTURED, ("trace", b"1")], &broken);
    process.settled().await;
    assert_eq!(process.shown("tokens").await, "");
    let letters = world.letters();
    let [letter] = &letters[..] else { panic!("{letters:?}") };
    assert_eq!(letter.value, broken, "as it was written");
    assert_eq!(text(letter, "content-type"), "application/cloudevents+json");
    assert_eq!((text(letter, "trace"), text(letter, "exchequer-key")), ("1".into(), "any".into()));
    assert_eq!(text(letter, "exchequer-partition"), place.to_string());
    assert_eq!(text(letter, "exchequer-offset"), at.to_string());
    let reason = text(letter, "exchequer-reason");
    assert!(reason.starts_with("EVENT_"), "{reason}");

    // Its id is not taken.
    world.produce(place, &[STRUCTURED], &structured("e-1", DATA));
    process.settled().await;
    assert_eq!(process.shown("tokens").await, "2");
    assert_eq!(world.letters().len(), 1);
    process.stop().await;
}

// REQ: USE-02
#[tokio::test(flavor = "multi_thread")]
async fn a_refused_record_is_listed_to_its_tenant_where_that_can_be_read() {
    let mut world = World::new();
    let process = world.start().await;
    // Acme is known from an event; the other record names nobody.
    world.send("e-0", DATA);
    let mut headers = binary("e-1");
    headers.retain(|(name, _)| *name != "ce_type");
    world.produce(own("e-1"), &headers, DATA);
    world.produce(own("e-2"), &[], "hello");
    process.settled().await;
    let listed = process.listed(&[Kind::Refused]).await;
    let [it] = &listed[..] else { panic!("{listed:?}") };
    assert_eq!((&*it.id, &*it.field), ("e-1", "type"));
    let letters = world.letters();
    let keys: Vec<&[u8]> = letters.iter().map(|it| &it.key[..]).collect();
    assert_eq!(letters.len(), 2);
    assert!(keys.contains(&&b"acme"[..]) && keys.contains(&&b""[..]), "{keys:?}");
    process.stop().await;
}

// REQ: USE-02
#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_cannot_be_counted_is_a_dead_letter_that_can_be_produced_again() {
    let mut world = World::new();
    let process = world.start().await;
    let ago = now().saturating_sub(core::time::Duration::from_secs(36 * 24 * 3_600));
    let it = event("acme", "old", DATA);
    let body = Body { time: Some(ago), subject: "", ..it.body };
    world.send_as(&EventRecord { body, ..it }, now());
    process.settled().await;
    let letters = world.letters();
    let [letter] = &letters[..] else { panic!("{letters:?}") };
    assert_eq!(text(letter, "exchequer-field"), "time");
    let value = String::from_utf8(letter.value.to_vec()).unwrap();
    assert!(value.contains(&ago.to_string()) && value.ends_with(&format!("\"data\":{DATA}}}")));
    let mended = value.replace(&ago.to_string(), &now().to_string());
    let kind = letter.header("content-type").unwrap();
    world.produce(own("old"), &[("content-type", kind)], &mended);
    process.settled().await;
    assert_eq!(process.shown("tokens").await, "2");
    process.stop().await;
}

// REQ: USE-02
#[tokio::test(flavor = "multi_thread")]
async fn what_a_gateway_refused_is_no_dead_letter() {
    let mut world = World::new();
    let process = world.start().await;
    let refused = exchequer_proto::usage::v1::Refused {
        tenant: "acme".to_owned(),
        id: "e-1".to_owned(),
        ..Default::default()
    };
    let bytes = exchequer_codec::usage::encode_refused(now(), refused, &crate::world::key());
    world.log.push(own("e-1"), bytes);
    world.log.push(own("e-2"), bytes::Bytes::from_static(b"\x08\xff"));
    process.settled().await;
    let letters = world.letters();
    let [letter] = &letters[..] else { panic!("{letters:?}") };
    assert_eq!(&letter.value[..], b"\x08\xff");
    process.stop().await;
}
