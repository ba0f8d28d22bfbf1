//! Tenants, meters and backfills as providers change them, and what each process has
//! heard of them so far: one behind another, and a process that was just started maybe
//! behind what the one before had taken over.

use core::time::Duration;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use exchequer_engine::EngineError;
use exchequer_engine::meter::{ChangeList, Changed, DefinitionsSource, MeterSet, TenantTerms};
use exchequer_metering::{
    AdoptedMeters, AdoptedTenant, Aggregation, BackfillOrder, Filter, GroupBy, Meter, Path, Scalar,
    Terms, Test,
};
use exchequer_types::{PartitionId, Period, Quantity, Slug, TenantId, Timestamp};
use futures::FutureExt as _;
use futures::future::BoxFuture;
use tokio::sync::watch;

use super::{SECOND, TYPES, provider, tenant};
use crate::exec::{Proc, Sim, lock};
use crate::rng::Rng;
use crate::workload::word;

const AGGREGATIONS: [Aggregation; 7] = Aggregation::ALL;
/// Meters that a provider may have.
const KEYS: [&str; 5] = ["calls", "tokens", "peak", "seats", "mean"];

/// One change; its place in the list is its place in the journal.
#[derive(Clone, Debug)]
enum Change {
    Tenant(AdoptedTenant),
    Meters(AdoptedMeters),
}

/// What is true. Cloning shares it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Definitions(Arc<Mutex<Vec<Change>>>);

impl Definitions {
    fn meters(&self, of: &TenantId) -> AdoptedMeters {
        let changes = lock(&self.0);
        let of_provider = |change: &Change| match change {
            Change::Meters(it) if it.provider == *of => Some(it.clone()),
            _ => None,
        };
        changes.iter().rev().find_map(of_provider).unwrap_or_else(|| none_of(of))
    }

    fn tenant(&self, of: &TenantId) -> AdoptedTenant {
        let changes = lock(&self.0);
        let of_tenant = |change: &Change| match change {
            Change::Tenant(it) if it.tenant == *of => Some(it.clone()),
            _ => None,
        };
        changes.iter().rev().find_map(of_tenant).unwrap_or_else(|| nobody(of))
    }

    fn push(&self, change: Change) {
        lock(&self.0).push(change);
    }

    /// Versions of every meter that there ever was: provider, key, version.
    pub(crate) fn all_meters(&self) -> Vec<(TenantId, Meter)> {
        let mut found: Vec<(TenantId, Meter)> = Vec::new();
        for change in lock(&self.0).iter() {
            let Change::Meters(it) = change else { continue };
            for meter in &it.meters {
                let known = (it.provider.clone(), meter.clone());
                if !found.contains(&known) {
                    found.push(known);
                }
            }
        }
        found
    }

    /// A tenant that nobody knew appears, with its billing periods.
    pub(crate) fn add_tenant(&self, number: u64, of: u64, rng: &mut Rng, now: Timestamp) {
        let id = tenant(number);
        if self.tenant(&id).provider.is_some() {
            return;
        }
        let start = now.saturating_sub(Duration::from_secs(rng.below(3 * 86_400)));
        let mut periods = Vec::new();
        let mut begin = start;
        for _ in 0..rng.below(3) {
            let end = begin.saturating_add(Duration::from_secs(rng.within(3_600, 30 * 86_400)));
            periods.push(Period { start: begin, end });
            begin = end;
        }
        self.push(Change::Tenant(AdoptedTenant {
            tenant: id,
            provider: Some(provider(of)),
            periods,
        }));
    }

    /// Something of a provider changes: a meter comes, has other rules, or goes; its terms;
    /// or a backfill is asked for.
    pub(crate) fn change_meters(&self, of: u64, rng: &mut Rng, now: Timestamp) {
        let mut set = self.meters(&provider(of));
        match rng.below(10) {
            0 if !set.meters.is_empty() => {
                let gone = rng.below(set.meters.len() as u64) as usize;
                set.meters.remove(gone);
            }
            1 => set.terms = terms(rng),
            2..5 if !set.meters.is_empty() => order_backfill(&mut set, rng, now),
            _ => self.change_meter(&provider(of), &mut set, rng),
        }
        let in_force = set.meters.clone();
        set.backfills.retain(|order| {
            in_force.iter().any(|it| it.key == order.meter && it.version == order.version)
        });
        set.version += 1;
        self.push(Change::Meters(set));
    }

    fn change_meter(&self, of: &TenantId, set: &mut AdoptedMeters, rng: &mut Rng) {
        let key: Slug = word(Slug::parse(rng.word(&KEYS)));
        let versions = self.all_meters();
        let last = versions.iter().filter(|(by, it)| by == of && it.key == key);
        let version = last.map(|(_, it)| it.version).max().unwrap_or(0) + 1;
        let meter = meter(key.clone(), version, rng);
        set.meters.retain(|it| it.key != key);
        set.meters.push(meter);
        set.meters.sort_by(|a, b| a.key.cmp(&b.key));
    }
}

fn order_backfill(set: &mut AdoptedMeters, rng: &mut Rng, now: Timestamp) {
    let meter = rng.pick(&set.meters).clone();
    if set.backfills.iter().any(|it| it.meter == meter.key && it.version == meter.version) {
        return;
    }
    let from = now.saturating_sub(Duration::from_secs(rng.below(4 * 86_400)));
    let until = rng
        .chance(400)
        .then(|| from.saturating_add(Duration::from_secs(rng.within(60, 3 * 86_400))));
    let id = format!("backfill-{}-{}-{}", set.provider, meter.key, meter.version);
    set.backfills.push(BackfillOrder { id, meter: meter.key, version: meter.version, from, until });
    set.backfills.sort_by(|a, b| a.meter.cmp(&b.meter));
}

fn terms(rng: &mut Rng) -> Terms {
    Terms {
        ahead_max: Duration::from_secs(rng.within(60, 7_200)),
        behind_max: Duration::from_secs(rng.within(3_600, 35 * 86_400)),
        lateness: Duration::from_secs(rng.within(1, 7_200)),
    }
}

fn path(name: &str) -> Path {
    word(Path::parse(&format!("$.{name}")))
}

fn meter(key: Slug, version: u32, rng: &mut Rng) -> Meter {
    let aggregation = match rng.below(10) {
        0..3 => Aggregation::Count,
        3..6 => Aggregation::Sum,
        _ => *rng.pick(&AGGREGATIONS),
    };
    let value = match aggregation {
        Aggregation::Count => None,
        Aggregation::UniqueCount => Some(path(rng.word(&["user", "n"]))),
        _ => Some(path("n")),
    };
    let names = ["model", "region"];
    let group_by = names
        .into_iter()
        .filter(|_| rng.chance(500))
        .map(|name| GroupBy { name: word(Slug::parse(name)), path: path(name) });
    let group_by = group_by.collect();
    let mut filters = Vec::new();
    if rng.chance(300) {
        filters.push(Filter { path: path(rng.word(&["model", "region"])), test: test(rng) });
    }
    Meter {
        key,
        version,
        event_type: rng.word(&TYPES).to_owned(),
        aggregation,
        value,
        group_by,
        filters,
        unit: "pieces".to_owned(),
        groups_max: 10_000,
    }
}

fn test(rng: &mut Rng) -> Test {
    let text = |text: &str| Scalar::Text(text.to_owned());
    match rng.below(5) {
        0 => Test::In(vec![text("m0"), text("r1")]),
        1 => Test::NotIn(vec![text("m1"), text("r0")]),
        2 => Test::AtLeast(Quantity::ONE),
        3 => Test::Exists,
        _ => Test::Missing,
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

fn nobody(tenant: &TenantId) -> AdoptedTenant {
    AdoptedTenant { tenant: tenant.clone(), provider: None, periods: Vec::new() }
}

/// What one process has heard.
#[derive(Debug)]
pub(crate) struct Heard {
    all: Definitions,
    state: Mutex<State>,
    changes: ChangeList,
}

#[derive(Debug, Default)]
struct State {
    /// Changes that were heard of.
    count: usize,
    tenants: BTreeMap<TenantId, (AdoptedTenant, u64)>,
    meters: BTreeMap<TenantId, Arc<MeterSet>>,
}

impl Heard {
    /// Of a process that is started now: it may lack the last changes, and hears of them
    /// one after the other.
    pub(crate) fn begin(all: &Definitions, sim: &Sim, proc: Proc, lags: bool) -> Arc<Self> {
        let it = Arc::new(Self {
            all: all.clone(),
            state: Mutex::default(),
            changes: ChangeList::default(),
        });
        let behind = if lags && sim.chance(500) { sim.within(0, 4) as usize } else { 0 };
        let count = lock(&all.0).len().saturating_sub(behind);
        for _ in 0..count {
            it.hear();
        }
        let (hearing, clock) = (Arc::clone(&it), sim.clone());
        sim.spawn_on(proc, async move {
            loop {
                let wait = if lags { clock.within(1_000, SECOND) } else { 50_000 };
                clock.sleep(wait).await;
                hearing.hear();
            }
        });
        it
    }

    fn hear(&self) {
        let mut state = lock(&self.state);
        let Some(change) = lock(&self.all.0).get(state.count).cloned() else { return };
        state.count += 1;
        let position = state.count as u64;
        let changed = match change {
            Change::Tenant(it) => {
                let id = it.tenant.clone();
                state.tenants.insert(id.clone(), (it, position));
                Changed::Tenant(id)
            }
            Change::Meters(adopted) => {
                let id = adopted.provider.clone();
                let set = MeterSet { adopted, position: (PartitionId(0), position) };
                state.meters.insert(id.clone(), Arc::new(set));
                Changed::Provider(id)
            }
        };
        drop(state);
        self.changes.push(changed);
    }
}

impl DefinitionsSource for Heard {
    fn tenant<'a>(
        &'a self,
        tenant: &'a TenantId,
    ) -> BoxFuture<'a, Result<TenantTerms, EngineError>> {
        let state = lock(&self.state);
        let known = state.tenants.get(tenant).cloned();
        let (adopted, position) = known.unwrap_or_else(|| (nobody(tenant), state.count as u64));
        let terms = TenantTerms { adopted, position: (PartitionId(0), position) };
        async move { Ok(terms) }.boxed()
    }

    fn meters<'a>(
        &'a self,
        provider: &'a TenantId,
    ) -> BoxFuture<'a, Result<Arc<MeterSet>, EngineError>> {
        let state = lock(&self.state);
        let set = state.meters.get(provider).cloned().unwrap_or_else(|| {
            let position = (PartitionId(0), state.count as u64);
            Arc::new(MeterSet { adopted: none_of(provider), position })
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
