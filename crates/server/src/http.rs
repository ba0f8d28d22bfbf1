//! What the port answers besides gRPC: metrics, and whether the process lives
//! and is ready.

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use exchequer_engine::Platform;
use metrics_exporter_prometheus::PrometheusHandle;

/// More are summed up.
const REASONS_MAX: usize = 32;

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

async fn metrics(State(pages): State<Pages>) -> Response {
    pages.platform.refresh_gauges();
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
