//! What the port answers besides gRPC: metrics, whether the process lives and is ready,
//! and requests whose headers are too large.

use axum::Router;
use axum::extract::State;
use axum::http::request::Parts;
use axum::http::{StatusCode, Version, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use exchequer_engine::Platform;
use metrics_exporter_prometheus::PrometheusHandle;

/// More are summed up.
const REASONS_MAX: usize = 32;
/// Of one request. More is answered with 431; on HTTP/2 a single header of more, as it was
/// sent, ends its connection.
pub(crate) const HEADERS_BYTES_MAX: u32 = 96 * 1024;
/// What HTTP/2 counts for each header beside its name and value.
const HEADER_EXTRA_BYTES: usize = 32;

#[derive(Clone, Debug)]
pub(crate) struct Pages {
    pub(crate) platform: Platform,
    pub(crate) metrics: PrometheusHandle,
}

/// The pages, as a router.
pub(crate) fn router(pages: Pages) -> Router {
    Router::new()
        .route("/metrics", get(metrics))
        .route("/healthz", get(|| async { "alive\n" }))
        .route("/readyz", get(ready))
        .with_state(pages)
}

/// Holds HTTP/1 to what the library sees to on HTTP/2.
pub(crate) fn too_large(request: &Parts) -> Option<Response> {
    if request.version == Version::HTTP_2 {
        return None;
    }
    let headers = request.headers.iter();
    let bytes = headers.map(|(name, value)| name.as_str().len() + value.len() + HEADER_EXTRA_BYTES);
    (bytes.sum::<usize>() > HEADERS_BYTES_MAX as usize).then(|| {
        let text = format!("headers may have {HEADERS_BYTES_MAX} bytes together\n");
        (StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, text).into_response()
    })
}

async fn metrics(State(pages): State<Pages>) -> Response {
    pages.platform.refresh_gauges().await;
    let kind = "text/plain; version=0.0.4; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], pages.metrics.render()).into_response()
}

/// 503, with the reasons, while a partition is not decided here, a view is behind, or
/// the process has been asked to end.
async fn ready(State(pages): State<Pages>) -> Response {
    let unready = pages.platform.unready();
    let mut reasons: Vec<String> =
        unready.iter().take(REASONS_MAX).map(ToString::to_string).collect();
    if unready.len() > REASONS_MAX {
        reasons.push(format!("and {} more", unready.len() - REASONS_MAX));
    }
    let status = if reasons.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let body = serde_json::json!({ "ready": reasons.is_empty(), "reasons": reasons });
    let kind = (header::CONTENT_TYPE, "application/json");
    (status, [kind], format!("{body}\n")).into_response()
}
