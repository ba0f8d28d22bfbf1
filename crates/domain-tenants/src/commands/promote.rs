//! A tenant becomes a provider.

use exchequer_kernel::Ctx;

use crate::rejection::DEPTH_MAX;
use crate::tenant::with_profile;
use crate::{Event, Rejection, Tenant};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Promote;

impl Promote {
    #[expect(clippy::unused_self, reason = "commands are decided alike")]
    pub(crate) fn decide(&self, tenant: &Tenant, ctx: &Ctx) -> Result<Vec<Event>, Rejection> {
        if tenant.provider {
            return Err(Rejection::AlreadyProvider);
        }
        if tenant.depth >= DEPTH_MAX {
            return Err(Rejection::TooDeep);
        }
        Ok(with_profile(tenant, vec![Event::Promoted], ctx.now))
    }
}
