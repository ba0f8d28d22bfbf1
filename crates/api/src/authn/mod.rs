//! Credentials at the edge: who calls, by a token or key, the deployment's own proof,
//! a JWT of a trusted issuer, or a client certificate. What the caller may do is
//! asked elsewhere.

mod authenticator;
mod directory;
mod error;
mod jwt;
mod known;
mod peer;
mod proof;
pub mod token;
mod uses;

pub(crate) use authenticator::Recognised;
pub use authenticator::{Authenticator, Trust};
pub use directory::{Directory, PlatformDirectory, Unavailable};
pub use error::{NotAuthenticated, codes};
pub(crate) use error::{NotRecognised, Whose};
pub use jwt::{
    Algorithm, FetchError, FetchKeys, FileKeys, HttpKeys, ISSUERS_MAX, Issuer, Issuers, UrlError,
};
pub use peer::{Peer, PeerCertificate};
pub use proof::{PROOF_VALID, ProofKey, deployment_proof};
pub use token::{Minted, TokenError, TokenHash, TokenKind};
pub use uses::UseCounter;

#[cfg(test)]
mod tests;
