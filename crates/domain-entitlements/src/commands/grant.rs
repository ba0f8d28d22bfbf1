//! A feature is given to a tenant beside its plan.

use exchequer_kernel::Ctx;
use exchequer_types::{Slug, Timestamp};

use super::check_reason;
use crate::amount::UNITS_MAX;
use crate::state::GRANTS_MAX;
use crate::{Amount, Event, Expiry, GrantKind, Rejection, State};

/// Gives `amount` of `feature` until `expires_at`, or until it is revoked. Units are added to
/// what the plan and other grants give.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GrantFeature {
    pub feature: Slug,
    pub amount: Amount,
    pub kind: GrantKind,
    pub reason: String,
    pub expires_at: Option<Timestamp>,
}

impl GrantFeature {
    pub(crate) fn decide(&self, state: &State, ctx: &Ctx) -> Result<Vec<Event>, Rejection> {
        if self.amount.units().is_some_and(|units| !(1..=UNITS_MAX).contains(&units)) {
            return Err(Rejection::AmountInvalid);
        }
        check_reason(&self.reason)?;
        if self.expires_at.is_some_and(|at| at <= ctx.now) {
            return Err(Rejection::ExpiryInThePast { now: ctx.now });
        }
        if self.kind == GrantKind::Trial && self.expires_at.is_none() {
            return Err(Rejection::ExpiryMissing);
        }
        if state.open_grants().count() >= GRANTS_MAX {
            return Err(Rejection::GrantsTooMany);
        }
        Ok(vec![Event::Granted {
            id: ctx.mint("grt_", 0),
            feature: self.feature.clone(),
            amount: self.amount,
            kind: self.kind,
            reason: self.reason.clone(),
            expiry: self.expires_at.map(|at| Expiry { at, timer: ctx.mint("tme_", 1) }),
        }])
    }
}
