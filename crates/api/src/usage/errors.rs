//! Errors of what is asked by HTTP, as `google.rpc.Status` in JSON: whoever refuses a
//! request, guard or service, writes the error as gRPC does, and here it becomes JSON.

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::Response;
use serde_json::{Value, json};
use tonic::Status;
use tonic_types::{ErrorDetails, StatusExt as _};

use super::EVENTS_PATH;
use crate::status::http_status;

/// Headers of a gRPC error.
const OF_GRPC: [&str; 4] =
    ["grpc-status", "grpc-message", "grpc-status-details-bin", "grpc-encoding"];

/// What `answer` answers, outside of all that refuse.
pub(crate) async fn as_json<F>(request: Request, answer: impl FnOnce(Request) -> F) -> Response
where
    F: Future<Output = Response>,
{
    let is_http = request.uri().path() == EVENTS_PATH;
    let response = answer(request).await;
    if !is_http {
        return response;
    }
    match Status::from_header_map(response.headers()) {
        Some(status) => of(&status, response.headers()),
        None => response,
    }
}

/// The error, with the headers that it came with.
pub(crate) fn of(status: &Status, before: &HeaderMap) -> Response {
    let details = status.get_error_details();
    let reason = details.error_info().map_or("", |it| it.reason.as_str());
    let body = json!({
        "code": i32::from(status.code()),
        "message": status.message(),
        "details": listed(&details),
    });
    let mut response = Response::new(Body::from(body.to_string()));
    *response.status_mut() = http_status(status.code(), reason);
    let headers = response.headers_mut();
    headers.extend(before.clone());
    for name in OF_GRPC {
        headers.remove(name);
    }
    headers.remove(header::CONTENT_LENGTH);
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if let Some(retry) = details.retry_info().and_then(|it| it.retry_delay) {
        // In whole seconds, rounded up.
        let seconds = u64::try_from(retry.as_millis().div_ceil(1_000)).unwrap_or(u64::MAX);
        headers.insert(header::RETRY_AFTER, seconds.max(1).into());
    }
    response
}

fn listed(details: &ErrorDetails) -> Vec<Value> {
    let mut listed = Vec::new();
    let mut put = |name: &str, mut value: Value| {
        value["@type"] = format!("type.googleapis.com/google.rpc.{name}").into();
        listed.push(value);
    };
    if let Some(it) = details.error_info() {
        let value = json!({ "reason": it.reason, "domain": it.domain, "metadata": it.metadata });
        put("ErrorInfo", value);
    }
    if let Some(it) = details.bad_request() {
        let violations = it.field_violations.iter();
        let violations: Vec<_> = violations
            .map(|it| json!({ "field": it.field, "description": it.description }))
            .collect();
        put("BadRequest", json!({ "fieldViolations": violations }));
    }
    if let Some(delay) = details.retry_info().and_then(|it| it.retry_delay) {
        put("RetryInfo", json!({ "retryDelay": format!("{}s", delay.as_secs_f64()) }));
    }
    if let Some(it) = details.request_info() {
        put("RequestInfo", json!({ "requestId": it.request_id }));
    }
    listed
}
