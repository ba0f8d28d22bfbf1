//! Every business "no" of the domain, with its stable code.

use exchequer_kernel::Reason;
use exchequer_types::{Slug, Timestamp};

use crate::reservations::RESERVATIONS_MAX;

/// Units of one reservation, and of all that is held of a feature, at most: what JSON can
/// tell exactly.
pub const UNITS_MAX: u64 = 9_007_199_254_740_991;
pub const RESERVATION_ID_CHARS_MAX: usize = 64;
/// How long a reservation may hold.
pub const TTL_SECONDS_MAX: u32 = 86_400;
/// How long it holds when nothing is said.
pub const TTL_SECONDS_DEFAULT: u32 = 60;
pub const REASON_CHARS_MAX: usize = 500;

/// The codes, which never change.
pub mod codes {
    pub const QUOTA_TENANT_SUSPENDED: &str = "QUOTA_TENANT_SUSPENDED";
    pub const RESERVATION_ID_INVALID: &str = "RESERVATION_ID_INVALID";
    pub const QUOTA_AMOUNT_INVALID: &str = "QUOTA_AMOUNT_INVALID";
    pub const RESERVATION_TTL_INVALID: &str = "RESERVATION_TTL_INVALID";
    pub const QUOTA_REASON_INVALID: &str = "QUOTA_REASON_INVALID";
    pub const RESERVATION_CONFLICT: &str = "RESERVATION_CONFLICT";
    pub const RESERVATION_UNKNOWN: &str = "RESERVATION_UNKNOWN";
    pub const RESERVATION_EXPIRED: &str = "RESERVATION_EXPIRED";
    pub const FEATURE_NOT_INCLUDED: &str = "FEATURE_NOT_INCLUDED";
    pub const FEATURE_NOT_LIMITED: &str = "FEATURE_NOT_LIMITED";
    pub const RESERVATIONS_TOO_MANY: &str = "RESERVATIONS_TOO_MANY";
    pub const QUOTA_EXHAUSTED: &str = "QUOTA_EXHAUSTED";
    pub const QUOTA_LIMIT_REACHED: &str = "QUOTA_LIMIT_REACHED";
    pub const QUOTA_FORBIDDEN: &str = "QUOTA_FORBIDDEN";
    pub const TIMER_NOT_PENDING: &str = "TIMER_NOT_PENDING";
}

/// Why a command was refused, in order of precedence within each command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rejection {
    /// What is held may be finalised and released, but nothing more is given.
    TenantSuspended,
    ReservationIdInvalid,
    AmountInvalid {
        min: u64,
        max: u64,
    },
    /// So many are not used.
    UnitsInvalid {
        used: u64,
    },
    TtlInvalid,
    ReasonInvalid,
    /// The id is that of another reservation, or of one that ended otherwise.
    ReservationConflict {
        is: String,
    },
    ReservationUnknown,
    ReservationExpired,
    /// Neither the plan nor anything else gives the feature.
    FeatureNotIncluded,
    /// The feature is given without a number.
    FeatureNotLimited,
    ReservationsTooMany,
    /// Not so much is left until counting begins anew.
    Exhausted {
        feature: Slug,
        left: u64,
        limit: u64,
        resets_at: Timestamp,
    },
    /// Not so much is left, and time alone brings no more: no window, or more than the limit.
    LimitReached {
        feature: Slug,
        left: u64,
        limit: u64,
    },
    /// Not so much is left, and by the limit's setting no more is to be had.
    Forbidden {
        feature: Slug,
        left: u64,
        limit: u64,
    },
    TimerNotPending,
}

impl Reason for Rejection {
    fn code(&self) -> &'static str {
        match self {
            Self::TenantSuspended => codes::QUOTA_TENANT_SUSPENDED,
            Self::ReservationIdInvalid => codes::RESERVATION_ID_INVALID,
            Self::AmountInvalid { .. } | Self::UnitsInvalid { .. } => codes::QUOTA_AMOUNT_INVALID,
            Self::TtlInvalid => codes::RESERVATION_TTL_INVALID,
            Self::ReasonInvalid => codes::QUOTA_REASON_INVALID,
            Self::ReservationConflict { .. } => codes::RESERVATION_CONFLICT,
            Self::ReservationUnknown => codes::RESERVATION_UNKNOWN,
            Self::ReservationExpired => codes::RESERVATION_EXPIRED,
            Self::FeatureNotIncluded => codes::FEATURE_NOT_INCLUDED,
            Self::FeatureNotLimited => codes::FEATURE_NOT_LIMITED,
            Self::ReservationsTooMany => codes::RESERVATIONS_TOO_MANY,
            Self::Exhausted { .. } => codes::QUOTA_EXHAUSTED,
            Self::LimitReached { .. } => codes::QUOTA_LIMIT_REACHED,
            Self::Forbidden { .. } => codes::QUOTA_FORBIDDEN,
            Self::TimerNotPending => codes::TIMER_NOT_PENDING,
        }
    }

    fn field(&self) -> Option<&'static str> {
        match self {
            Self::ReservationIdInvalid
            | Self::ReservationConflict { .. }
            | Self::ReservationUnknown
            | Self::ReservationExpired => Some("reservation"),
            Self::AmountInvalid { .. }
            | Self::Exhausted { .. }
            | Self::LimitReached { .. }
            | Self::Forbidden { .. } => Some("amount"),
            Self::UnitsInvalid { .. } => Some("units"),
            Self::TtlInvalid => Some("ttl"),
            Self::ReasonInvalid => Some("reason"),
            Self::FeatureNotIncluded | Self::FeatureNotLimited => Some("feature"),
            Self::TenantSuspended => Some("tenant"),
            Self::ReservationsTooMany | Self::TimerNotPending => None,
        }
    }

    fn message(&self) -> String {
        match self {
            Self::TenantSuspended => {
                "the tenant is suspended: nothing more is given until it is reinstated".to_owned()
            }
            Self::ReservationIdInvalid => {
                format!("must have 1 to {RESERVATION_ID_CHARS_MAX} visible ASCII characters")
            }
            Self::AmountInvalid { min, max } => format!("must be from {min} to {max} units"),
            Self::UnitsInvalid { used: 0 } => {
                "must be at most what is used, which is nothing".to_owned()
            }
            Self::UnitsInvalid { used } => format!("must be from 1 to {used}: no more is used"),
            Self::TtlInvalid => format!("must be from 1 to {TTL_SECONDS_MAX} seconds"),
            Self::ReasonInvalid => format!(
                "must have 1 to {REASON_CHARS_MAX} characters, none of them control characters"
            ),
            Self::ReservationConflict { is } => {
                format!("the reservation of this id {is}: use another id")
            }
            Self::ReservationUnknown => {
                "no reservation of this id is known: it never was, or it ended a while ago"
                    .to_owned()
            }
            Self::ReservationExpired => {
                "the reservation has expired and its units are free: reserve again".to_owned()
            }
            Self::FeatureNotIncluded => {
                "neither the plan nor a grant includes the feature: another plan may".to_owned()
            }
            Self::FeatureNotLimited => {
                "the feature is not counted: nothing needs to be reserved".to_owned()
            }
            Self::ReservationsTooMany => format!(
                "a tenant has at most {RESERVATIONS_MAX} open reservations: finalise or release some first"
            ),
            Self::Exhausted { feature, left, limit, resets_at } => format!(
                "{left} of {limit} units of {feature} are left until {resets_at}: wait, or ask for less"
            ),
            Self::LimitReached { feature, left, limit } => format!(
                "{left} of {limit} units of {feature} are left: free some, ask for less, or change the plan"
            ),
            Self::Forbidden { feature, left, limit } => format!(
                "{left} of {limit} units of {feature} are left, and no more are given: ask for less"
            ),
            Self::TimerNotPending => "the timer is not pending".to_owned(),
        }
    }
}
