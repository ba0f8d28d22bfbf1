//! Suspension and its end.

use exchequer_kernel::Ctx;
use exchequer_types::TenantStatus;

use super::check_reason;
use crate::tenant::with_profile;
use crate::{Event, Rejection, Tenant};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Suspend {
    pub reason: String,
}

impl Suspend {
    pub(crate) fn decide(&self, tenant: &Tenant, ctx: &Ctx) -> Result<Vec<Event>, Rejection> {
        if tenant.parent.is_none() {
            return Err(Rejection::IsRoot);
        }
        if tenant.status == TenantStatus::Suspended {
            return Err(Rejection::AlreadySuspended);
        }
        check_reason(&self.reason)?;
        let suspended = Event::Suspended { reason: self.reason.clone() };
        Ok(with_profile(tenant, vec![suspended], ctx.now))
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reinstate;

impl Reinstate {
    #[expect(clippy::unused_self, reason = "commands are decided alike")]
    pub(crate) fn decide(&self, tenant: &Tenant, ctx: &Ctx) -> Result<Vec<Event>, Rejection> {
        if tenant.status != TenantStatus::Suspended {
            return Err(Rejection::NotSuspended);
        }
        Ok(with_profile(tenant, vec![Event::Reinstated], ctx.now))
    }
}
