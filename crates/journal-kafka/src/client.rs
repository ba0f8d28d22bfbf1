//! What every client of librdkafka here does with its log lines, errors and
//! statistics. Lines that repeat are logged once a minute.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError;
use rdkafka::statistics::Statistics;

const REPEAT_AFTER: Duration = Duration::from_secs(60);
/// Kinds of lines remembered at once; above it all are forgotten.
const KINDS_MAX: usize = 256;

/// The newest figures of one client. All are of its whole life, or of this moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClientFigures {
    pub queue_records: u64,
    pub queue_bytes: u64,
    pub requests_waiting: u64,
    pub request_errors: u64,
    pub request_retries: u64,
    pub connects: u64,
    pub disconnects: u64,
    /// The slowest broker's 99th percentile, in microseconds.
    pub round_trip_us_p99: u64,
}

/// Shared by the clients of one log.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reporter {
    shared: Arc<Mutex<Reported>>,
}

#[derive(Debug, Default)]
struct Reported {
    logged: BTreeMap<String, Instant>,
    last: Option<String>,
    figures: ClientFigures,
}

impl Reporter {
    pub(crate) fn figures(&self) -> ClientFigures {
        self.lock().figures
    }

    /// The newest error of a connection, which says more than a time-out does.
    pub(crate) fn last(&self) -> Option<String> {
        self.lock().last.clone()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Reported> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_news(&self, kind: &str) -> bool {
        let mut reported = self.lock();
        let now = Instant::now();
        if reported.logged.get(kind).is_some_and(|at| now.duration_since(*at) < REPEAT_AFTER) {
            return false;
        }
        if reported.logged.len() >= KINDS_MAX {
            reported.logged.clear();
        }
        reported.logged.insert(kind.to_owned(), now);
        true
    }
}

impl ClientContext for Reporter {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        match level {
            RDKafkaLogLevel::Debug | RDKafkaLogLevel::Info | RDKafkaLogLevel::Notice => {
                tracing::debug!(facility, line, "librdkafka");
            }
            _ => {
                self.lock().last = Some(line.to_owned());
                if self.is_news(facility) {
                    tracing::warn!(facility, line, "librdkafka");
                }
            }
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.lock().last = Some(reason.to_owned());
        if self.is_news(&error.to_string()) {
            tracing::warn!(%error, reason, "a connection to Kafka failed; it is tried again");
        }
    }

    fn stats(&self, statistics: Statistics) {
        let brokers = || statistics.brokers.values();
        let count = |number: i64| u64::try_from(number).unwrap_or(0);
        self.lock().figures = ClientFigures {
            queue_records: statistics.msg_cnt,
            queue_bytes: statistics.msg_size,
            requests_waiting: brokers().map(|it| count(it.waitresp_cnt)).sum(),
            request_errors: brokers().map(|it| it.txerrs + it.rxerrs).sum(),
            request_retries: brokers().map(|it| it.txretries).sum(),
            connects: brokers().filter_map(|it| it.connects).map(count).sum(),
            disconnects: brokers().filter_map(|it| it.disconnects).map(count).sum(),
            round_trip_us_p99: brokers()
                .filter_map(|it| it.rtt.as_ref())
                .map(|window| count(window.p99))
                .max()
                .unwrap_or(0),
        };
    }
}

impl rdkafka::consumer::ConsumerContext for Reporter {}
