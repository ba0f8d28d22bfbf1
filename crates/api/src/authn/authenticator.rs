//! Finds out who calls. A credential that was seen before costs its hash, two
//! look-ups in memory and a comparison of times.

use std::net::IpAddr;
use std::sync::Arc;

use exchequer_access::{AddressRange, Place, Principal, admits};
use exchequer_domain_access::KEY_ACTOR_PREFIX;
use exchequer_projection_access::Snapshot;
use exchequer_runtime::Runtime;
use exchequer_types::{ActorId, TenantId, Timestamp};
use http::HeaderMap;
use http::header::{AUTHORIZATION, USER_AGENT};

use super::directory::{Directory, Unavailable};
use super::error::{NotAuthenticated, NotRecognised, Whose};
use super::jwt::Issuers;
use super::known::{Judged, Known, Tokens};
use super::peer::{Peer, PeerCertificate};
use super::proof::{self, ProofError, ProofKey};
use super::token::{self, TokenHash};
use super::uses::UseCounter;
use crate::guard::{AGENT_CHARS_MAX, Caller, CredentialInfo, Origin, Proof, Who};

/// Who acts by the deployment's proof.
const DEPLOYMENT: &str = "deployment";

/// Whom the deployment believes, beside its own credentials.
#[derive(Debug)]
pub struct Trust {
    /// Of the deployment's key; None: there is no proof of it.
    pub proof: Option<ProofKey>,
    pub issuers: Issuers,
    /// Client certificates are credentials.
    pub certificates: bool,
    /// What these say in `x-forwarded-for` is believed.
    pub proxies: Vec<AddressRange>,
}

/// A caller, with what was looked at to know it.
#[derive(Debug)]
pub(crate) struct Recognised {
    pub(crate) caller: Caller,
    /// Access control of its home, and where it stands in the policy there.
    pub(crate) home: Option<(Arc<Snapshot>, Option<Place>)>,
}

/// Knows callers by their credentials.
#[derive(Debug)]
pub struct Authenticator {
    directory: Arc<dyn Directory>,
    trust: Trust,
    tokens: Tokens,
    uses: Arc<UseCounter>,
    runtime: Arc<dyn Runtime>,
}

impl Authenticator {
    pub fn new(directory: Arc<dyn Directory>, trust: Trust, runtime: Arc<dyn Runtime>) -> Self {
        Self { directory, trust, tokens: Tokens::default(), uses: Arc::default(), runtime }
    }

    /// How often each credential was used; to be written down from time to time.
    pub fn uses(&self) -> &Arc<UseCounter> {
        &self.uses
    }

    /// Who sends a request with these headers from `peer`. A credential in the header
    /// `authorization` counts before a client certificate.
    pub async fn authenticate(
        &self,
        headers: &HeaderMap,
        peer: &Peer,
    ) -> Result<Caller, NotAuthenticated> {
        let recognised = self.recognise(headers, peer, self.runtime.now()).await;
        recognised.map(|it| it.caller).map_err(|refused| refused.why)
    }

    /// The same at `now`; of what is refused also whose it was, as far as that is known.
    pub(crate) async fn recognise(
        &self,
        headers: &HeaderMap,
        peer: &Peer,
        now: Timestamp,
    ) -> Result<Recognised, NotRecognised> {
        let address = self.address(headers, peer);
        let Some(text) = bearer(headers)? else {
            let certificate = peer.certificate.as_ref().filter(|_| self.trust.certificates);
            let certificate = certificate.ok_or(NotAuthenticated::Missing)?;
            let (who, proof) = by_certificate(certificate, now)?;
            return Ok(Caller::new(who, proof, address, headers).into());
        };
        if text.starts_with(proof::PREFIX) {
            let who = self.by_deployment(text, address, now)?;
            Ok(Caller::new(who, Proof::Deployment, address, headers).into())
        } else if text.contains('.') && !self.trust.issuers.is_empty() {
            let (verified, expires_at) = self.trust.issuers.verify(text).await?;
            let actor = verified.actor.clone();
            let principal = Principal::Member(actor.clone());
            let who = Arc::new(Who { actor, principal, home: verified.home.clone() });
            Ok(Caller::new(who, Proof::Issued { expires_at }, address, headers).into())
        } else {
            self.by_token(text, headers, address, now).await
        }
    }

    /// Does the proof of `caller`, who was let in before, hold still? For streams: to be
    /// asked again and again.
    pub async fn still_holds(&self, caller: &Caller) -> Result<(), NotAuthenticated> {
        let now = self.runtime.now();
        if caller.expires_at().is_some_and(|at| at <= now) {
            return Err(NotAuthenticated::Expired);
        }
        let Some(credential) = caller.credential() else { return Ok(()) };
        let snapshot = self.directory.access_of(&caller.home).await?;
        let found = snapshot.state.credentials.get(&credential.id);
        let found = found.ok_or(NotAuthenticated::Revoked)?;
        let Judged { info, .. } = Judged::of(&caller.home, &snapshot, found, &credential.hash)?;
        if info.expires_at.is_some_and(|at| at <= now) {
            return Err(NotAuthenticated::Expired);
        }
        if !admits(&info.addresses, caller.address) {
            return Err(NotAuthenticated::AddressNotAllowed);
        }
        Ok(())
    }

    async fn by_token(
        &self,
        text: &str,
        headers: &HeaderMap,
        address: IpAddr,
        now: Timestamp,
    ) -> Result<Recognised, NotRecognised> {
        let hash = TokenHash::of(text);
        let known = match self.tokens.get(&hash) {
            Some(known) => known,
            None => self.look_up(text, hash, now).await?,
        };
        let snapshot = self.directory.access_of(&known.tenant).await?;
        let renewed;
        let judged = match &known.judged {
            Some(judged) if judged.is_of(&snapshot) => Ok(judged),
            _ => {
                renewed = self.judged(&known, hash, &snapshot);
                renewed.as_ref().map_err(Clone::clone)
            }
        };
        let held = judged.and_then(|judged| check(&judged.info, address, now).map(|()| judged));
        let judged = held.map_err(|why| {
            let origin = Origin { address, agent: agent(headers).to_owned() };
            let whose = actor_of(&snapshot, &known.id)
                .map(|actor| Box::new(Whose { tenant: known.tenant.clone(), actor, origin }));
            NotRecognised { why, whose }
        })?;
        let Judged { place, info, who, .. } = judged;
        self.uses.count(info.keys.credential(), &known.tenant, &info.id, now);
        let proof = Proof::Credential(Arc::clone(info));
        let caller = Caller::new(Arc::clone(who), proof, address, headers);
        Ok(Recognised { caller, home: Some((snapshot, *place)) })
    }

    /// What the bearer of a known token is, by a snapshot that is another than before.
    fn judged(
        &self,
        known: &Arc<Known>,
        hash: TokenHash,
        snapshot: &Arc<Snapshot>,
    ) -> Result<Judged, NotAuthenticated> {
        let credential = snapshot.state.credentials.get(&known.id);
        let credential = credential.ok_or(NotAuthenticated::Revoked)?;
        let before = known.judged.as_ref();
        let judged = match before.and_then(|it| it.moved(credential, snapshot)) {
            Some(judged) => judged,
            None => Judged::of(&known.tenant, snapshot, credential, &hash)?,
        };
        let known = Known { judged: Some(judged.clone()), ..known.as_ref().clone() };
        self.tokens.put(hash, Arc::new(known));
        Ok(judged)
    }

    /// A token that comes for the first time, or that was forgotten.
    async fn look_up(
        &self,
        text: &str,
        hash: TokenHash,
        now: Timestamp,
    ) -> Result<Arc<Known>, NotAuthenticated> {
        token::parse(text)?;
        if self.tokens.is_unknown(&hash, now) {
            return Err(NotAuthenticated::Unknown);
        }
        let Some(holder) = self.directory.holder(&hash).await? else {
            self.tokens.put_unknown(hash, now);
            return Err(NotAuthenticated::Unknown);
        };
        let known = Known { tenant: holder.tenant, id: holder.credential, judged: None };
        let known = Arc::new(known);
        self.tokens.put(hash, Arc::clone(&known));
        Ok(known)
    }

    fn by_deployment(
        &self,
        text: &str,
        address: IpAddr,
        now: Timestamp,
    ) -> Result<Arc<Who>, NotAuthenticated> {
        let key = self.trust.proof.as_ref().ok_or(NotAuthenticated::ProofInvalid)?;
        key.check(text, now).map_err(|error| match error {
            ProofError::Invalid => NotAuthenticated::ProofInvalid,
            ProofError::Expired => NotAuthenticated::Expired,
        })?;
        if !address.is_loopback() {
            return Err(NotAuthenticated::ProofFromAfar);
        }
        let actor = ActorId::parse(DEPLOYMENT).map_err(|_| NotAuthenticated::Unavailable)?;
        let principal = Principal::Member(actor.clone());
        Ok(Arc::new(Who { actor, principal, home: TenantId::platform() }))
    }

    /// Where the call comes from: the nearest address that is no trusted proxy's.
    fn address(&self, headers: &HeaderMap, peer: &Peer) -> IpAddr {
        peer.nearest(headers, &self.trust.proxies)
    }
}

impl From<Unavailable> for NotAuthenticated {
    fn from(_: Unavailable) -> Self {
        Self::Unavailable
    }
}

impl From<Caller> for Recognised {
    fn from(caller: Caller) -> Self {
        Self { caller, home: None }
    }
}

fn by_certificate(
    certificate: &PeerCertificate,
    now: Timestamp,
) -> Result<(Arc<Who>, Proof), NotAuthenticated> {
    let expires_at = certificate.expires_at;
    if expires_at <= now {
        return Err(NotAuthenticated::Expired);
    }
    let actor = certificate.actor().ok_or(NotAuthenticated::CertificateNameless)?;
    let principal = Principal::Member(actor.clone());
    let who = Who { actor, principal, home: TenantId::platform() };
    Ok((Arc::new(who), Proof::Certificate { expires_at }))
}

/// A token that is known holds now, from `address`.
fn check(info: &CredentialInfo, address: IpAddr, now: Timestamp) -> Result<(), NotAuthenticated> {
    if info.expires_at.is_some_and(|at| at <= now) {
        return Err(NotAuthenticated::Expired);
    }
    // Its tenant's list counts where the tenant's grants do.
    if !admits(&info.addresses, address) {
        return Err(NotAuthenticated::AddressNotAllowed);
    }
    Ok(())
}

/// As whom a credential acts, or acted. None when its id cannot be part of an actor's.
fn actor_of(snapshot: &Snapshot, credential: &str) -> Option<ActorId> {
    let found = snapshot.state.credentials.get(credential);
    let owner = found.and_then(|it| it.kind.owner());
    owner.cloned().or_else(|| ActorId::parse(format!("{KEY_ACTOR_PREFIX}{credential}")).ok())
}

/// What stands behind `Bearer` in the header `authorization`.
fn bearer(headers: &HeaderMap) -> Result<Option<&str>, NotAuthenticated> {
    let mut all = headers.get_all(AUTHORIZATION).iter();
    let Some(value) = all.next() else { return Ok(None) };
    if all.next().is_some() {
        return Err(NotAuthenticated::Malformed);
    }
    let text = value.to_str().map_err(|_| NotAuthenticated::Malformed)?;
    let (scheme, text) = text.split_once(' ').ok_or(NotAuthenticated::Malformed)?;
    let text = text.trim();
    if !scheme.eq_ignore_ascii_case("bearer") || text.is_empty() {
        return Err(NotAuthenticated::Malformed);
    }
    Ok(Some(text))
}

fn agent(headers: &HeaderMap) -> &str {
    let text = headers.get(USER_AGENT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    // It is visible ASCII, so any byte ends a character.
    text.get(..AGENT_CHARS_MAX).unwrap_or(text)
}
