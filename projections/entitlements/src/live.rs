//! Snapshots in memory, by tenant: each loaded from its one row, and folded on with
//! every event of its tenant.

use exchequer_codec::Entry;
use exchequer_domain_entitlements::weight;
use exchequer_kernel::{Live, Projection as _};
use exchequer_readstore::{Fault, Generation, LoadLive, Loaded, ReadStore};
use exchequer_types::{StreamId, TenantId};
use futures::FutureExt as _;
use futures::future::BoxFuture;

use crate::snapshot::{Snapshot, is_wanted};
use crate::{EntitlementsView, get};

/// Entitlements by tenant.
#[derive(Clone, Copy, Debug, Default)]
pub struct LiveEntitlements;

impl Live for LiveEntitlements {
    type Entry = Entry;
    type Key = TenantId;
    type Snapshot = Snapshot;

    const NAME: &'static str = "entitlements";
    const VIEW: &'static str = EntitlementsView::NAME;

    fn stream(&self, key: &TenantId) -> StreamId {
        StreamId::Tenant(key.clone())
    }

    fn keys(&self, entry: &Entry) -> Vec<TenantId> {
        entry.tenants_of(is_wanted)
    }

    fn fold(&self, key: &TenantId, before: &Snapshot, entry: &Entry) -> Result<Snapshot, String> {
        let mut snapshot = before.clone();
        for event in entry.events_of(key, is_wanted) {
            snapshot.take(event).map_err(|error| error.to_string())?;
        }
        Ok(snapshot)
    }

    fn weight(&self, snapshot: &Snapshot) -> usize {
        size_of::<Snapshot>() + weight(&snapshot.state)
    }
}

impl LoadLive for LiveEntitlements {
    fn load<'a>(
        &'a self,
        store: &'a dyn ReadStore,
        generation: Generation,
        key: &'a TenantId,
    ) -> BoxFuture<'a, Result<Loaded<Snapshot>, Fault>> {
        async move { Ok(get(store, generation, key).await?.into()) }.boxed()
    }
}
