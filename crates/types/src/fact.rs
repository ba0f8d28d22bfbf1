//! Facts: the small public form of what a domain decided, by which the other
//! domains of the same tenant, and processes, learn of it.

use std::collections::BTreeMap;

use crate::{HeldPlan, TenantId, Timestamp};

/// Life cycle of a tenant. Closed is for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum TenantStatus {
    #[default]
    Active,
    Suspended,
    Closed,
}

/// What every partition knows of a provider, so that it can decide about the
/// provider's tenants by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProviderProfile {
    pub id: TenantId,
    /// The tenant's version when the profile was taken. Adopted upwards only.
    pub version: u64,
    /// None for the root.
    pub parent: Option<TenantId>,
    /// 0 for the root.
    pub depth: u32,
    pub status: TenantStatus,
    /// The provider's own settings.
    pub settings: BTreeMap<String, String>,
}

/// What one domain tells the others in the same commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fact {
    /// Something is to be decided at `due`.
    TimerSet { id: String, due: Timestamp },
    /// It has been decided, or is not to be any more.
    TimerCleared { id: String, fired: bool },
    /// What other partitions know of this provider is out of date.
    ProviderChanged { profile: ProviderProfile },
    /// The tenant is closed, for ever.
    TenantClosed,
    /// The plan that the tenant has, its seats or its add-ons are others now. None: no plan.
    PlanChanged { held: Option<HeldPlan> },
}
