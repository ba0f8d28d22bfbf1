//! By gRPC: messages as any CloudEvents library makes them, one request or a stream.

use std::collections::HashMap;
use std::time::Duration;

use exchequer_engine::UsageToken;
use exchequer_journal::FaultKind;
use exchequer_proto::io::cloudevents::v1::CloudEvent;
use exchequer_proto::io::cloudevents::v1::cloud_event::cloud_event_attribute_value::Attr;
use exchequer_proto::io::cloudevents::v1::cloud_event::{CloudEventAttributeValue, Data};
use exchequer_proto::usage::v1 as pb;
use exchequer_proto::usage::v1::ingest_service_client::IngestServiceClient;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::log::Told;
use crate::world::{World, refused, text};

/// Whoever is not read from for so long is held up by its own replies.
const STALL: Duration = Duration::from_secs(1);

pub(super) fn event(tenant: &str, id: &str, data: &str) -> CloudEvent {
    let text =
        |text: &str| CloudEventAttributeValue { attr: Some(Attr::CeString(text.to_owned())) };
    let at = prost_types::Timestamp { seconds: 1_763_713_800, nanos: 250_000_000 };
    let at = CloudEventAttributeValue { attr: Some(Attr::CeTimestamp(at)) };
    CloudEvent {
        id: id.to_owned(),
        source: "/t".to_owned(),
        spec_version: "1.0".to_owned(),
        r#type: "tokens".to_owned(),
        attributes: HashMap::from([("tenant".to_owned(), text(tenant)), ("time".to_owned(), at)]),
        data: Some(Data::TextData(data.to_owned())),
    }
}

fn told(verdicts: &[pb::EventVerdict]) -> Vec<String> {
    let told = (0..).zip(verdicts).map(|(index, it): (u32, _)| {
        assert_eq!(it.index, index);
        match it.status() {
            pb::EventStatus::Accepted => format!("{} ACCEPTED", it.id),
            _ => format!("{} {} {}", it.id, it.code, it.field),
        }
    });
    told.collect()
}

// REQ: USE-02
#[tokio::test(flavor = "multi_thread")]
async fn each_event_of_a_request_has_its_verdict() {
    let world = World::start().await;
    let mut client = IngestServiceClient::new(world.channel.clone());
    let bytes = Data::BinaryData(b" {\"n\":2} ".to_vec().into());
    let any = Data::ProtoData(prost_types::Any::default());
    let flag = CloudEventAttributeValue { attr: Some(Attr::CeBoolean(true)) };
    let mut odd = event("acme", "f", "1");
    odd.attributes.insert("subject".to_owned(), flag);
    let events = vec![
        event("acme", "a", "{\"n\":1}"),
        CloudEvent { data: Some(bytes), ..event("acme", "b", "") },
        CloudEvent { data: None, ..event("acme", "c", "") },
        CloudEvent { data: Some(any), ..event("acme", "d", "") },
        CloudEvent { spec_version: String::new(), ..event("acme", "e", "1") },
        odd,
        event("", "g", "1"),
        event("acme", "h", &format!("\"{}\"", "x".repeat(64 * 1024))),
    ];
    let reply = client.publish_events(pb::PublishEventsRequest { events }).await.unwrap();
    let token = text(reply.metadata(), "x-exchequer-usage-consistency");
    assert!(!UsageToken::decode(&token, 3).unwrap().0.is_empty());
    let reply = reply.into_inner();
    assert_eq!((reply.accepted, reply.refused), (3, 5));
    assert_eq!(
        told(&reply.verdicts),
        [
            "a ACCEPTED",
            "b ACCEPTED",
            "c ACCEPTED",
            "d EVENT_DATA_INVALID data",
            "e EVENT_ATTRIBUTE_MISSING specversion",
            "f EVENT_ATTRIBUTE_INVALID subject",
            "g EVENT_ATTRIBUTE_MISSING tenant",
            "h EVENT_TOO_LARGE ",
        ]
    );
    let written: Vec<_> =
        world.usage.told().into_iter().filter(|it| matches!(it, Told::Event(..))).collect();
    let data: Vec<_> = written.iter().map(|it| format!("{it:?}")).collect();
    assert!(data[1].contains(r#"{\"n\":2}"#) && data[2].contains("null"), "{data:?}");
    let many = pb::PublishEventsRequest { events: vec![event("acme", "a", "1"); 10_001] };
    refused(client.publish_events(many).await, "EVENTS_TOO_MANY");
    world.usage.fail((0..3).map(|it| (it, FaultKind::Overloaded)));
    let one = pb::PublishEventsRequest { events: vec![event("acme", "a", "1")] };
    let status = refused(client.publish_events(one).await, "OVERLOADED");
    assert_eq!(status.code(), tonic::Code::ResourceExhausted);
}

// REQ: USE-02
#[tokio::test(flavor = "multi_thread")]
async fn verdicts_stream_back_in_the_order_of_the_requests() {
    let world = World::start().await;
    let mut client = IngestServiceClient::new(world.channel.clone());
    let (requests, receiver) = mpsc::channel(1);
    let replies = client.stream_events(ReceiverStream::new(receiver)).await.unwrap();
    let mut replies = replies.into_inner();
    for number in 0..50_u64 {
        let bad = CloudEvent { source: String::new(), ..event("acme", "bad", "1") };
        let events = vec![event("acme", &number.to_string(), "1"), bad];
        requests.send(pb::StreamEventsRequest { events }).await.unwrap();
        let reply = replies.message().await.unwrap().unwrap();
        assert_eq!(reply.number, number);
        assert_eq!(
            told(&reply.verdicts),
            [format!("{number} ACCEPTED"), "bad EVENT_ATTRIBUTE_MISSING source".to_owned()]
        );
        assert!(UsageToken::decode(&reply.consistency_token, 3).is_ok());
    }
    drop(requests);
    assert!(replies.message().await.unwrap().is_none());
    let events = world.usage.told().into_iter().filter(|it| matches!(it, Told::Event(..)));
    assert_eq!(events.count(), 50);
}

// REQ: USE-02
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_reads_no_replies_is_not_read_from() {
    let world = World::start().await;
    let mut client = IngestServiceClient::new(world.channel.clone());
    let (requests, receiver) = mpsc::channel(1);
    let replies = client.stream_events(ReceiverStream::new(receiver)).await.unwrap();
    let mut replies = replies.into_inner();
    // Far more than all buffers on the way hold of replies.
    let events = vec![CloudEvent { source: String::new(), ..event("acme", "bad", "1") }; 5_000];
    let request = pb::StreamEventsRequest { events };
    let mut sent = 0_u64;
    let mut stalled = false;
    while sent < 500 && !stalled {
        match tokio::time::timeout(STALL, requests.send(request.clone())).await {
            Ok(room) => {
                room.unwrap();
                sent += 1;
            }
            Err(_) => stalled = true,
        }
    }
    assert!(stalled, "{sent} requests were read");
    // It goes on where it stood when the replies are read.
    drop(requests);
    let mut number = 0;
    while let Some(reply) = replies.message().await.unwrap() {
        assert_eq!((reply.number, reply.refused), (number, 5_000));
        number += 1;
    }
    assert_eq!(number, sent);
}

// REQ: USE-02
#[tokio::test(flavor = "multi_thread")]
async fn a_stream_ends_when_the_server_stops_and_what_was_sent_has_verdicts() {
    let world = World::start().await;
    let mut client = IngestServiceClient::new(world.channel.clone());
    let (requests, receiver) = mpsc::channel(1);
    let replies = client.stream_events(ReceiverStream::new(receiver)).await.unwrap();
    let mut replies = replies.into_inner();
    let request = pb::StreamEventsRequest { events: vec![event("acme", "a", "1")] };
    requests.send(request).await.unwrap();
    assert_eq!(replies.message().await.unwrap().unwrap().accepted, 1);
    world.stopping.send_replace(true);
    let ended = replies.message().await.unwrap_err();
    assert_eq!(crate::world::named(&ended).0, "SHUTTING_DOWN");
}
