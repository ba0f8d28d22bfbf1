//! Two kinds of failure: a deployment that is not as it must be, found when it is
//! opened, and a fault of the running log, in the port's words.

use exchequer_journal::{Fault, FaultKind};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};

/// Why a log was not opened. The message says what, where, and what to do.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct SetupError {
    pub kind: SetupKind,
    message: String,
    is_missing: bool,
}

/// What whoever starts the process can do about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetupKind {
    /// A setting of ours is wrong.
    Settings,
    /// No broker answers. It may do so later.
    Unreachable,
    /// The brokers refuse this client: certificate, password or permission.
    Refused,
    /// A topic is missing, or is not what it must be.
    Topics,
    /// The brokers' protocol is not one that this client speaks.
    TooOld,
}

impl SetupError {
    pub(crate) fn settings(message: impl Into<String>) -> Self {
        Self::new(SetupKind::Settings, message)
    }

    pub(crate) fn topics(message: impl Into<String>) -> Self {
        Self::new(SetupKind::Topics, message)
    }

    /// A topic that does not exist.
    pub(crate) fn missing(message: impl Into<String>) -> Self {
        Self { is_missing: true, ..Self::topics(message) }
    }

    pub(crate) fn is_about_a_missing_topic(&self) -> bool {
        self.is_missing
    }

    pub(crate) fn unreachable(message: impl Into<String>) -> Self {
        Self::new(SetupKind::Unreachable, message)
    }

    fn new(kind: SetupKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), is_missing: false }
    }

    /// What `error` means, where `doing` was tried against `bootstrap`.
    pub(crate) fn of(doing: &str, bootstrap: &str, last: Option<&str>, error: &KafkaError) -> Self {
        let kind = match error {
            KafkaError::ClientConfig(..) | KafkaError::ClientCreation(_) => SetupKind::Settings,
            error => match code_of(error) {
                _ if is_refusal(error) || last.is_some_and(tells_refusal) => SetupKind::Refused,
                Some(Code::UnknownTopicOrPartition | Code::UnknownTopic) => SetupKind::Topics,
                Some(Code::UnsupportedFeature | Code::UnsupportedVersion) => SetupKind::TooOld,
                _ => SetupKind::Unreachable,
            },
        };
        let hint = match kind {
            SetupKind::Settings => "correct the settings of Kafka",
            SetupKind::Unreachable => "check the address, and that a broker listens there",
            SetupKind::Refused => "check user, password, certificates and permissions",
            SetupKind::Topics => "run `exchequer admin init`",
            SetupKind::TooOld => {
                "their protocol is too old: this program needs brokers of Apache Kafka 3.0 or newer"
            }
        };
        let last = last.map(|last| format!(" ({last})")).unwrap_or_default();
        Self::new(kind, format!("cannot {doing} at {bootstrap}: {error}{last}; {hint}"))
    }
}

/// The client's own reading leaves those of administration out.
fn code_of(error: &KafkaError) -> Option<Code> {
    match error {
        KafkaError::AdminOp(code) => Some(*code),
        error => error.rdkafka_error_code(),
    }
}

/// The broker, or its certificate, is not on speaking terms with this client.
pub(crate) fn is_refusal(error: &KafkaError) -> bool {
    matches!(
        code_of(error),
        Some(
            Code::Authentication
                | Code::SaslAuthenticationFailed
                | Code::TopicAuthorizationFailed
                | Code::GroupAuthorizationFailed
                | Code::ClusterAuthorizationFailed
                | Code::SSL
        )
    )
}

/// Some refusals the client tells in words alone, and as a failed transport.
pub(crate) fn tells_refusal(line: &str) -> bool {
    // By TLS 1.3 a client's certificate is refused behind the handshake.
    let is_of_certificate = line.contains("SSL alert number")
        && ["certificate", "unknown ca"].iter().any(|it| line.contains(it));
    is_of_certificate
        || ["SSL handshake failed", "SASL authentication error"].iter().any(|it| line.contains(it))
}

/// What a failed append means for whoever appended.
pub(crate) fn append_fault(error: &KafkaError) -> Fault {
    let kind = match error.rdkafka_error_code() {
        Some(Code::MessageSizeTooLarge | Code::InvalidMessageSize) => FaultKind::TooLarge,
        Some(Code::QueueFull) => FaultKind::Overloaded,
        // Even an error that looks final may follow an attempt that landed.
        _ => FaultKind::Unavailable,
    };
    Fault::new(kind, format!("the brokers did not acknowledge the append: {error}"))
}

pub(crate) fn unavailable(doing: &str, error: &KafkaError) -> Fault {
    Fault::new(FaultKind::Unavailable, format!("cannot {doing}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    // REQ: KER-07
    #[test]
    fn a_certificate_that_is_refused_behind_the_handshake_is_a_refusal() {
        for alert in ["bad certificate", "certificate required", "unknown ca"] {
            let line = format!("Receive failed: ssl/tls alert {alert}: SSL alert number 42");
            assert!(tells_refusal(&line), "{line}");
        }
        assert!(!tells_refusal(
            "Receive failed: ssl/tls alert internal error: SSL alert number 80"
        ));
    }

    // REQ: KER-07
    #[test]
    fn what_brokers_answer_is_told_apart_by_what_helps() {
        let of = |error| SetupError::of("create a topic", "broker:9092", None, &error);
        for (code, kind) in [
            (Code::UnsupportedFeature, SetupKind::TooOld),
            (Code::UnsupportedVersion, SetupKind::TooOld),
            (Code::ClusterAuthorizationFailed, SetupKind::Refused),
            (Code::UnknownTopic, SetupKind::Topics),
            (Code::BrokerTransportFailure, SetupKind::Unreachable),
        ] {
            for error in [KafkaError::AdminOp(code), KafkaError::MetadataFetch(code)] {
                assert_eq!(of(error).kind, kind, "{code:?}");
            }
        }
        let text = of(KafkaError::AdminOp(Code::UnsupportedFeature)).to_string();
        assert!(text.contains("broker:9092") && text.contains("Kafka 3.0 or newer"), "{text}");
    }
}
