//! Where a meter asks for what it does not know yet: tenants, their billing periods,
//! and the meters of their provider. What it is told enters a seal before it is used.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use exchequer_metering::{
    AdoptedMeters, AdoptedSchema, AdoptedTenant, BackfillOrder, Meter, Terms,
};
use exchequer_types::{Offset, PartitionId, Period, TenantId};
use futures::FutureExt as _;
use futures::future::BoxFuture;
use tokio::sync::watch;

use crate::EngineError;

/// Changes that are remembered one by one; whoever is further behind asks all anew.
const CHANGES_KEPT_MAX: usize = 4_096;

/// A place in the journal.
pub type Position = (PartitionId, Offset);

/// What there is to know of a tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TenantTerms {
    pub adopted: AdoptedTenant,
    /// Where the journal stood.
    pub position: Position,
}

/// All meters of a provider that are in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MeterSet {
    pub adopted: AdoptedMeters,
    /// Where the journal stood.
    pub position: Position,
}

/// Something that may have changed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Changed {
    Tenant(TenantId),
    /// Its meters, schemas or terms.
    Provider(TenantId),
}

/// Tells meters of tenants and definitions. What it tells is at least as new as the
/// last reply of this process: whoever was told that a meter was made sees it count.
pub trait DefinitionsSource: Send + Sync + core::fmt::Debug {
    /// A tenant; `provider` is none when there is no such tenant.
    fn tenant<'a>(
        &'a self,
        tenant: &'a TenantId,
    ) -> BoxFuture<'a, Result<TenantTerms, EngineError>>;

    /// The meters of `provider`; an empty set of version 0 when it has none.
    fn meters<'a>(
        &'a self,
        provider: &'a TenantId,
    ) -> BoxFuture<'a, Result<Arc<MeterSet>, EngineError>>;

    /// How many changes there were; wakes with each. A change is counted before the reply
    /// of the command that made it.
    fn changed(&self) -> watch::Receiver<u64>;

    /// What changed behind the first `since` changes; none when that cannot be told any
    /// more, and everything must be asked anew.
    fn changes_since(&self, since: u64) -> Option<Vec<Changed>>;
}

/// Counts changes and remembers the last of them, for a [`DefinitionsSource`].
#[derive(Debug)]
pub struct ChangeList {
    count: watch::Sender<u64>,
    last: Mutex<std::collections::VecDeque<Changed>>,
}

impl Default for ChangeList {
    fn default() -> Self {
        Self { count: watch::Sender::new(0), last: Mutex::default() }
    }
}

impl ChangeList {
    pub fn push(&self, changed: Changed) {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.push_back(changed);
        if last.len() > CHANGES_KEPT_MAX {
            last.pop_front();
        }
        self.count.send_modify(|count| *count += 1);
    }

    pub fn changed(&self) -> watch::Receiver<u64> {
        self.count.subscribe()
    }

    /// As [`DefinitionsSource::changes_since`].
    pub fn since(&self, since: u64) -> Option<Vec<Changed>> {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let behind = usize::try_from(self.count.borrow().saturating_sub(since)).ok()?;
        (behind <= last.len()).then(|| last.iter().skip(last.len() - behind).cloned().collect())
    }
}

/// Definitions held in memory, for tests and benchmarks.
#[derive(Debug, Default)]
pub struct MemoryDefinitions {
    tenants: Mutex<BTreeMap<TenantId, AdoptedTenant>>,
    meters: Mutex<BTreeMap<TenantId, Arc<MeterSet>>>,
    changes: ChangeList,
}

impl MemoryDefinitions {
    /// `tenant` is there from now on.
    pub fn put_tenant(&self, tenant: &TenantId, provider: &TenantId, periods: Vec<Period>) {
        let adopted =
            AdoptedTenant { tenant: tenant.clone(), provider: Some(provider.clone()), periods };
        self.tenants.lock().unwrap_or_else(PoisonError::into_inner).insert(tenant.clone(), adopted);
        self.changes.push(Changed::Tenant(tenant.clone()));
    }

    /// `provider` has these meters from now on, and keeps its backfills.
    pub fn put_meters(&self, provider: &TenantId, meters: Vec<Meter>, terms: Terms) {
        self.change(provider, |set| (set.meters, set.terms) = (meters, terms));
    }

    /// Events of `provider`'s tenants must keep to these schemas from now on.
    pub fn put_schemas(&self, provider: &TenantId, schemas: Vec<AdoptedSchema>) {
        self.change(provider, |set| set.schemas = schemas);
    }

    /// `provider` has these backfills from now on.
    pub fn put_backfills(&self, provider: &TenantId, backfills: Vec<BackfillOrder>) {
        self.change(provider, |set| set.backfills = backfills);
    }

    fn change(&self, provider: &TenantId, change: impl FnOnce(&mut AdoptedMeters)) {
        let mut sets = self.meters.lock().unwrap_or_else(PoisonError::into_inner);
        let mut adopted =
            sets.get(provider).map_or_else(|| none_of(provider), |set| set.adopted.clone());
        change(&mut adopted);
        adopted.version += 1;
        let position = (PartitionId(0), adopted.version);
        sets.insert(provider.clone(), Arc::new(MeterSet { adopted, position }));
        drop(sets);
        self.changes.push(Changed::Provider(provider.clone()));
    }
}

fn none_of(provider: &TenantId) -> AdoptedMeters {
    AdoptedMeters {
        provider: provider.clone(),
        version: 0,
        meters: Vec::new(),
        terms: Terms::default(),
        schemas: Vec::new(),
        backfills: Vec::new(),
    }
}

impl DefinitionsSource for MemoryDefinitions {
    fn tenant<'a>(
        &'a self,
        tenant: &'a TenantId,
    ) -> BoxFuture<'a, Result<TenantTerms, EngineError>> {
        let known = self.tenants.lock().unwrap_or_else(PoisonError::into_inner);
        let adopted = known.get(tenant).cloned().unwrap_or_else(|| AdoptedTenant {
            tenant: tenant.clone(),
            provider: None,
            periods: Vec::new(),
        });
        let terms = TenantTerms { adopted, position: (PartitionId(0), 0) };
        async move { Ok(terms) }.boxed()
    }

    fn meters<'a>(
        &'a self,
        provider: &'a TenantId,
    ) -> BoxFuture<'a, Result<Arc<MeterSet>, EngineError>> {
        let sets = self.meters.lock().unwrap_or_else(PoisonError::into_inner);
        let set = sets.get(provider).cloned().unwrap_or_else(|| {
            let adopted = none_of(provider);
            Arc::new(MeterSet { adopted, position: (PartitionId(0), 0) })
        });
        async move { Ok(set) }.boxed()
    }

    fn changed(&self) -> watch::Receiver<u64> {
        self.changes.changed()
    }

    fn changes_since(&self, since: u64) -> Option<Vec<Changed>> {
        self.changes.since(since)
    }
}
