//! Spans to an OTLP receiver: a bounded queue, sent in batches by a thread of its own.
//! A receiver that is slow or gone costs spans, never a call.

use core::str::FromStr as _;
use core::time::Duration;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use exchequer_runtime::trace::{Attribute, Span, SpanKind, Tracer};
use exchequer_types::Timestamp;
use opentelemetry::trace::{
    SpanContext, SpanId, SpanKind as OtelKind, Status, TraceFlags, TraceId, TraceState,
};
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_otlp::{SpanExporter, WithExportConfig as _, WithTonicConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, SpanData, SpanEvents, SpanLinks, SpanProcessor as _,
};
use tonic::metadata::{MetadataKey, MetadataMap, MetadataValue};
use tonic::transport::ClientTlsConfig;

use crate::config::Telemetry;

const SEND_DELAY_MAX: Duration = Duration::from_secs(1);
const SEND_MAX: Duration = Duration::from_secs(5);
const BATCH_SPANS_MAX: usize = 512;

/// Traces cannot be sent as the settings say.
#[derive(Debug, thiserror::Error)]
pub enum TraceError {
    #[error("telemetry.otlp_headers: must be name=value, several with commas between")]
    Headers,
    #[error("telemetry.otlp_endpoint: {0}")]
    Exporter(#[from] opentelemetry_otlp::ExporterBuildError),
}

/// The way of spans out of the process.
#[derive(Debug)]
pub(crate) struct Traces {
    processor: BatchSpanProcessor,
    scope: InstrumentationScope,
    /// Of 2^64, how many traces that begin here are sampled.
    sampled: u64,
}

impl Traces {
    /// None when the settings name no receiver. Within a tokio runtime.
    pub(crate) fn start(settings: &Telemetry) -> Result<Option<Arc<Self>>, TraceError> {
        let Some(endpoint) = &settings.otlp_endpoint else { return Ok(None) };
        let headers = metadata(settings.otlp_headers.expose().unwrap_or_default())?;
        let mut builder = SpanExporter::builder()
            .with_tonic()
            .with_endpoint(endpoint)
            .with_timeout(SEND_MAX)
            .with_metadata(headers);
        if endpoint.starts_with("https://") {
            builder = builder.with_tls_config(ClientTlsConfig::new().with_native_roots());
        }
        let batches = BatchConfigBuilder::default()
            .with_max_queue_size(settings.spans_max)
            .with_max_export_batch_size(BATCH_SPANS_MAX.min(settings.spans_max))
            .with_scheduled_delay(SEND_DELAY_MAX)
            .build();
        let mut processor =
            BatchSpanProcessor::builder(builder.build()?).with_batch_config(batches).build();
        let version = env!("CARGO_PKG_VERSION");
        let resource = Resource::builder()
            .with_service_name(settings.service_name.clone())
            .with_attribute(KeyValue::new("service.version", version))
            .build();
        processor.set_resource(&resource);
        let scope = InstrumentationScope::builder("exchequer").with_version(version).build();
        Ok(Some(Arc::new(Self { processor, scope, sampled: share(settings.sample_ratio) })))
    }

    /// Sends what waits, for at most some seconds.
    pub(crate) fn stop(&self) {
        if let Err(error) = self.processor.shutdown_with_timeout(SEND_MAX) {
            tracing::warn!(%error, "the last spans were not sent");
        }
    }
}

impl Tracer for Traces {
    fn samples(&self, trace: &[u8; 16]) -> bool {
        let mut low = [0; 8];
        low.copy_from_slice(&trace[8..]);
        u64::from_be_bytes(low) < self.sampled || self.sampled == u64::MAX
    }

    fn record(&self, span: Span) {
        self.processor.on_end(SpanData {
            span_context: SpanContext::new(
                TraceId::from_bytes(span.context.trace),
                SpanId::from_bytes(span.context.span),
                TraceFlags::SAMPLED,
                false,
                TraceState::NONE,
            ),
            parent_span_id: span.parent.map_or(SpanId::INVALID, SpanId::from_bytes),
            // Of a call and of what comes from the log, it is another process's, or may be.
            parent_span_is_remote: span.kind != SpanKind::Internal,
            span_kind: match span.kind {
                SpanKind::Server => OtelKind::Server,
                SpanKind::Consumer => OtelKind::Consumer,
                SpanKind::Internal => OtelKind::Internal,
            },
            name: span.name.into(),
            start_time: system_time(span.began),
            end_time: system_time(span.ended),
            attributes: span.attributes.into_iter().map(key_value).collect(),
            dropped_attributes_count: 0,
            events: SpanEvents::default(),
            links: SpanLinks::default(),
            status: span.failure.map_or(Status::Unset, Status::error),
            instrumentation_scope: self.scope.clone(),
        });
    }
}

fn key_value((name, value): (&'static str, Attribute)) -> KeyValue {
    match value {
        Attribute::Text(text) => KeyValue::new(name, text),
        Attribute::Number(number) => KeyValue::new(name, number),
    }
}

fn system_time(at: Timestamp) -> SystemTime {
    UNIX_EPOCH + Duration::from_micros(u64::try_from(at.micros()).unwrap_or(0))
}

/// `ratio` of 2^64.
fn share(ratio: f64) -> u64 {
    // A cast from a float stays within the type's bounds.
    (ratio * 2_f64.powi(64)) as u64
}

/// `name=value`, several with commas between.
pub(crate) fn metadata(headers: &str) -> Result<MetadataMap, TraceError> {
    let mut metadata = MetadataMap::new();
    for header in headers.split(',').map(str::trim).filter(|header| !header.is_empty()) {
        let (name, value) = header.split_once('=').ok_or(TraceError::Headers)?;
        let name = MetadataKey::from_str(&name.trim().to_ascii_lowercase());
        let value = MetadataValue::try_from(value.trim());
        match (name, value) {
            (Ok(name), Ok(mut value)) => {
                value.set_sensitive(true);
                metadata.insert(name, value);
            }
            _ => return Err(TraceError::Headers),
        }
    }
    Ok(metadata)
}

#[cfg(test)]
mod tests {
    use super::*;

    // REQ: OPS-02
    #[test]
    fn headers_are_read_as_the_standard_variable_has_them() {
        let read = metadata("authorization=Bearer a=b, X-Scope = 7 ,").unwrap();
        assert_eq!(read.get("authorization").unwrap(), "Bearer a=b");
        assert_eq!(read.get("x-scope").unwrap(), "7");
        assert!(!format!("{read:?}").contains("Bearer"));
        for bad in ["nothing", "a b=c", "a=\u{1}b"] {
            assert!(metadata(bad).is_err(), "{bad}");
        }
    }

    // REQ: OPS-02
    #[test]
    fn shares_reach_from_none_to_all() {
        assert_eq!((share(0.0), share(1.0)), (0, u64::MAX));
        assert_eq!(share(0.5), 1 << 63);
    }
}
