//! All events of the domain.

use exchequer_types::{HeldPlan, PlanContent, Slug};

use crate::{Amount, Expiry, GrantKind};

/// What happened to a tenant's entitlements.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The tenant has this plan now, and no other.
    PlanGiven {
        held: HeldPlan,
        /// What the plan, and each add-on held with it, includes.
        content: PlanContent,
    },
    /// The tenant has no plan any more.
    PlanWithdrawn,
    Granted {
        id: String,
        feature: Slug,
        amount: Amount,
        kind: GrantKind,
        reason: String,
        expiry: Option<Expiry>,
    },
    GrantRevoked {
        id: String,
        reason: String,
        /// The expiry timer that this ends.
        timer: Option<String>,
    },
    GrantExpired {
        id: String,
        timer: String,
    },
    /// So many units are in use now; 0 forgets the feature.
    UseReported {
        feature: Slug,
        used: u64,
    },
    /// The tenant is closed: plan and grants have ended.
    Closed {
        /// The expiry timers that this ends.
        timers: Vec<String>,
    },
}
