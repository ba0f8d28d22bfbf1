//! What became of a command, in words.

use crate::decider::Reason;

/// The status of an outcome; `journal.v1.OutcomeStatus` on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Status {
    Accepted,
    Rejected,
    VersionConflict,
    IdentityConflict,
    Repeated,
    Expired,
    Parked,
    NotAdopted,
    TooLarge,
    Poisoned,
    Misrouted,
    DeadLettered,
    Validated,
    Unknown,
}

impl Status {
    /// Does a command with this outcome keep its identity for the window, so
    /// that the same identity is answered with this outcome again?
    pub fn takes_identity(self) -> bool {
        matches!(self, Self::Accepted | Self::Rejected | Self::VersionConflict)
    }
}

/// Faults of one rejection that are kept.
pub const FAULTS_MAX: usize = 16;

/// A rejection as the log keeps it.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Rejection {
    pub code: String,
    pub field: Option<String>,
    pub message: String,
    /// At most [`FAULTS_MAX`].
    pub faults: Vec<FieldFault>,
}

/// A field of a command that is at fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldFault {
    /// Its path, such as `targeting.rules[2].condition`.
    pub field: String,
    /// What it must be.
    pub message: String,
}

impl<R: Reason> From<&R> for Rejection {
    fn from(reason: &R) -> Self {
        Self {
            code: reason.code().to_owned(),
            field: reason.field().map(str::to_owned),
            message: reason.message(),
            faults: reason.faults().into_iter().take(FAULTS_MAX).collect(),
        }
    }
}
