//! Topics that others read, where a deployment has them.

use std::sync::Arc;

use exchequer_journal::Outlet;

/// What this process publishes. Nothing by default, as in an embedded deployment.
#[derive(Clone, Debug, Default)]
pub struct Outlets {
    /// Where accepted audit entries go. Given to processes that are sealers; they share the
    /// partitions of the journal, of which it has as many.
    pub audit: Option<Arc<dyn Outlet>>,
    /// Where meters put records of usage that cannot be counted as they are.
    pub dead_letters: Option<Arc<dyn Outlet>>,
}
