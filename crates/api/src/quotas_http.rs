//! Quotas by HTTP: `POST /v1/quotas/reserve`, `finalise`, `release` and `check` with a JSON
//! object become the calls of `QuotaService`, and pass the same guard. A refusal has the
//! status that the limit is set to: 429 with `Retry-After`, 402 or 403.

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Path, Request, State};
use axum::http::{HeaderValue, Uri, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use axum::routing::post;
use bytes::{BufMut as _, Bytes, BytesMut};
use exchequer_proto::common::v1::WriteOptions;
use exchequer_proto::quotas::v1 as pb;
use exchequer_runtime::Runtime;
use prost::Message;
use serde::Deserialize;
use serde_json::{Value, json};
use tonic::codegen::Service as _;
use tonic::{Code, Status};

use crate::answers;
use crate::linger::linger;
use crate::status::{self, METHOD_UNKNOWN, REQUEST_MALFORMED, REQUEST_TOO_LARGE, Refusal};
use crate::usage::error_as_json;

const PATH: &str = "/v1/quotas/{call}";
const SERVICE: &str = "/exchequer.quotas.v1.QuotaService/";
/// Of a request: an object of a few fields.
const BODY_BYTES_MAX: usize = 16 * 1024;
/// Of a reply: a reservation with its quota.
const REPLY_BYTES_MAX: usize = 1024 * 1024;
/// In front of a message: whether it is packed, and its length.
const FRAME_BYTES: usize = 5;

/// What may be asked. Each call takes the fields that its method has.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct Asked {
    tenant: String,
    reservation: String,
    feature: String,
    amount: Option<u64>,
    ttl_seconds: Option<i64>,
    command_id: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Call {
    Reserve,
    Finalise,
    Release,
    Check,
}

/// The calls of `inner`, guard and all, and beside them those by HTTP.
pub(crate) fn beside(inner: Router, runtime: Arc<dyn Runtime>) -> Router {
    let calls = Router::new().route(PATH, post(answer)).with_state(inner.clone());
    inner.merge(calls.layer(from_fn_with_state(runtime, complete)))
}

/// An error leaves as gRPC writes it: here it becomes JSON.
async fn complete(
    State(runtime): State<Arc<dyn Runtime>>,
    request: Request,
    next: Next,
) -> Response {
    let runtime = runtime.as_ref();
    let completed = |request| answers::complete(runtime, request, |request| next.run(request));
    let response = linger(runtime, request, completed).await;
    let failed = Status::from_header_map(response.headers());
    match failed.filter(|it| it.code() != Code::Ok) {
        Some(failed) => error_as_json(&failed, response.headers()),
        None => response,
    }
}

async fn answer(
    State(mut inner): State<Router>,
    Path(call): Path<String>,
    request: Request,
) -> Response {
    let Some(call) = Call::parse(&call) else {
        let message = "must be reserve, finalise, release or check";
        return Refusal::new(METHOD_UNKNOWN, message).status().into_http();
    };
    let request = match call.translated(request).await {
        Ok(request) => request,
        Err(status) => return status.into_http(),
    };
    let response = match inner.call(request).await {
        Ok(response) => response,
        Err(never) => match never {},
    };
    let failed = Status::from_header_map(response.headers());
    if failed.is_some_and(|it| it.code() != Code::Ok) {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    let reply = to_bytes(body, REPLY_BYTES_MAX).await.ok();
    let Some(reply) = reply.and_then(|it| call.reply(it.get(FRAME_BYTES..)?)) else {
        return status::internal("quotas", "the reply is no message").into_http();
    };
    parts.headers.remove("grpc-status");
    parts.headers.remove(header::CONTENT_LENGTH);
    parts.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Response::from_parts(parts, Body::from(reply.to_string()))
}

impl Call {
    fn parse(word: &str) -> Option<Self> {
        Some(match word {
            "reserve" => Self::Reserve,
            "finalise" => Self::Finalise,
            "release" => Self::Release,
            "check" => Self::Check,
            _ => return None,
        })
    }

    fn method(self) -> &'static str {
        match self {
            Self::Reserve => "Reserve",
            Self::Finalise => "Finalise",
            Self::Release => "Release",
            Self::Check => "CheckQuota",
        }
    }

    /// The same call, as gRPC sends it.
    async fn translated(self, request: Request) -> Result<Request, Status> {
        let (mut parts, body) = request.into_parts();
        let body = to_bytes(body, BODY_BYTES_MAX).await.map_err(|_| {
            let message = format!("a request has at most {BODY_BYTES_MAX} bytes");
            Refusal::new(REQUEST_TOO_LARGE, message).status()
        })?;
        let asked = serde_json::from_slice(&body).map_err(|error| {
            let message = format!("must be a JSON object with the fields of the call: {error}");
            Refusal::new(REQUEST_MALFORMED, message).status()
        })?;
        let message = self.message(asked);
        let mut framed = BytesMut::with_capacity(FRAME_BYTES + message.len());
        framed.put_u8(0);
        framed.put_u32(u32::try_from(message.len()).unwrap_or(u32::MAX));
        framed.put_slice(&message);
        let path = format!("{SERVICE}{}", self.method());
        parts.uri = Uri::try_from(path).map_err(|_| status::internal("quotas", "a path"))?;
        parts.headers.remove(header::CONTENT_LENGTH);
        parts.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        parts.headers.insert(header::TE, HeaderValue::from_static("trailers"));
        Ok(Request::from_parts(parts, Body::from(framed.freeze())))
    }

    fn message(self, it: Asked) -> Vec<u8> {
        let Asked { tenant, reservation, feature, amount, ttl_seconds, command_id } = it;
        let write = (!command_id.is_empty())
            .then(|| WriteOptions { command_id, ..WriteOptions::default() });
        match self {
            Self::Reserve => {
                let ttl = ttl_seconds.map(|seconds| prost_types::Duration { seconds, nanos: 0 });
                let amount = amount.unwrap_or(0);
                pb::ReserveRequest { tenant, reservation, feature, amount, ttl, write }
                    .encode_to_vec()
            }
            Self::Finalise => {
                pb::FinaliseRequest { tenant, reservation, amount, write }.encode_to_vec()
            }
            Self::Release => pb::ReleaseRequest { tenant, reservation, write }.encode_to_vec(),
            Self::Check => {
                let amount = amount.unwrap_or(0);
                pb::CheckQuotaRequest { tenant, feature, amount }.encode_to_vec()
            }
        }
    }

    /// The reply's message as JSON. None when it is none.
    fn reply(self, message: &[u8]) -> Option<Value> {
        let message = Bytes::copy_from_slice(message);
        if self == Self::Check {
            let it = pb::CheckQuotaResponse::decode(message).ok()?;
            let quota = it.quota.as_ref().map(quota);
            return Some(json!({ "allowed": it.allowed, "reason": it.reason, "quota": quota }));
        }
        let it = pb::Reservation::decode(message).ok()?;
        let status = it.status().as_str_name().trim_start_matches("RESERVATION_STATUS_");
        Some(json!({
            "reservation": it.reservation,
            "feature": it.feature,
            "amount": it.amount,
            "status": status,
            "used": it.used,
            "expiresAt": it.expires_at.as_ref().map(ToString::to_string),
            "quota": it.quota.as_ref().map(quota),
        }))
    }
}

fn quota(it: &pb::Quota) -> Value {
    json!({
        "limit": it.limit,
        "used": it.used,
        "reserved": it.reserved,
        "held": it.held,
        "remaining": it.remaining,
        "per": it.per,
        "resetsAt": it.resets_at.as_ref().map(ToString::to_string),
    })
}
