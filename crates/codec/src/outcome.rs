//! Outcomes as the log keeps them.

use exchequer_kernel::{Rejection, Status};
use exchequer_proto::journal::v1 as pb;

/// An outcome that is no success.
pub fn rejected(status: Status, rejection: Rejection, version: u64) -> pb::Outcome {
    pb::Outcome {
        status: outcome_status(status).into(),
        code: rejection.code,
        field: rejection.field.unwrap_or_default(),
        message: rejection.message,
        faults: rejection
            .faults
            .into_iter()
            .map(|it| pb::FieldFault { field: it.field, message: it.message })
            .collect(),
        version,
        ..pb::Outcome::default()
    }
}

/// The status of an outcome; None for one this version does not know.
pub fn status_of(outcome: &pb::Outcome) -> Option<Status> {
    use pb::OutcomeStatus as P;
    Some(match P::try_from(outcome.status).ok()? {
        P::Unspecified => return None,
        P::Accepted => Status::Accepted,
        P::Rejected => Status::Rejected,
        P::VersionConflict => Status::VersionConflict,
        P::IdentityConflict => Status::IdentityConflict,
        P::Repeated => Status::Repeated,
        P::Expired => Status::Expired,
        P::Parked => Status::Parked,
        P::NotAdopted => Status::NotAdopted,
        P::TooLarge => Status::TooLarge,
        P::Poisoned => Status::Poisoned,
        P::Misrouted => Status::Misrouted,
        P::DeadLettered => Status::DeadLettered,
        P::Validated => Status::Validated,
        P::Unknown => Status::Unknown,
    })
}

/// The status on the wire.
pub fn outcome_status(status: Status) -> pb::OutcomeStatus {
    use pb::OutcomeStatus as P;
    match status {
        Status::Accepted => P::Accepted,
        Status::Rejected => P::Rejected,
        Status::VersionConflict => P::VersionConflict,
        Status::IdentityConflict => P::IdentityConflict,
        Status::Repeated => P::Repeated,
        Status::Expired => P::Expired,
        Status::Parked => P::Parked,
        Status::NotAdopted => P::NotAdopted,
        Status::TooLarge => P::TooLarge,
        Status::Poisoned => P::Poisoned,
        Status::Misrouted => P::Misrouted,
        Status::DeadLettered => P::DeadLettered,
        Status::Validated => P::Validated,
        Status::Unknown => P::Unknown,
    }
}

/// As metrics and scenarios name a status.
pub fn status_word(status: Status) -> &'static str {
    match status {
        Status::Accepted => "accepted",
        Status::Rejected => "rejected",
        Status::VersionConflict => "version_conflict",
        Status::IdentityConflict => "identity_conflict",
        Status::Repeated => "repeated",
        Status::Expired => "expired",
        Status::Parked => "parked",
        Status::NotAdopted => "not_adopted",
        Status::TooLarge => "too_large",
        Status::Poisoned => "poisoned",
        Status::Misrouted => "misrouted",
        Status::DeadLettered => "dead_lettered",
        Status::Validated => "validated",
        Status::Unknown => "unknown",
    }
}
