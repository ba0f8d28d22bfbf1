//! Logs as JSON on stderr, the recorder behind `/metrics`, and traces.

mod lines;
mod repeats;
mod traces;

use std::io;

use exchequer_runtime::MetricKind;
use exchequer_runtime::metrics::FAMILIES;
pub(crate) use lines::Lines;
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use repeats::Repeats;
pub(crate) use traces::{TraceError, Traces, metadata};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::config::Telemetry;

/// Overrides what the settings say of the log.
pub(crate) const LOG_VARIABLE: &str = "EXCHEQUER_LOG";
const SECONDS: &[f64] = &[
    0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5,
    1.0, 5.0,
];
const BYTES: &[f64] = &[256.0, 1_024.0, 4_096.0, 16_384.0, 65_536.0, 262_144.0, 1_048_576.0];

/// Starts logging. `EXCHEQUER_LOG` says what, else the settings do. Whoever ends the
/// process flushes what it gives.
pub(crate) fn start_logs(settings: &Telemetry) -> io::Result<Lines> {
    let filter = std::env::var(LOG_VARIABLE).unwrap_or_else(|_| settings.log.clone());
    let filter = EnvFilter::builder().parse_lossy(filter);
    let lines = Lines::start()?;
    let logs = tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_env_filter(filter)
        .with_writer(lines.clone())
        .finish()
        .with(Repeats::default())
        .try_init();
    // A second process in one program, as in tests, logs with the first.
    let _ = logs;
    Ok(lines)
}

/// Starts recording metrics.
pub(crate) fn start_metrics() -> Result<PrometheusHandle, BuildError> {
    let recorder = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), SECONDS)?
        .set_buckets_for_metric(Matcher::Suffix("_bytes".to_owned()), BYTES)?
        .build_recorder();
    let handle = recorder.handle();
    // A second process in one program, as in tests, records with the first.
    if metrics::set_global_recorder(recorder).is_ok() {
        for family in FAMILIES {
            match family.kind {
                MetricKind::Counter => metrics::describe_counter!(family.name, family.help),
                MetricKind::Gauge => metrics::describe_gauge!(family.name, family.help),
                MetricKind::Histogram => metrics::describe_histogram!(family.name, family.help),
            }
        }
    }
    Ok(handle)
}
