//! How a log fails.

use exchequer_types::Offset;

/// The world failed. `kind` says what the caller may do.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{message}")]
pub struct Fault {
    pub kind: FaultKind,
    pub message: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// No space, and nothing was written. Retry when there is.
    Full,
    /// A queue is at its bound, and nothing was written. Retry later.
    Overloaded,
    /// Whether it was written is unknown. Read before writing again.
    Unavailable,
    /// What is stored cannot be what was written. Never retried, never skipped.
    Damaged,
    /// The log begins above the offset that was asked for.
    Expired { begins_at: Offset },
    /// The record is larger than the log takes, and nothing was written.
    TooLarge,
    /// The log does not go on: the process must end.
    Stopped,
}

impl Fault {
    pub fn new(kind: FaultKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }

    /// May the same call succeed later?
    pub fn is_retryable(&self) -> bool {
        matches!(self.kind, FaultKind::Full | FaultKind::Overloaded | FaultKind::Unavailable)
    }
}
