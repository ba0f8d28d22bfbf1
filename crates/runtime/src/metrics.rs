//! The metric families: names are `exchequer_<noun>_<unit>[_total]`, labels are
//! bounded. In the order of [`crate::Metric`].

use crate::metric::MetricKind::{Counter, Gauge, Histogram};
use crate::{Family, Metric};

pub const FAMILIES: &[Family] = &[
    Family {
        name: "exchequer_commands_decided_total",
        kind: Counter,
        help: "Commands decided, by outcome.",
        labels: &["status"],
    },
    Family {
        name: "exchequer_commits_appended_total",
        kind: Counter,
        help: "Commits accepted by the fold.",
        labels: &[],
    },
    Family {
        name: "exchequer_commit_bytes",
        kind: Histogram,
        help: "Size of commits.",
        labels: &[],
    },
    Family {
        name: "exchequer_append_seconds",
        kind: Histogram,
        help: "From append to acknowledgement.",
        labels: &[],
    },
    Family {
        name: "exchequer_records_ignored_total",
        kind: Counter,
        help: "Journal records that the fold skipped.",
        labels: &["partition"],
    },
    Family {
        name: "exchequer_chain_breaks_total",
        kind: Counter,
        help: "Journal records that cannot belong to their chain. Page someone.",
        labels: &["partition"],
    },
    Family {
        name: "exchequer_decider_leading",
        kind: Gauge,
        help: "1 while this process decides the partition.",
        labels: &["partition"],
    },
    Family {
        name: "exchequer_state_bytes",
        kind: Gauge,
        help: "State of streams held in memory by the deciders, estimated.",
        labels: &["partition"],
    },
    Family {
        name: "exchequer_commands_waiting",
        kind: Gauge,
        help: "Commands submitted here and not yet answered.",
        labels: &[],
    },
    Family {
        name: "exchequer_commands_refused_total",
        kind: Counter,
        help: "Commands refused before the log, by reason.",
        labels: &["reason"],
    },
    Family {
        name: "exchequer_view_lag_events",
        kind: Gauge,
        help: "Commits a view has still to fold.",
        labels: &["view"],
    },
    Family {
        name: "exchequer_view_lag_seconds",
        kind: Gauge,
        help: "Age of the oldest commit a view has still to fold.",
        labels: &["view"],
    },
    Family {
        name: "exchequer_view_rows_written_total",
        kind: Counter,
        help: "Rows written, by view.",
        labels: &["view"],
    },
    Family {
        name: "exchequer_cursor_lag_events",
        kind: Gauge,
        help: "Commits a consumer's destination has still to pass.",
        labels: &["consumer", "destination"],
    },
    Family {
        name: "exchequer_live_hits_total",
        kind: Counter,
        help: "Live snapshots asked for that were in memory.",
        labels: &["live"],
    },
    Family {
        name: "exchequer_live_misses_total",
        kind: Counter,
        help: "Live snapshots asked for that had to be loaded from their view.",
        labels: &["live"],
    },
    Family {
        name: "exchequer_live_entries",
        kind: Gauge,
        help: "Live snapshots in memory.",
        labels: &["live"],
    },
    Family {
        name: "exchequer_live_bytes",
        kind: Gauge,
        help: "Live snapshots in memory, estimated.",
        labels: &["live"],
    },
    Family {
        name: "exchequer_dead_letters_total",
        kind: Counter,
        help: "Inputs that were dead-lettered, by reason.",
        labels: &["reason"],
    },
    Family {
        name: "exchequer_streams_parked_total",
        kind: Counter,
        help: "Streams parked by a broken invariant or a panic.",
        labels: &[],
    },
    Family {
        name: "exchequer_tasks_failed_total",
        kind: Counter,
        help: "Long-running tasks that ended with an error.",
        labels: &["task"],
    },
    Family {
        name: "exchequer_tls_reloads_total",
        kind: Counter,
        help: "Changed certificates: renewed, or refused because the files are broken.",
        labels: &["result"],
    },
    Family {
        name: "exchequer_tls_certificate_expiry_seconds",
        kind: Gauge,
        help: "When the server's certificate expires, in seconds since 1970.",
        labels: &[],
    },
    Family {
        name: "exchequer_tls_handshakes_failed_total",
        kind: Counter,
        help: "Connections that ended before TLS was agreed on.",
        labels: &[],
    },
    Family {
        name: "exchequer_issuer_key_fetches_total",
        kind: Counter,
        help: "Fetches of the keys of an issuer of JWTs, by result.",
        labels: &["issuer", "result"],
    },
    Family {
        name: "exchequer_calls_unauthenticated_total",
        kind: Counter,
        help: "Calls refused because nobody could be told behind them, by reason.",
        labels: &["reason"],
    },
    Family {
        name: "exchequer_calls_rate_limited_total",
        kind: Counter,
        help: "Calls refused because a rate limit was reached.",
        labels: &[],
    },
    Family {
        name: "exchequer_log_lines_dropped_total",
        kind: Counter,
        help: "Lines of the access log that nobody took in time.",
        labels: &[],
    },
    Family {
        name: "exchequer_meter_leading",
        kind: Gauge,
        help: "1 while this process meters the partition.",
        labels: &["partition"],
    },
    Family {
        name: "exchequer_usage_events_total",
        kind: Counter,
        help: "Events that were sent, by what became of them at the gate.",
        labels: &["verdict"],
    },
    Family {
        name: "exchequer_usage_records_judged_total",
        kind: Counter,
        help: "Records of the usage log in accepted seals, by fate.",
        labels: &["fate"],
    },
    Family {
        name: "exchequer_seal_seconds",
        kind: Histogram,
        help: "From the append of a seal to its acknowledgement.",
        labels: &[],
    },
    Family {
        name: "exchequer_usage_lag_records",
        kind: Gauge,
        help: "Records of the usage log that have no fate yet.",
        labels: &["partition"],
    },
    Family {
        name: "exchequer_usage_unwritten_bytes",
        kind: Gauge,
        help: "Figures held in memory that are sealed and not written yet, estimated.",
        labels: &[],
    },
    Family {
        name: "exchequer_kafka_queue_records",
        kind: Gauge,
        help: "Records handed to the client of Kafka and not acknowledged yet.",
        labels: &["topic"],
    },
    Family {
        name: "exchequer_kafka_queue_bytes",
        kind: Gauge,
        help: "Bytes of those records.",
        labels: &["topic"],
    },
    Family {
        name: "exchequer_kafka_requests_waiting",
        kind: Gauge,
        help: "Requests on their way to brokers.",
        labels: &["topic"],
    },
    Family {
        name: "exchequer_kafka_round_trip_seconds",
        kind: Gauge,
        help: "99th percentile of the slowest broker's round trips, of the last seconds.",
        labels: &["topic"],
    },
    Family {
        name: "exchequer_kafka_request_errors_total",
        kind: Counter,
        help: "Requests to brokers that failed.",
        labels: &["topic"],
    },
    Family {
        name: "exchequer_kafka_request_retries_total",
        kind: Counter,
        help: "Requests to brokers that were sent again.",
        labels: &["topic"],
    },
    Family {
        name: "exchequer_kafka_connects_total",
        kind: Counter,
        help: "Connections to brokers that were tried.",
        labels: &["topic"],
    },
    Family {
        name: "exchequer_kafka_disconnects_total",
        kind: Counter,
        help: "Connections to brokers that ended.",
        labels: &["topic"],
    },
];

const _: () = assert!(FAMILIES.len() == Metric::KafkaDisconnects as usize + 1);
