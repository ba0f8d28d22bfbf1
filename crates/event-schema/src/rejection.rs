//! Why a text cannot be the schema of a type, and the code of an event that does not keep
//! to its schema.

use crate::rules::{DEPTH_MAX, NODES_MAX, SCHEMA_BYTES_MAX, VISITS_MAX};

/// The codes, which never change.
pub mod codes {
    pub const SCHEMA_TOO_LARGE: &str = "SCHEMA_TOO_LARGE";
    pub const SCHEMA_INVALID: &str = "SCHEMA_INVALID";
    pub const SCHEMA_REFERENCE_INVALID: &str = "SCHEMA_REFERENCE_INVALID";
    /// Of an event.
    pub const EVENT_SCHEMA_VIOLATED: &str = "EVENT_SCHEMA_VIOLATED";
}

/// Why there is no schema, in order of precedence.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    #[error("must have at most {SCHEMA_BYTES_MAX} bytes, {NODES_MAX} parts and {DEPTH_MAX} levels")]
    TooLarge,
    #[error("must be a JSON Schema: {reason}")]
    Invalid { reason: String },
    /// `path` is a JSON pointer.
    #[error("{path}: {reason}")]
    ReferenceInvalid { path: String, reason: &'static str },
    #[error("looks at one value more than {VISITS_MAX} times: join its parts")]
    TooCostly,
}

impl Rejection {
    pub fn code(&self) -> &'static str {
        match self {
            Self::TooLarge | Self::TooCostly => codes::SCHEMA_TOO_LARGE,
            Self::Invalid { .. } => codes::SCHEMA_INVALID,
            Self::ReferenceInvalid { .. } => codes::SCHEMA_REFERENCE_INVALID,
        }
    }
}
