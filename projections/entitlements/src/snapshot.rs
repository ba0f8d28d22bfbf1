//! One tenant's entitlements as the view knows them, and how events change them:
//! the same for a row and for a snapshot in memory.

use exchequer_codec::{DecodeError, decode_event};
use exchequer_domain_entitlements::{Entitlements, State};
use exchequer_domain_tenants as tenants;
use exchequer_kernel::Decider as _;
use exchequer_proto::journal::v1 as pb;
use exchequer_tenant::Event as Any;
use exchequer_types::{TenantId, TenantStatus, Timestamp};

/// Events of tenants that the view takes in: that they exist, whose customers they are, in
/// which time they live, and whether anything is given to them.
pub(crate) const OF_TENANTS: [&str; 5] = [
    "tenants.created.v1",
    "tenants.suspended.v1",
    "tenants.reinstated.v1",
    "tenants.closed.v1",
    "tenants.clock-advanced.v1",
];

/// One tenant's entitlements.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Snapshot {
    /// Is there such a tenant?
    pub exists: bool,
    /// The tenant's provider, whose plan it has. None: it is the root, or nobody.
    pub provider: Option<TenantId>,
    /// The own time of a sandbox. None: the tenant lives in real time.
    pub clock: Option<Timestamp>,
    /// Nothing more of a quota is given to a tenant that is not active.
    pub status: TenantStatus,
    pub state: State,
}

/// Why an event cannot be folded.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unfoldable {
    #[error(transparent)]
    Event(#[from] DecodeError),
    #[error(transparent)]
    Row(#[from] exchequer_readstore::Fault),
    #[error("tenant {0:?} was never created: the view is damaged, rebuild it")]
    NoTenant(String),
}

impl Snapshot {
    /// Does what the tenant has count for what `provider` offers?
    pub fn is_customer_of(&self, provider: &TenantId) -> bool {
        self.provider.as_ref() == Some(provider)
    }

    /// The time that the tenant lives in when real time is `now`.
    pub fn time(&self, now: Timestamp) -> Timestamp {
        self.clock.unwrap_or(now)
    }

    /// Takes an event of the tenant's stream over.
    pub(crate) fn take(&mut self, event: &pb::Event) -> Result<(), Unfoldable> {
        let decoded = decode_event(&event.stream, &event.r#type, &event.payload)?;
        if let Any::Tenants(tenants::Event::Created { parent, test_clock, .. }) = decoded {
            self.exists = true;
            self.provider = parent;
            self.clock = test_clock;
            return Ok(());
        }
        if !self.exists {
            return Err(Unfoldable::NoTenant(event.stream.clone()));
        }
        match decoded {
            Any::Tenants(event) => self.take_tenant(&event),
            Any::Entitlements(it) => {
                let at = Timestamp::saturating_from_micros(event.at);
                Entitlements::evolve(&mut self.state, &it, at);
            }
            _ => {}
        }
        Ok(())
    }

    fn take_tenant(&mut self, event: &tenants::Event) {
        match event {
            tenants::Event::ClockAdvanced { to } => self.clock = Some(*to),
            tenants::Event::Suspended { .. } => self.status = TenantStatus::Suspended,
            tenants::Event::Reinstated => self.status = TenantStatus::Active,
            tenants::Event::Closed { .. } => self.status = TenantStatus::Closed,
            _ => {}
        }
    }
}

/// Does an event of this type change a snapshot?
pub(crate) fn is_wanted(kind: &str) -> bool {
    kind.starts_with("entitlements.") || OF_TENANTS.contains(&kind)
}
