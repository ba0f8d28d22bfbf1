//! Closing a tenant: now, at an instant, when that instant has come, or not.

use exchequer_kernel::Ctx;
use exchequer_types::{TenantStatus, Timestamp};

use super::check_reason;
use crate::tenant::with_profile;
use crate::{Event, Rejection, Tenant};

/// Closes now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Close {
    pub reason: String,
}

impl Close {
    pub(crate) fn decide(&self, tenant: &Tenant, ctx: &Ctx) -> Result<Vec<Event>, Rejection> {
        if tenant.parent.is_none() {
            return Err(Rejection::IsRoot);
        }
        check_reason(&self.reason)?;
        let closed = Event::Closed {
            reason: self.reason.clone(),
            timer: tenant.closing.as_ref().map(|closing| closing.timer.clone()),
            by_timer: false,
        };
        Ok(with_profile(tenant, vec![closed], ctx.now))
    }
}

/// Sets the instant of closing, or moves it. Each setting is a timer of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScheduleClosing {
    pub at: Timestamp,
}

impl ScheduleClosing {
    pub(crate) fn decide(&self, tenant: &Tenant, ctx: &Ctx) -> Result<Vec<Event>, Rejection> {
        if tenant.parent.is_none() {
            return Err(Rejection::IsRoot);
        }
        if self.at <= ctx.now {
            return Err(Rejection::ClosingInThePast);
        }
        let cancelled = match &tenant.closing {
            Some(closing) if closing.at == self.at => return Err(Rejection::Unchanged),
            Some(closing) => Some(Event::ClosingCancelled { timer: closing.timer.clone() }),
            None => None,
        };
        let scheduled = Event::ClosingScheduled { timer: ctx.mint("tmr_", 0), at: self.at };
        Ok(cancelled.into_iter().chain([scheduled]).collect())
    }
}

/// Drops the scheduled closing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CancelClosing;

impl CancelClosing {
    #[expect(clippy::unused_self, reason = "commands are decided alike")]
    pub(crate) fn decide(&self, tenant: &Tenant) -> Result<Vec<Event>, Rejection> {
        let closing = tenant.closing.as_ref().ok_or(Rejection::ClosingNotScheduled)?;
        Ok(vec![Event::ClosingCancelled { timer: closing.timer.clone() }])
    }
}

/// The instant of closing has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FireClosing {
    pub timer: String,
}

impl FireClosing {
    /// Acts only while its timer is pending.
    pub(crate) fn decide(
        &self,
        tenant: Option<&Tenant>,
        ctx: &Ctx,
    ) -> Result<Vec<Event>, Rejection> {
        let pending = tenant.filter(|tenant| {
            tenant.status != TenantStatus::Closed
                && tenant.closing.as_ref().is_some_and(|closing| closing.timer == self.timer)
        });
        let tenant = pending.ok_or(Rejection::ClosingNotScheduled)?;
        let closed = Event::Closed {
            reason: "scheduled".to_owned(),
            timer: Some(self.timer.clone()),
            by_timer: true,
        };
        Ok(with_profile(tenant, vec![closed], ctx.now))
    }
}
