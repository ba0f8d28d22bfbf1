//! What can be asked of a stream, what can happen to it, and what is answered.

use std::collections::BTreeMap;

use exchequer_domain_access as access;
use exchequer_domain_audit as audit;
use exchequer_domain_catalog as catalog;
use exchequer_domain_entitlements as entitlements;
use exchequer_domain_flags as flags;
use exchequer_domain_quotas as quotas;
use exchequer_domain_subscriptions as subscriptions;
use exchequer_domain_tenants as tenants;
use exchequer_domain_usage as usage;
use exchequer_types::{Selection, SelectionChange, TenantId, Timestamp};

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Decide what is due, and nothing else.
    Wake,
    /// Tell the outcome of another command.
    Lookup {
        issuer: String,
        id: String,
    },
    /// Let a parked stream go on.
    Release {
        reason: String,
    },
    Create(Create),
    Tenants(tenants::Command),
    Access(access::Command),
    Audit(audit::Command),
    Catalog(catalog::Command),
    Subscribe(Subscribe),
    ChangeSubscription(ChangeSubscription),
    AmendChange(AmendChange),
    Subscriptions(subscriptions::Command),
    Entitlements(entitlements::Command),
    Flags(flags::Command),
    Quotas(quotas::Command),
    Usage(usage::Command),
}

/// Creates the stream's tenant below `parent`, which must be adopted here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Create {
    pub parent: TenantId,
    pub name: String,
    pub settings: BTreeMap<String, String>,
    /// The tenant is a sandbox, whose own time begins here and is moved by commands.
    pub test_clock: Option<Timestamp>,
}

/// Begins a subscription to what the tenant's provider offers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscribe {
    pub selection: Selection,
    /// None: no trial.
    pub trial_days: Option<u32>,
    /// Name of a time zone. None: the tenant's setting `timezone`, else UTC.
    pub zone: Option<String>,
}

/// Changes what the subscription holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChangeSubscription {
    pub to: SelectionChange,
    pub when: subscriptions::When,
}

/// Changes what a scheduled change is to hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AmendChange {
    /// Of the entry in the schedule.
    pub id: String,
    pub to: SelectionChange,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    Tenants(tenants::Event),
    Access(access::Event),
    Audit(audit::Event),
    Catalog(catalog::Event),
    Subscriptions(subscriptions::Event),
    Entitlements(entitlements::Event),
    Flags(flags::Event),
    Quotas(quotas::Event),
    Usage(usage::Event),
    TimerSet {
        id: String,
        due: Timestamp,
        /// Due in the stream's own time: the wall clock never wakes it.
        own_time: bool,
    },
    TimerCleared {
        id: String,
        due: Timestamp,
        fired: bool,
    },
    /// No command is decided until the stream is released.
    Parked {
        reason: String,
    },
    Released {
        reason: String,
    },
}

/// What an accepted command is answered with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    Nothing,
    Tenant(Box<tenants::Tenant>),
    Appended { first_seq: u64, count: u32 },
    Access(Box<access::Reply>),
    Catalog(Box<catalog::Reply>),
    Subscriptions(Box<subscriptions::Reply>),
    Entitlements(Box<entitlements::Reply>),
    Flags(Box<flags::Reply>),
    Quotas(Box<quotas::Reply>),
    Usage(Box<usage::Reply>),
}
