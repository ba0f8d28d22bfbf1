//! Every business "no" of the domain, with its stable code.

use exchequer_kernel::Reason;
use exchequer_types::{TenantId, Timestamp};

/// The root has depth 0.
pub const DEPTH_MAX: u32 = 4;
pub const NAME_CHARS_MAX: usize = 200;
pub const REASON_CHARS_MAX: usize = 500;

/// The codes, which never change.
pub mod codes {
    pub const TENANT_EXISTS: &str = "TENANT_EXISTS";
    pub const TENANT_NOT_FOUND: &str = "TENANT_NOT_FOUND";
    pub const TENANT_CLOSED: &str = "TENANT_CLOSED";
    pub const TENANT_NOT_SUSPENDED: &str = "TENANT_NOT_SUSPENDED";
    pub const TENANT_ALREADY_SUSPENDED: &str = "TENANT_ALREADY_SUSPENDED";
    pub const TENANT_ALREADY_PROVIDER: &str = "TENANT_ALREADY_PROVIDER";
    pub const TENANT_IS_ROOT: &str = "TENANT_IS_ROOT";
    pub const TENANT_UNCHANGED: &str = "TENANT_UNCHANGED";
    pub const TENANT_TREE_TOO_DEEP: &str = "TENANT_TREE_TOO_DEEP";
    pub const PROVIDER_NOT_ACTIVE: &str = "PROVIDER_NOT_ACTIVE";
    pub const CLOSING_NOT_SCHEDULED: &str = "CLOSING_NOT_SCHEDULED";
    pub const CLOSING_IN_THE_PAST: &str = "CLOSING_IN_THE_PAST";
    pub const NAME_INVALID: &str = "NAME_INVALID";
    pub const REASON_INVALID: &str = "REASON_INVALID";
    pub const SETTING_KEY_INVALID: &str = "SETTING_KEY_INVALID";
    pub const SETTING_VALUE_INVALID: &str = "SETTING_VALUE_INVALID";
    pub const SETTINGS_TOO_MANY: &str = "SETTINGS_TOO_MANY";
    pub const SETTINGS_TOO_LARGE: &str = "SETTINGS_TOO_LARGE";
    pub const TENANT_NOT_SANDBOX: &str = "TENANT_NOT_SANDBOX";
    pub const CLOCK_BACKWARDS: &str = "CLOCK_BACKWARDS";
    pub const CLOCK_OUT_OF_RANGE: &str = "CLOCK_OUT_OF_RANGE";
    pub const PROFILE_OUTDATED: &str = "PROFILE_OUTDATED";
}

/// Why a command was refused, in order of precedence within each command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rejection {
    Exists,
    NotFound,
    Closed,
    NotSuspended,
    AlreadySuspended,
    AlreadyProvider,
    IsRoot,
    /// The command would change nothing.
    Unchanged,
    TooDeep,
    ProviderNotActive {
        parent: TenantId,
    },
    ClosingNotScheduled,
    ClosingInThePast,
    NameInvalid,
    ReasonInvalid,
    SettingKeyInvalid {
        key: String,
    },
    SettingValueInvalid {
        key: String,
        expected: &'static str,
    },
    SettingsTooMany {
        settings_max: usize,
    },
    SettingsTooLarge {
        bytes_max: usize,
    },
    /// The tenant lives in real time.
    NotSandbox,
    ClockBackwards {
        clock: Timestamp,
    },
    ClockOutOfRange {
        field: &'static str,
    },
    /// A newer profile is adopted already.
    ProfileOutdated {
        adopted: u64,
    },
}

impl Reason for Rejection {
    fn code(&self) -> &'static str {
        match self {
            Self::Exists => codes::TENANT_EXISTS,
            Self::NotFound => codes::TENANT_NOT_FOUND,
            Self::Closed => codes::TENANT_CLOSED,
            Self::NotSuspended => codes::TENANT_NOT_SUSPENDED,
            Self::AlreadySuspended => codes::TENANT_ALREADY_SUSPENDED,
            Self::AlreadyProvider => codes::TENANT_ALREADY_PROVIDER,
            Self::IsRoot => codes::TENANT_IS_ROOT,
            Self::Unchanged => codes::TENANT_UNCHANGED,
            Self::TooDeep => codes::TENANT_TREE_TOO_DEEP,
            Self::ProviderNotActive { .. } => codes::PROVIDER_NOT_ACTIVE,
            Self::ClosingNotScheduled => codes::CLOSING_NOT_SCHEDULED,
            Self::ClosingInThePast => codes::CLOSING_IN_THE_PAST,
            Self::NameInvalid => codes::NAME_INVALID,
            Self::ReasonInvalid => codes::REASON_INVALID,
            Self::SettingKeyInvalid { .. } => codes::SETTING_KEY_INVALID,
            Self::SettingValueInvalid { .. } => codes::SETTING_VALUE_INVALID,
            Self::SettingsTooMany { .. } => codes::SETTINGS_TOO_MANY,
            Self::SettingsTooLarge { .. } => codes::SETTINGS_TOO_LARGE,
            Self::NotSandbox => codes::TENANT_NOT_SANDBOX,
            Self::ClockBackwards { .. } => codes::CLOCK_BACKWARDS,
            Self::ClockOutOfRange { .. } => codes::CLOCK_OUT_OF_RANGE,
            Self::ProfileOutdated { .. } => codes::PROFILE_OUTDATED,
        }
    }

    fn field(&self) -> Option<&'static str> {
        match self {
            Self::Exists | Self::NotFound | Self::NotSandbox => Some("id"),
            Self::TooDeep | Self::ProviderNotActive { .. } => Some("parent"),
            Self::ClosingInThePast => Some("at"),
            Self::ClockBackwards { .. } => Some("to"),
            Self::ClockOutOfRange { field } => Some(field),
            Self::NameInvalid => Some("name"),
            Self::ReasonInvalid => Some("reason"),
            Self::SettingKeyInvalid { .. }
            | Self::SettingValueInvalid { .. }
            | Self::SettingsTooMany { .. }
            | Self::SettingsTooLarge { .. } => Some("settings"),
            _ => None,
        }
    }

    fn message(&self) -> String {
        match self {
            Self::Exists => "a tenant of this id exists: ids are never used again".to_owned(),
            Self::NotFound => "no tenant of this id exists".to_owned(),
            Self::Closed => "the tenant is closed, for ever".to_owned(),
            Self::NotSuspended => "the tenant is not suspended".to_owned(),
            Self::AlreadySuspended => "the tenant is suspended already".to_owned(),
            Self::AlreadyProvider => "the tenant is a provider already".to_owned(),
            Self::IsRoot => "the root tenant cannot be suspended or closed".to_owned(),
            Self::Unchanged => "the command would change nothing".to_owned(),
            Self::TooDeep => format!("tenants nest at most {DEPTH_MAX} deep"),
            Self::ProviderNotActive { parent } => {
                format!("the provider {parent} is not active: reinstate it or name another one")
            }
            Self::ClosingNotScheduled => "no closing is scheduled".to_owned(),
            Self::ClosingInThePast => {
                "must lie in the future: to close the tenant now, call CloseTenant".to_owned()
            }
            Self::NameInvalid => {
                format!(
                    "must have 1 to {NAME_CHARS_MAX} characters, none of them control characters"
                )
            }
            Self::ReasonInvalid => {
                format!(
                    "must have at most {REASON_CHARS_MAX} characters, none of them control characters"
                )
            }
            Self::SettingKeyInvalid { key } => {
                format!("key {key:?} must match [a-z0-9][a-z0-9._-]{{0,62}} and stand once")
            }
            Self::SettingValueInvalid { key, expected } => format!("{key} must be {expected}"),
            Self::SettingsTooMany { settings_max } => {
                format!("a tenant has at most {settings_max} settings of its own")
            }
            Self::SettingsTooLarge { bytes_max } => {
                format!("a tenant's own settings have at most {bytes_max} bytes together")
            }
            Self::NotSandbox => {
                "the tenant lives in real time: only one created with a test clock can be advanced"
                    .to_owned()
            }
            Self::ClockBackwards { clock } => {
                format!("the tenant's clock stands at {clock} and moves forward only")
            }
            Self::ClockOutOfRange { .. } => "must lie before 2200-01-01".to_owned(),
            Self::ProfileOutdated { adopted } => {
                format!("version {adopted} of the provider is adopted already")
            }
        }
    }
}
