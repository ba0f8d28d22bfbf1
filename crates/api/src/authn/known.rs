//! Tokens that were presented lately: whose each is, and what follows from it, kept
//! until its credential changes. Also those that nobody knows, for a moment, so that
//! a program with a wrong token does not cost a look-up each time.

use core::time::Duration;
use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock, Weak};

use exchequer_access::{Place, Principal};
use exchequer_domain_access::{Credential, CredentialKind, EndedBy};
use exchequer_projection_access::Snapshot;
use exchequer_types::{ActorId, TenantId, Timestamp};

use super::error::NotAuthenticated;
use super::token::{TokenHash, TokenKind};
use crate::guard::{CredentialInfo, Who};
use crate::hashed::ByHash;
use crate::limits::Keys;

/// Tokens in memory.
const KNOWN_MAX: usize = 65_536;
const UNKNOWN_MAX: usize = 8_192;
/// A token that nobody knew is looked for again after this long.
const UNKNOWN_FOR: Duration = Duration::from_secs(1);

/// A token's credential, and what the caller is by it.
#[derive(Clone, Debug)]
pub(super) struct Known {
    pub(super) tenant: TenantId,
    pub(super) id: String,
    /// As it was when the rest was worked out. None: not yet.
    pub(super) judged: Option<Judged>,
}

/// What a caller is by a credential.
#[derive(Clone, Debug)]
pub(super) struct Judged {
    /// The state of the credential that this follows from.
    credential: Arc<Credential>,
    /// Its tenant's snapshot in which it was found last. Weak: what it says is not kept for
    /// this, only its place in memory.
    snapshot: Weak<Snapshot>,
    /// Where the principal stands in that snapshot's policy.
    pub(super) place: Option<Place>,
    pub(super) info: Arc<CredentialInfo>,
    pub(super) who: Arc<Who>,
}

#[derive(Debug, Default)]
pub(super) struct Tokens {
    /// By the first bytes of their hash, which nobody chooses.
    known: RwLock<ByHash<(TokenHash, Arc<Known>)>>,
    unknown: RwLock<HashMap<TokenHash, Timestamp>>,
}

impl Tokens {
    pub(super) fn get(&self, hash: &TokenHash) -> Option<Arc<Known>> {
        let all = self.known.read().unwrap_or_else(PoisonError::into_inner);
        all.get(&key(hash)).filter(|(whole, _)| whole == hash).map(|(_, known)| Arc::clone(known))
    }

    pub(super) fn put(&self, hash: TokenHash, known: Arc<Known>) {
        let mut all = self.known.write().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= KNOWN_MAX && !all.contains_key(&key(&hash)) {
            // Whoever is forgotten is looked up again: any half will do.
            let mut keep = false;
            all.retain(|_, _| {
                keep = !keep;
                keep
            });
        }
        all.insert(key(&hash), (hash, known));
    }

    pub(super) fn is_unknown(&self, hash: &TokenHash, now: Timestamp) -> bool {
        let all = self.unknown.read().unwrap_or_else(PoisonError::into_inner);
        all.get(hash).is_some_and(|until| now < *until)
    }

    pub(super) fn put_unknown(&self, hash: TokenHash, now: Timestamp) {
        let mut all = self.unknown.write().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= UNKNOWN_MAX {
            all.retain(|_, until| now < *until);
            if all.len() >= UNKNOWN_MAX {
                all.clear();
            }
        }
        all.insert(hash, now.saturating_add(UNKNOWN_FOR));
    }
}

impl Judged {
    /// It follows from this very snapshot.
    pub(super) fn is_of(&self, snapshot: &Arc<Snapshot>) -> bool {
        // The place is not used again as long as there is a weak reference to it.
        core::ptr::eq(self.snapshot.as_ptr(), Arc::as_ptr(snapshot))
    }

    /// The same as of another snapshot, in which the credential is as it was.
    pub(super) fn moved(&self, credential: &Arc<Credential>, to: &Arc<Snapshot>) -> Option<Self> {
        Arc::ptr_eq(&self.credential, credential).then(|| Self {
            snapshot: Arc::downgrade(to),
            place: to.policy().place(&self.who.principal),
            ..self.clone()
        })
    }

    /// What the bearer of the token with `hash` is, when `credential` of `tenant` holds.
    pub(super) fn of(
        tenant: &TenantId,
        snapshot: &Arc<Snapshot>,
        credential: &Arc<Credential>,
        hash: &TokenHash,
    ) -> Result<Self, NotAuthenticated> {
        match credential.ended.map(|ended| ended.by) {
            Some(EndedBy::Expiry) => return Err(NotAuthenticated::Expired),
            Some(_) => return Err(NotAuthenticated::Revoked),
            None => {}
        }
        let ends = credential.expiry.as_ref().map(|expiry| expiry.at);
        let expires_at = if credential.secret.hash.0 == hash.0 {
            ends
        } else {
            let previous = credential.previous.as_ref();
            let previous = previous.filter(|it| it.secret.hash.0 == hash.0);
            // A secret that was replaced, and whose time has passed.
            let until = previous.ok_or(NotAuthenticated::Expired)?.until.at;
            Some(ends.map_or(until, |at| at.min(until)))
        };
        let info = CredentialInfo {
            id: credential.id.clone(),
            kind: kind(&credential.kind),
            hash: *hash,
            expires_at,
            addresses: credential.addresses.clone(),
            requests_per_minute: credential.requests_per_minute,
            keys: Keys::of(tenant, &credential.id),
        };
        let (actor, principal) = if let Some(owner) = credential.kind.owner() {
            (owner.clone(), Principal::Member(owner.clone()))
        } else {
            let actor = ActorId::parse(format!("key:{}", credential.id));
            // Ids of credentials are checked where they are made.
            let actor = actor.map_err(|_| NotAuthenticated::Unavailable)?;
            (actor, Principal::Credential(credential.id.clone()))
        };
        let place = snapshot.policy().place(&principal);
        Ok(Self {
            credential: Arc::clone(credential),
            snapshot: Arc::downgrade(snapshot),
            place,
            info: Arc::new(info),
            who: Arc::new(Who { actor, principal, home: tenant.clone() }),
        })
    }
}

fn key(hash: &TokenHash) -> u64 {
    let (first, _) = hash.0.split_first_chunk::<8>().unwrap_or((&[0; 8], &[]));
    u64::from_le_bytes(*first)
}

fn kind(kind: &CredentialKind) -> TokenKind {
    match kind {
        CredentialKind::Service => TokenKind::Service,
        CredentialKind::Personal { .. } => TokenKind::Personal,
        CredentialKind::ServerSdk { .. } => TokenKind::ServerKey,
        CredentialKind::ClientSdk { .. } => TokenKind::ClientKey,
    }
}
