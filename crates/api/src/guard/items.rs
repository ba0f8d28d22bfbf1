//! Requests whose items name tenants of their own: the guard has found out who calls and
//! whether their rate allows it, and the service asks here for each tenant.

use core::time::Duration;
use std::sync::Arc;

use exchequer_types::TenantId;
use tonic::Status;

use super::judge::About;
use super::rules::Rule;
use super::{Caller, Guard};

/// In the extensions of every request of such a method, beside its [`Caller`].
#[derive(Clone, Debug)]
pub(crate) struct Items {
    pub(super) guard: Arc<Guard>,
    pub(super) rule: Rule,
}

impl Items {
    /// May `caller` do it in `tenant`? A refusal is counted for the audit log.
    pub(crate) async fn allow(&self, caller: &Caller, tenant: &TenantId) -> Result<(), Status> {
        let about = About { tenant, project: None, environment: None, flag: None };
        match self.guard.judge.judge(caller, self.rule.need, &about).await {
            Ok(()) => Ok(()),
            Err(denied) => Err(self.guard.refuse(caller, &self.rule, tenant, denied)),
        }
    }

    /// Takes one more request of `caller`'s rate, for one that came on a stream; or says
    /// after how long one comes back.
    pub(crate) async fn take(&self, caller: &Caller) -> Result<(), Duration> {
        let Err(refused) = self.guard.take(caller).await else { return Ok(()) };
        Err(refused.taken.map_or(RETRY, |taken| MINUTE / taken.limit.max(1)))
    }
}

const MINUTE: Duration = Duration::from_secs(60);
/// When it cannot be told.
const RETRY: Duration = Duration::from_millis(200);
