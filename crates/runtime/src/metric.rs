//! One enum names every metric family, so that no family has two writers that
//! disagree about its name or labels.

use metrics::{Counter, Gauge, Histogram, Label};

/// How a family is to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricKind {
    Counter,
    Gauge,
    Histogram,
}

/// A metric family as the reference documents it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Family {
    pub name: &'static str,
    pub kind: MetricKind,
    pub help: &'static str,
    pub labels: &'static [&'static str],
}

/// A metric family; see [`crate::metrics::FAMILIES`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Metric {
    CommandsDecided,
    CommitsAppended,
    CommitBytes,
    AppendSeconds,
    RecordsIgnored,
    ChainBreaks,
    DeciderLeading,
    StateBytes,
    CommandsWaiting,
    CommandsRefused,
    ViewLagEvents,
    ViewLagSeconds,
    ViewRowsWritten,
    CursorLagEvents,
    LiveHits,
    LiveMisses,
    LiveEntries,
    LiveBytes,
    DeadLetters,
    StreamsParked,
    TasksFailed,
    TlsReloads,
    TlsCertificateExpiry,
    TlsHandshakesFailed,
    IssuerKeyFetches,
    CallsUnauthenticated,
    CallsRateLimited,
    LogLinesDropped,
    MeterLeading,
    UsageEvents,
    UsageRecordsJudged,
    SealSeconds,
    UsageLagRecords,
    UsageUnwrittenBytes,
    KafkaQueueRecords,
    KafkaQueueBytes,
    KafkaRequestsWaiting,
    KafkaRoundTripSeconds,
    KafkaRequestErrors,
    KafkaRequestRetries,
    KafkaConnects,
    KafkaDisconnects,
}

impl Metric {
    pub fn family(self) -> &'static Family {
        &crate::metrics::FAMILIES[self as usize]
    }

    /// The counter of this family with these label values, in the family's order.
    pub fn counter(self, labels: &[&str]) -> Counter {
        let family = self.family();
        debug_assert_eq!(family.kind, MetricKind::Counter);
        metrics::counter!(family.name, with_names(family, labels))
    }

    /// The gauge of this family with these label values, in the family's order.
    pub fn gauge(self, labels: &[&str]) -> Gauge {
        let family = self.family();
        debug_assert_eq!(family.kind, MetricKind::Gauge);
        metrics::gauge!(family.name, with_names(family, labels))
    }

    /// The histogram of this family with these label values, in the family's order.
    pub fn histogram(self, labels: &[&str]) -> Histogram {
        let family = self.family();
        debug_assert_eq!(family.kind, MetricKind::Histogram);
        metrics::histogram!(family.name, with_names(family, labels))
    }
}

fn with_names(family: &Family, values: &[&str]) -> Vec<Label> {
    debug_assert_eq!(family.labels.len(), values.len());
    family
        .labels
        .iter()
        .zip(values)
        .map(|(name, value)| Label::new(*name, (*value).to_owned()))
        .collect()
}
