//! Between what the domains speak and what the logs keep. Reads every version
//! ever written, writes only the newest.

mod command;
mod convert;
mod envelope;
mod event;
mod outcome;
mod record;
mod reply;
mod state;
#[cfg(test)]
mod tests;

pub use command::{COMMAND_TYPES, WAKE, decode_command, encode_command};
pub use convert::{profile_from_proto, profile_to_proto, status_from_proto, status_to_proto};
pub use envelope::{Opened, Unopened, UnopenedReason, forward, open, seal, seal_with_digest};
pub use event::{EVENT_TYPES, decode_event, encode_event};
pub use outcome::{outcome_status, rejected, status_of, status_word};
pub use record::{
    Entry, commit_head, decode_record, encode_claim, encode_commit, head_from_proto, head_to_proto,
};
pub use reply::{encode_reply, tenant_message};
pub use state::{decode_stream, encode_stream};

/// Bytes that cannot be what was written, or were written by a newer version.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    #[error("not a message of this type: {0}")]
    Malformed(String),
    /// Never skipped: a reader stops.
    #[error("{0:?} is not known to this version: upgrade before going on")]
    UnknownType(String),
    #[error("{field} is out of range or malformed")]
    Field { field: &'static str },
}

impl From<prost::DecodeError> for DecodeError {
    fn from(error: prost::DecodeError) -> Self {
        Self::Malformed(error.to_string())
    }
}
