//! Snapshots in memory: definitions by provider, terms by tenant, each loaded from its one
//! row and folded on with every event of its stream.

use std::collections::BTreeSet;

use exchequer_codec::Entry;
use exchequer_domain_usage::weight;
use exchequer_kernel::{Live, Projection as _};
use exchequer_proto::journal::v1 as pb;
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
        tenants_of(entry, is_of_definitions)
    }

    fn fold(
        &self,
        key: &TenantId,
        before: &Definitions,
        entry: &Entry,
    ) -> Result<Definitions, String> {
        let mut snapshot = before.clone();
        for event in wanted(key, entry, is_of_definitions) {
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
        async move { Ok(loaded(definitions_row(store, generation, key).await?)) }.boxed()
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
        tenants_of(entry, is_of_terms)
    }

    fn fold(
        &self,
        key: &TenantId,
        before: &TenantTerms,
        entry: &Entry,
    ) -> Result<TenantTerms, String> {
        let mut snapshot = before.clone();
        for event in wanted(key, entry, is_of_terms) {
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
        async move { Ok(loaded(terms_row(store, generation, key).await?)) }.boxed()
    }
}

fn loaded<S: Default>(row: Option<(S, u64)>) -> Loaded<S> {
    match row {
        Some((snapshot, at)) => Loaded { snapshot, timestamp: Some(at) },
        None => Loaded { snapshot: S::default(), timestamp: None },
    }
}

fn tenants_of(entry: &Entry, is_wanted: fn(&str) -> bool) -> Vec<TenantId> {
    let wanted = entry.commit.events.iter().filter(|event| is_wanted(&event.r#type));
    let streams: BTreeSet<&str> = wanted.map(|event| event.stream.as_str()).collect();
    streams.into_iter().filter_map(|stream| TenantId::parse(stream).ok()).collect()
}

fn wanted<'a>(
    key: &'a TenantId,
    entry: &'a Entry,
    is_wanted: fn(&str) -> bool,
) -> impl Iterator<Item = &'a pb::Event> {
    let events = entry.commit.events.iter();
    events.filter(move |event| event.stream == key.as_str() && is_wanted(&event.r#type))
}
