//! Every business "no" of the domain, with its stable code.

use exchequer_access::{Permission, TEAM_DEPTH_MAX};
use exchequer_kernel::Reason;
use exchequer_types::{Slug, Timestamp};

use crate::state::{
    ADDRESSES_MAX, CREDENTIALS_MAX, ERASED_KEYS_MAX, GRANTS_MAX, MEMBERS_MAX, PERSONAL_TOKENS_MAX,
    PRINCIPAL_GRANTS_MAX, ROLES_MAX, TEAM_MEMBERS_MAX, TEAM_TEAMS_MAX, TEAMS_MAX,
};

/// Of a team, a role or a credential.
pub const NAME_CHARS_MAX: usize = 200;
/// Of an encrypted field, as the log keeps it.
pub const PROTECTED_BYTES_MAX: usize = 4 * 1024;
/// How long a rotated secret may still be accepted.
pub const OVERLAP_SECONDS_MAX: u64 = 7 * 24 * 60 * 60;
/// Of a credential, in a minute.
pub const REQUESTS_PER_MINUTE_MAX: u32 = 1_000_000;
/// Of the part of a secret that is kept for people.
pub const HINT_CHARS_MAX: usize = 16;

/// The codes, which never change.
pub mod codes {
    pub const MEMBER_EXISTS: &str = "MEMBER_EXISTS";
    pub const MEMBER_NOT_FOUND: &str = "MEMBER_NOT_FOUND";
    pub const MEMBER_ID_RESERVED: &str = "MEMBER_ID_RESERVED";
    pub const MEMBERS_TOO_MANY: &str = "MEMBERS_TOO_MANY";
    pub const PROTECTED_FIELD_INVALID: &str = "PROTECTED_FIELD_INVALID";
    pub const PERSON_ERASED: &str = "PERSON_ERASED";
    pub const PERSON_NOT_FOUND: &str = "PERSON_NOT_FOUND";
    pub const ERASED_KEYS_TOO_MANY: &str = "ERASED_KEYS_TOO_MANY";
    pub const LAST_OWNER: &str = "LAST_OWNER";
    pub const TEAM_EXISTS: &str = "TEAM_EXISTS";
    pub const TEAM_NOT_FOUND: &str = "TEAM_NOT_FOUND";
    pub const TEAMS_TOO_MANY: &str = "TEAMS_TOO_MANY";
    pub const TEAM_TOO_LARGE: &str = "TEAM_TOO_LARGE";
    pub const TEAM_CYCLE: &str = "TEAM_CYCLE";
    pub const TEAM_TOO_DEEP: &str = "TEAM_TOO_DEEP";
    pub const ROLE_EXISTS: &str = "ROLE_EXISTS";
    pub const ROLE_NOT_FOUND: &str = "ROLE_NOT_FOUND";
    pub const ROLE_BUILT_IN: &str = "ROLE_BUILT_IN";
    pub const ROLES_TOO_MANY: &str = "ROLES_TOO_MANY";
    pub const ROLE_EMPTY: &str = "ROLE_EMPTY";
    pub const ROLE_IN_USE: &str = "ROLE_IN_USE";
    pub const ROLE_NOT_GRANTABLE: &str = "ROLE_NOT_GRANTABLE";
    pub const ROLE_NOT_SCOPABLE: &str = "ROLE_NOT_SCOPABLE";
    pub const ROLE_NOT_GIVABLE: &str = "ROLE_NOT_GIVABLE";
    pub const ROLE_ALREADY_GRANTED: &str = "ROLE_ALREADY_GRANTED";
    pub const ROLE_GRANT_NOT_FOUND: &str = "ROLE_GRANT_NOT_FOUND";
    pub const ROLE_GRANTS_TOO_MANY: &str = "ROLE_GRANTS_TOO_MANY";
    pub const ACCESS_UNCHANGED: &str = "ACCESS_UNCHANGED";
    pub const EXPIRY_IN_THE_PAST: &str = "EXPIRY_IN_THE_PAST";
    pub const ADDRESSES_INVALID: &str = "ADDRESSES_INVALID";
    pub const CREDENTIAL_NOT_FOUND: &str = "CREDENTIAL_NOT_FOUND";
    pub const CREDENTIALS_TOO_MANY: &str = "CREDENTIALS_TOO_MANY";
    pub const CREDENTIAL_GRANTS_INVALID: &str = "CREDENTIAL_GRANTS_INVALID";
    pub const CREDENTIAL_EXPIRY_MISSING: &str = "CREDENTIAL_EXPIRY_MISSING";
    pub const CREDENTIAL_SECRET_USED: &str = "CREDENTIAL_SECRET_USED";
    pub const CREDENTIAL_RATE_INVALID: &str = "CREDENTIAL_RATE_INVALID";
    pub const CREDENTIAL_OVERLAP_INVALID: &str = "CREDENTIAL_OVERLAP_INVALID";
    pub const TOKEN_OF_ANOTHER: &str = "TOKEN_OF_ANOTHER";
    pub const ALREADY_BOOTSTRAPPED: &str = "ALREADY_BOOTSTRAPPED";
    pub const TENANT_NOT_ROOT: &str = "TENANT_NOT_ROOT";
    pub const NAME_INVALID: &str = "NAME_INVALID";
    pub const TIMER_NOT_PENDING: &str = "TIMER_NOT_PENDING";
}

/// Why a command was refused, in order of precedence within each command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rejection {
    MemberExists,
    /// There is no such member; the request's field that names it.
    MemberNotFound {
        field: &'static str,
    },
    /// The id is how a credential, the deployment or a timer acts.
    MemberIdReserved,
    MembersTooMany,
    /// An encrypted field is longer than any that the gateway makes.
    ProtectedFieldInvalid {
        field: &'static str,
    },
    /// The key of an encrypted field belongs to an erased person.
    PersonErased {
        field: &'static str,
    },
    /// Nothing is kept of the person that could be erased.
    PersonNotFound,
    ErasedKeysTooMany,
    /// Nobody would own the tenant any more.
    LastOwner,
    TeamExists,
    TeamNotFound {
        field: &'static str,
    },
    TeamsTooMany,
    TeamTooLarge {
        field: &'static str,
    },
    /// The team would be in itself.
    TeamCycle {
        team: Slug,
    },
    TeamTooDeep,
    RoleExists,
    RoleNotFound {
        field: &'static str,
    },
    RoleBuiltIn,
    RolesTooMany,
    RoleEmpty,
    RoleInUse {
        grants: usize,
    },
    /// The role comes with SDK keys alone.
    RoleNotGrantable,
    /// Nothing that the role allows can be limited to this scope.
    RoleNotScopable,
    /// Whoever acts lacks it, there or for so long.
    NotGivable {
        permission: Permission,
    },
    AlreadyGranted {
        grant: String,
    },
    GrantNotFound,
    GrantsTooMany,
    /// The command would change nothing.
    Unchanged,
    ExpiryInThePast {
        now: Timestamp,
    },
    AddressesInvalid,
    /// No live credential has this id; the request's field that names it.
    CredentialNotFound {
        field: &'static str,
    },
    CredentialsTooMany,
    /// The kind of credential has grants that come with it, or none.
    GrantsOfKind,
    /// A personal token ends.
    ExpiryMissing,
    SecretUsed,
    RateInvalid,
    OverlapInvalid,
    /// Only its owner gets the secret of a personal token.
    TokenOfAnother,
    AlreadyBootstrapped,
    NotRoot,
    NameInvalid,
    /// Decided by the server alone: nothing waits for this timer any more.
    TimerNotPending,
}

impl Reason for Rejection {
    fn code(&self) -> &'static str {
        match self {
            Self::MemberExists => codes::MEMBER_EXISTS,
            Self::MemberNotFound { .. } => codes::MEMBER_NOT_FOUND,
            Self::MemberIdReserved => codes::MEMBER_ID_RESERVED,
            Self::MembersTooMany => codes::MEMBERS_TOO_MANY,
            Self::ProtectedFieldInvalid { .. } => codes::PROTECTED_FIELD_INVALID,
            Self::PersonErased { .. } => codes::PERSON_ERASED,
            Self::PersonNotFound => codes::PERSON_NOT_FOUND,
            Self::ErasedKeysTooMany => codes::ERASED_KEYS_TOO_MANY,
            Self::LastOwner => codes::LAST_OWNER,
            Self::TeamExists => codes::TEAM_EXISTS,
            Self::TeamNotFound { .. } => codes::TEAM_NOT_FOUND,
            Self::TeamsTooMany => codes::TEAMS_TOO_MANY,
            Self::TeamTooLarge { .. } => codes::TEAM_TOO_LARGE,
            Self::TeamCycle { .. } => codes::TEAM_CYCLE,
            Self::TeamTooDeep => codes::TEAM_TOO_DEEP,
            Self::RoleExists => codes::ROLE_EXISTS,
            Self::RoleNotFound { .. } => codes::ROLE_NOT_FOUND,
            Self::RoleBuiltIn => codes::ROLE_BUILT_IN,
            Self::RolesTooMany => codes::ROLES_TOO_MANY,
            Self::RoleEmpty => codes::ROLE_EMPTY,
            Self::RoleInUse { .. } => codes::ROLE_IN_USE,
            Self::RoleNotGrantable => codes::ROLE_NOT_GRANTABLE,
            Self::RoleNotScopable => codes::ROLE_NOT_SCOPABLE,
            Self::NotGivable { .. } => codes::ROLE_NOT_GIVABLE,
            Self::AlreadyGranted { .. } => codes::ROLE_ALREADY_GRANTED,
            Self::GrantNotFound => codes::ROLE_GRANT_NOT_FOUND,
            Self::GrantsTooMany => codes::ROLE_GRANTS_TOO_MANY,
            Self::Unchanged => codes::ACCESS_UNCHANGED,
            Self::ExpiryInThePast { .. } => codes::EXPIRY_IN_THE_PAST,
            Self::AddressesInvalid => codes::ADDRESSES_INVALID,
            Self::CredentialNotFound { .. } => codes::CREDENTIAL_NOT_FOUND,
            Self::CredentialsTooMany => codes::CREDENTIALS_TOO_MANY,
            Self::GrantsOfKind => codes::CREDENTIAL_GRANTS_INVALID,
            Self::ExpiryMissing => codes::CREDENTIAL_EXPIRY_MISSING,
            Self::SecretUsed => codes::CREDENTIAL_SECRET_USED,
            Self::RateInvalid => codes::CREDENTIAL_RATE_INVALID,
            Self::OverlapInvalid => codes::CREDENTIAL_OVERLAP_INVALID,
            Self::TokenOfAnother => codes::TOKEN_OF_ANOTHER,
            Self::AlreadyBootstrapped => codes::ALREADY_BOOTSTRAPPED,
            Self::NotRoot => codes::TENANT_NOT_ROOT,
            Self::NameInvalid => codes::NAME_INVALID,
            Self::TimerNotPending => codes::TIMER_NOT_PENDING,
        }
    }

    fn field(&self) -> Option<&'static str> {
        match self {
            Self::MemberNotFound { field }
            | Self::ProtectedFieldInvalid { field }
            | Self::PersonErased { field }
            | Self::TeamNotFound { field }
            | Self::TeamTooLarge { field }
            | Self::RoleNotFound { field }
            | Self::CredentialNotFound { field } => Some(field),
            Self::MemberExists | Self::MemberIdReserved | Self::GrantNotFound => Some("id"),
            Self::TeamExists | Self::RoleExists | Self::RoleBuiltIn | Self::RoleInUse { .. } => {
                Some("key")
            }
            Self::PersonNotFound => Some("subject"),
            Self::TeamCycle { .. } | Self::TeamTooDeep => Some("teams"),
            Self::RoleNotGrantable => Some("role"),
            Self::RoleEmpty => Some("permissions"),
            Self::RoleNotScopable => Some("scope"),
            Self::ExpiryInThePast { .. } | Self::ExpiryMissing => Some("expires_at"),
            Self::AddressesInvalid => Some("networks"),
            Self::GrantsOfKind => Some("grants"),
            Self::RateInvalid => Some("requests_per_minute"),
            Self::OverlapInvalid => Some("overlap_seconds"),
            Self::TokenOfAnother => Some("owner"),
            Self::NotRoot => Some("tenant"),
            Self::NameInvalid => Some("name"),
            Self::MembersTooMany
            | Self::ErasedKeysTooMany
            | Self::LastOwner
            | Self::TeamsTooMany
            | Self::RolesTooMany
            | Self::NotGivable { .. }
            | Self::AlreadyGranted { .. }
            | Self::GrantsTooMany
            | Self::Unchanged
            | Self::CredentialsTooMany
            | Self::SecretUsed
            | Self::AlreadyBootstrapped
            | Self::TimerNotPending => None,
        }
    }

    fn message(&self) -> String {
        match self {
            Self::MemberExists => "is a member already".to_owned(),
            Self::MemberNotFound { .. } => {
                "is no member of the tenant: add it with AddMember first".to_owned()
            }
            Self::MemberIdReserved => {
                "is how a credential, the deployment or a timer acts: choose another id".to_owned()
            }
            Self::PersonErased { .. } => {
                "belongs to a person who was erased: nothing is taken under that key any more"
                    .to_owned()
            }
            Self::PersonNotFound => {
                "nothing is kept of this person that could be erased".to_owned()
            }
            Self::LastOwner => {
                "nobody would own the tenant any more: give the role owner to somebody else first, for the whole tenant and without expiry"
                    .to_owned()
            }
            Self::Unchanged => "the command would change nothing".to_owned(),
            Self::ExpiryInThePast { now } => format!("must lie behind {now}"),
            Self::AlreadyBootstrapped => {
                "the deployment has had its first owner: `exchequer admin token` makes a new token"
                    .to_owned()
            }
            Self::NotRoot => "only the root tenant is given its first owner".to_owned(),
            Self::TimerNotPending => "nothing waits for this timer".to_owned(),
            Self::NameInvalid => format!(
                "must have 1 to {NAME_CHARS_MAX} characters, none of them control characters"
            ),
            Self::AddressesInvalid => {
                format!("must be at most {ADDRESSES_MAX} networks, each once")
            }
            Self::TeamExists
            | Self::TeamNotFound { .. }
            | Self::TeamTooLarge { .. }
            | Self::TeamCycle { .. }
            | Self::TeamTooDeep => self.of_teams(),
            Self::CredentialNotFound { .. }
            | Self::GrantsOfKind
            | Self::ExpiryMissing
            | Self::SecretUsed
            | Self::RateInvalid
            | Self::OverlapInvalid
            | Self::TokenOfAnother
            | Self::ProtectedFieldInvalid { .. } => self.of_credentials(),
            Self::MembersTooMany
            | Self::ErasedKeysTooMany
            | Self::TeamsTooMany
            | Self::RolesTooMany
            | Self::GrantsTooMany
            | Self::CredentialsTooMany => self.of_bounds(),
            _ => self.of_roles(),
        }
    }
}

impl Rejection {
    fn of_roles(&self) -> String {
        match self {
            Self::RoleExists => "the tenant has a role of this key, or it is built in".to_owned(),
            Self::RoleNotFound { .. } => {
                "is neither a built-in role nor one of the tenant: ListRoles shows them".to_owned()
            }
            Self::RoleBuiltIn => "a built-in role does not change: make one of your own".to_owned(),
            Self::RoleEmpty => "must hold at least one permission".to_owned(),
            Self::RoleInUse { grants } => {
                format!("is granted {grants} times: revoke these grants first")
            }
            Self::RoleNotGrantable => "comes with SDK keys and is not granted by name".to_owned(),
            Self::RoleNotScopable => {
                "nothing that the role allows can be limited so far: grant it more widely"
                    .to_owned()
            }
            Self::NotGivable { permission } => format!(
                "you lack {} there, or have it for a shorter time: nobody gives or takes what they have not",
                permission.as_str()
            ),
            Self::AlreadyGranted { grant } => {
                format!("has this role in this scope already, by grant {grant}: revoke that first")
            }
            _ => "the tenant has no such grant: it never was, or it has ended".to_owned(),
        }
    }

    fn of_teams(&self) -> String {
        match self {
            Self::TeamExists => "the tenant has a team of this key".to_owned(),
            Self::TeamTooLarge { .. } => format!(
                "a team has at most {TEAM_MEMBERS_MAX} members and {TEAM_TEAMS_MAX} teams of its own: nest teams, or split it"
            ),
            Self::TeamCycle { team } => {
                format!("team {team} has this team in it: a team is never in itself")
            }
            Self::TeamTooDeep => format!("at most {TEAM_DEPTH_MAX} teams lie one in another"),
            _ => "the tenant has no team of this key".to_owned(),
        }
    }

    fn of_credentials(&self) -> String {
        match self {
            Self::GrantsOfKind => {
                "a personal token and an SDK key have no grants to be given: only a service token has"
                    .to_owned()
            }
            Self::ExpiryMissing => "must be given: a personal token ends".to_owned(),
            Self::SecretUsed => "the secret was used before: make another".to_owned(),
            Self::RateInvalid => format!("must be at most {REQUESTS_PER_MINUTE_MAX}"),
            Self::OverlapInvalid => {
                format!("must be at most {OVERLAP_SECONDS_MAX} seconds, 7 days")
            }
            Self::TokenOfAnother => {
                "a personal token is made and rotated by its owner alone".to_owned()
            }
            Self::ProtectedFieldInvalid { .. } => {
                format!("is encrypted to more than {PROTECTED_BYTES_MAX} bytes: shorten it")
            }
            _ => "no credential of this id is live: it never was, or it has ended".to_owned(),
        }
    }

    fn of_bounds(&self) -> String {
        match self {
            Self::MembersTooMany => format!("a tenant has at most {MEMBERS_MAX} members"),
            Self::ErasedKeysTooMany => {
                format!("a tenant has at most {ERASED_KEYS_MAX} keys of erased persons")
            }
            Self::TeamsTooMany => format!("a tenant has at most {TEAMS_MAX} teams"),
            Self::RolesTooMany => format!("a tenant has at most {ROLES_MAX} roles of its own"),
            Self::GrantsTooMany => format!(
                "a tenant has at most {GRANTS_MAX} grants, and each principal {PRINCIPAL_GRANTS_MAX}: revoke one first, or grant to a team"
            ),
            _ => format!(
                "a tenant has at most {CREDENTIALS_MAX} live credentials, and each member {PERSONAL_TOKENS_MAX} personal tokens: revoke one first"
            ),
        }
    }
}
