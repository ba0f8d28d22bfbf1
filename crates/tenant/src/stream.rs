//! A stream's state: the domains', and what the root keeps for all of them.

use std::sync::{Arc, LazyLock};

use exchequer_domain_access as access;
use exchequer_domain_audit as audit;
use exchequer_domain_catalog as catalog;
use exchequer_domain_entitlements as entitlements;
use exchequer_domain_flags as flags;
use exchequer_domain_quotas as quotas;
use exchequer_domain_subscriptions as subscriptions;
use exchequer_domain_tenants as tenants;
use exchequer_domain_usage as usage;
use exchequer_kernel::{Decider as _, Timers};
use exchequer_types::Timestamp;

use crate::{AuditHead, Event};

/// One stream. Cloning is cheap: what rarely changes is shared, and so is what a domain
/// has of a stream that it knows nothing of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stream {
    /// Counts the stream's events.
    pub version: u64,
    /// The end of the tenant's chain of audit entries.
    pub audit: AuditHead,
    pub timers: Arc<Timers>,
    /// Why no command is decided.
    pub parked: Option<Arc<str>>,
    pub tenants: Arc<tenants::State>,
    pub access: Arc<access::State>,
    pub catalog: Arc<catalog::State>,
    pub subscriptions: Arc<subscriptions::State>,
    pub entitlements: Arc<entitlements::State>,
    pub flags: Arc<flags::State>,
    pub quotas: Arc<quotas::State>,
    pub usage: Arc<usage::State>,
}

static EMPTY: LazyLock<Stream> = LazyLock::new(|| Stream {
    version: 0,
    audit: AuditHead::default(),
    timers: Arc::default(),
    parked: None,
    tenants: Arc::default(),
    access: Arc::default(),
    catalog: Arc::default(),
    subscriptions: Arc::default(),
    entitlements: Arc::default(),
    flags: Arc::default(),
    quotas: Arc::default(),
    usage: Arc::default(),
});

impl Default for Stream {
    fn default() -> Self {
        EMPTY.clone()
    }
}

/// What a decision may know of other streams: what the partition has adopted.
#[derive(Clone, Debug, Default)]
pub struct Reference {
    /// Providers' profiles.
    pub tenants: Arc<tenants::State>,
    /// Providers' catalogs.
    pub catalog: Arc<catalog::State>,
}

impl Reference {
    /// What `own`, the partition's own stream, has adopted.
    pub fn of(own: &Stream) -> Self {
        Self { tenants: Arc::clone(&own.tenants), catalog: Arc::clone(&own.catalog) }
    }
}

impl Stream {
    /// Takes `event` over. Total.
    pub fn evolve(&mut self, event: &Event, at: Timestamp) {
        self.version += 1;
        match event {
            Event::Tenants(event) => {
                tenants::Tenants::evolve(Arc::make_mut(&mut self.tenants), event, at);
            }
            Event::Access(event) => {
                access::Access::evolve(Arc::make_mut(&mut self.access), event, at);
            }
            Event::Audit(event) => audit::Audit::evolve(&mut audit::State, event, at),
            Event::Catalog(event) => {
                catalog::Catalog::evolve(Arc::make_mut(&mut self.catalog), event, at);
            }
            Event::Subscriptions(event) => {
                let state = Arc::make_mut(&mut self.subscriptions);
                subscriptions::Subscriptions::evolve(state, event, at);
            }
            Event::Entitlements(event) => {
                let state = Arc::make_mut(&mut self.entitlements);
                entitlements::Entitlements::evolve(state, event, at);
            }
            Event::Flags(event) => flags::Flags::evolve(Arc::make_mut(&mut self.flags), event, at),
            Event::Quotas(event) => {
                quotas::Quotas::evolve(Arc::make_mut(&mut self.quotas), event, at);
            }
            Event::Usage(event) => usage::Usage::evolve(Arc::make_mut(&mut self.usage), event, at),
            Event::TimerSet { id, due, .. } => Arc::make_mut(&mut self.timers).set(id, *due),
            Event::TimerCleared { id, .. } => Arc::make_mut(&mut self.timers).clear(id),
            Event::Parked { reason } => self.parked = Some(Arc::from(reason.as_str())),
            Event::Released { .. } => self.parked = None,
        }
    }

    /// The clock of a sandbox.
    pub fn own_time(&self) -> Option<Timestamp> {
        self.tenants.tenant.as_ref().and_then(|tenant| tenant.clock)
    }

    /// About how many bytes the domains hold.
    pub fn weight(&self) -> usize {
        access::weight(&self.access)
            + catalog::weight(&self.catalog)
            + subscriptions::weight(&self.subscriptions)
            + entitlements::weight(&self.entitlements)
            + flags::weight(&self.flags)
            + quotas::weight(&self.quotas)
            + usage::weight(&self.usage)
    }
}
