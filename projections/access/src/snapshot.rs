//! One tenant's access control in memory, and how events change it.

use std::sync::{Arc, OnceLock};

use exchequer_access::Policy;
use exchequer_codec::{DecodeError, decode_event};
use exchequer_domain_access::{Access, State, policy};
use exchequer_domain_tenants as tenants;
use exchequer_kernel::Decider as _;
use exchequer_proto::journal::v1 as pb;
use exchequer_tenant::Event as Any;
use exchequer_types::{TenantId, Timestamp};

/// The event of tenants that the view takes in: there is one now, and whose customer it is.
pub(crate) const CREATED: &str = "tenants.created.v1";

/// One tenant's access control: one state of it, whole. Cloning is cheap.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// Is there such a tenant?
    pub exists: bool,
    /// The tenant's provider. None: it is the root, or nobody.
    pub provider: Option<TenantId>,
    /// Without the keys of erased persons and without former members, which decisions on
    /// commands alone need.
    pub state: State,
    /// Compiled when it is first asked for.
    policy: OnceLock<Arc<Policy>>,
}

/// Equal when they say the same, whether compiled or not.
impl PartialEq for Snapshot {
    fn eq(&self, other: &Self) -> bool {
        self.exists == other.exists && self.provider == other.provider && self.state == other.state
    }
}

impl Eq for Snapshot {}

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
    pub(crate) fn of(provider: Option<TenantId>, state: State) -> Self {
        Self { exists: true, provider, state, policy: OnceLock::new() }
    }

    /// Who may do what: compiled once for each state.
    pub fn policy(&self) -> &Arc<Policy> {
        let compile = || policy(&self.state).below_provider(self.provider.is_some());
        self.policy.get_or_init(|| Arc::new(compile()))
    }

    /// Takes an event of the tenant's stream over.
    pub(crate) fn take(&mut self, event: &pb::Event) -> Result<(), Unfoldable> {
        let at = Timestamp::saturating_from_micros(event.at);
        match decode_event(&event.stream, &event.r#type, &event.payload)? {
            Any::Tenants(tenants::Event::Created { parent, .. }) => {
                self.exists = true;
                self.provider = parent;
                self.policy = OnceLock::new();
            }
            _ if !self.exists => return Err(Unfoldable::NoTenant(event.stream.clone())),
            Any::Access(it) => {
                Access::evolve(&mut self.state, &it, at);
                forget(&mut self.state);
                self.policy = OnceLock::new();
            }
            _ => {}
        }
        Ok(())
    }
}

/// Drops what no call is judged by.
pub(crate) fn forget(state: &mut State) {
    if !state.erased.is_empty() {
        state.erased = Arc::default();
    }
    if !state.former.is_empty() {
        state.former = Arc::default();
    }
}

/// Does an event of this type change a snapshot?
pub(crate) fn is_wanted(kind: &str) -> bool {
    kind.starts_with("access.") || kind == CREATED
}
