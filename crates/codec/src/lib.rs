//! Between what the domains speak and what the logs keep. Reads every version
//! ever written, writes only the newest.

mod command;
mod convert;
mod domains;
mod envelope;
mod event;
mod outcome;
mod record;
mod reply;
mod state;
#[cfg(test)]
mod tests;
pub mod usage;

pub use command::{WAKE, command_types, decode_command, encode_command};
pub use convert::{
    instant, profile_from_proto, profile_to_proto, protected_from_proto, protected_to_proto,
    status_from_proto, status_to_proto,
};
pub use domains::access::{
    addresses_message, credential_message, member_message, principal_from_proto,
    principal_to_proto, role_grant_message, role_message, scope_from_proto, scope_to_proto,
    team_message,
};
pub use domains::catalog::{
    Misfit, MisfitKind, catalog_message, document_from_proto, document_to_proto, draft_info,
    version_message, version_status_to_proto,
};
pub use domains::entitlements::{
    amount_from_proto, entitlement_message, entitlements_from_proto, entitlements_to_proto,
    grant_kind_from_proto, grant_message,
};
pub use domains::flags::{
    definition_from_proto, dialect_from_proto, environment_message, flag_message,
    flag_state_from_proto, flag_state_to_proto, kind_from_proto, project_message,
    targeting_from_proto, value_to_proto,
};
pub use domains::quotas::{quota_from_proto, quota_message, quota_to_proto, reservation_message};
pub use domains::subscriptions::{
    charge_from_proto, charge_message, charge_to_proto, dropped_changes, scheduled_changes,
    subscription_from_proto, subscription_message, subscription_to_proto,
};
pub use domains::tenants::tenant_message;
pub use domains::usage::{
    EVENT_CORRECTED, aggregation_from_proto, aggregation_to_proto, event_schema_from_proto,
    event_schema_message, event_schema_state_from_proto, event_schema_state_to_proto,
    event_schema_to_proto, meter_definition_from_proto, meter_definition_to_proto, meter_message,
    meter_rules_from_proto, meter_rules_to_proto, meter_state_from_proto, meter_state_to_proto,
};
pub use envelope::{Opened, Unopened, UnopenedReason, forward, open, seal, seal_with_digest};
pub use event::{TIMER_SET, decode_event, encode_event, event_types};
pub use outcome::{outcome_status, rejected, status_of, status_word};
pub use record::{
    Entry, claim_level, commit_head, decode_record, encode_claim, encode_commit, head_from_proto,
    head_to_proto,
};
pub use reply::encode_reply;
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
