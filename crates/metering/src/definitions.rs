//! What a partition of usage has adopted: which tenants there are, whose meters count
//! their events, and where their billing periods begin. It changes only by what a seal
//! names, so that whoever folds the same seals judges alike. Earlier versions stay for a
//! while, since a correction is about an event that was counted under one of them.

use std::collections::BTreeMap;
use std::sync::Arc;

use exchequer_types::{Offset, Period, Slug, TenantId, Timestamp};

use crate::judge::Terms;
use crate::measure::Meters;
use crate::meter::Meter;
use crate::schema::{AdoptedSchema, Checked, NoSchemas, Schemas};

/// Versions that are kept of one tenant, or of one provider's definitions. An event that was
/// judged by an older one stays as it was counted: it cannot be corrected, and no revision
/// looks at it.
pub const VERSIONS_KEPT_MAX: usize = 1_024;
/// Billing periods that one adoption names.
pub const PERIODS_MAX: usize = 16;
/// Billing periods before those that were adopted last.
pub const PERIODS_EARLIER_MAX: usize = 64;

/// What is taken over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Adoption {
    Tenant(AdoptedTenant),
    Meters(AdoptedMeters),
}

/// A tenant, or that there is none of this id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdoptedTenant {
    pub tenant: TenantId,
    /// Whose meters count its events; none when there is no such tenant.
    pub provider: Option<TenantId>,
    /// Billing periods that are known, ascending, without overlap; at most `PERIODS_MAX`.
    pub periods: Vec<Period>,
}

/// All meters of a provider that are in force, with how its tenants' events are taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdoptedMeters {
    pub provider: TenantId,
    /// Only ever goes up.
    pub version: u64,
    pub meters: Vec<Meter>,
    pub terms: Terms,
    /// By type; one each.
    pub schemas: Vec<AdoptedSchema>,
    /// Of `meters`, by meter, in the order in which they were asked for.
    pub backfills: Vec<BackfillOrder>,
}

/// A version of a meter is to count events that were received before it came into force.
/// Orders of one version never overlap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackfillOrder {
    /// Of the command that asked for it.
    pub id: String,
    pub meter: Slug,
    pub version: u32,
    /// Of event time.
    pub from: Timestamp,
    /// Excluded. None: up to the version's coming into force.
    pub until: Option<Timestamp>,
}

/// A provider's meters, ready to read events.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InForce {
    pub version: u64,
    pub meters: Meters,
    pub terms: Terms,
    pub backfills: Vec<BackfillOrder>,
    /// By type of events.
    schemas: BTreeMap<String, Arc<Checked>>,
}

/// A tenant, and whose texts its contributions share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownTenant {
    pub id: Arc<TenantId>,
    pub provider: Option<TenantId>,
    /// As they were adopted last.
    pub periods: Vec<Period>,
    /// Those adopted before that begin before these do, at most `PERIODS_EARLIER_MAX`.
    earlier: Vec<Period>,
}

/// All that one partition has adopted.
#[derive(Clone, Debug)]
pub struct Definitions {
    tenants: BTreeMap<String, Versions<KnownTenant>>,
    meters: BTreeMap<TenantId, Versions<InForce>>,
    /// From which record on each version of a meter is in force.
    since: BTreeMap<(TenantId, Slug, u32), Offset>,
    /// All backfills that were ever ordered, with the seal that first named each.
    orders: BTreeMap<TenantId, Vec<(u64, BackfillOrder)>>,
    schemas: Arc<dyn Schemas>,
}

/// Ascending by seal.
#[derive(Clone, Debug)]
struct Versions<T> {
    kept: Vec<Version<T>>,
    /// Were there earlier ones?
    has_forgotten: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Version<T> {
    /// Seq of the seal that names it.
    seal: u64,
    /// From this record on it is in force.
    from: Offset,
    it: Arc<T>,
}

/// What an event of a tenant is judged by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct View {
    pub tenant: Arc<KnownTenant>,
    /// None when the tenant has no provider, or nothing was adopted of that.
    pub in_force: Option<Arc<InForce>>,
}

impl View {
    /// Does every event of type `kind` come to the same by both?
    pub(crate) fn judges_alike(&self, other: &Self, kind: &str) -> bool {
        let is_alike = match (&self.in_force, &other.in_force) {
            (None, None) => true,
            (Some(own), Some(others)) => {
                own.terms == others.terms
                    && own.schemas.get(kind) == others.schemas.get(kind)
                    && own.meters.shares(&others.meters, kind)
            }
            _ => false,
        };
        is_alike && Arc::ptr_eq(&self.tenant, &other.tenant)
    }
}

impl InForce {
    /// The schema that events of type `kind` must keep to.
    pub(crate) fn schema(&self, kind: &str) -> Option<&Checked> {
        self.schemas.get(kind).map(Arc::as_ref)
    }
}

impl KnownTenant {
    /// The billing period that `time` lies in.
    pub fn period(&self, time: Timestamp) -> Option<Period> {
        let of = |periods: &[Period]| {
            let behind = periods.partition_point(|period| period.start <= time);
            periods.get(behind.checked_sub(1)?).copied()
        };
        of(&self.periods).or_else(|| of(&self.earlier)).filter(|period| time < period.end)
    }

    /// From which time on events lie in periods that begin elsewhere than those of `before`
    /// do; none when all begin alike.
    pub fn moved_since(&self, before: &Self) -> Option<Timestamp> {
        let all = [&self.periods, &self.earlier, &before.periods, &before.earlier];
        let mut times: Vec<Timestamp> =
            all.into_iter().flatten().flat_map(|it| [it.start, it.end]).collect();
        times.sort_unstable();
        let start = |of: &Self, time| of.period(time).map(|it| it.start);
        times.into_iter().find(|time| start(self, *time) != start(before, *time))
    }

    fn behind(before: Option<&Self>, it: AdoptedTenant) -> Self {
        let id = before.map_or_else(|| Arc::new(it.tenant), |before| Arc::clone(&before.id));
        let first = it.periods.first().map_or(Timestamp::MAX, |first| first.start);
        let known =
            before.into_iter().flat_map(|before| before.earlier.iter().chain(&before.periods));
        let mut earlier: Vec<Period> =
            known.copied().filter(|period| period.start < first).collect();
        let surplus = earlier.len().saturating_sub(PERIODS_EARLIER_MAX);
        earlier.drain(..surplus);
        Self { id, provider: it.provider, periods: it.periods, earlier }
    }
}

impl Default for Definitions {
    /// Checks no schemas.
    fn default() -> Self {
        Self::new(Arc::new(NoSchemas))
    }
}

impl Definitions {
    /// None yet; `schemas` compiles those that come.
    pub fn new(schemas: Arc<dyn Schemas>) -> Self {
        let (tenants, meters) = (BTreeMap::new(), BTreeMap::new());
        Self { tenants, meters, since: BTreeMap::new(), orders: BTreeMap::new(), schemas }
    }

    /// Takes `adoption` over, as `seal` names it: it is in force for records from `from` on.
    /// Seals come in their order.
    pub fn adopt(&mut self, seal: u64, from: Offset, adoption: Adoption) {
        match adoption {
            Adoption::Tenant(it) => {
                let versions = self.tenants.entry(it.tenant.as_str().to_owned()).or_default();
                let it = KnownTenant::behind(versions.last().map(Arc::as_ref), it);
                versions.push(seal, from, it);
            }
            Adoption::Meters(it) => self.adopt_meters(seal, from, it),
        }
    }

    fn adopt_meters(&mut self, seal: u64, from: Offset, it: AdoptedMeters) {
        for meter in &it.meters {
            let name = (it.provider.clone(), meter.key.clone(), meter.version);
            self.since.entry(name).or_insert(from);
        }
        let known = self.orders.entry(it.provider.clone()).or_default();
        for order in &it.backfills {
            if known.iter().all(|(_, it)| it.id != order.id) {
                known.push((seal, order.clone()));
            }
        }
        let versions = self.meters.entry(it.provider).or_default();
        let none = InForce::default();
        let before = versions.last().map_or(&none, Arc::as_ref);
        let schemas = it.schemas.into_iter().map(|it| {
            let known = before.schemas.get(&it.kind).filter(|known| known.is(&it)).map(Arc::clone);
            let kind = it.kind.clone();
            (kind, known.unwrap_or_else(|| Arc::new(Checked::new(it, self.schemas.as_ref()))))
        });
        let it = InForce {
            version: it.version,
            schemas: schemas.collect(),
            meters: Meters::behind(&before.meters, it.meters),
            terms: it.terms,
            backfills: it.backfills,
        };
        versions.push(seal, from, it);
    }

    /// Is it known what the record of `tenant` at `offset` was judged by? Not when too many
    /// versions came since.
    pub fn remembers(&self, tenant: &str, offset: Offset) -> bool {
        let Some(tenants) = self.tenants.get(tenant) else { return true };
        let providers = tenants.kept.iter().filter_map(|it| it.it.provider.as_ref());
        let mut meters = providers.filter_map(|it| self.meters.get(it));
        tenants.remember(offset) && meters.all(|versions| versions.remember(offset))
    }

    /// All that events of `tenant` have been judged by since the record at `offset` was, with
    /// the seal that each begins with: what was in force for that record (seal 0), and what
    /// each seal that changed something made of it.
    pub fn views_since(&self, tenant: &str, offset: Offset) -> Vec<(u64, View)> {
        let Some(tenants) = self.tenants.get(tenant) else { return Vec::new() };
        let mut seals: Vec<u64> =
            tenants.kept.iter().filter(|it| it.from > offset).map(|it| it.seal).collect();
        for provider in tenants.kept.iter().filter_map(|it| it.it.provider.as_ref()) {
            let versions = self.meters.get(provider).into_iter().flat_map(|it| &it.kept);
            seals.extend(versions.filter(|it| it.from > offset).map(|it| it.seal));
        }
        seals.sort_unstable();
        seals.dedup();
        let first = self.view(tenants, &|_, from| from <= offset).map(|view| (0, view));
        let later = seals.into_iter().filter_map(|seal| {
            let view = self.view(tenants, &|of, from| from <= offset || of <= seal)?;
            Some((seal, view))
        });
        first.into_iter().chain(later).collect()
    }

    /// From which time on events of the tenant lie in other billing periods once it is taken
    /// over: none when nothing was adopted of it, or none do.
    pub(crate) fn would_move(&self, it: &AdoptedTenant) -> Option<Timestamp> {
        let before = self.tenant(it.tenant.as_str())?;
        KnownTenant::behind(Some(before), it.clone()).moved_since(before)
    }

    /// The billing period of an event of `tenant` at `offset`, by what was adopted before
    /// `seal`, or in force for it.
    pub(crate) fn period_before(
        &self,
        tenant: &str,
        (offset, time): (Offset, Timestamp),
        seal: u64,
    ) -> Option<Period> {
        let versions = self.tenants.get(tenant)?;
        last(versions, &|of, from| from <= offset || of < seal)?.period(time)
    }

    /// What events of `tenant` are judged by from `seal` on, until the next change.
    pub fn view_at(&self, tenant: &str, seal: u64) -> Option<View> {
        self.view(self.tenants.get(tenant)?, &|of, _| of <= seal)
    }

    fn view(
        &self,
        tenants: &Versions<KnownTenant>,
        is_in: &dyn Fn(u64, Offset) -> bool,
    ) -> Option<View> {
        let tenant = last(tenants, is_in)?;
        let meters = tenant.provider.as_ref().and_then(|it| self.meters.get(it));
        let in_force = meters.and_then(|versions| last(versions, is_in)).cloned();
        Some(View { tenant: Arc::clone(tenant), in_force })
    }

    /// The seal that first named the backfill `id` of `provider`.
    pub fn ordered_at(&self, provider: &TenantId, id: &str) -> Option<u64> {
        let orders = self.orders.get(provider)?;
        orders.iter().find(|(_, order)| order.id == id).map(|(seal, _)| *seal)
    }

    /// All backfills that were ever ordered of `provider`, those of meters that have other
    /// rules by now or are retired too: what they have counted stays in the figures.
    pub fn orders(&self, provider: &TenantId) -> impl Iterator<Item = &BackfillOrder> {
        self.orders.get(provider).into_iter().flatten().map(|(_, order)| order)
    }

    /// The first record from which version `version` of the meter `key` of `provider` is in
    /// force.
    pub fn in_force_from(&self, provider: &TenantId, key: &Slug, version: u32) -> Option<Offset> {
        self.since.get(&(provider.clone(), key.clone(), version)).copied()
    }

    /// The tenant as it is known now; none when nothing was adopted of it.
    pub fn tenant(&self, id: &str) -> Option<&Arc<KnownTenant>> {
        self.tenants.get(id)?.last()
    }

    /// A provider's meters that are in force now; none when nothing was adopted of it.
    pub fn meters(&self, provider: &TenantId) -> Option<&Arc<InForce>> {
        self.meters.get(provider)?.last()
    }

    /// Tenants of which something was adopted.
    pub fn tenants(&self) -> impl Iterator<Item = &Arc<KnownTenant>> {
        self.tenants.values().filter_map(Versions::last)
    }

    /// Providers of which meters were adopted.
    pub fn providers(&self) -> impl Iterator<Item = (&TenantId, &Arc<InForce>)> {
        self.meters.iter().filter_map(|(id, versions)| Some((id, versions.last()?)))
    }
}

impl<T> Default for Versions<T> {
    fn default() -> Self {
        Self { kept: Vec::new(), has_forgotten: false }
    }
}

impl<T> Versions<T> {
    fn push(&mut self, seal: u64, from: Offset, it: T) {
        self.kept.push(Version { seal, from, it: Arc::new(it) });
        if self.kept.len() > VERSIONS_KEPT_MAX {
            self.kept.remove(0);
            self.has_forgotten = true;
        }
    }

    fn last(&self) -> Option<&Arc<T>> {
        self.kept.last().map(|version| &version.it)
    }

    /// Is it known what was in force for the record at `offset`?
    fn remember(&self, offset: Offset) -> bool {
        !self.has_forgotten || self.kept.first().is_some_and(|first| first.from <= offset)
    }
}

/// The last one that is in. None is behind one that is not.
fn last<'a, T>(
    versions: &'a Versions<T>,
    is_in: &dyn Fn(u64, Offset) -> bool,
) -> Option<&'a Arc<T>> {
    let behind = versions.kept.partition_point(|it| is_in(it.seal, it.from));
    Some(&versions.kept.get(behind.checked_sub(1)?)?.it)
}
