//! What every client of librdkafka here does with its log lines, errors and
//! statistics. Lines that repeat are logged once a minute.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rdkafka::ClientContext;
use rdkafka::config::{ClientConfig, FromClientConfigAndContext, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode as Code};
use rdkafka::statistics::Statistics;

/// How long what waits is taken in at once.
const HEARING: Duration = Duration::from_millis(5);
const HEARING_MAX: Duration = Duration::from_millis(50);

const REPEAT_AFTER: Duration = Duration::from_secs(60);
/// Kinds of lines remembered at once; above it all are forgotten.
const KINDS_MAX: usize = 256;

/// Two clocks that are further apart are told: so far ahead of its own a decider takes no
/// command.
const CLOCKS_APART_MS_MAX: i64 = 60_000;

/// Between two questions to a leader that is not one yet, or not any more.
const LEADER_PAUSE: Duration = Duration::from_millis(50);

/// Clients of one log whose figures are told apart; of more, the oldest are put together.
const CLIENTS_MAX: usize = 1_024;
/// What a client is at this moment counts for so long after it told.
const FRESH: Duration = Duration::from_secs(60);

/// The newest figures of the clients of a log, together: of their whole lives, or of this
/// moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClientFigures {
    /// Records that wait to be sent, or for their acknowledgement.
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

/// Where the figures of a log's clients can be asked for, as long as anybody wants to know.
#[derive(Clone, Debug)]
pub struct Figures {
    pub(crate) topic: String,
    pub(crate) reporter: Reporter,
}

impl Figures {
    /// With the deployment's prefix.
    pub fn topic(&self) -> &str {
        &self.topic
    }

    pub fn now(&self) -> ClientFigures {
        self.reporter.figures()
    }
}

impl ClientFigures {
    /// With those of another client.
    fn and(self, other: Self) -> Self {
        Self {
            queue_records: self.queue_records + other.queue_records,
            queue_bytes: self.queue_bytes + other.queue_bytes,
            requests_waiting: self.requests_waiting + other.requests_waiting,
            round_trip_us_p99: self.round_trip_us_p99.max(other.round_trip_us_p99),
            request_errors: self.request_errors + other.request_errors,
            request_retries: self.request_retries + other.request_retries,
            connects: self.connects + other.connects,
            disconnects: self.disconnects + other.disconnects,
        }
    }

    /// Of a client that is gone: what it did, and nothing of how it is.
    fn done(self) -> Self {
        let (queue_records, queue_bytes, requests_waiting, round_trip_us_p99) = (0, 0, 0, 0);
        Self { queue_records, queue_bytes, requests_waiting, round_trip_us_p99, ..self }
    }
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
    /// By the client's own name.
    clients: BTreeMap<String, (Instant, ClientFigures)>,
    /// Of those that are not told apart any more.
    gone: ClientFigures,
}

impl Reported {
    fn figures(&self, now: Instant) -> ClientFigures {
        self.clients.values().fold(self.gone, |sum, (at, figures)| {
            let is_fresh = now.duration_since(*at) < FRESH;
            sum.and(if is_fresh { *figures } else { figures.done() })
        })
    }

    fn told(&mut self, client: String, now: Instant, figures: ClientFigures) {
        self.clients.insert(client, (now, figures));
        if self.clients.len() <= CLIENTS_MAX {
            return;
        }
        let oldest = self.clients.iter().min_by_key(|(_, (at, _))| *at).map(|(name, _)| name);
        if let Some(oldest) = oldest.cloned()
            && let Some((_, figures)) = self.clients.remove(&oldest)
        {
            self.gone = self.gone.and(figures.done());
        }
    }
}

/// Takes in what a client that reads nothing has to tell: figures and failed connections wait in
/// its memory until they are heard.
pub(crate) fn hear(consumer: &BaseConsumer<Reporter>) {
    let begun = Instant::now();
    // One call takes what waits, up to a failed connection, of which the context was told.
    while consumer.poll(HEARING).is_some() && begun.elapsed() < HEARING_MAX {}
}

/// Makes a client, on a thread of its own. OpenSSL notes by thread what went wrong; librdkafka
/// leaves there what it met while it read certificates, and whoever else speaks TLS on that
/// thread would take it for a failure of its own connection.
pub(crate) fn make<C, T>(config: &ClientConfig, context: C) -> KafkaResult<T>
where
    C: ClientContext,
    T: FromClientConfigAndContext<C> + Send,
{
    std::thread::scope(|scope| {
        let made = scope.spawn(|| config.create_with_context(context));
        made.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// Between which offsets a partition has records. Asked again for up to `wait` where nobody
/// leads it at the moment: brokers learn one after another of a topic that was just made, and
/// of a leader that was replaced. Blocks.
pub(crate) fn watermarks(
    consumer: &impl Consumer<Reporter>,
    topic: &str,
    partition: u32,
    wait: Duration,
) -> KafkaResult<(i64, i64)> {
    let begun = Instant::now();
    let left = || wait.saturating_sub(begun.elapsed()).max(LEADER_PAUSE);
    let mut leaderless = None;
    loop {
        let found = consumer.fetch_watermarks(topic, partition as i32, left());
        match found {
            // The last question had little time: what the ones before it met says more.
            Err(error) if begun.elapsed() > wait => return Err(leaderless.unwrap_or(error)),
            Err(error) if has_no_leader(&error) => leaderless = Some(error),
            found => return found,
        }
        std::thread::sleep(LEADER_PAUSE);
        // Who leads is learned anew with this; that it fails the next question tells too.
        let _ = consumer.fetch_metadata(Some(topic), left());
    }
}

fn has_no_leader(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(
            Code::UnknownTopicOrPartition
                | Code::UnknownPartition
                | Code::NotLeaderForPartition
                | Code::LeaderNotAvailable
                | Code::ReplicaNotAvailable
                | Code::OffsetNotAvailable
                | Code::KafkaStorageError
        )
    )
}

impl Reporter {
    pub(crate) fn figures(&self) -> ClientFigures {
        self.lock().figures(Instant::now())
    }

    /// The newest error of a connection, which says more than a time-out does.
    pub(crate) fn last(&self) -> Option<String> {
        self.lock().last.clone()
    }

    /// Brokers have just told when they appended something of this process.
    pub(crate) fn compare_clocks(&self, bootstrap: &str, appended_ms: i64) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let now_ms = i64::try_from(now.as_millis()).unwrap_or(i64::MAX);
        if let Some(apart) = clocks_apart(now_ms, appended_ms)
            && self.is_news("clocks")
        {
            tracing::error!(
                "this machine's clock is {apart} that of the brokers at {bootstrap}: set both \
                 right (NTP). Until then times that are told here are wrong, and commands and \
                 events may have to wait"
            );
        }
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

/// By how much this clock is off, in whole minutes, where that is more than it may be.
fn clocks_apart(now_ms: i64, appended_ms: i64) -> Option<String> {
    let ahead = now_ms.saturating_sub(appended_ms);
    if ahead.saturating_abs() <= CLOCKS_APART_MS_MAX {
        return None;
    }
    let minutes = ahead.saturating_abs() / 60_000;
    Some(format!("{minutes} min {}", if ahead > 0 { "ahead of" } else { "behind" }))
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
        let figures = ClientFigures {
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
        self.lock().told(statistics.name, Instant::now(), figures);
    }
}

impl rdkafka::consumer::ConsumerContext for Reporter {}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(queue_records: u64, request_errors: u64) -> ClientFigures {
        ClientFigures { queue_records, request_errors, ..ClientFigures::default() }
    }

    // REQ: KER-07
    #[test]
    fn clocks_that_differ_by_what_a_delivery_may_take_are_alike() {
        let apart = |ahead: i64| clocks_apart(1_000_000_000 + ahead, 1_000_000_000);
        assert_eq!((apart(0), apart(60_000), apart(-60_000)), (None, None, None));
        assert_eq!(apart(3_600_500).as_deref(), Some("60 min ahead of"));
        assert_eq!(apart(-90_000).as_deref(), Some("1 min behind"));
        assert!(clocks_apart(i64::MAX, i64::MIN).is_some(), "whatever is told");
    }

    // REQ: KER-13
    #[test]
    fn clients_of_a_log_are_added_up_and_those_that_are_gone_wait_for_nothing() {
        let mut reported = Reported::default();
        let begun = Instant::now();
        reported.told("one".to_owned(), begun, figures(3, 1));
        reported.told("one".to_owned(), begun, figures(2, 2));
        reported.told("two".to_owned(), begun + FRESH, figures(5, 0));
        assert_eq!(reported.figures(begun), figures(7, 2));
        assert_eq!(reported.figures(begun + FRESH), figures(5, 2));
        for number in 0..CLIENTS_MAX {
            reported.told(format!("client-{number}"), begun + 2 * FRESH, figures(0, 1));
        }
        assert_eq!(reported.clients.len(), CLIENTS_MAX);
        assert_eq!(reported.figures(begun + 2 * FRESH).request_errors, 2 + CLIENTS_MAX as u64);
    }
}
