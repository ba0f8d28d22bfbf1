//! What the store's errors mean to a caller: whether the same call may succeed later, and
//! what to do if not.

use exchequer_readstore::Fault;
use scylla::errors::{
    ConnectionError, ConnectionPoolError, DbError, ExecutionError, MetadataError, NewSessionError,
    PrepareError, RequestAttemptError,
};

use crate::OpenError;

/// A statement failed.
pub(crate) fn failed(what: &str, error: &ExecutionError) -> Fault {
    let message = format!("the store could not {what}: {error}");
    let retryable = match error {
        ExecutionError::BadQuery(_) => false,
        ExecutionError::PrepareError(error) => is_preparing_retryable(error),
        ExecutionError::LastAttemptError(error) => is_attempt_retryable(error),
        _ => true,
    };
    Fault { retryable, message: with_advice(message) }
}

/// The same where a keyspace is opened: a right that is missing is told from all else.
pub(crate) fn refused_or_failed(what: &str, error: &ExecutionError) -> OpenError {
    match error {
        ExecutionError::LastAttemptError(RequestAttemptError::DbError(
            DbError::Unauthorized,
            message,
        )) => OpenError::NoRight { what: what.to_owned(), message: message.clone() },
        error => failed(what, error).into(),
    }
}

/// A statement could not be prepared.
pub(crate) fn not_prepared(statement: &str, error: &PrepareError) -> Fault {
    let message = format!("the store could not prepare {statement}: {error}");
    Fault { retryable: is_preparing_retryable(error), message: with_advice(message) }
}

/// What came back is not what the statement asks for.
pub(crate) fn unexpected(what: &str, error: impl core::fmt::Display) -> Fault {
    Fault::lasting(format!(
        "the store answered something else when it was asked to {what}: {error}"
    ))
}

/// Is the store at work, but refuses who calls?
pub(crate) fn is_refusal(error: &NewSessionError) -> bool {
    // The error of the last connection stands deep inside and in several shapes.
    let message = error.to_string();
    message.contains("uthentication") || message.contains("nauthorized")
}

/// Does a node answer in another version of the protocol?
pub(crate) fn is_other_version(message: &str) -> bool {
    ["frame from version", "unsupported protocol version"].iter().any(|it| message.contains(it))
}

/// Does no node answer, so that waiting may help?
pub(crate) fn is_unreachable(error: &NewSessionError) -> bool {
    !matches!(
        error,
        NewSessionError::EmptyKnownNodesList
            | NewSessionError::IllegalConfig(_)
            | NewSessionError::UseKeyspaceError(_)
            | NewSessionError::MetadataError(MetadataError::Peers(_))
    )
}

/// Does a node end the connection because of this client's certificate, or for want of one?
pub(crate) fn is_certificate_refused(message: &str) -> bool {
    // As RFC 8446 numbers alerts: handshake_failure, those of certificates, unknown_ca,
    // access_denied, internal_error (as which Cassandra reports some of these),
    // certificate_required.
    const ALERTS: [u32; 10] = [40, 42, 43, 44, 45, 46, 48, 49, 80, 116];
    let number = message.split("SSL alert number ").nth(1).unwrap_or_default();
    let digits = number.split(|it: char| !it.is_ascii_digit()).next().unwrap_or_default();
    digits.parse().is_ok_and(|number| ALERTS.contains(&number))
}

/// Does the driver say only that the connection had ended, and not why? It does when a node
/// ends it before the first question is sent, or while it is.
pub(crate) fn is_hidden(message: &str) -> bool {
    ["already broken for some other reason", "Failed to write data"]
        .iter()
        .any(|it| message.contains(it))
}

/// Was there a connection which came to nothing, as when one side alone speaks TLS?
pub(crate) fn is_cut_off(error: &NewSessionError) -> bool {
    let NewSessionError::MetadataError(MetadataError::ConnectionPoolError(
        ConnectionPoolError::Broken { last_connection_error: last },
    )) = error
    else {
        return false;
    };
    match last {
        ConnectionError::IoError(error) => error.kind() == std::io::ErrorKind::Other,
        ConnectionError::BrokenConnection(_) | ConnectionError::ConnectionSetupRequestError(_) => {
            true
        }
        _ => false,
    }
}

fn is_preparing_retryable(error: &PrepareError) -> bool {
    match error {
        PrepareError::AllAttemptsFailed { first_attempt } => is_attempt_retryable(first_attempt),
        _ => true,
    }
}

/// Only what another attempt cannot change lasts: the statement itself, and rights.
pub(crate) fn is_attempt_retryable(error: &RequestAttemptError) -> bool {
    match error {
        RequestAttemptError::SerializationError(_)
        | RequestAttemptError::CqlRequestSerialization(_)
        | RequestAttemptError::CqlResultParseError(_)
        | RequestAttemptError::RepreparedIdChanged { .. } => false,
        RequestAttemptError::DbError(error, _) => !matches!(
            error,
            DbError::SyntaxError
                | DbError::Invalid
                | DbError::AlreadyExists { .. }
                | DbError::FunctionFailure { .. }
                | DbError::AuthenticationError
                | DbError::Unauthorized
                | DbError::ConfigError
                | DbError::ProtocolError
        ),
        _ => true,
    }
}

fn with_advice(message: String) -> String {
    let lower = message.to_lowercase();
    if lower.contains("too far") && lower.contains("timestamp") {
        return format!(
            "{message} (positions are written as timestamps: set restrict_future_timestamp: false in scylla.yaml)"
        );
    }
    if lower.contains("unconfigured table") || lower.contains("undefined column") {
        return format!("{message} (run `exchequer admin migrate`)");
    }
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    fn database(error: DbError) -> ExecutionError {
        let attempt = RequestAttemptError::DbError(error, "said so".to_owned());
        ExecutionError::LastAttemptError(attempt)
    }

    // REQ: KER-13
    #[test]
    fn faults_say_whether_to_try_again() {
        for error in [DbError::Overloaded, DbError::IsBootstrapping, DbError::ServerError] {
            assert!(failed("write", &database(error)).retryable);
        }
        for error in [DbError::Invalid, DbError::Unauthorized, DbError::SyntaxError] {
            assert!(!failed("write", &database(error)).retryable);
        }
        let late = ExecutionError::RequestTimeout(std::time::Duration::from_secs(5));
        assert!(failed("write", &late).retryable);
    }

    #[test]
    fn alerts_about_a_certificate_are_told_from_others() {
        let alert = |number: u32| {
            format!("error:0A00045C:SSL routines::alert:ssl/x.c:1:SSL alert number {number}, ...")
        };
        assert!(is_certificate_refused(&alert(116)) && is_certificate_refused(&alert(48)));
        assert!(!is_certificate_refused(&alert(70)) && !is_certificate_refused("alert"));
    }

    #[test]
    fn a_connection_that_ended_while_it_was_asked_is_tried_again() {
        let while_asked = "Failed to perform a connection setup request. Request: OPTIONS, reason: \
                           Connection broken, reason: Failed to write data: unexpected EOF";
        assert!(is_hidden(while_asked));
        assert!(!is_hidden("Connection refused (os error 111)"));
    }

    #[test]
    fn faults_say_what_to_do() {
        let attempt = RequestAttemptError::DbError(
            DbError::Invalid,
            "Cannot provide a timestamp too far in the future".to_owned(),
        );
        let fault = failed("write", &ExecutionError::LastAttemptError(attempt));
        assert!(fault.message.contains("restrict_future_timestamp"), "{fault}");
        let attempt =
            RequestAttemptError::DbError(DbError::Invalid, "unconfigured table cells".to_owned());
        let fault = failed("read", &ExecutionError::LastAttemptError(attempt));
        assert!(fault.message.contains("exchequer admin migrate"), "{fault}");
    }
}
