//! JWTs of outside issuers: which issuers are trusted is a setting, and the type of
//! an issuer's key decides by which algorithms it may sign. Verification is ours, on
//! the same cryptography as TLS, so that time is the platform's and no algorithm is
//! linked that would not be accepted.

mod claims;
mod fetch;
mod issuers;
mod key;
mod key_ring;
mod parts;

pub use fetch::{FetchError, FetchKeys, FileKeys, HttpKeys, UrlError};
pub use issuers::{ISSUERS_MAX, Issuer, Issuers};
pub use key::Algorithm;

use exchequer_types::{ActorId, TenantId};

/// Whom a JWT speaks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Verified {
    /// `<issuer name>:<subject>`.
    pub(crate) actor: ActorId,
    /// The tenant whose rate limits the issuer's people have.
    pub(crate) home: TenantId,
}

/// Why a JWT is not accepted. The texts are for its sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum JwtError {
    #[error("is no JWT: three parts in base64url are expected")]
    Malformed,
    #[error("is of an issuer that is not trusted here")]
    IssuerUnknown,
    #[error("is signed by an algorithm that is not accepted for its issuer")]
    AlgorithmRefused,
    #[error("demands an extension that is not spoken here")]
    Critical,
    #[error("is signed by a key that its issuer does not publish")]
    KeyUnknown,
    #[error("has a signature that does not hold")]
    SignatureInvalid,
    #[error("is for another audience")]
    AudienceWrong,
    #[error("does not say until when it holds, or says it wrongly")]
    TimesInvalid,
    #[error(
        "holds for longer than the 24 hours that are accepted: let its issuer make shorter ones"
    )]
    TooLong,
    #[error("does not hold yet: compare the clocks")]
    NotYet,
    #[error("names nobody: its subject must be 1 to 100 visible ASCII characters")]
    SubjectInvalid,
    #[error("has expired")]
    Expired,
    #[error("cannot be checked now: the keys of its issuer cannot be fetched")]
    KeysUnavailable,
}

#[cfg(test)]
mod tests;
