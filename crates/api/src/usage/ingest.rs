//! `exchequer.usage.v1.IngestService`: events by gRPC, in one request or on a stream.

use core::time::Duration;

use exchequer_proto::io::cloudevents::v1::CloudEvent;
use exchequer_proto::usage::v1 as pb;
use exchequer_proto::usage::v1::ingest_service_server::IngestService;
use prost::Message as _;
use tokio::sync::watch;
use tokio_stream::wrappers::ReceiverStream;
use tonic::metadata::MetadataValue;
use tonic::{Extensions, Request, Response, Status, Streaming};

use super::gate::{Gate, Sender, check_count};
use super::room::Taken;
use super::verdict::Verdicts;
use super::{CONSISTENCY, cloud_event, stream};
use crate::edge::Edge;
use crate::guard::{Caller, Items};

/// Verdicts are waited for this long, unless the caller says otherwise.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Clone, Debug)]
pub(crate) struct Ingest {
    pub(crate) edge: Edge,
    pub(crate) gate: Gate,
}

impl Sender {
    /// Who sends a request with these extensions.
    pub(crate) fn of(extensions: &axum::http::Extensions) -> Self {
        Self {
            caller: extensions.get::<Caller>().cloned(),
            items: extensions.get::<Items>().cloned(),
        }
    }

    fn of_call(extensions: &Extensions) -> Self {
        Self {
            caller: extensions.get::<Caller>().cloned(),
            items: extensions.get::<Items>().cloned(),
        }
    }
}

#[tonic::async_trait]
impl IngestService for Ingest {
    async fn publish_events(
        &self,
        request: Request<pb::PublishEventsRequest>,
    ) -> Result<Response<pb::PublishEventsResponse>, Status> {
        let sender = Sender::of_call(request.extensions());
        let (call, message) = self.edge.receive(request)?;
        let mut room = Taken::default();
        let bytes = message.encoded_len();
        let reply = match self.gate.room.take(&mut room, bytes) {
            Ok(()) => publish(&self.gate, &sender, &message.events, call.patience).await,
            Err(full) => Err(full),
        };
        let token = reply.as_ref().map(|it| it.1.clone()).unwrap_or_default();
        let mut reply = call.reply(reply.map(|it| it.0))?;
        if let Ok(token) = MetadataValue::try_from(token)
            && !token.is_empty()
        {
            reply.metadata_mut().insert(CONSISTENCY, token);
        }
        Ok(reply)
    }

    type StreamEventsStream = ReceiverStream<Result<pb::StreamEventsResponse, Status>>;

    async fn stream_events(
        &self,
        request: Request<Streaming<pb::StreamEventsRequest>>,
    ) -> Result<Response<Self::StreamEventsStream>, Status> {
        let sender = Sender::of_call(request.extensions());
        let stopping: watch::Receiver<bool> = self.edge.stopping.clone();
        Ok(Response::new(stream::start(self.gate.clone(), sender, request.into_inner(), stopping)))
    }
}

/// The verdicts on the events of one request, and its token.
async fn publish(
    gate: &Gate,
    sender: &Sender,
    events: &[CloudEvent],
    patience: Duration,
) -> Result<(pb::PublishEventsResponse, String), Status> {
    let verdicts = take(gate, sender, events, patience).await?;
    let reply = pb::PublishEventsResponse {
        verdicts: verdicts.messages(),
        accepted: verdicts.accepted(),
        refused: verdicts.refused(),
    };
    Ok((reply, verdicts.token()))
}

pub(crate) async fn take<'e>(
    gate: &Gate,
    sender: &Sender,
    events: &'e [CloudEvent],
    patience: Duration,
) -> Result<Verdicts<'e>, Status> {
    check_count(events.len())?;
    gate.take(sender, Box::new(events.iter().map(cloud_event::read)), patience).await
}
