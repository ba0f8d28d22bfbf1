//! `POST /v1/events`: events by HTTP, as CloudEvents in structured, binary and batch mode,
//! packed or not. A batch is answered with a verdict for each event; a single event that is
//! refused is answered with the error itself, as `google.rpc.Status` in JSON.

use core::future::poll_fn;
use core::iter::once;
use core::pin::Pin;

use axum::Router;
use axum::body::{Body, HttpBody as _};
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use bytes::{Bytes, BytesMut};
use exchequer_metering::event;
use futures::future::{Either, select};
use serde::Serialize;
use tonic::Status;

use super::gate::{Events, Gate, REQUEST_BYTES_MAX, Sender};
use super::inflate::Encoding;
use super::ingest::PATIENCE;
use super::room::Taken;
use super::stream::STALLED;
use super::verdict::Verdicts;
use super::{CONSISTENCY, EVENTS_PATH};
use crate::status::{
    self, CONTENT_TYPE_UNKNOWN, REQUEST_MALFORMED, REQUEST_TOO_LARGE, Refusal, STREAM_STALLED,
};

/// What the names of attributes begin with as headers.
const PREFIX: &str = "ce-";
/// Of the verdict on an accepted event, besides its id.
const VERDICT_BYTES: usize = 48;
const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// How events stand in a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Structured,
    Batch,
    Binary,
}

/// The verdict on an event that is refused.
#[derive(Serialize)]
struct Item<'v> {
    index: usize,
    id: &'v str,
    status: &'static str,
    #[serde(skip_serializing_if = "str::is_empty")]
    code: &'v str,
    #[serde(skip_serializing_if = "str::is_empty")]
    field: &'v str,
    #[serde(skip_serializing_if = "str::is_empty")]
    message: &'v str,
    #[serde(rename = "retryAfter", skip_serializing_if = "Option::is_none")]
    retry_after: Option<String>,
}

/// The path, for the router of all services.
pub(crate) fn routes(gate: Gate) -> Router {
    Router::new().route(EVENTS_PATH, post(events)).with_state(gate)
}

async fn events(State(gate): State<Gate>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    // An error leaves as gRPC writes it: the layer outside makes JSON of it.
    answer(&gate, &parts, body).await.unwrap_or_else(Status::into_http)
}

async fn answer(gate: &Gate, parts: &Parts, body: Body) -> Result<Response, Status> {
    let form = Form::of(&parts.headers)?;
    let encoding = header_bytes(&parts.headers, &header::CONTENT_ENCODING);
    let encoding = Encoding::parse(encoding)?;
    let mut taken = Taken::default();
    let body = read(gate, &mut taken, &parts.headers, body).await?;
    let packed = body.len();
    let body = encoding.unpack(body).await?;
    gate.room.take(&mut taken, body.len().saturating_sub(packed))?;
    let events = form.events(&parts.headers, &body)?;
    let verdicts = gate.take(&Sender::of(&parts.extensions), events, PATIENCE).await?;
    if form != Form::Batch
        && let Some(refused) = verdicts.items.first().and_then(|it| it.refused.as_ref())
    {
        return Err(refused.status());
    }
    reply(&verdicts)
}

impl Form {
    fn of(headers: &HeaderMap) -> Result<Self, Status> {
        let kind = header_bytes(headers, &header::CONTENT_TYPE).unwrap_or_default();
        let essence = kind.split(|it| *it == b';').next().unwrap_or_default().trim_ascii();
        let essence = essence.to_ascii_lowercase();
        let is_event = essence.starts_with(b"application/cloudevents");
        let in_headers = || headers.keys().any(|name| name.as_str().starts_with(PREFIX));
        match essence.as_slice() {
            b"application/cloudevents+json" => Ok(Self::Structured),
            b"application/cloudevents-batch+json" => Ok(Self::Batch),
            _ if !is_event && in_headers() => Ok(Self::Binary),
            _ => {
                let message = "must be application/cloudevents+json for one event, \
                               application/cloudevents-batch+json for a list, or that of the \
                               event's data with its attributes as headers such as ce-id";
                Err(Refusal::new(CONTENT_TYPE_UNKNOWN, message).field("content-type").status())
            }
        }
    }

    fn events<'b>(self, headers: &'b HeaderMap, body: &'b [u8]) -> Result<Events<'b>, Status> {
        match self {
            Self::Structured => Ok(Box::new(once(event::structured(body)))),
            Self::Binary => {
                let attributes = headers.iter().filter_map(|(name, value)| {
                    Some((name.as_str().strip_prefix(PREFIX)?, value.as_bytes()))
                });
                let kind = header_bytes(headers, &header::CONTENT_TYPE);
                Ok(Box::new(once(event::binary(attributes, kind, body))))
            }
            Self::Batch => {
                let mut events = event::batch(body);
                match event::is_no_list(body).then(|| events.next()).flatten() {
                    Some(Err(refused)) => {
                        let message = refused.rejection.to_string();
                        Err(Refusal::new(REQUEST_MALFORMED, message).status())
                    }
                    _ => Ok(Box::new(events)),
                }
            }
        }
    }
}

/// The body, as it was sent, within its bound. There has to be room for each part of it.
async fn read(
    gate: &Gate,
    taken: &mut Taken,
    headers: &HeaderMap,
    mut body: Body,
) -> Result<Bytes, Status> {
    let told = header_bytes(headers, &header::CONTENT_LENGTH);
    let told = told.and_then(|it| core::str::from_utf8(it).ok()?.parse::<usize>().ok());
    if told.is_some_and(|bytes| bytes > REQUEST_BYTES_MAX) {
        return Err(too_large());
    }
    let mut read = BytesMut::with_capacity(told.unwrap_or_default());
    loop {
        let next = poll_fn(|context| Pin::new(&mut body).poll_frame(context));
        let frame = match select(next, gate.runtime().sleep(STALLED)).await {
            Either::Left((None, _)) => return Ok(read.freeze()),
            Either::Left((Some(Ok(frame)), _)) => frame,
            Either::Left((Some(Err(_)), _)) => {
                let message = "the body ends before its end";
                return Err(Refusal::new(REQUEST_MALFORMED, message).status());
            }
            Either::Right(_) => {
                let message =
                    format!("nothing came for {} s: nothing was taken", STALLED.as_secs());
                return Err(Refusal::new(STREAM_STALLED, message).status());
            }
        };
        let Ok(data) = frame.into_data() else { continue };
        if read.len() + data.len() > REQUEST_BYTES_MAX {
            return Err(too_large());
        }
        gate.room.take(taken, data.len())?;
        read.extend_from_slice(&data);
    }
}

fn too_large() -> Status {
    let message = format!("a request has at most {REQUEST_BYTES_MAX} bytes: send several");
    Refusal::new(REQUEST_TOO_LARGE, message).status()
}

fn header_bytes<'h>(headers: &'h HeaderMap, name: &header::HeaderName) -> Option<&'h [u8]> {
    headers.get(name).map(HeaderValue::as_bytes)
}

fn reply(verdicts: &Verdicts<'_>) -> Result<Response, Status> {
    let body = write(verdicts);
    let body = body.map_err(|error| status::internal("verdicts", &error.to_string()))?;
    let mut response = (StatusCode::OK, body).into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, JSON);
    let token = verdicts.token();
    if let Ok(token) = HeaderValue::from_str(&token)
        && !token.is_empty()
    {
        response.headers_mut().insert(CONSISTENCY, token);
    }
    Ok(response)
}

/// The reply's JSON. Nearly all verdicts are the same but for index and id.
fn write(verdicts: &Verdicts<'_>) -> serde_json::Result<Vec<u8>> {
    let ids: usize = verdicts.items.iter().map(|it| it.id.len()).sum();
    let mut out = Vec::with_capacity(ids + verdicts.items.len() * VERDICT_BYTES + 64);
    out.extend_from_slice(b"{\"verdicts\":[");
    for (index, it) in verdicts.items.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        let Some(refused) = &it.refused else {
            out.extend_from_slice(b"{\"index\":");
            serde_json::to_writer(&mut out, &index)?;
            out.extend_from_slice(b",\"id\":");
            serde_json::to_writer(&mut out, &*it.id)?;
            out.extend_from_slice(b",\"status\":\"ACCEPTED\"}");
            continue;
        };
        let item = Item {
            index,
            id: &it.id,
            status: "REFUSED",
            code: &refused.code,
            field: &refused.field,
            message: &refused.message,
            retry_after: refused.retry.map(|it| format!("{}s", it.as_secs_f64())),
        };
        serde_json::to_writer(&mut out, &item)?;
    }
    let (accepted, refused) = (verdicts.accepted(), verdicts.refused());
    let totals = format!("],\"accepted\":{accepted},\"refused\":{refused}}}");
    out.extend_from_slice(totals.as_bytes());
    Ok(out)
}
