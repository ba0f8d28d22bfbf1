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

/// Earlier versions that are kept of one tenant, or of one provider's meters. What was
/// counted under an older one can't be told or taken back any more.
pub const VERSIONS_KEPT_MAX: usize = 1_024;
/// Billing periods that are kept of one tenant.
pub const PERIODS_MAX: usize = 16;

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
}

/// A tenant, and whose texts its contributions share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownTenant {
    pub id: Arc<TenantId>,
    pub provider: Option<TenantId>,
    pub periods: Vec<Period>,
}

/// All that one partition has adopted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Definitions {
    tenants: BTreeMap<String, Versions<KnownTenant>>,
    meters: BTreeMap<TenantId, Versions<InForce>>,
}

/// Ascending by seal.
type Versions<T> = Vec<Version<T>>;

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
                own.terms == others.terms && own.meters.shares(&others.meters, kind)
            }
            _ => false,
        };
        is_alike && Arc::ptr_eq(&self.tenant, &other.tenant)
    }
}

impl KnownTenant {
    /// The billing period that `time` lies in.
    pub fn period(&self, time: Timestamp) -> Option<Period> {
        let behind = self.periods.partition_point(|period| period.start <= time);
        let period = self.periods.get(behind.checked_sub(1)?)?;
        (time < period.end).then_some(*period)
    }
}

impl Definitions {
    /// Takes `adoption` over, as `seal` names it: it is in force for records from `from` on.
    /// Seals come in their order.
    pub fn adopt(&mut self, seal: u64, from: Offset, adoption: Adoption) {
        match adoption {
            Adoption::Tenant(it) => {
                let versions = self.tenants.entry(it.tenant.as_str().to_owned()).or_default();
                let known = versions.last().map(|version| Arc::clone(&version.it.id));
                let id = known.unwrap_or_else(|| Arc::new(it.tenant));
                let it = KnownTenant { id, provider: it.provider, periods: it.periods };
                push(versions, seal, from, it);
            }
            Adoption::Meters(it) => {
                let versions = self.meters.entry(it.provider).or_default();
                let none = Meters::default();
                let before = versions.last().map_or(&none, |version| &version.it.meters);
                let meters = Meters::behind(before, it.meters);
                let (version, terms, backfills) = (it.version, it.terms, it.backfills);
                push(versions, seal, from, InForce { version, meters, terms, backfills });
            }
        }
    }

    /// All that events of `tenant` have been judged by since the record at `offset` was, with
    /// the seal that each begins with: what was in force for that record (seal 0), and what
    /// each seal that changed something made of it.
    pub fn views_since(&self, tenant: &str, offset: Offset) -> Vec<(u64, View)> {
        let Some(tenants) = self.tenants.get(tenant) else { return Vec::new() };
        let mut seals: Vec<u64> =
            tenants.iter().filter(|it| it.from > offset).map(|it| it.seal).collect();
        for provider in tenants.iter().filter_map(|it| it.it.provider.as_ref()) {
            let versions = self.meters.get(provider).into_iter().flatten();
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

    /// What events of `tenant` are judged by from `seal` on, until the next change.
    pub fn view_at(&self, tenant: &str, seal: u64) -> Option<View> {
        self.view(self.tenants.get(tenant)?, &|of, _| of <= seal)
    }

    fn view(
        &self,
        tenants: &[Version<KnownTenant>],
        is_in: &dyn Fn(u64, Offset) -> bool,
    ) -> Option<View> {
        let tenant = last(tenants, is_in)?;
        let meters = tenant.provider.as_ref().and_then(|it| self.meters.get(it));
        let in_force = meters.and_then(|versions| last(versions, is_in)).cloned();
        Some(View { tenant: Arc::clone(tenant), in_force })
    }

    /// The seal that first named the backfill `id` of `provider`.
    pub fn ordered_at(&self, provider: &TenantId, id: &str) -> Option<u64> {
        let versions = self.meters.get(provider)?;
        let has = |it: &&Version<InForce>| it.it.backfills.iter().any(|order| order.id == id);
        versions.iter().find(has).map(|it| it.seal)
    }

    /// All backfills that were ever ordered of `provider`, those of meters that have other
    /// rules by now or are retired too: what they have counted stays in the figures.
    pub fn orders(&self, provider: &TenantId) -> Vec<&BackfillOrder> {
        let versions = self.meters.get(provider).into_iter().flatten();
        let mut orders: Vec<&BackfillOrder> = Vec::new();
        for order in versions.flat_map(|it| &it.it.backfills) {
            if orders.iter().all(|it| it.id != order.id) {
                orders.push(order);
            }
        }
        orders
    }

    /// The first record from which version `version` of the meter `key` of `provider` is in
    /// force.
    pub fn in_force_from(&self, provider: &TenantId, key: &Slug, version: u32) -> Option<Offset> {
        let versions = self.meters.get(provider)?;
        let has = |it: &&Version<InForce>| {
            it.it.meters.iter().any(|meter| meter.key == *key && meter.version == version)
        };
        versions.iter().find(has).map(|it| it.from)
    }

    /// The tenant as it is known now; none when nothing was adopted of it.
    pub fn tenant(&self, id: &str) -> Option<&Arc<KnownTenant>> {
        Some(&self.tenants.get(id)?.last()?.it)
    }

    /// A provider's meters that are in force now; none when nothing was adopted of it.
    pub fn meters(&self, provider: &TenantId) -> Option<&Arc<InForce>> {
        Some(&self.meters.get(provider)?.last()?.it)
    }

    /// Tenants of which something was adopted.
    pub fn tenants(&self) -> impl Iterator<Item = &Arc<KnownTenant>> {
        self.tenants.values().filter_map(|versions| Some(&versions.last()?.it))
    }

    /// Providers of which meters were adopted.
    pub fn providers(&self) -> impl Iterator<Item = (&TenantId, &Arc<InForce>)> {
        self.meters.iter().filter_map(|(id, versions)| Some((id, &versions.last()?.it)))
    }
}

fn push<T>(versions: &mut Versions<T>, seal: u64, from: Offset, it: T) {
    versions.push(Version { seal, from, it: Arc::new(it) });
    if versions.len() > VERSIONS_KEPT_MAX {
        versions.remove(0);
    }
}

/// The last one that is in. None is behind one that is not.
fn last<'a, T>(
    versions: &'a [Version<T>],
    is_in: &dyn Fn(u64, Offset) -> bool,
) -> Option<&'a Arc<T>> {
    let behind = versions.partition_point(|it| is_in(it.seal, it.from));
    Some(&versions.get(behind.checked_sub(1)?)?.it)
}
