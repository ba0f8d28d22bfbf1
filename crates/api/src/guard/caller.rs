//! Who calls: what authentication found out, and all that the layers behind it know
//! of the caller.

use std::net::IpAddr;
use std::sync::Arc;

use exchequer_access::{AddressRange, Principal};
use exchequer_types::{ActorId, TenantId, Timestamp};
use http::header::USER_AGENT;
use http::{HeaderMap, HeaderValue};

use crate::authn::{TokenHash, TokenKind};
use crate::limits::Keys;

/// `user-agent` is kept up to here.
pub(crate) const AGENT_CHARS_MAX: usize = 256;

/// Whoever makes a call, once it is known. In the extensions of every request that the
/// guard has let through. Made on every call, so that what it holds is shared.
#[derive(Clone, Debug)]
pub struct Caller {
    pub who: Arc<Who>,
    pub proof: Proof,
    pub address: IpAddr,
    agent: Option<HeaderValue>,
}

/// Who a caller is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Who {
    /// Who acts, as audit entries say it.
    pub actor: ActorId,
    /// Who holds grants: the credential itself, or the member whom it stands for.
    pub principal: Principal,
    /// The tenant that the credential belongs to; the platform for what belongs to none.
    pub home: TenantId,
}

impl core::ops::Deref for Caller {
    type Target = Who;

    fn deref(&self) -> &Who {
        &self.who
    }
}

/// Where a call comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Origin {
    pub(crate) address: IpAddr,
    pub(crate) agent: String,
}

/// By what the caller proved itself.
#[derive(Clone, Debug)]
pub enum Proof {
    /// A token or key. It reaches its home and the tenants below it alone: who its
    /// principal is, only its home has said.
    Credential(Arc<CredentialInfo>),
    /// A signed token of an outside issuer, until it expires. The issuer speaks for the
    /// whole deployment, so its actors may be members of any tenant.
    Issued { expires_at: Timestamp },
    /// A client certificate, until it expires; likewise.
    Certificate { expires_at: Timestamp },
    /// The deployment's own key: owner and operator of the platform.
    Deployment,
}

/// A token or key as it is found in its tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CredentialInfo {
    pub id: String,
    pub kind: TokenKind,
    /// Of the secret that was presented.
    pub hash: TokenHash,
    /// The secret that was presented is refused from here on: the credential's own
    /// end, or the end of a rotation's overlap.
    pub expires_at: Option<Timestamp>,
    /// Empty: from everywhere.
    pub addresses: Vec<AddressRange>,
    /// Its own limit.
    pub requests_per_minute: Option<u32>,
    /// By which its counts are found.
    pub keys: Keys,
}

impl Caller {
    pub(crate) fn new(who: Arc<Who>, proof: Proof, address: IpAddr, headers: &HeaderMap) -> Self {
        Self { who, proof, address, agent: headers.get(USER_AGENT).cloned() }
    }

    /// `user-agent`, cut to a bound; empty when there was none.
    pub fn agent(&self) -> &str {
        let text = self.agent.as_ref().and_then(|it| it.to_str().ok()).unwrap_or_default();
        // It is visible ASCII, so any byte ends a character.
        text.get(..AGENT_CHARS_MAX).unwrap_or(text)
    }

    pub fn credential(&self) -> Option<&Arc<CredentialInfo>> {
        match &self.proof {
            Proof::Credential(credential) => Some(credential),
            _ => None,
        }
    }

    /// The tenant whose member or credential the caller is, where one alone can be meant.
    /// Persons of an outside issuer may be members of any.
    pub(crate) fn belongs_to(&self) -> Option<&TenantId> {
        match &self.proof {
            Proof::Credential(_) | Proof::Deployment => Some(&self.home),
            Proof::Issued { .. } | Proof::Certificate { .. } => None,
        }
    }

    pub(crate) fn origin(&self) -> Origin {
        Origin { address: self.address, agent: self.agent().to_owned() }
    }

    pub fn is_deployment(&self) -> bool {
        matches!(self.proof, Proof::Deployment)
    }

    /// From this instant on the proof does not hold any more.
    pub fn expires_at(&self) -> Option<Timestamp> {
        match &self.proof {
            Proof::Credential(credential) => credential.expires_at,
            Proof::Issued { expires_at } | Proof::Certificate { expires_at } => Some(*expires_at),
            Proof::Deployment => None,
        }
    }
}
