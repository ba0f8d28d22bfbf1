//! What a call says of its command: an answer that must hold for ever, or
//! nothing.

use std::collections::BTreeMap;

use bytes::Bytes;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

/// The answer to a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Accepted; the reply's exact bytes.
    Reply(Bytes),
    Rejection(Rejection),
}

/// A business "no", with all that it says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    pub code: Code,
    pub reason: String,
    pub message: String,
    pub facts: BTreeMap<String, String>,
}

/// Reasons that leave it open whether the command is decided, or that do not take its id.
const OPEN: &[&str] = &[
    "COMMAND_EXPIRED",
    "COMMAND_POISONED",
    "DISK_FULL",
    "INTERNAL",
    "KEYS_UNAVAILABLE",
    "OUTCOME_PENDING",
    "OVERLOADED",
    "PARTITION_UNAVAILABLE",
    "PROVIDER_NOT_ADOPTED",
    "RESULT_TOO_LARGE",
    "SHUTTING_DOWN",
    "TENANT_OVERLOADED",
    "TENANT_PARKED",
    "VIEW_BEHIND",
    "VIEW_UNAVAILABLE",
];

const NOWHERE: &str = "TENANT_NOT_FOUND";
const EXPIRED: &str = "CREDENTIAL_EXPIRED";

impl Answer {
    /// The answer in what a call gave; None when it is none.
    pub fn of<T: Into<Bytes>>(called: Result<T, &Status>) -> Option<Self> {
        let status = match called {
            Ok(reply) => return Some(Self::Reply(reply.into())),
            Err(status) => status,
        };
        let info = status.get_details_error_info()?;
        if OPEN.contains(&info.reason.as_str()) {
            return None;
        }
        Some(Self::Rejection(Rejection {
            code: status.code(),
            reason: info.reason,
            message: status.message().to_owned(),
            facts: info.metadata.into_iter().collect(),
        }))
    }

    /// The same, and None too where the call was refused before it became a command: what
    /// names a tenant that is not there, or comes to a gateway whose clock is ahead, goes no
    /// further than the edge, and takes no id.
    pub fn of_command<T: Into<Bytes>>(called: Result<T, &Status>) -> Option<Self> {
        let is_at_edge = |status: &&Status| is_nowhere(status) || reason(status) == EXPIRED;
        if called.as_ref().is_err_and(is_at_edge) {
            return None;
        }
        Self::of(called)
    }

    /// Does it name a tenant that is not there?
    pub(crate) fn is_nowhere(&self) -> bool {
        matches!(self, Self::Rejection(no) if no.reason == NOWHERE)
    }

    pub fn is_accepted(&self) -> bool {
        matches!(self, Self::Reply(_))
    }
}

/// Does the call name a tenant that is not there?
pub(crate) fn is_nowhere(status: &Status) -> bool {
    status.code() == Code::NotFound && reason(status) == NOWHERE
}

/// The stable code that an error carries; empty when it carries none.
pub fn reason(status: &Status) -> String {
    status.get_details_error_info().map(|info| info.reason).unwrap_or_default()
}
