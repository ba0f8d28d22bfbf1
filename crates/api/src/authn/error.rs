//! Why a caller is not known. What is told is enough for whoever holds a real
//! credential to mend it, and nothing that helps to find one.

use core::time::Duration;

use exchequer_runtime::Metric;
use exchequer_types::{ActorId, TenantId};

use super::jwt::JwtError;
use super::token::TokenError;
use crate::guard::Origin;
use crate::status::Refusal;

/// Codes of refused credentials. Each has a page under `docs/errors/`.
pub mod codes {
    pub const CREDENTIAL_MISSING: &str = "CREDENTIAL_MISSING";
    pub const CREDENTIAL_INVALID: &str = "CREDENTIAL_INVALID";
    pub const CREDENTIAL_EXPIRED: &str = "CREDENTIAL_EXPIRED";
    pub const CREDENTIAL_REVOKED: &str = "CREDENTIAL_REVOKED";
    pub const CREDENTIAL_UNVERIFIED: &str = "CREDENTIAL_UNVERIFIED";
    pub const ADDRESS_NOT_ALLOWED: &str = "ADDRESS_NOT_ALLOWED";
}

const RETRY_SOON: Duration = Duration::from_secs(1);
const RETRY_LATER: Duration = Duration::from_secs(10);

/// Why a caller is not known.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAuthenticated {
    #[error("no credential: send the header authorization: Bearer TOKEN, or a client certificate")]
    Missing,
    #[error("the header authorization must be there once, as Bearer TOKEN")]
    Malformed,
    #[error("the token {0}")]
    Token(#[from] TokenError),
    #[error("the token is not known here: it may be of another deployment")]
    Unknown,
    #[error("the deployment's proof does not hold: it is of another deployment's key")]
    ProofInvalid,
    #[error("the deployment's proof is accepted from the server's own machine alone")]
    ProofFromAfar,
    #[error("the client certificate names nobody: it needs a subject of at most 123 characters")]
    CertificateNameless,
    #[error("the JWT {0}")]
    Jwt(JwtRefused),
    #[error("the credential has expired")]
    Expired,
    #[error("the credential was revoked")]
    Revoked,
    #[error("the credential may not be used from this address")]
    AddressNotAllowed,
    #[error("the credential cannot be checked at the moment")]
    Unavailable,
}

/// Why a caller is not known, and whose credential it presented, where that is known: the
/// tenant is told.
#[derive(Clone, Debug)]
pub(crate) struct NotRecognised {
    pub(crate) why: NotAuthenticated,
    pub(crate) whose: Option<Box<Whose>>,
}

/// Whose credential was presented, and from where.
#[derive(Clone, Debug)]
pub(crate) struct Whose {
    pub(crate) tenant: TenantId,
    pub(crate) actor: ActorId,
    pub(crate) origin: Origin,
}

impl<E: Into<NotAuthenticated>> From<E> for NotRecognised {
    fn from(why: E) -> Self {
        Self { why: why.into(), whose: None }
    }
}

/// Why a JWT is not accepted, in words for its sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(transparent)]
pub struct JwtRefused(JwtError);

impl NotAuthenticated {
    /// The stable code of the refusal.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Missing => codes::CREDENTIAL_MISSING,
            Self::Malformed
            | Self::Token(_)
            | Self::Unknown
            | Self::ProofInvalid
            | Self::ProofFromAfar
            | Self::CertificateNameless
            | Self::Jwt(_) => codes::CREDENTIAL_INVALID,
            Self::Expired => codes::CREDENTIAL_EXPIRED,
            Self::Revoked => codes::CREDENTIAL_REVOKED,
            Self::AddressNotAllowed => codes::ADDRESS_NOT_ALLOWED,
            Self::Unavailable => codes::CREDENTIAL_UNVERIFIED,
        }
    }

    /// When to try the same again, if that may help.
    pub const fn retry(&self) -> Option<Duration> {
        match self {
            Self::Unavailable => Some(RETRY_SOON),
            Self::Jwt(JwtRefused(JwtError::NotYet)) => Some(RETRY_LATER),
            _ => None,
        }
    }
}

impl From<JwtError> for NotAuthenticated {
    fn from(error: JwtError) -> Self {
        match error {
            JwtError::Expired => Self::Expired,
            JwtError::KeysUnavailable => Self::Unavailable,
            error => Self::Jwt(JwtRefused(error)),
        }
    }
}

impl From<NotAuthenticated> for Refusal {
    fn from(refused: NotAuthenticated) -> Self {
        Metric::CallsUnauthenticated.counter(&[refused.code()]).increment(1);
        let refusal = Self::new(refused.code(), refused.to_string());
        match refused.retry() {
            Some(after) => refusal.retry(after),
            None => refusal,
        }
    }
}
