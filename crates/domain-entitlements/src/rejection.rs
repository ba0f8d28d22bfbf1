//! Every business "no" of the domain, with its stable code.

use exchequer_kernel::Reason;
use exchequer_types::Timestamp;

use crate::amount::UNITS_MAX;
use crate::state::{FEATURES_IN_USE_MAX, GRANTS_MAX};

pub const REASON_CHARS_MAX: usize = 500;

/// The codes, which never change.
pub mod codes {
    pub const GRANT_NOT_FOUND: &str = "GRANT_NOT_FOUND";
    pub const GRANT_AMOUNT_INVALID: &str = "GRANT_AMOUNT_INVALID";
    pub const GRANT_REASON_INVALID: &str = "GRANT_REASON_INVALID";
    pub const GRANT_EXPIRY_IN_THE_PAST: &str = "GRANT_EXPIRY_IN_THE_PAST";
    pub const GRANT_EXPIRY_MISSING: &str = "GRANT_EXPIRY_MISSING";
    pub const GRANTS_TOO_MANY: &str = "GRANTS_TOO_MANY";
    pub const USE_OUT_OF_RANGE: &str = "USE_OUT_OF_RANGE";
    pub const FEATURES_IN_USE_TOO_MANY: &str = "FEATURES_IN_USE_TOO_MANY";
}

/// Why a command was refused, in order of precedence within each command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rejection {
    /// There is no live grant of this id, or with this timer.
    GrantNotFound,
    AmountInvalid,
    ReasonInvalid,
    ExpiryInThePast {
        now: Timestamp,
    },
    /// A trial ends.
    ExpiryMissing,
    GrantsTooMany,
    UseOutOfRange,
    FeaturesInUseTooMany,
}

impl Reason for Rejection {
    fn code(&self) -> &'static str {
        match self {
            Self::GrantNotFound => codes::GRANT_NOT_FOUND,
            Self::AmountInvalid => codes::GRANT_AMOUNT_INVALID,
            Self::ReasonInvalid => codes::GRANT_REASON_INVALID,
            Self::ExpiryInThePast { .. } => codes::GRANT_EXPIRY_IN_THE_PAST,
            Self::ExpiryMissing => codes::GRANT_EXPIRY_MISSING,
            Self::GrantsTooMany => codes::GRANTS_TOO_MANY,
            Self::UseOutOfRange => codes::USE_OUT_OF_RANGE,
            Self::FeaturesInUseTooMany => codes::FEATURES_IN_USE_TOO_MANY,
        }
    }

    fn field(&self) -> Option<&'static str> {
        match self {
            Self::GrantNotFound => Some("grant"),
            Self::AmountInvalid => Some("amount"),
            Self::ReasonInvalid => Some("reason"),
            Self::ExpiryInThePast { .. } | Self::ExpiryMissing => Some("expires_at"),
            Self::GrantsTooMany => None,
            Self::UseOutOfRange => Some("used"),
            Self::FeaturesInUseTooMany => Some("feature"),
        }
    }

    fn message(&self) -> String {
        match self {
            Self::GrantNotFound => {
                "no grant of this id is live: it never was, or it has ended".to_owned()
            }
            Self::AmountInvalid => {
                format!("must be on, unlimited, or from 1 to {UNITS_MAX} units")
            }
            Self::ReasonInvalid => format!(
                "must have 1 to {REASON_CHARS_MAX} characters, none of them control characters"
            ),
            Self::ExpiryInThePast { now } => format!("must lie behind {now}, the tenant's time"),
            Self::ExpiryMissing => "must be given: a trial ends".to_owned(),
            Self::GrantsTooMany => {
                format!("a tenant has at most {GRANTS_MAX} live grants: revoke one first")
            }
            Self::UseOutOfRange => format!("must be at most {UNITS_MAX}"),
            Self::FeaturesInUseTooMany => format!(
                "a tenant has at most {FEATURES_IN_USE_MAX} features with a reported use: report 0 for one first"
            ),
        }
    }
}
