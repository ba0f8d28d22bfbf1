//! A credential gets another name, other limits or another end.

use exchequer_access::{AddressRange, Principal};
use exchequer_kernel::Ctx;
use exchequer_types::Timestamp;

use super::{check_addresses, check_expiry, check_name, check_rate, expiry};
use crate::giving::{Giver, check_owner};
use crate::{Credential, Event, Rejection, State};

/// What is None is left as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpdateCredential {
    pub id: String,
    pub name: Option<String>,
    /// An end can be moved, not removed.
    pub expires_at: Option<Timestamp>,
    pub addresses: Option<Vec<AddressRange>>,
    /// Some(None): what the tenant's plan or settings say.
    pub requests_per_minute: Option<Option<u32>>,
}

impl UpdateCredential {
    /// To let a credential live longer, or be used from elsewhere, is to give what it has.
    pub(crate) fn decide(&self, state: &State, ctx: &Ctx) -> Result<Vec<Event>, Rejection> {
        let credential = state.open_credential(&self.id);
        let credential = credential.ok_or(Rejection::CredentialNotFound { field: "id" })?;
        let name = self.name.as_ref().unwrap_or(&credential.name);
        let addresses = self.addresses.as_ref().unwrap_or(&credential.addresses);
        let rate = self.requests_per_minute.unwrap_or(credential.requests_per_minute);
        check_name(name)?;
        check_addresses(addresses)?;
        check_rate(rate)?;
        check_expiry(self.expires_at, ctx.recorded_at)?;
        let before = credential.expiry.as_ref();
        let moved = self.expires_at.filter(|at| before.is_none_or(|it| it.at != *at));
        let is_same = *name == credential.name
            && *addresses == credential.addresses
            && rate == credential.requests_per_minute
            && moved.is_none();
        if is_same {
            return Err(Rejection::Unchanged);
        }
        check_giver(state, credential, ctx)?;
        let expiry = expiry(moved, 0, ctx).or_else(|| before.cloned());
        Ok(vec![Event::CredentialUpdated {
            id: self.id.clone(),
            name: name.clone(),
            expiry,
            addresses: addresses.clone(),
            requests_per_minute: rate,
            moved: moved.is_some(),
            timer: before.filter(|_| moved.is_some()).map(|it| it.timer.clone()),
        }])
    }
}

/// Has whoever acts what the credential has?
pub(super) fn check_giver(
    state: &State,
    credential: &Credential,
    ctx: &Ctx,
) -> Result<(), Rejection> {
    if let Some(owner) = credential.kind.owner() {
        return check_owner(owner, ctx);
    }
    let principal = Principal::Credential(credential.id.clone());
    Giver::of(state, ctx).may_give_all(state, state.grants_of(&principal), ctx.recorded_at)
}
