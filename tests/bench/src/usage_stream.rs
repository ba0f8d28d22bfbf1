//! The same events as one gRPC stream for each connection.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use exchequer_proto::io::cloudevents::v1 as pb;
use exchequer_proto::io::cloudevents::v1::cloud_event::cloud_event_attribute_value::Attr;
use exchequer_proto::io::cloudevents::v1::cloud_event::{CloudEventAttributeValue, Data};
use exchequer_proto::usage::v1 as usage;
use exchequer_proto::usage::v1::ingest_service_client::IngestServiceClient;
use futures::stream;
use tonic::transport::Channel;

use crate::Failure;
use crate::server::{Server, with};
use crate::usage::{SUBJECTS, TENANTS, number};

const STREAMS: usize = 4;
const BATCH: u64 = 1_000;

/// Sends the events of these places, and reads all verdicts.
pub(crate) async fn send(server: &Server, places: core::ops::Range<u64>) -> Result<(), Failure> {
    let next = Arc::new(AtomicU64::new(places.start));
    let tasks = (0..STREAMS).map(|_| {
        let (next, end) = (Arc::clone(&next), places.end);
        let bearer = server.bearer.clone();
        let address = format!("http://{}", server.address);
        #[expect(clippy::disallowed_methods, reason = "senders are no part of the platform")]
        tokio::spawn(async move {
            let channel = Channel::from_shared(address)?.connect().await?;
            let mut client = IngestServiceClient::new(channel)
                .max_decoding_message_size(usize::MAX)
                .max_encoding_message_size(usize::MAX);
            let requests = stream::unfold(next, move |next| async move {
                let from = next.fetch_add(BATCH, Ordering::Relaxed);
                let events = (from..(from + BATCH).min(end)).map(|n| event(number(n))).collect();
                let request = usage::StreamEventsRequest { events };
                (from < end).then_some((request, next))
            });
            let mut replies = client.stream_events(with(&bearer, requests)).await?.into_inner();
            while let Some(reply) = replies.message().await? {
                if reply.refused > 0 {
                    let verdict = reply.verdicts.iter().find(|it| !it.code.is_empty());
                    return Err(format!("refused: {verdict:?}").into());
                }
            }
            Ok::<(), Failure>(())
        })
    });
    for task in futures::future::join_all(tasks).await {
        task??;
    }
    Ok(())
}

fn event(number: u64) -> pb::CloudEvent {
    let text = |text: String| CloudEventAttributeValue { attr: Some(Attr::CeString(text)) };
    let attributes = [
        ("tenant".to_owned(), text(format!("t{}", number % TENANTS))),
        ("subject".to_owned(), text(format!("s-{}", number % SUBJECTS))),
    ];
    let data = format!(
        "{{\"tokens\":{},\"model\":\"m-{}\",\"ms\":{}}}",
        number % 997,
        number % 7 + number % 4,
        number % 211
    );
    pb::CloudEvent {
        id: format!("e-{number}"),
        source: "/bench".to_owned(),
        spec_version: "1.0".to_owned(),
        r#type: "api.request".to_owned(),
        attributes: HashMap::from(attributes),
        data: Some(Data::TextData(data)),
    }
}
