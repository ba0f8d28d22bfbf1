//! The issuers that are trusted, and what was verified of them lately: a token that
//! comes again costs a look-up, as long as its key still stands.

use core::time::Duration;
use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use exchequer_runtime::Runtime;
use exchequer_types::{TenantId, Timestamp};

use super::fetch::FetchKeys;
use super::key::Algorithm;
use super::key_ring::KeyRing;
use super::{JwtError, Verified, claims, parts};

/// Issuers of a deployment.
pub const ISSUERS_MAX: usize = 32;
/// Verified tokens that are remembered.
const VERIFIED_MAX: usize = 16_384;
/// After this long a token that comes again is verified again: its key may have gone.
const REMEMBERED_FOR: Duration = Duration::from_secs(60);

/// An issuer as the settings describe it.
#[derive(Clone, Debug)]
pub struct Issuer {
    /// What its subjects are called by here: `name:subject`.
    pub name: String,
    /// `iss`, to the letter.
    pub issuer: String,
    /// `aud` must be or hold it.
    pub audience: String,
    /// At least one; a key of another type is not asked.
    pub algorithms: Vec<Algorithm>,
    /// The claim that names the subject: `sub`.
    pub subject_claim: String,
    /// The tenant whose rate limits its people have.
    pub home: TenantId,
    pub keys: Arc<dyn FetchKeys>,
}

/// All trusted issuers.
#[derive(Debug)]
pub struct Issuers {
    trusted: Vec<Trusted>,
    runtime: Arc<dyn Runtime>,
    verified: RwLock<HashMap<[u8; 32], Remembered>>,
}

#[derive(Debug)]
struct Trusted {
    issuer: Issuer,
    keys: Arc<KeyRing>,
}

#[derive(Clone, Debug)]
struct Remembered {
    verified: Arc<Verified>,
    until: Timestamp,
    /// To be verified again from here on.
    again_at: Timestamp,
}

impl Issuers {
    /// Of `issuers`, at most [`ISSUERS_MAX`]. Nothing is fetched before it is needed.
    pub fn new(issuers: Vec<Issuer>, runtime: Arc<dyn Runtime>) -> Self {
        let issuers = issuers.into_iter().take(ISSUERS_MAX);
        let trusted = issuers.map(|issuer| Trusted {
            keys: KeyRing::new(issuer.name.clone(), Arc::clone(&issuer.keys), Arc::clone(&runtime)),
            issuer,
        });
        Self { trusted: trusted.collect(), runtime, verified: RwLock::default() }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.trusted.is_empty()
    }

    /// Whom `text` speaks for, and until when.
    pub(crate) async fn verify(&self, text: &str) -> Result<(Arc<Verified>, Timestamp), JwtError> {
        let now = self.runtime.now();
        let hash = *blake3::hash(text.as_bytes()).as_bytes();
        if let Some(known) = self.remembered(&hash, now) {
            return Ok((known.verified, known.until));
        }
        let parts = parts::parts(text)?;
        let of = claims::issuer(&parts.claims);
        let of = |it: &&Trusted| Some(it.issuer.issuer.as_str()) == of;
        let Trusted { issuer, keys } =
            self.trusted.iter().find(of).ok_or(JwtError::IssuerUnknown)?;
        let algorithm = Algorithm::parse(&parts.algorithm)
            .filter(|it| issuer.algorithms.contains(it))
            .ok_or(JwtError::AlgorithmRefused)?;
        let key = keys.key(parts.key_id.as_deref(), algorithm).await?;
        if !key.verifies(algorithm, parts.signed, &parts.signature) {
            return Err(JwtError::SignatureInvalid);
        }
        let claimed = claims::check(&parts.claims, issuer, now)?;
        let verified = Arc::new(Verified { actor: claimed.actor, home: issuer.home.clone() });
        let until = claimed.until;
        let again_at = now.saturating_add(REMEMBERED_FOR).min(until);
        let known = Remembered { verified: Arc::clone(&verified), until, again_at };
        self.remember(hash, known, now);
        Ok((verified, until))
    }

    fn remembered(&self, hash: &[u8; 32], now: Timestamp) -> Option<Remembered> {
        let verified = self.verified.read().unwrap_or_else(PoisonError::into_inner);
        verified.get(hash).filter(|known| now < known.again_at).cloned()
    }

    fn remember(&self, hash: [u8; 32], known: Remembered, now: Timestamp) {
        let mut verified = self.verified.write().unwrap_or_else(PoisonError::into_inner);
        if verified.len() >= VERIFIED_MAX {
            verified.retain(|_, known| now < known.again_at);
            if verified.len() >= VERIFIED_MAX {
                verified.clear();
            }
        }
        verified.insert(hash, known);
    }
}
