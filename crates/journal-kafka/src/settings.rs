//! How to reach the brokers, and the bounds of every queue and time-out here.

use core::fmt;
use core::time::Duration;
use std::sync::{Arc, OnceLock};

use exchequer_journal::{Fault, FaultKind};
use rdkafka::ClientConfig;
use tokio::sync::Notify;

use crate::SetupError;
use crate::members::client_id;

/// The address of a deployment and how to sign in there.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `host:port`, several between commas.
    pub bootstrap: String,
    /// Put before each topic's and group's name, so that deployments can share brokers.
    pub prefix: String,
    /// What this process is called, where brokers and operators see it; may be empty.
    pub process: String,
    pub security: Security,
    pub options: Options,
    /// Shared by all logs that are opened with these settings or a copy of them: what stops one
    /// of them stops them all.
    pub stopped: Stopped,
}

/// Why nothing is appended any more, once that is so.
#[derive(Clone, Debug, Default)]
pub struct Stopped(Arc<Halt>);

#[derive(Debug, Default)]
struct Halt {
    why: OnceLock<String>,
    told: Notify,
}

/// TLS and SASL. Neither by default.
#[derive(Clone, Default)]
pub struct Security {
    pub tls: bool,
    /// PEM of the authorities that may have signed the brokers' certificates; the system's if none.
    pub ca_pem: Option<String>,
    /// PEM of this client's certificate chain and of its key.
    pub client_pem: Option<(String, String)>,
    /// Mechanism, user name and password.
    pub sasl: Option<(Mechanism, String, String)>,
}

/// How a password is shown to the brokers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mechanism {
    Plain,
    ScramSha256,
    ScramSha512,
}

/// Bounds. The relations between them are checked when a log is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// An append that is not acknowledged by then has failed, and may have landed.
    pub delivery_ms_max: u32,
    /// How long a request for metadata, ends or settings may take.
    pub request_ms_max: u32,
    /// A batch waits so long for company. 0 where one commit at a time is in flight.
    pub linger_ms: u32,
    /// Batches of one producer sent and not yet acknowledged: 1 to 5.
    pub batches_in_flight_max: u32,
    /// Records of one topic handed over and not yet acknowledged. Above it, appends are
    /// refused as overloaded.
    pub queue_bytes_max: usize,
    /// Memory for the newest records of a topic, so that tailing readers ask nobody.
    pub recent_bytes_max: usize,
    /// Readers of older records at once; others wait.
    pub catch_up_readers_max: usize,
    /// Records that each of those has fetched ahead.
    pub catch_up_bytes_max: usize,
    /// How often a topic's number of partitions is asked for.
    pub topology_ms: u32,
    /// How often figures of the client are taken; 0 for never.
    pub figures_ms: u32,
    /// What is appended is packed so, where it is worth it.
    pub compression: Compression,
    /// A call that appends no more, and has few beside it, is sent as it is; 0 packs all.
    pub plain_bytes_max: usize,
}

/// How batches are packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// Quick; for logs that this program reads.
    Lz4,
    /// Every client can read it, without a library of its own.
    Gzip,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            delivery_ms_max: 10_000,
            request_ms_max: 5_000,
            linger_ms: 0,
            batches_in_flight_max: 5,
            queue_bytes_max: 64 * MIB,
            recent_bytes_max: 64 * MIB,
            catch_up_readers_max: 8,
            catch_up_bytes_max: 8 * MIB,
            topology_ms: 5_000,
            figures_ms: 5_000,
            compression: Compression::Lz4,
            plain_bytes_max: 4_096,
        }
    }
}

const MIB: usize = 1024 * 1024;

/// The largest batch: a record of the largest size, with what stands around it.
pub(crate) const BATCH_BYTES_MAX: usize = exchequer_journal::RECORD_BYTES_MAX + 128 * 1024;

impl Settings {
    /// Without security, on the given brokers.
    pub fn new(bootstrap: impl Into<String>) -> Self {
        Self {
            bootstrap: bootstrap.into(),
            prefix: String::new(),
            process: String::new(),
            security: Security::default(),
            options: Options::default(),
            stopped: Stopped::default(),
        }
    }

    pub(crate) fn check(&self) -> Result<(), SetupError> {
        let options = &self.options;
        let wrong = if self.bootstrap.trim().is_empty() {
            "bootstrap must name a broker, such as broker-1:9092"
        } else if !(1..=5).contains(&options.batches_in_flight_max) {
            "batches_in_flight_max must be 1 to 5: order is not kept above"
        } else if options.queue_bytes_max < exchequer_journal::APPEND_BYTES_MAX {
            "queue_bytes_max must hold the largest append, 16 MiB"
        } else if options.catch_up_readers_max == 0 || options.recent_bytes_max == 0 {
            "catch_up_readers_max and recent_bytes_max must be at least 1"
        } else if options.delivery_ms_max < 1_000 || options.request_ms_max < 100 {
            "delivery_ms_max must be at least 1000, request_ms_max at least 100"
        } else {
            return Ok(());
        };
        Err(SetupError::settings(wrong))
    }

    pub(crate) fn request_wait(&self) -> Duration {
        Duration::from_millis(self.options.request_ms_max.into())
    }

    /// How long brokers have to answer an append, before it is asked again: about so long may
    /// also take what a process that is gone had sent.
    pub fn append_wait(&self) -> Duration {
        Duration::from_millis((self.options.delivery_ms_max / 2).into())
    }

    /// How long a call may wait for what goes before it, and then for its own records. By then
    /// nobody will tell of it any more.
    pub(crate) fn answer_wait(&self) -> Duration {
        2 * Duration::from_millis(self.options.delivery_ms_max.into()) + self.request_wait()
    }

    pub(crate) fn named(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    /// What every client has in common.
    pub(crate) fn client(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", &self.bootstrap)
            .set("client.id", client_id(&self.process))
            .set("allow.auto.create.topics", "false")
            .set("socket.keepalive.enable", "true")
            .set("socket.nagle.disable", "true")
            .set("reconnect.backoff.ms", "100")
            .set("reconnect.backoff.max.ms", "2000")
            .set("topic.metadata.refresh.interval.ms", "30000")
            .set("statistics.interval.ms", self.options.figures_ms.to_string());
        self.security.apply(&mut config);
        config
    }

    pub(crate) fn producer(&self, compression: Option<Compression>) -> ClientConfig {
        let options = &self.options;
        let named = match compression {
            None => "none",
            Some(Compression::Lz4) => "lz4",
            Some(Compression::Gzip) => "gzip",
        };
        let mut config = self.client();
        if compression == Some(Compression::Gzip) {
            // Records of it are hashes for the most part, in which nothing repeats.
            config.set("compression.level", "1");
        }
        config
            .set("enable.idempotence", "true")
            .set("acks", "all")
            .set("compression.type", named)
            .set("message.timeout.ms", options.delivery_ms_max.to_string())
            .set("request.timeout.ms", self.append_wait().as_millis().to_string())
            .set("retry.backoff.ms", "50")
            .set("batch.size", (BATCH_BYTES_MAX - 64 * 1024).to_string())
            .set("message.max.bytes", (BATCH_BYTES_MAX - 64 * 1024).to_string())
            .set("max.in.flight.requests.per.connection", options.batches_in_flight_max.to_string())
            .set("queue.buffering.max.messages", "0")
            .set("queue.buffering.max.kbytes", (options.queue_bytes_max / 512).to_string());
        config
    }

    /// Of readers that say themselves where they read, and commit nothing.
    pub(crate) fn reader(&self, ahead_bytes_max: usize) -> ClientConfig {
        let mut config = self.client();
        config
            // The client wants a name for the group it never joins.
            .set("group.id", self.named("readers"))
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("auto.offset.reset", "error")
            .set("isolation.level", "read_uncommitted")
            .set("check.crcs", "true")
            .set("fetch.wait.max.ms", "250")
            .set("fetch.error.backoff.ms", "50")
            .set("fetch.message.max.bytes", (2 * BATCH_BYTES_MAX).to_string())
            .set("queued.min.messages", "100000")
            .set("queued.max.messages.kbytes", (ahead_bytes_max / 1024).max(1).to_string());
        config
    }
}

impl Stopped {
    pub(crate) fn stop(&self, why: String) {
        if self.0.why.set(why.clone()).is_ok() {
            tracing::error!(why, "nothing more is appended");
            self.0.told.notify_waiters();
        }
    }

    /// Resolves when nothing is appended any more: why.
    pub async fn reason(&self) -> String {
        loop {
            let mut told = core::pin::pin!(self.0.told.notified());
            told.as_mut().enable();
            if let Some(why) = self.0.why.get() {
                return why.clone();
            }
            told.await;
        }
    }

    pub(crate) fn check(&self) -> Result<(), Fault> {
        match self.0.why.get() {
            Some(why) => Err(Fault::new(FaultKind::Stopped, why.clone())),
            None => Ok(()),
        }
    }
}

impl Security {
    fn apply(&self, config: &mut ClientConfig) {
        let protocol = match (self.tls, self.sasl.is_some()) {
            (false, false) => "plaintext",
            (true, false) => "ssl",
            (false, true) => "sasl_plaintext",
            (true, true) => "sasl_ssl",
        };
        config.set("security.protocol", protocol);
        if let Some(pem) = &self.ca_pem {
            config.set("ssl.ca.pem", pem);
        }
        if let Some((certificate, key)) = &self.client_pem {
            config.set("ssl.certificate.pem", certificate).set("ssl.key.pem", key);
        }
        if let Some((mechanism, user, password)) = &self.sasl {
            let mechanism = match mechanism {
                Mechanism::Plain => "PLAIN",
                Mechanism::ScramSha256 => "SCRAM-SHA-256",
                Mechanism::ScramSha512 => "SCRAM-SHA-512",
            };
            config.set("sasl.mechanisms", mechanism);
            config.set("sasl.username", user).set("sasl.password", password);
        }
    }
}

/// Says what is set, and no secret.
impl fmt::Debug for Security {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Security")
            .field("tls", &self.tls)
            .field("ca_pem", &self.ca_pem.is_some())
            .field("client_pem", &self.client_pem.is_some())
            .field("sasl", &self.sasl.as_ref().map(|(mechanism, user, _)| (mechanism, user)))
            .finish()
    }
}
