//! What the store's errors mean to a caller: whether the same call may succeed later, and
//! what to do if not.

use exchequer_readstore::Fault;
use scylla::errors::{
    DbError, ExecutionError, MetadataError, NewSessionError, PrepareError, RequestAttemptError,
};

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
