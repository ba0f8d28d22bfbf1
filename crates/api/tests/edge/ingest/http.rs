//! By HTTP: each form is taken, each wrong one is named, and what is refused harms
//! nothing beside it.

use std::io::Write as _;

use exchequer_engine::{Settings, UsageToken};
use exchequer_journal::FaultKind;
use flate2::Compression;
use flate2::write::GzEncoder;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::client::{BATCH, ONE, event, post};
use super::log::Told;
use crate::world::World;

const ACCEPTED: &str = "ACCEPTED";

fn told(id: &str, data: &str) -> Told {
    Told::Event("acme".to_owned(), id.to_owned(), data.to_owned())
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

// REQ: USE-02
#[tokio::test(flavor = "multi_thread")]
async fn each_form_of_an_event_is_written_once_it_is_accepted() {
    let world = World::start().await;
    let one = event("acme", "a", "{\"n\": 1.50}");
    let reply = post(world.address, &[ONE], one).await;
    assert_eq!(reply.verdicts(), [ACCEPTED]);
    assert_eq!((&reply.json["accepted"], &reply.json["refused"]), (&1.into(), &0.into()));
    let token = reply.headers["x-exchequer-usage-consistency"].to_str().unwrap();
    let token = UsageToken::decode(token, 3).unwrap();
    assert_eq!(token.0.len(), 1);
    assert_eq!(token.0[0].1, 1);
    let headers = [
        ("content-type", "application/json"),
        ("ce-specversion", "1.0"),
        ("ce-id", "b%20\u{41}"),
        ("ce-source", "/t"),
        ("ce-type", "tokens"),
        ("ce-tenant", "acme"),
    ];
    assert_eq!(post(world.address, &headers, "{\"n\":2}").await.verdicts(), [ACCEPTED]);
    let list = format!("[{},{}]", event("acme", "c", "3"), event("acme", "d", "4"));
    for (encoding, body) in [
        ("identity", list.clone().into_bytes()),
        ("gzip", gzip(list.as_bytes())),
        ("zstd", zstd::encode_all(list.as_bytes(), 3).unwrap()),
    ] {
        let reply = post(world.address, &[BATCH, ("content-encoding", encoding)], body).await;
        assert_eq!(reply.verdicts(), [ACCEPTED, ACCEPTED], "{encoding}");
    }
    let thrice = |id, data| [told(id, data), told(id, data), told(id, data)];
    let mut expected = vec![told("a", "{\"n\": 1.50}"), told("b A", "{\"n\":2}")];
    expected.extend(thrice("c", "3").into_iter().chain(thrice("d", "4")));
    assert_eq!(world.usage.told(), expected);
}

// REQ: USE-02
#[tokio::test(flavor = "multi_thread")]
async fn one_bad_event_harms_no_other_and_is_kept_with_its_reason() {
    let world = World::start().await;
    let good = event("acme", "a", "1");
    let list = format!(
        "[{good},{},{},7,{},{good}",
        event("acme", "b", "{\"n\":NaN}"),
        event("Acme!", "c", "1"),
        good.replace("\"1.0\"", "\"0.3\""),
    );
    let reply = post(world.address, &[BATCH], list).await;
    assert_eq!(
        reply.verdicts(),
        [
            ACCEPTED,
            "EVENT_DATA_INVALID data",
            "EVENT_ATTRIBUTE_INVALID tenant",
            "EVENT_MALFORMED",
            "EVENT_SPECVERSION_UNKNOWN specversion",
            ACCEPTED,
            "EVENTS_CUT_OFF",
        ]
    );
    assert_eq!(reply.json["verdicts"][1]["id"], "b");
    assert_eq!((&reply.json["accepted"], &reply.json["refused"]), (&2.into(), &5.into()));
    // Of whom nothing is known, nothing is kept.
    let written = world.usage.told();
    assert_eq!(written[..2], [told("a", "1"), told("a", "1")]);
    let kept: Vec<_> = written[2..].iter().collect();
    let [Told::Refused(tenant, id, why), Told::Refused(other, ..)] = kept[..] else {
        panic!("{kept:?}")
    };
    assert_eq!((tenant.as_str(), other.as_str()), ("acme", "acme"));
    let reasons = format!("{kept:?}");
    assert!(reasons.contains("EVENT_DATA_INVALID: data must be JSON"), "{id}: {why}");
    assert!(reasons.contains("EVENT_SPECVERSION_UNKNOWN"), "{reasons}");
    // However many are refused, a bounded number is kept.
    let bad = vec![event("acme", "x", "NaN"); 300].join(",");
    let reply = post(world.address, &[BATCH], format!("[{bad}]")).await;
    assert_eq!(reply.json["refused"], 300);
    assert_eq!(world.usage.told().len(), 104);
}

// REQ: USE-02
#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_cannot_be_taken_is_answered_with_an_error() {
    let world = World::start().await;
    let good = event("acme", "a", "1");
    let text = ("content-type", "text/plain");
    let packed = |name| ("content-encoding", name);
    let error = |status, code: &str, field: &str| (status, code.to_owned(), field.to_owned());
    let avro = ("content-type", "application/cloudevents+avro");
    let many = format!("[{}]", vec![good.as_str(); 10_001].join(","));
    let cases: Vec<(Vec<(&str, &str)>, Vec<u8>, _)> = vec![
        (vec![ONE], event("acme", "a", "NaN").into(), error(400, "EVENT_DATA_INVALID", "data")),
        (vec![ONE], b"{".to_vec(), error(400, "EVENT_MALFORMED", "")),
        (vec![ONE], Vec::new(), error(400, "EVENT_MALFORMED", "")),
        (vec![BATCH], good.clone().into(), error(400, "REQUEST_MALFORMED", "")),
        (vec![BATCH], Vec::new(), error(400, "REQUEST_MALFORMED", "")),
        (vec![BATCH], many.into(), error(400, "EVENTS_TOO_MANY", "events")),
        (vec![], good.clone().into(), error(415, "CONTENT_TYPE_UNKNOWN", "content-type")),
        (vec![text], good.clone().into(), error(415, "CONTENT_TYPE_UNKNOWN", "content-type")),
        (vec![avro], good.clone().into(), error(415, "CONTENT_TYPE_UNKNOWN", "content-type")),
        (
            vec![ONE, packed("br")],
            good.clone().into(),
            error(415, "CONTENT_ENCODING_UNKNOWN", "content-encoding"),
        ),
        (
            vec![ONE, packed("gzip")],
            good.clone().into(),
            error(400, "REQUEST_MALFORMED", "content-encoding"),
        ),
        (
            vec![ONE, packed("zstd")],
            good.clone().into(),
            error(400, "REQUEST_MALFORMED", "content-encoding"),
        ),
        (
            vec![text, ("ce-id", "1"), ("ce-specversion", "1.0")],
            b"x".to_vec(),
            error(400, "EVENT_ATTRIBUTE_MISSING", "source"),
        ),
        (vec![ONE], vec![b' '; 8 * 1024 * 1024 + 1], error(413, "REQUEST_TOO_LARGE", "")),
    ];
    for (headers, body, expected) in cases {
        let start: Vec<u8> = body.iter().take(60).copied().collect();
        let reply = post(world.address, &headers, body).await;
        assert_eq!(reply.error(), expected, "{headers:?} {:?}", String::from_utf8_lossy(&start));
    }
    assert!(world.usage.told().iter().all(|it| matches!(it, Told::Refused(..))));
}

// REQ: USE-02
#[tokio::test(flavor = "multi_thread")]
async fn whoever_sends_all_of_it_before_reading_reads_why_it_is_refused() {
    let world = World::start().await;
    let mut stream = TcpStream::connect(world.address).await.unwrap();
    let bytes = 32 * 1024 * 1024;
    let head = format!(
        "POST /v1/events HTTP/1.1\r\nhost: x\r\ncontent-type: application/cloudevents+json\r\n\
         content-length: {bytes}\r\nconnection: close\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(&vec![b' '; bytes]).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    assert!(answer.contains("REQUEST_TOO_LARGE"), "{answer}");
}

// REQ: USE-02
#[tokio::test(flavor = "multi_thread")]
async fn a_bomb_is_refused_before_it_is_unpacked() {
    let world = World::start().await;
    let zeros = vec![b' '; 64 * 1024 * 1024];
    for (encoding, body) in
        [("gzip", gzip(&zeros)), ("zstd", zstd::encode_all(zeros.as_slice(), 3).unwrap())]
    {
        // Ten times as much behind it, which nobody gets to.
        let body = body.repeat(10);
        assert!(body.len() < 1024 * 1024, "{encoding}: {}", body.len());
        let reply = post(world.address, &[BATCH, ("content-encoding", encoding)], body).await;
        assert_eq!(reply.error().1, "REQUEST_TOO_LARGE", "{encoding}");
    }
}

// REQ: USE-02
#[tokio::test(flavor = "multi_thread")]
async fn what_the_log_does_not_take_is_never_accepted() {
    let world = World::start().await;
    let ids: Vec<String> = (0..30).map(|id| format!("e-{id:02}")).collect();
    let events: Vec<String> = ids.iter().map(|id| event("acme", id, "1")).collect();
    let list = format!("[{}]", events.join(","));
    // All of it: as if it had not been sent.
    world.usage.fail((0..3).map(|partition| (partition, FaultKind::Overloaded)));
    let reply = post(world.address, &[BATCH], list.clone()).await;
    assert_eq!(reply.error().0, 429);
    assert_eq!(reply.error().1, "OVERLOADED");
    assert_eq!(reply.headers["retry-after"], "1");
    assert!(world.usage.told().is_empty());
    // A part of it: each event says so.
    for (kind, code) in [
        (FaultKind::Overloaded, "OVERLOADED"),
        (FaultKind::Full, "DISK_FULL"),
        (FaultKind::Unavailable, "EVENT_UNCONFIRMED"),
        (FaultKind::Stopped, "PARTITION_UNAVAILABLE"),
    ] {
        world.usage.fail([(1, kind)]);
        let before = world.usage.told().len();
        let reply = post(world.address, &[BATCH], list.clone()).await;
        let verdicts = reply.verdicts();
        let accepted = verdicts.iter().filter(|it| *it == ACCEPTED).count();
        assert!(accepted > 0 && accepted < 30, "{verdicts:?}");
        assert_eq!(verdicts.iter().filter(|it| *it == code).count(), 30 - accepted);
        assert_eq!(world.usage.told().len() - before, accepted);
        let told = reply.json["verdicts"].as_array().unwrap().iter();
        assert!(told.filter(|it| it["code"] == code).all(|it| it["retryAfter"].is_string()));
    }
    // A single event is answered with the error.
    world.usage.fail((0..3).map(|partition| (partition, FaultKind::Unavailable)));
    let reply = post(world.address, &[ONE], events[0].clone()).await;
    assert_eq!(reply.error(), (503, "EVENT_UNCONFIRMED".to_owned(), String::new()));
}

// REQ: USE-02
#[tokio::test(flavor = "multi_thread")]
async fn what_there_is_no_room_for_is_refused_before_anything_is_written() {
    let mut settings = Settings::default();
    settings.usage.ingest_bytes_max = 4_096;
    let world = World::start_with(settings).await;
    let good = event("acme", "a", "1");
    let list = format!("[{}]", vec![good.as_str(); 100].join(","));
    assert_eq!(post(world.address, &[BATCH], list.clone()).await.error().1, "OVERLOADED");
    let packed = gzip(list.as_bytes());
    let packed = post(world.address, &[BATCH, ("content-encoding", "gzip")], packed).await;
    assert_eq!(packed.error().1, "OVERLOADED");
    assert!(world.usage.told().is_empty());
    // It is free again.
    for _ in 0..100 {
        assert_eq!(post(world.address, &[ONE], good.clone()).await.verdicts(), [ACCEPTED]);
    }
}
