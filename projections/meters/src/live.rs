//! Snapshots in memory: definitions by provider, terms by tenant, each loaded from its one
//! row and folded on with every event of its stream.

use exchequer_codec::Entry;
use exchequer_domain_usage::weight;
use exchequer_kernel::{Live, Projection as _};
use exchequer_readstore::{Fault, Generation, LoadLive, Loaded, ReadStore};
use exchequer_types::{Period, StreamId, TenantId, Timestamp};
use futures::FutureExt as _;
use futures::future::BoxFuture;

use crate::MetersView;
use crate::definitions::Definitions;
use crate::fold::{decode, is_of_definitions, is_of_terms};
use crate::query::{definitions_row, terms_row};
use crate::terms::TenantTerms;

/// Definitions by provider. A tenant that has none has the default.
#[derive(Clone, Copy, Debug, Default)]
pub struct LiveMeters;

/// What meters know of a tenant, by tenant.
#[derive(Clone, Copy, Debug, Default)]
pub struct LiveTerms;

/// Tenants of whom `entry` may change what meters know: whose definitions, and whose terms.
pub fn concerns(entry: &Entry) -> (Vec<TenantId>, Vec<TenantId>) {
    (LiveMeters.keys(entry), LiveTerms.keys(entry))
}

impl Live for LiveMeters {
    type Entry = Entry;
    type Key = TenantId;
    type Snapshot = Definitions;

    const NAME: &'static str = "meters";
    const VIEW: &'static str = MetersView::NAME;

    fn stream(&self, key: &TenantId) -> StreamId {
        StreamId::Tenant(key.clone())
    }

    fn keys(&self, entry: &Entry) -> Vec<TenantId> {
        entry.tenants_of(is_of_definitions)
    }

    fn fold(
        &self,
        key: &TenantId,
        before: &Definitions,
        entry: &Entry,
    ) -> Result<Definitions, String> {
        let mut snapshot = before.clone();
        for event in entry.events_of(key, is_of_definitions) {
            let decoded = decode(event).map_err(|error| error.to_string())?;
            snapshot.take(&decoded, Timestamp::saturating_from_micros(event.at));
        }
        Ok(snapshot)
    }

    fn weight(&self, snapshot: &Definitions) -> usize {
        let settings = snapshot.settings.iter().map(|(key, value)| key.len() + value.len() + 64);
        size_of::<Definitions>() + weight(&snapshot.state) + settings.sum::<usize>()
    }
}

impl LoadLive for LiveMeters {
    fn load<'a>(
        &'a self,
        store: &'a dyn ReadStore,
        generation: Generation,
        key: &'a TenantId,
    ) -> BoxFuture<'a, Result<Loaded<Definitions>, Fault>> {
        async move { Ok(definitions_row(store, generation, key).await?.into()) }.boxed()
    }
}

impl Live for LiveTerms {
    type Entry = Entry;
    type Key = TenantId;
    type Snapshot = TenantTerms;

    const NAME: &'static str = "terms";
    const VIEW: &'static str = MetersView::NAME;

    fn stream(&self, key: &TenantId) -> StreamId {
        StreamId::Tenant(key.clone())
    }

    fn keys(&self, entry: &Entry) -> Vec<TenantId> {
        entry.tenants_of(is_of_terms)
    }

    fn fold(
        &self,
        key: &TenantId,
        before: &TenantTerms,
        entry: &Entry,
    ) -> Result<TenantTerms, String> {
        let mut snapshot = before.clone();
        for event in entry.events_of(key, is_of_terms) {
            snapshot.take(&decode(event).map_err(|error| error.to_string())?);
        }
        Ok(snapshot)
    }

    fn weight(&self, snapshot: &TenantTerms) -> usize {
        size_of::<TenantTerms>() + snapshot.parts.len() * size_of::<Period>() + 64
    }
}

impl LoadLive for LiveTerms {
    fn load<'a>(
        &'a self,
        store: &'a dyn ReadStore,
        generation: Generation,
        key: &'a TenantId,
    ) -> BoxFuture<'a, Result<Loaded<TenantTerms>, Fault>> {
        async move { Ok(terms_row(store, generation, key).await?.into()) }.boxed()
    }
}
