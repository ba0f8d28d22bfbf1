//! A role is given to a member, a team or a service token.

use exchequer_access::{BuiltIn, Finest, Principal, RoleDef, Scope};
use exchequer_kernel::Ctx;
use exchequer_types::{Slug, Timestamp};

use super::{check_expiry, expiry};
use crate::giving::Giver;
use crate::state::{GRANTS_MAX, PRINCIPAL_GRANTS_MAX};
use crate::{CredentialKind, Event, Rejection, State};

/// Gives a role until `expires_at`, or until it is revoked. That the scope's project,
/// environment and flag exist is checked by the tenant root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GrantRole {
    pub principal: Principal,
    pub role: Slug,
    pub scope: Scope,
    pub expires_at: Option<Timestamp>,
}

impl GrantRole {
    pub(crate) fn decide(&self, state: &State, ctx: &Ctx) -> Result<Vec<Event>, Rejection> {
        check_principal(state, &self.principal)?;
        let role = grantable(state, &self.role, &self.scope, "role")?;
        check_expiry(self.expires_at, ctx.recorded_at)?;
        let is_same = |it: &&crate::Grant| it.role == self.role && it.scope == self.scope;
        if let Some(grant) = state.grants_of(&self.principal).find(is_same) {
            return Err(Rejection::AlreadyGranted { grant: grant.id.clone() });
        }
        let own = state.grants_of(&self.principal).count();
        if state.grants.len() >= GRANTS_MAX || own >= PRINCIPAL_GRANTS_MAX {
            return Err(Rejection::GrantsTooMany);
        }
        Giver::of(state, ctx).may_give(&role, &self.scope, self.expires_at, ctx.recorded_at)?;
        Ok(vec![Event::RoleGranted {
            id: ctx.mint("rgr_", 0),
            principal: self.principal.clone(),
            role: self.role.clone(),
            scope: self.scope.clone(),
            expiry: expiry(self.expires_at, 1, ctx),
        }])
    }
}

fn check_principal(state: &State, principal: &Principal) -> Result<(), Rejection> {
    let field = "principal";
    match principal {
        Principal::Member(id) if !state.members.contains_key(id) => {
            Err(Rejection::MemberNotFound { field })
        }
        Principal::Team(key) if !state.teams.contains_key(key) => {
            Err(Rejection::TeamNotFound { field })
        }
        Principal::Credential(id) => match state.open_credential(id).map(|it| &it.kind) {
            None => Err(Rejection::CredentialNotFound { field }),
            Some(CredentialKind::Service) => Ok(()),
            Some(_) => Err(Rejection::GrantsOfKind),
        },
        _ => Ok(()),
    }
}

/// The role, if it can be given in this scope by name.
pub(super) fn grantable(
    state: &State,
    key: &Slug,
    scope: &Scope,
    field: &'static str,
) -> Result<RoleDef, Rejection> {
    let role = state.role(key).ok_or(Rejection::RoleNotFound { field })?;
    if BuiltIn::parse(key.as_str()).is_some_and(|it| !it.grantable()) {
        return Err(Rejection::RoleNotGrantable);
    }
    let needed = match scope.parts() {
        (None, ..) => return Ok(role),
        (_, None, None) => Finest::Project,
        (_, Some(_), None) => Finest::Environment,
        (_, _, Some(_)) => Finest::Flag,
    };
    let is_useful = role.permissions.iter().any(|permission| permission.finest() >= needed);
    if is_useful { Ok(role) } else { Err(Rejection::RoleNotScopable) }
}
