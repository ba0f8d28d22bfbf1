//! A stream's state: the domains', and what the root keeps for all of them.

use std::sync::Arc;

use exchequer_domain_audit as audit;
use exchequer_domain_tenants as tenants;
use exchequer_kernel::{Decider as _, Timers};
use exchequer_types::Timestamp;

use crate::{AuditHead, Event};

/// One stream. Cloning is cheap: what rarely changes is shared.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Stream {
    /// Counts the stream's events.
    pub version: u64,
    /// The end of the tenant's chain of audit entries.
    pub audit: AuditHead,
    pub timers: Arc<Timers>,
    /// Why no command is decided.
    pub parked: Option<Arc<str>>,
    pub tenants: Arc<tenants::State>,
}

/// What a decision may know of other streams: what the partition has adopted.
pub type Reference = tenants::Providers;

impl Stream {
    /// Takes `event` over. Total.
    pub fn evolve(&mut self, event: &Event, at: Timestamp) {
        self.version += 1;
        match event {
            Event::Tenants(event) => {
                tenants::Tenants::evolve(Arc::make_mut(&mut self.tenants), event, at);
            }
            Event::Audit(event) => audit::Audit::evolve(&mut audit::State, event, at),
            Event::TimerSet { id, due } => Arc::make_mut(&mut self.timers).set(id, *due),
            Event::TimerCleared { id, .. } => Arc::make_mut(&mut self.timers).clear(id),
            Event::Parked { reason } => self.parked = Some(Arc::from(reason.as_str())),
            Event::Released { .. } => self.parked = None,
        }
    }
}
