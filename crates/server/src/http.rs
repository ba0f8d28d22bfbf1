//! What the port answers besides gRPC: metrics, and whether the process lives
//! and is ready.

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use exchequer_engine::Platform;
use exchequer_types::PartitionId;
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::sync::watch;

#[derive(Clone, Debug)]
pub(crate) struct Pages {
    pub(crate) platform: Platform,
    pub(crate) metrics: PrometheusHandle,
    pub(crate) stopping: watch::Receiver<bool>,
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

/// 503, with the reasons, while a partition is not decided here.
async fn ready(State(pages): State<Pages>) -> Response {
    let mut reasons = Vec::new();
    if *pages.stopping.borrow() {
        reasons.push("shutting down".to_owned());
    }
    for partition in (0..pages.platform.tail.partitions()).map(PartitionId) {
        let state = pages.platform.tail.state(partition);
        match state.fault {
            Some(fault) => reasons.push(format!("partition {partition}: {}", reason(&fault))),
            None if !state.leading => reasons.push(format!("partition {partition}: starting")),
            None => {}
        }
    }
    let status = if reasons.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let body = serde_json::json!({ "ready": reasons.is_empty(), "reasons": reasons });
    let kind = (header::CONTENT_TYPE, "application/json");
    (status, [kind], format!("{body}\n")).into_response()
}

/// Faults' texts name files: those are for the log.
fn reason(fault: &exchequer_journal::Fault) -> &'static str {
    use exchequer_journal::FaultKind as F;
    match fault.kind {
        F::Full => "no disk space",
        F::Overloaded => "the journal is overloaded",
        F::Unavailable => "unavailable",
        F::Damaged => "damaged",
        F::Expired { .. } | F::TooLarge | F::Stopped => "stopped",
    }
}
