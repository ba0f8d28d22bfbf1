//! What can be asked of a stream, what can happen to it, and what is answered.

use std::collections::BTreeMap;

use exchequer_domain_audit as audit;
use exchequer_domain_tenants as tenants;
use exchequer_types::{TenantId, Timestamp};

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
    /// Create the tenant below `parent`, which must be adopted here.
    Create {
        parent: TenantId,
        name: String,
        settings: BTreeMap<String, String>,
    },
    Tenants(tenants::Command),
    Audit(audit::Command),
}

impl Command {
    /// As audit entries name what was done.
    pub(crate) fn action(&self) -> &'static str {
        use tenants::Command as T;
        match self {
            Self::Wake | Self::Lookup { .. } => "",
            Self::Release { .. } => "tenant.released",
            Self::Create { .. } | Self::Tenants(T::Bootstrap(_) | T::Create(_)) => "tenant.created",
            Self::Tenants(T::Rename(_)) => "tenant.renamed",
            Self::Tenants(T::UpdateSettings(_)) => "tenant.settings-updated",
            Self::Tenants(T::Promote(_)) => "tenant.promoted",
            Self::Tenants(T::Suspend(_)) => "tenant.suspended",
            Self::Tenants(T::Reinstate(_)) => "tenant.reinstated",
            Self::Tenants(T::Close(_) | T::FireClosing(_)) => "tenant.closed",
            Self::Tenants(T::ScheduleClosing(_)) => "tenant.closing-scheduled",
            Self::Tenants(T::CancelClosing(_)) => "tenant.closing-cancelled",
            Self::Tenants(T::AdoptProvider(_)) => "provider.adopted",
            Self::Audit(_) => "audit.appended",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    Tenants(tenants::Event),
    Audit(audit::Event),
    TimerSet {
        id: String,
        due: Timestamp,
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
}
