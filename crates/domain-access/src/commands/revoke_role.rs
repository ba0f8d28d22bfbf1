//! A grant is taken back before its end.

use exchequer_access::Principal;
use exchequer_kernel::Ctx;

use super::revoked;
use crate::giving::Giver;
use crate::{CredentialKind, Event, Rejection, State};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RevokeRole {
    /// Of the grant.
    pub id: String,
}

impl RevokeRole {
    /// Who could not give it cannot take it either. What comes with an SDK key ends with it.
    pub(crate) fn decide(&self, state: &State, ctx: &Ctx) -> Result<Vec<Event>, Rejection> {
        let grant = state.grants.get(&self.id).ok_or(Rejection::GrantNotFound)?;
        if let Principal::Credential(id) = &grant.principal
            && state.open_credential(id).is_some_and(|it| it.kind != CredentialKind::Service)
        {
            return Err(Rejection::GrantsOfKind);
        }
        Giver::of(state, ctx).may_give_all(state, [grant.as_ref()], ctx.recorded_at)?;
        Ok(revoked([grant.as_ref()].into_iter()))
    }
}
