//! Snapshots in memory, by tenant: each loaded from its rows, and folded on with every
//! event of its tenant before that event's caller is answered.

use std::collections::BTreeSet;

use exchequer_codec::Entry;
use exchequer_domain_access::weight;
use exchequer_kernel::{Live, Projection as _};
use exchequer_readstore::{Fault, Generation, LoadLive, Loaded, ReadStore};
use exchequer_types::{StreamId, TenantId};
use futures::FutureExt as _;
use futures::future::BoxFuture;

use crate::snapshot::{Snapshot, is_wanted};
use crate::{AccessView, whole};

/// Access control by tenant.
#[derive(Clone, Copy, Debug, Default)]
pub struct LiveAccess;

impl Live for LiveAccess {
    type Entry = Entry;
    type Key = TenantId;
    type Snapshot = Snapshot;

    const NAME: &'static str = "access";
    const VIEW: &'static str = AccessView::NAME;

    fn stream(&self, key: &TenantId) -> StreamId {
        StreamId::Tenant(key.clone())
    }

    fn keys(&self, entry: &Entry) -> Vec<TenantId> {
        let wanted = entry.commit.events.iter().filter(|event| is_wanted(&event.r#type));
        let streams: BTreeSet<&str> = wanted.map(|event| event.stream.as_str()).collect();
        streams.into_iter().filter_map(|stream| TenantId::parse(stream).ok()).collect()
    }

    fn fold(&self, key: &TenantId, before: &Snapshot, entry: &Entry) -> Result<Snapshot, String> {
        let mut snapshot = before.clone();
        for event in &entry.commit.events {
            if event.stream == key.as_str() && is_wanted(&event.r#type) {
                snapshot.take(event).map_err(|error| error.to_string())?;
            }
        }
        Ok(snapshot)
    }

    /// With what compiling adds: about as much again.
    fn weight(&self, snapshot: &Snapshot) -> usize {
        size_of::<Snapshot>() + 2 * weight(&snapshot.state)
    }
}

impl LoadLive for LiveAccess {
    fn load<'a>(
        &'a self,
        store: &'a dyn ReadStore,
        generation: Generation,
        key: &'a TenantId,
    ) -> BoxFuture<'a, Result<Loaded<Snapshot>, Fault>> {
        async move {
            let snapshot = whole(store, generation, key).await?.unwrap_or_default();
            // Of several rows.
            Ok(Loaded { snapshot, timestamp: None })
        }
        .boxed()
    }
}
