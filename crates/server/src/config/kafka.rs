//! Kafka: where the logs of a cluster are, and how they are reached.

use std::path::PathBuf;

use super::pems::Pems;
use super::reader::Reader;
use super::section::{anything, at_least, one_of, section, within};
use super::value::Secret;

section! {
    /// Kafka, for `journal.backend = "kafka"`: where the logs of a cluster are, and how they
    /// are reached.
    Kafka "kafka" {
        /// Some brokers, as `host:port` with commas between; the others are learnt from them.
        bootstrap: String = String::new() => "\"\"", "addresses", anything;
        /// Put before the name of each topic and group, so that deployments can share brokers.
        prefix: String = String::new() => "\"\"", "text", prefix;
        /// Replicas of each topic that `exchequer admin init` creates, and of those that are
        /// found. Below 3 the loss of a broker may stop the deployment or lose what was
        /// acknowledged.
        replicas: u32 = 3, "replicas", within(1, 9);
        /// Replicas that must have a record before it is acknowledged, for new topics and as the
        /// least for those that are found. 0: 2 where there are 3 replicas or more, else 1.
        min_insync_replicas: u32 = 0, "replicas", within(0, 9);
        /// How long commands are kept: at least as long as deciders may be away.
        commands_retention_hours: u32 = 168, "hours", at_least(24);
        /// How long events of use are kept.
        usage_retention_days: u32 = 40, "days", at_least(35);
        /// Whether brokers are spoken to by TLS.
        tls: bool = false, "", anything;
        /// Authorities that vouch for the brokers, as PEM, instead of the system's.
        ca_file: Option<PathBuf> = None, "path", anything;
        /// The certificate to present to the brokers, as PEM, where they ask for one.
        cert_file: Option<PathBuf> = None, "path", anything;
        /// That certificate's key as PEM.
        key_file: Option<PathBuf> = None, "path", anything;
        /// How the password is shown to the brokers; nobody signs in when it is empty.
        sasl_mechanism: String = String::new() => "\"\"", "", one_of(&["", "PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"]);
        /// Who signs in.
        sasl_user: String = String::new() => "\"\"", "text", anything;
        /// The password of that user.
        sasl_password: Secret = Secret::default(), "text", anything;
        /// An append that is not acknowledged by then has failed; the writer reads what became
        /// of it.
        delivery_ms_max: u32 = 10_000, "milliseconds", within(1_000, 300_000);
        /// How long a request for ends, topics or settings may take.
        request_ms_max: u32 = 5_000, "milliseconds", within(100, 300_000);
        /// Records of one topic that are handed over and not acknowledged; more are refused as
        /// `OVERLOADED`.
        queue_bytes_max: usize = 67_108_864, "bytes", at_least(16_777_216);
        /// What is appended at a time, when it is no more, is sent as it is: packing it saves
        /// little room and takes time. 0 packs all.
        plain_bytes_max: usize = 4_096, "bytes", anything;
        /// Newest records of each topic kept in memory.
        recent_bytes_max: usize = 16_777_216, "bytes", at_least(65_536);
    }
}

/// What Kafka takes in the name of a topic.
#[expect(clippy::ptr_arg, reason = "a check takes what the setting is")]
fn prefix(text: &String) -> Option<String> {
    const CHARS_MAX: usize = 64;
    let is_usable = |it: char| it.is_ascii_alphanumeric() || matches!(it, '.' | '_' | '-');
    (text.len() > CHARS_MAX || !text.chars().all(is_usable))
        .then(|| format!("letters, digits, '.', '_' and '-', at most {CHARS_MAX}"))
}

impl Kafka {
    /// What is wrong with them in a process that uses them.
    pub(super) fn check(&self, reader: &mut Reader) {
        if self.bootstrap.trim().is_empty() {
            let cure = "name some brokers, such as \"broker-1:9092,broker-2:9092\"";
            reader.wrong("kafka.bootstrap", "is missing", cure);
        }
        if self.min_insync_replicas > self.replicas {
            let what = "is more than kafka.replicas: nothing could ever be acknowledged";
            reader.wrong("kafka.min_insync_replicas", what, "set it to kafka.replicas at most");
        }
        let Self { tls, ca_file, cert_file, key_file, .. } = self;
        Pems { table: "kafka", tls: *tls, ca_file, cert_file, key_file }.check(reader);
        self.check_sasl(reader);
    }

    fn check_sasl(&self, reader: &mut Reader) {
        let has_user = !self.sasl_user.is_empty();
        let has_password = self.sasl_password.expose().is_some();
        if self.sasl_mechanism.is_empty() {
            if has_user || has_password {
                let what = "is empty, and a user or a password is given";
                reader.wrong("kafka.sasl_mechanism", what, "set it to what the brokers ask for");
            }
            return;
        }
        if !has_user || !has_password {
            let cure = "set kafka.sasl_user, and kafka.sasl_password or kafka.sasl_password_file";
            reader.wrong("kafka.sasl_mechanism", "is set without user and password", cure);
        }
        if self.sasl_mechanism == "PLAIN" && !self.tls {
            let what = "PLAIN shows the password to whoever listens on the network";
            reader.wrong("kafka.tls", what, "set kafka.tls = true, or use SCRAM-SHA-512");
        }
    }
}

#[cfg(feature = "cluster")]
mod of_adapter {
    use exchequer_journal_kafka::topics::Layout;
    use exchequer_journal_kafka::{Mechanism, Options, Security, Settings};

    use super::Kafka;

    impl Kafka {
        /// As the adapter takes them. The files were there when the settings were checked.
        pub(crate) fn settings(&self) -> std::io::Result<Settings> {
            let read = |file: &Option<std::path::PathBuf>| {
                file.as_deref().map(std::fs::read_to_string).transpose()
            };
            let password = self.sasl_password.expose().unwrap_or_default().to_owned();
            let mechanism = match self.sasl_mechanism.as_str() {
                "" => None,
                "PLAIN" => Some(Mechanism::Plain),
                "SCRAM-SHA-256" => Some(Mechanism::ScramSha256),
                _ => Some(Mechanism::ScramSha512),
            };
            let security = Security {
                tls: self.tls,
                ca_pem: read(&self.ca_file)?,
                client_pem: read(&self.cert_file)?.zip(read(&self.key_file)?),
                sasl: mechanism.map(|it| (it, self.sasl_user.clone(), password)),
            };
            let options = Options {
                delivery_ms_max: self.delivery_ms_max,
                request_ms_max: self.request_ms_max,
                queue_bytes_max: self.queue_bytes_max,
                plain_bytes_max: self.plain_bytes_max,
                recent_bytes_max: self.recent_bytes_max,
                ..Options::default()
            };
            let (bootstrap, prefix) = (self.bootstrap.trim().to_owned(), self.prefix.clone());
            Ok(Settings { prefix, security, options, ..Settings::new(bootstrap) })
        }

        /// The topics of a deployment with so many partitions.
        pub(crate) fn layout(&self, partitions: u32) -> Layout {
            Layout {
                partitions,
                replicas: self.replicas,
                min_insync_replicas: self.min_insync_replicas,
                commands_retention_hours: self.commands_retention_hours,
                usage_retention_days: self.usage_retention_days,
            }
        }
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn defaults_are_those_of_the_adapter() {
            let ours = Kafka::default();
            let (layout, its) = (ours.layout(16), Options::default());
            assert_eq!(layout, Layout::default());
            let options = ours.settings().unwrap().options;
            // One process has several topics in memory, and a test of the adapter one.
            assert_eq!(Options { recent_bytes_max: its.recent_bytes_max, ..options }, its);
        }
    }
}
