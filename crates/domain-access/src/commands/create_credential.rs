//! A token or key. Its secret is known to whoever asked for it, and its hash here.

use exchequer_access::{AddressRange, Principal, Scope};
use exchequer_kernel::Ctx;
use exchequer_types::{Slug, Timestamp};

use super::grant_role::grantable;
use super::{check_addresses, check_expiry, check_name, check_rate, check_secret, expiry};
use crate::giving::{Giver, check_owner};
use crate::state::{CREDENTIALS_MAX, GRANTS_MAX, PERSONAL_TOKENS_MAX, PRINCIPAL_GRANTS_MAX};
use crate::{CredentialKind, Event, Rejection, Secret, State};

/// That the project and environment of an SDK key, and those of scopes, exist is checked
/// by the tenant root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreateCredential {
    pub kind: CredentialKind,
    pub name: String,
    pub secret: Secret,
    /// What a service token may do; empty for other kinds.
    pub grants: Vec<Giving>,
    /// A personal token has one.
    pub expires_at: Option<Timestamp>,
    pub addresses: Vec<AddressRange>,
    /// None: what the tenant's plan or settings say.
    pub requests_per_minute: Option<u32>,
}

/// A role that a credential is to have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Giving {
    pub role: Slug,
    pub scope: Scope,
}

impl CreateCredential {
    pub(crate) fn decide(&self, state: &State, ctx: &Ctx) -> Result<Vec<Event>, Rejection> {
        check_name(&self.name)?;
        self.check_kind(state, ctx)?;
        check_expiry(self.expires_at, ctx.recorded_at)?;
        check_addresses(&self.addresses)?;
        check_rate(self.requests_per_minute)?;
        check_secret(state, &self.secret)?;
        let own = state.open_credentials().filter(|it| it.kind.owner().is_some());
        let own = own.filter(|it| it.kind.owner() == self.kind.owner()).count();
        if state.open_credentials().count() >= CREDENTIALS_MAX
            || (self.kind.owner().is_some() && own >= PERSONAL_TOKENS_MAX)
        {
            return Err(Rejection::CredentialsTooMany);
        }
        let givings = self.givings()?;
        let fits = givings.len() <= PRINCIPAL_GRANTS_MAX
            && state.grants.len() + givings.len() <= GRANTS_MAX;
        if !fits {
            return Err(Rejection::GrantsTooMany);
        }
        let giver = Giver::of(state, ctx);
        for giving in &givings {
            let role = state.role(&giving.role);
            let role = role.ok_or(Rejection::RoleNotFound { field: "grants" })?;
            giver.may_give(&role, &giving.scope, self.expires_at, ctx.recorded_at)?;
        }
        Ok(self.created(&givings, ctx))
    }

    fn check_kind(&self, state: &State, ctx: &Ctx) -> Result<(), Rejection> {
        if self.kind != CredentialKind::Service && !self.grants.is_empty() {
            return Err(Rejection::GrantsOfKind);
        }
        if let CredentialKind::Personal { owner } = &self.kind {
            if !state.members.contains_key(owner) {
                return Err(Rejection::MemberNotFound { field: "owner" });
            }
            check_owner(owner, ctx)?;
            if self.expires_at.is_none() {
                return Err(Rejection::ExpiryMissing);
            }
        }
        for (at, giving) in self.grants.iter().enumerate() {
            grantable(state, &giving.role, &giving.scope, "grants")?;
            if self.grants.iter().take(at).any(|it| it == giving) {
                return Err(Rejection::Unchanged);
            }
        }
        Ok(())
    }

    /// What the credential gets: what was asked for, or what comes with its kind.
    fn givings(&self) -> Result<Vec<Giving>, Rejection> {
        let (Some(role), Some((project, environment))) =
            (self.kind.role(), self.kind.environment())
        else {
            return Ok(self.grants.clone());
        };
        let not_found = Rejection::RoleNotFound { field: "kind" };
        let scope = Scope::new(Some(project.clone()), Some(environment.clone()), None);
        let role = Slug::parse(role.as_str()).map_err(|_| not_found.clone())?;
        Ok(vec![Giving { role, scope: scope.map_err(|_| not_found)? }])
    }

    fn created(&self, givings: &[Giving], ctx: &Ctx) -> Vec<Event> {
        let id = ctx.mint("crd_", 0);
        let created = Event::CredentialCreated {
            id: id.clone(),
            kind: self.kind.clone(),
            name: self.name.clone(),
            secret: self.secret.clone(),
            expiry: expiry(self.expires_at, 1, ctx),
            addresses: self.addresses.clone(),
            requests_per_minute: self.requests_per_minute,
        };
        let granted = (2..).zip(givings).map(|(index, giving)| Event::RoleGranted {
            id: ctx.mint("rgr_", index),
            principal: Principal::Credential(id.clone()),
            role: giving.role.clone(),
            scope: giving.scope.clone(),
            expiry: None,
        });
        core::iter::once(created).chain(granted).collect()
    }
}
