//! The one place that knows gRPC codes: every refusal and failure becomes a
//! status with a stable code as `google.rpc.ErrorInfo.reason`. A page for each
//! code lies under `docs/errors/`. Internal text goes to the log, never out.

use core::time::Duration;

use axum::http::StatusCode;
use exchequer_codec::status_of;
use exchequer_engine::{Behind, EngineError, SubmitError};
use exchequer_kernel::Status as Decided;
use exchequer_proto::journal::v1 as pb;
use exchequer_readstore::Fault;
use exchequer_vault::VaultError;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use crate::authn::codes as authn;

/// `google.rpc.ErrorInfo.domain` of every error.
pub const DOMAIN: &str = "exchequer";

// Of the request itself: nothing was submitted.
pub const REQUEST_MALFORMED: &str = "REQUEST_MALFORMED";
pub const REQUEST_TOO_DEEP: &str = "REQUEST_TOO_DEEP";
pub const REQUEST_TOO_LARGE: &str = "REQUEST_TOO_LARGE";
pub const METHOD_UNKNOWN: &str = "METHOD_UNKNOWN";
pub const COMPRESSION_UNKNOWN: &str = "COMPRESSION_UNKNOWN";
pub const METADATA_INVALID: &str = "METADATA_INVALID";
pub const DEADLINE_PASSED: &str = "DEADLINE_PASSED";
pub const FIELD_MISSING: &str = "FIELD_MISSING";
pub const ID_INVALID: &str = "ID_INVALID";
pub const TIMESTAMP_INVALID: &str = "TIMESTAMP_INVALID";
pub const ENUM_UNKNOWN: &str = "ENUM_UNKNOWN";
pub const VALUE_INVALID: &str = "VALUE_INVALID";
pub const SETTING_REPEATED: &str = "SETTING_REPEATED";
pub const CONTEXT_INVALID: &str = "CONTEXT_INVALID";
pub const CONTEXT_TOO_LARGE: &str = "CONTEXT_TOO_LARGE";
pub const FLAGS_COUNT_INVALID: &str = "FLAGS_COUNT_INVALID";
pub const QUOTA_NOT_FOUND: &str = "QUOTA_NOT_FOUND";
pub const FEATURES_COUNT_INVALID: &str = "FEATURES_COUNT_INVALID";
pub const FILTER_INVALID: &str = "FILTER_INVALID";
pub const FIELD_MASK_INVALID: &str = "FIELD_MASK_INVALID";
pub const BATCH_SIZE_INVALID: &str = "BATCH_SIZE_INVALID";
pub const BATCH_ITEM_INVALID: &str = "BATCH_ITEM_INVALID";
pub const PAGE_SIZE_INVALID: &str = "PAGE_SIZE_INVALID";
pub const PAGE_TOKEN_INVALID: &str = "PAGE_TOKEN_INVALID";
pub const CURSOR_INVALID: &str = "CURSOR_INVALID";
pub const COMMAND_TOO_LARGE: &str = "COMMAND_TOO_LARGE";

// Of events of use.
pub const EVENTS_TOO_MANY: &str = "EVENTS_TOO_MANY";
pub const EVENT_UNCONFIRMED: &str = "EVENT_UNCONFIRMED";
pub const CONTENT_TYPE_UNKNOWN: &str = "CONTENT_TYPE_UNKNOWN";
pub const CONTENT_ENCODING_UNKNOWN: &str = "CONTENT_ENCODING_UNKNOWN";
pub const STREAM_STALLED: &str = "STREAM_STALLED";
pub const USAGE_UNAVAILABLE: &str = "USAGE_UNAVAILABLE";
pub const RANGE_INVALID: &str = "RANGE_INVALID";
pub const USAGE_ANSWER_TOO_LARGE: &str = "USAGE_ANSWER_TOO_LARGE";
pub const USAGE_VERSIONS_DIFFER: &str = "USAGE_VERSIONS_DIFFER";
pub const USAGE_EVENT_NOT_FOUND: &str = "USAGE_EVENT_NOT_FOUND";

// Of commands, as their outcomes say.
pub const VERSION_CONFLICT: &str = "VERSION_CONFLICT";
pub const COMMAND_ID_REUSED: &str = "COMMAND_ID_REUSED";
pub const COMMAND_EXPIRED: &str = "COMMAND_EXPIRED";
pub const COMMAND_POISONED: &str = "COMMAND_POISONED";
pub const COMMAND_UNKNOWN: &str = "COMMAND_UNKNOWN";
pub const RESULT_TOO_LARGE: &str = "RESULT_TOO_LARGE";
pub const TENANT_PARKED: &str = "TENANT_PARKED";
pub const TENANT_NOT_PARKED: &str = "TENANT_NOT_PARKED";
pub const TENANT_NOT_PROVIDER: &str = "TENANT_NOT_PROVIDER";
pub const PROVIDER_NOT_ADOPTED: &str = "PROVIDER_NOT_ADOPTED";
pub const CATALOG_NOT_ADOPTED: &str = "CATALOG_NOT_ADOPTED";
pub const FEATURE_UNKNOWN: &str = "FEATURE_UNKNOWN";
pub const TIMERS_BEHIND: &str = "TIMERS_BEHIND";
/// A failed precondition, as is every code that is not named below.
pub const PLANNED_CHANGE_IMPOSSIBLE: &str = "PLANNED_CHANGE_IMPOSSIBLE";
pub const TIME_ZONE_UNKNOWN: &str = "TIME_ZONE_UNKNOWN";
pub const CLOCK_STEP_TOO_LARGE: &str = "CLOCK_STEP_TOO_LARGE";

// Of dead letters.
pub const RECORD_MALFORMED: &str = "RECORD_MALFORMED";
pub const RECORD_MAC_INVALID: &str = "RECORD_MAC_INVALID";
pub const RECORD_ASTRAY: &str = "RECORD_ASTRAY";
pub const RECORD_TOO_LARGE: &str = "RECORD_TOO_LARGE";
pub const COMMAND_UNREADABLE: &str = "COMMAND_UNREADABLE";
pub const DEAD_LETTER_NOT_FOUND: &str = "DEAD_LETTER_NOT_FOUND";

// Of the service.
pub const RATE_LIMITED: &str = "RATE_LIMITED";
pub const PERMISSION_DENIED: &str = "PERMISSION_DENIED";
pub const TENANT_OVERLOADED: &str = "TENANT_OVERLOADED";
pub const OVERLOADED: &str = "OVERLOADED";
pub const DISK_FULL: &str = "DISK_FULL";
pub const OUTCOME_PENDING: &str = "OUTCOME_PENDING";
pub const PARTITION_UNAVAILABLE: &str = "PARTITION_UNAVAILABLE";
pub const VIEW_BEHIND: &str = "VIEW_BEHIND";
pub const VIEW_UNAVAILABLE: &str = "VIEW_UNAVAILABLE";
pub const VIEW_UNKNOWN: &str = "VIEW_UNKNOWN";
pub const KEYS_UNAVAILABLE: &str = "KEYS_UNAVAILABLE";
pub const KEYS_FULL: &str = "KEYS_FULL";
pub const MASTER_KEYS_FIXED: &str = "MASTER_KEYS_FIXED";
pub const MASTER_KEYS_WRONG: &str = "MASTER_KEYS_WRONG";
pub const SHUTTING_DOWN: &str = "SHUTTING_DOWN";
pub const INTERNAL: &str = "INTERNAL";

const TENANT_NOT_FOUND: &str = exchequer_domain_tenants::codes::TENANT_NOT_FOUND;
const TENANT_EXISTS: &str = exchequer_domain_tenants::codes::TENANT_EXISTS;

const RETRY_SOON: Duration = Duration::from_millis(200);
const RETRY_LATER: Duration = Duration::from_secs(5);

/// A refusal in the making.
#[derive(Debug)]
pub(crate) struct Refusal {
    code: String,
    message: String,
    field: Option<String>,
    retry: Option<Duration>,
    /// Of the addressed resource, in a conflict.
    version: Option<u64>,
    /// All fields at fault, when there are several: field, description.
    violations: Vec<(String, String)>,
    /// For programs, beside the code.
    metadata: Vec<(&'static str, String)>,
}

impl Refusal {
    pub(crate) fn new(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            code: code.into(),
            message: message.into(),
            field: None,
            retry: None,
            version: None,
            violations: Vec::new(),
            metadata: Vec::new(),
        }
    }

    pub(crate) fn field(mut self, field: impl Into<String>) -> Self {
        self.field = Some(field.into());
        self
    }

    /// More for programs, in `google.rpc.ErrorInfo.metadata`.
    pub(crate) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.metadata.push((name, value.into()));
        self
    }

    pub(crate) fn retry(mut self, after: Duration) -> Self {
        self.retry = Some(after);
        self
    }

    /// Of several fields; the first one's code is the refusal's.
    pub(crate) fn of_fields(violations: Vec<(&'static str, String, String)>) -> Self {
        let Some((code, field, text)) = violations.first() else {
            return Self::new(INTERNAL, "refused without a reason");
        };
        let (code, field, message) = (*code, field.clone(), format!("{field} {text}"));
        let violations = violations.into_iter().map(|(_, field, text)| (field, text)).collect();
        Self { field: Some(field), violations, ..Self::new(code, message) }
    }

    /// The message for people, who may see nothing else: with the field it is of.
    fn said(&self) -> String {
        match &self.field {
            Some(field) if self.message.starts_with("must ") => format!("{field} {}", self.message),
            _ => self.message.clone(),
        }
    }

    /// As it goes out.
    pub(crate) fn status(self) -> Status {
        let grpc = grpc_code(&self.code);
        let said = self.said();
        let named = self.metadata.into_iter().map(|(name, value)| (name.to_owned(), value));
        let mut metadata: std::collections::HashMap<_, _> = named.collect();
        let mut details = ErrorDetails::new();
        if let Some(version) = self.version {
            metadata.insert("current_version".to_owned(), version.to_string());
        }
        if let Some(field) = &self.field {
            metadata.insert("field".to_owned(), field.clone());
        }
        if self.violations.is_empty()
            && grpc == Code::InvalidArgument
            && let Some(field) = &self.field
        {
            details.add_bad_request_violation(field.clone(), self.message.clone());
        }
        for (field, text) in self.violations {
            details.add_bad_request_violation(field, text);
        }
        if matches!(grpc, Code::NotFound | Code::AlreadyExists) {
            // Its name is put in by `answers`, which has the request.
            details.set_resource_info(kind_of(&self.code), "", "", self.message.clone());
        }
        if let Some(after) = self.retry {
            details.set_retry_info(Some(after));
        }
        details.set_error_info(self.code, DOMAIN, metadata);
        Status::with_error_details(grpc, said, details)
    }
}

/// What a code of something that is not there, or is there already, speaks of: its words
/// but the last ones.
fn kind_of(code: &str) -> String {
    let ends = ["_NOT_FOUND", "_UNKNOWN", "_EXISTS", "_ID_REUSED"];
    let kind = ends.iter().find_map(|it| code.strip_suffix(it)).unwrap_or(code);
    kind.to_ascii_lowercase().replace('_', " ")
}

/// Outcomes of domains to come whose codes are not here are failed preconditions.
fn grpc_code(code: &str) -> Code {
    use exchequer_domain_entitlements::codes as entitlements;
    match code {
        REQUEST_MALFORMED
        | REQUEST_TOO_DEEP
        | REQUEST_TOO_LARGE
        | METADATA_INVALID
        | FIELD_MISSING
        | ID_INVALID
        | TIMESTAMP_INVALID
        | ENUM_UNKNOWN
        | VALUE_INVALID
        | SETTING_REPEATED
        | FEATURES_COUNT_INVALID
        | TIME_ZONE_UNKNOWN
        | CLOCK_STEP_TOO_LARGE
        | FILTER_INVALID
        | FIELD_MASK_INVALID
        | BATCH_SIZE_INVALID
        | BATCH_ITEM_INVALID
        | PAGE_SIZE_INVALID
        | PAGE_TOKEN_INVALID
        | CURSOR_INVALID
        | COMMAND_TOO_LARGE
        | RESULT_TOO_LARGE => Code::InvalidArgument,
        METHOD_UNKNOWN | COMPRESSION_UNKNOWN => Code::Unimplemented,
        authn::CREDENTIAL_MISSING
        | authn::CREDENTIAL_INVALID
        | authn::CREDENTIAL_EXPIRED
        | authn::CREDENTIAL_REVOKED => Code::Unauthenticated,
        authn::ADDRESS_NOT_ALLOWED | PERMISSION_DENIED => Code::PermissionDenied,
        TENANT_NOT_FOUND
        | DEAD_LETTER_NOT_FOUND
        | VIEW_UNKNOWN
        | COMMAND_UNKNOWN
        | FEATURE_UNKNOWN
        | entitlements::GRANT_NOT_FOUND => Code::NotFound,
        TENANT_EXISTS | COMMAND_ID_REUSED => Code::AlreadyExists,
        VERSION_CONFLICT => Code::Aborted,
        TENANT_OVERLOADED | OVERLOADED | RATE_LIMITED | KEYS_FULL => Code::ResourceExhausted,
        DISK_FULL
        | PARTITION_UNAVAILABLE
        | PROVIDER_NOT_ADOPTED
        | CATALOG_NOT_ADOPTED
        | TIMERS_BEHIND
        | VIEW_BEHIND
        | VIEW_UNAVAILABLE
        | authn::CREDENTIAL_UNVERIFIED
        | KEYS_UNAVAILABLE
        | SHUTTING_DOWN => Code::Unavailable,
        OUTCOME_PENDING | DEADLINE_PASSED => Code::DeadlineExceeded,
        COMMAND_POISONED | INTERNAL => Code::Internal,
        _ => domain_code(code),
    }
}

/// Of what a domain refuses for a field of the request.
fn domain_code(code: &str) -> Code {
    use exchequer_domain_audit::codes as audit;
    use exchequer_domain_entitlements::codes as entitlements;
    use exchequer_domain_tenants::codes as tenants;
    match code {
        tenants::NAME_INVALID
        | tenants::REASON_INVALID
        | tenants::SETTING_KEY_INVALID
        | tenants::SETTING_VALUE_INVALID
        | tenants::SETTINGS_TOO_MANY
        | tenants::SETTINGS_TOO_LARGE
        | tenants::CLOSING_IN_THE_PAST
        | tenants::CLOCK_BACKWARDS
        | tenants::CLOCK_OUT_OF_RANGE
        | entitlements::GRANT_AMOUNT_INVALID
        | entitlements::GRANT_REASON_INVALID
        | entitlements::GRANT_EXPIRY_IN_THE_PAST
        | entitlements::GRANT_EXPIRY_MISSING
        | entitlements::USE_OUT_OF_RANGE
        | audit::ENTRIES_COUNT_INVALID
        | audit::ENTRY_INVALID => Code::InvalidArgument,
        _ => usage_code(code),
    }
}

/// Of the refusals of events, and of queries of usage.
fn usage_code(code: &str) -> Code {
    use exchequer_event_schema::codes as schema;
    use exchequer_metering::event::codes as event;
    match code {
        EVENTS_TOO_MANY
        | CONTENT_TYPE_UNKNOWN
        | CONTENT_ENCODING_UNKNOWN
        | RANGE_INVALID
        | USAGE_ANSWER_TOO_LARGE
        | USAGE_VERSIONS_DIFFER
        | schema::EVENT_SCHEMA_VIOLATED => Code::InvalidArgument,
        USAGE_EVENT_NOT_FOUND => Code::NotFound,
        EVENT_UNCONFIRMED | USAGE_UNAVAILABLE => Code::Unavailable,
        STREAM_STALLED => Code::DeadlineExceeded,
        _ if event::ALL.contains(&code) => Code::InvalidArgument,
        _ => offer_code(code),
    }
}

/// The status of an error that goes out by HTTP.
pub(crate) fn http_status(code: Code, reason: &str) -> StatusCode {
    use exchequer_domain_quotas::codes::{FEATURE_NOT_INCLUDED, QUOTA_LIMIT_REACHED};
    match (reason, code) {
        (REQUEST_TOO_LARGE, _) => StatusCode::PAYLOAD_TOO_LARGE,
        (CONTENT_TYPE_UNKNOWN | CONTENT_ENCODING_UNKNOWN, _) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        (STREAM_STALLED, _) => StatusCode::REQUEST_TIMEOUT,
        // Another plan helps.
        (QUOTA_LIMIT_REACHED | FEATURE_NOT_INCLUDED, _) => StatusCode::PAYMENT_REQUIRED,
        (_, Code::Ok) => StatusCode::OK,
        (_, Code::InvalidArgument | Code::OutOfRange | Code::FailedPrecondition) => {
            StatusCode::BAD_REQUEST
        }
        (_, Code::Unauthenticated) => StatusCode::UNAUTHORIZED,
        (_, Code::PermissionDenied) => StatusCode::FORBIDDEN,
        (_, Code::NotFound) => StatusCode::NOT_FOUND,
        (_, Code::AlreadyExists | Code::Aborted) => StatusCode::CONFLICT,
        (_, Code::ResourceExhausted) => StatusCode::TOO_MANY_REQUESTS,
        (_, Code::Unimplemented) => StatusCode::NOT_IMPLEMENTED,
        (_, Code::Unavailable) => StatusCode::SERVICE_UNAVAILABLE,
        (_, Code::DeadlineExceeded) => StatusCode::GATEWAY_TIMEOUT,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// Of the refusals of flags.
fn flag_code(code: &str) -> Code {
    use exchequer_domain_flags::codes as flags;
    use exchequer_flag_eval::codes as eval;
    match code {
        CONTEXT_INVALID
        | CONTEXT_TOO_LARGE
        | FLAGS_COUNT_INVALID
        | flags::ENVIRONMENT_SALT_INVALID
        | flags::FLAG_TOO_LARGE
        | flags::FLAG_TAGS_INVALID
        | flags::DESCRIPTION_INVALID => Code::InvalidArgument,
        flags::PROJECT_NOT_FOUND
        | flags::ENVIRONMENT_NOT_FOUND
        | flags::FLAG_NOT_FOUND
        | flags::FLAG_SPLIT_NOT_FOUND => Code::NotFound,
        flags::PROJECT_EXISTS | flags::ENVIRONMENT_EXISTS | flags::FLAG_EXISTS => {
            Code::AlreadyExists
        }
        eval::FLAGS_TOO_MANY => Code::FailedPrecondition,
        of_definition if eval::ALL.contains(&of_definition) => Code::InvalidArgument,
        _ => access_code(code),
    }
}

/// Of the refusals of access control.
fn access_code(code: &str) -> Code {
    use exchequer_domain_access::codes as access;
    match code {
        access::MEMBER_ID_RESERVED
        | access::PROTECTED_FIELD_INVALID
        | access::TEAM_TOO_LARGE
        | access::ROLE_EMPTY
        | access::ROLE_NOT_GRANTABLE
        | access::ROLE_NOT_SCOPABLE
        | access::EXPIRY_IN_THE_PAST
        | access::ADDRESSES_INVALID
        | access::CREDENTIAL_GRANTS_INVALID
        | access::CREDENTIAL_EXPIRY_MISSING
        | access::CREDENTIAL_RATE_INVALID
        | access::CREDENTIAL_OVERLAP_INVALID => Code::InvalidArgument,
        access::MEMBER_NOT_FOUND
        | access::TEAM_NOT_FOUND
        | access::ROLE_NOT_FOUND
        | access::ROLE_GRANT_NOT_FOUND
        | access::CREDENTIAL_NOT_FOUND
        | access::PERSON_NOT_FOUND => Code::NotFound,
        access::MEMBER_EXISTS
        | access::TEAM_EXISTS
        | access::ROLE_EXISTS
        | access::ROLE_ALREADY_GRANTED => Code::AlreadyExists,
        access::ROLE_NOT_GIVABLE | access::TOKEN_OF_ANOTHER => Code::PermissionDenied,
        _ => quota_code(code),
    }
}

/// Of the refusals of quotas. Where another plan alone helps it is a failed precondition.
fn quota_code(code: &str) -> Code {
    use exchequer_domain_quotas::codes as quotas;
    match code {
        quotas::RESERVATION_ID_INVALID
        | quotas::QUOTA_AMOUNT_INVALID
        | quotas::RESERVATION_TTL_INVALID
        | quotas::QUOTA_REASON_INVALID => Code::InvalidArgument,
        quotas::RESERVATION_UNKNOWN | QUOTA_NOT_FOUND => Code::NotFound,
        quotas::RESERVATION_CONFLICT => Code::AlreadyExists,
        quotas::QUOTA_TENANT_SUSPENDED | quotas::QUOTA_FORBIDDEN => Code::PermissionDenied,
        quotas::QUOTA_EXHAUSTED | quotas::RESERVATIONS_TOO_MANY => Code::ResourceExhausted,
        _ => crate::meters::grpc_code(code),
    }
}

/// Of the refusals of catalogs and subscriptions.
fn offer_code(code: &str) -> Code {
    use exchequer_domain_catalog::codes as catalog;
    use exchequer_domain_subscriptions::codes as subscriptions;
    match code {
        catalog::CATALOG_INVALID
        | catalog::CATALOG_DUPLICATE
        | catalog::CATALOG_REFERENCE_UNKNOWN
        | catalog::CATALOG_CYCLE
        | catalog::CATALOG_GAP
        | catalog::CATALOG_PRICE_EMPTY
        | catalog::CATALOG_AMOUNT_INVALID
        | catalog::CATALOG_VALUE_INVALID
        | catalog::CATALOG_TOO_MANY
        | catalog::CATALOG_TOO_LARGE
        | catalog::ADD_ON_QUANTITY_INVALID
        | subscriptions::SEATS_TOO_FEW
        | subscriptions::SEATS_TOO_MANY
        | subscriptions::ADD_ONS_INVALID
        | subscriptions::PRICE_TOO_LARGE
        | subscriptions::CURRENCY_FIXED
        | subscriptions::TRIAL_TOO_LONG
        | subscriptions::DATE_IN_THE_PAST
        | subscriptions::DATE_OUT_OF_RANGE => Code::InvalidArgument,
        catalog::CATALOG_NOT_FOUND
        | catalog::CATALOG_DRAFT_NOT_FOUND
        | catalog::CATALOG_VERSION_NOT_FOUND
        | catalog::PLAN_UNKNOWN
        | catalog::PRICE_UNKNOWN
        | catalog::ADD_ON_UNKNOWN
        | subscriptions::SUBSCRIPTION_NOT_FOUND
        | subscriptions::SCHEDULED_CHANGE_NOT_FOUND => Code::NotFound,
        subscriptions::SUBSCRIPTION_EXISTS => Code::AlreadyExists,
        _ => flag_code(code),
    }
}

/// The refusal that an outcome is; None when the command was accepted, or would
/// be. `rename` says how the request calls a field of the command.
pub(crate) fn of_outcome(outcome: &pb::Outcome, rename: fn(&str) -> String) -> Option<Status> {
    match status_of(outcome) {
        Some(Decided::Accepted) => return None,
        Some(Decided::Validated) if outcome.code.is_empty() => return None,
        _ => {}
    }
    if outcome.code.is_empty() {
        return Some(internal("outcome", &format!("{outcome:?}")));
    }
    let mut refusal = Refusal::new(outcome.code.clone(), outcome.message.clone());
    if !outcome.field.is_empty() {
        refusal.field = Some(rename(&outcome.field));
    }
    let faults = outcome.faults.iter().map(|it| (rename(&it.field), it.message.clone()));
    refusal.violations = faults.collect();
    if let Some((field, text)) = refusal.violations.first() {
        refusal.message = format!("{field} {text}");
        refusal.field = Some(field.clone());
    }
    match outcome.code.as_str() {
        VERSION_CONFLICT => refusal.version = Some(outcome.version),
        PROVIDER_NOT_ADOPTED | CATALOG_NOT_ADOPTED | TIMERS_BEHIND => {
            refusal.retry = Some(RETRY_SOON);
        }
        _ => {}
    }
    Some(refusal.status())
}

/// A command has no answer.
pub(crate) fn of_submit(error: SubmitError) -> Status {
    let refusal = match error {
        SubmitError::TenantOverloaded { .. } => {
            Refusal::new(TENANT_OVERLOADED, error.to_string()).retry(RETRY_SOON)
        }
        SubmitError::Overloaded => Refusal::new(OVERLOADED, error.to_string()).retry(RETRY_SOON),
        SubmitError::TooLarge { .. } => Refusal::new(COMMAND_TOO_LARGE, error.to_string()),
        SubmitError::Full => Refusal::new(DISK_FULL, error.to_string()).retry(RETRY_LATER),
        SubmitError::Deadline => Refusal::new(OUTCOME_PENDING, error.to_string()).retry(RETRY_SOON),
        SubmitError::Unavailable(text) => {
            tracing::warn!(reason = text, "command not answered");
            let message = "the tenant's partition cannot decide at the moment: ask again with the same command id";
            Refusal::new(PARTITION_UNAVAILABLE, message).retry(RETRY_SOON)
        }
    };
    refusal.status()
}

/// A view does not show what the query must see.
pub(crate) fn of_behind(behind: Behind) -> Status {
    Refusal::new(VIEW_BEHIND, behind.to_string()).retry(RETRY_SOON).status()
}

/// A view cannot be read.
pub(crate) fn of_fault(fault: &Fault) -> Status {
    if fault.retryable {
        tracing::warn!(reason = fault.message, "view not read");
        let message = "the view cannot be read at the moment: retry";
        return Refusal::new(VIEW_UNAVAILABLE, message).retry(RETRY_SOON).status();
    }
    internal("view", &fault.message)
}

/// The engine cannot do it.
pub(crate) fn of_engine(error: &EngineError) -> Status {
    if error.is_retryable() {
        tracing::warn!(reason = %error, "not done");
        let message = "this cannot be done at the moment: retry";
        return Refusal::new(VIEW_UNAVAILABLE, message).retry(RETRY_SOON).status();
    }
    internal("engine", &error.to_string())
}

/// The vault cannot encrypt or read `field`.
pub(crate) fn of_vault(error: &VaultError, field: &str) -> Status {
    match error {
        VaultError::Unavailable(reason) => {
            tracing::warn!(reason, "keys not reached");
            let message = "persons' keys cannot be reached at the moment: retry";
            Refusal::new(KEYS_UNAVAILABLE, message).retry(RETRY_SOON).status()
        }
        VaultError::Full { .. } => Refusal::new(KEYS_FULL, error.to_string()).status(),
        VaultError::TooLarge { bytes_max, .. } => {
            let message = format!("must have at most {bytes_max} bytes");
            Refusal::new(VALUE_INVALID, message).field(field).status()
        }
        VaultError::MasterWrong(_)
        | VaultError::MasterUnknown(_)
        | VaultError::MasterMalformed(_) => {
            tracing::error!(%error, "the master keys do not fit");
            Refusal::new(MASTER_KEYS_WRONG, error.to_string()).status()
        }
        _ => internal("vault", &format!("{field}: {error}")),
    }
}

/// A bug, or damage. The text is for the log alone.
pub(crate) fn internal(part: &'static str, text: &str) -> Status {
    tracing::error!(part, reason = text, "internal error");
    let message = "an internal error; the server's log tells more under the request id";
    Refusal::new(INTERNAL, message).status()
}

/// The process is going.
pub(crate) fn shutting_down() -> Status {
    let message = "the server is shutting down: go on from your cursor when it is back";
    Refusal::new(SHUTTING_DOWN, message).retry(RETRY_SOON).status()
}

/// The resource is of version `seen`, and was expected to be of another.
pub(crate) fn version_conflict(expected: u64, seen: u64) -> Status {
    let message =
        format!("expected version {expected}, the current one is {seen}: read it and decide again");
    let mut refusal = Refusal::new(VERSION_CONFLICT, message).field("write.expected_version");
    refusal.version = Some(seen);
    refusal.status()
}

/// There is no such tenant. `field` is where the request names it.
pub(crate) fn quota_not_found() -> Status {
    let text = "the tenant has no quota for this feature: its plan does not count it";
    Refusal::new(QUOTA_NOT_FOUND, text).field("feature").status()
}

pub(crate) fn tenant_not_found(field: &str) -> Status {
    Refusal::new(TENANT_NOT_FOUND, "no tenant of this id exists").field(field).status()
}
