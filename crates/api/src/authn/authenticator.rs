//! Finds out who calls. A credential that was seen before costs its hash, two
//! look-ups in memory and a comparison of times.

use std::net::IpAddr;
use std::sync::Arc;

use exchequer_access::{AddressRange, Principal, admits};
use exchequer_runtime::Runtime;
use exchequer_types::{ActorId, TenantId, Timestamp};
use http::HeaderMap;
use http::header::{AUTHORIZATION, USER_AGENT};

use super::directory::{Directory, Unavailable};
use super::error::NotAuthenticated;
use super::jwt::Issuers;
use super::known::{Judged, Known, Tokens};
use super::peer::{Peer, PeerCertificate};
use super::proof::{self, ProofError, ProofKey};
use super::token::{self, TokenHash};
use super::uses::UseCounter;
use crate::guard::{Caller, Proof};

/// `user-agent` is kept up to here.
const AGENT_CHARS_MAX: usize = 256;
/// Proxies in front of each other that are looked through.
const PROXIES_MAX: usize = 16;
const FORWARDED_FOR: &str = "x-forwarded-for";
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
        let address = self.address(headers, peer);
        let Some(text) = bearer(headers)? else {
            let certificate = peer.certificate.as_ref().filter(|_| self.trust.certificates);
            let certificate = certificate.ok_or(NotAuthenticated::Missing)?;
            return self.by_certificate(certificate, headers, address);
        };
        if text.starts_with(proof::PREFIX) {
            self.by_deployment(text, headers, address)
        } else if text.contains('.') && !self.trust.issuers.is_empty() {
            let (verified, expires_at) = self.trust.issuers.verify(text).await?;
            let actor = verified.actor.clone();
            let (principal, proof) =
                (Principal::Member(actor.clone()), Proof::Issued { expires_at });
            let home = verified.home.clone();
            Ok(Caller { actor, principal, home, proof, address, agent: agent(headers) })
        } else {
            self.by_token(text, headers, address).await
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
        let Judged { info, .. } = Judged::of(found, &credential.hash)?;
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
    ) -> Result<Caller, NotAuthenticated> {
        let now = self.runtime.now();
        let hash = TokenHash::of(text);
        let known = match self.tokens.get(&hash) {
            Some(known) => known,
            None => self.look_up(text, hash, now).await?,
        };
        let snapshot = self.directory.access_of(&known.tenant).await?;
        let credential = snapshot.state.credentials.get(&known.id);
        let credential = credential.ok_or(NotAuthenticated::Revoked)?;
        let judged = match &known.judged {
            Some(judged) if Arc::ptr_eq(&judged.credential, credential) => judged.clone(),
            _ => {
                let judged = Judged::of(credential, &hash)?;
                let known = Known { judged: Some(judged.clone()), ..known.as_ref().clone() };
                self.tokens.put(hash, Arc::new(known));
                judged
            }
        };
        let Judged { info, actor, principal, .. } = judged;
        if info.expires_at.is_some_and(|at| at <= now) {
            return Err(NotAuthenticated::Expired);
        }
        // Its tenant's list counts where the tenant's grants do.
        if !admits(&info.addresses, address) {
            return Err(NotAuthenticated::AddressNotAllowed);
        }
        self.uses.count(&known.tenant, &info.id, now);
        let (home, proof) = (known.tenant.clone(), Proof::Credential(info));
        Ok(Caller { actor, principal, home, proof, address, agent: agent(headers) })
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
        headers: &HeaderMap,
        address: IpAddr,
    ) -> Result<Caller, NotAuthenticated> {
        let key = self.trust.proof.as_ref().ok_or(NotAuthenticated::ProofInvalid)?;
        key.check(text, self.runtime.now()).map_err(|error| match error {
            ProofError::Invalid => NotAuthenticated::ProofInvalid,
            ProofError::Expired => NotAuthenticated::Expired,
        })?;
        if !address.is_loopback() {
            return Err(NotAuthenticated::ProofFromAfar);
        }
        let actor = ActorId::parse(DEPLOYMENT).map_err(|_| NotAuthenticated::Unavailable)?;
        let (principal, home) = (Principal::Member(actor.clone()), TenantId::platform());
        let agent = agent(headers);
        Ok(Caller { actor, principal, home, proof: Proof::Deployment, address, agent })
    }

    fn by_certificate(
        &self,
        certificate: &PeerCertificate,
        headers: &HeaderMap,
        address: IpAddr,
    ) -> Result<Caller, NotAuthenticated> {
        let expires_at = certificate.expires_at;
        if expires_at <= self.runtime.now() {
            return Err(NotAuthenticated::Expired);
        }
        let actor = certificate.actor().ok_or(NotAuthenticated::CertificateNameless)?;
        let (principal, home) = (Principal::Member(actor.clone()), TenantId::platform());
        let (proof, agent) = (Proof::Certificate { expires_at }, agent(headers));
        Ok(Caller { actor, principal, home, proof, address, agent })
    }

    /// Where the call comes from: the nearest address that is no trusted proxy's.
    fn address(&self, headers: &HeaderMap, peer: &Peer) -> IpAddr {
        let is_proxy =
            |address: IpAddr| self.trust.proxies.iter().any(|range| range.contains(address));
        let mut address = peer.address.to_canonical();
        if !is_proxy(address) {
            return address;
        }
        // Each proxy adds whom it heard it from, at the end.
        let said = headers.get_all(FORWARDED_FOR).iter().rev();
        let said = said.filter_map(|value| value.to_str().ok());
        let hops = said.flat_map(|value| value.rsplit(',')).take(PROXIES_MAX);
        for hop in hops {
            // What cannot be read hides everything before it.
            let Ok(read) = hop.trim().parse::<IpAddr>() else { break };
            address = read.to_canonical();
            if !is_proxy(address) {
                break;
            }
        }
        address
    }
}

impl From<Unavailable> for NotAuthenticated {
    fn from(_: Unavailable) -> Self {
        Self::Unavailable
    }
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

fn agent(headers: &HeaderMap) -> String {
    let text = headers.get(USER_AGENT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    // It is visible ASCII, so any byte ends a character.
    text[..text.len().min(AGENT_CHARS_MAX)].to_owned()
}
