//! What a partition has adopted of providers' catalogs, and what a selection comes to
//! in it. Copies may come late, twice and in any order: each version keeps the highest
//! status and the content it was told.

use std::collections::BTreeMap;
use std::sync::Arc;

use exchequer_types::{
    AddOnHolding, AddOnOffer, Currency, Cycle, Features, Hash, Holding, Offer, PlanContent,
    PlanRef, Selection, Slug, TenantId,
};

use crate::document::{AddOn, Document, Plan, Price};
use crate::event::Adoption;
use crate::{Content, Rejection, VersionStatus};

/// Versions of catalogs by provider. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Adopted {
    catalogs: Arc<BTreeMap<(TenantId, Slug), Arc<BTreeMap<u32, AdoptedVersion>>>>,
}

/// A version as the partition knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdoptedVersion {
    pub status: VersionStatus,
    pub hash: Hash,
    /// None: it has not come yet.
    pub content: Option<Content>,
}

/// Why a selection came to nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unresolved {
    /// The partition does not know it; it may come yet.
    NotAdopted {
        what: String,
    },
    Rejected(Rejection),
}

impl From<Rejection> for Unresolved {
    fn from(rejection: Rejection) -> Self {
        Self::Rejected(rejection)
    }
}

impl Adopted {
    pub fn get(
        &self,
        provider: &TenantId,
        catalog: &Slug,
        version: u32,
    ) -> Option<&AdoptedVersion> {
        self.versions(provider, catalog)?.get(&version)
    }

    /// All that is adopted, by provider, catalog and version.
    pub fn iter(&self) -> impl Iterator<Item = Adoption> {
        self.catalogs.iter().flat_map(|((provider, catalog), versions)| {
            versions.iter().map(|(version, it)| Adoption {
                provider: provider.clone(),
                catalog: catalog.clone(),
                version: *version,
                status: it.status,
                hash: it.hash,
                content: it.content.clone(),
            })
        })
    }

    /// Takes over what `it` tells beyond what is known.
    pub fn adopt(&mut self, it: Adoption) {
        let catalogs = Arc::make_mut(&mut self.catalogs);
        let versions = Arc::make_mut(catalogs.entry((it.provider, it.catalog)).or_default());
        let version = versions.entry(it.version).or_insert_with(|| AdoptedVersion {
            status: it.status,
            hash: it.hash,
            content: None,
        });
        version.status = version.status.max(it.status);
        if version.content.is_none() {
            version.content = it.content;
        }
    }

    /// What `selection` comes to. `held` is what the tenant has now, which it may keep
    /// and change in seats and add-ons although its version is retired.
    pub fn resolve(
        &self,
        provider: &TenantId,
        selection: &Selection,
        held: Option<&Holding>,
    ) -> Result<Holding, Unresolved> {
        let (version, document) = self.on_sale(provider, selection, held)?;
        let plan = document.plan(&selection.plan).ok_or_else(|| Rejection::PlanUnknown {
            catalog: selection.catalog.clone(),
            version,
            plan: selection.plan.clone(),
        })?;
        let price = plan.price(&selection.price).ok_or_else(|| Rejection::PriceUnknown {
            catalog: selection.catalog.clone(),
            version,
            plan: selection.plan.clone(),
            price: selection.price.clone(),
        })?;
        let plan_ref = PlanRef {
            provider: provider.clone(),
            catalog: selection.catalog.clone(),
            version,
            plan: plan.id.clone(),
        };
        let offer = offer(document, plan_ref, plan, price, selection.currency)?;
        let mut add_ons = Vec::with_capacity(selection.add_ons.len());
        for (id, quantity) in &selection.add_ons {
            let known = document.add_on(id).ok_or_else(|| Rejection::AddOnUnknown {
                catalog: selection.catalog.clone(),
                version,
                add_on: id.clone(),
            })?;
            add_ons.push(packs_of(known, &plan.id, *quantity, price.cycle, selection.currency)?);
        }
        Ok(Holding { offer, seats: selection.seats, add_ons })
    }

    /// What the plan includes and the add-ons add. None while the version is not adopted.
    pub fn content(&self, plan: &PlanRef, add_ons: &BTreeMap<Slug, u64>) -> Option<PlanContent> {
        let version = self.get(&plan.provider, &plan.catalog, plan.version)?;
        let document = version.content.as_ref()?.document();
        let included = document.included(document.plan(&plan.plan)?);
        let packs = add_ons.keys().filter_map(|id| {
            let features = document.add_on(id)?.features.iter();
            let features = features.map(|it| (it.feature.clone(), it.allowance));
            Some((id.clone(), features.collect::<Features>()))
        });
        Some(PlanContent { plan: included, add_ons: packs.collect() })
    }

    /// Does any version of any of the provider's catalogs that has come here name the feature?
    pub fn knows_feature(&self, provider: &TenantId, feature: &Slug) -> bool {
        let Ok(first) = Slug::parse("0") else { return false };
        let catalogs = self.catalogs.range((provider.clone(), first)..);
        let catalogs = catalogs.take_while(|((owner, _), _)| owner == provider);
        let mut versions = catalogs.flat_map(|(_, versions)| versions.values());
        versions.any(|it| {
            it.content.as_ref().is_some_and(|it| it.document().feature(feature).is_some())
        })
    }

    /// About how many bytes are held.
    pub(crate) fn weight(&self) -> usize {
        let contents = self.catalogs.values().flat_map(|it| it.values());
        contents.map(|it| 200 + it.content.as_ref().map_or(0, |it| 4 * it.bytes())).sum()
    }

    fn versions(
        &self,
        provider: &TenantId,
        catalog: &Slug,
    ) -> Option<&BTreeMap<u32, AdoptedVersion>> {
        self.catalogs.get(&(provider.clone(), catalog.clone())).map(Arc::as_ref)
    }

    /// The version that is meant, if it is sold to who holds `held`.
    fn on_sale(
        &self,
        provider: &TenantId,
        selection: &Selection,
        held: Option<&Holding>,
    ) -> Result<(u32, &Document), Unresolved> {
        let catalog = &selection.catalog;
        let not_adopted = |what: String| Unresolved::NotAdopted { what };
        let versions = self.versions(provider, catalog).ok_or_else(|| {
            not_adopted(format!("no version of the catalog {catalog} of {provider} is known here: it does not exist, or was published a moment ago"))
        })?;
        let newest = || {
            let published = |version: &AdoptedVersion| version.status == VersionStatus::Published;
            let newest = versions.iter().rev().find(|(_, version)| published(version));
            newest.or_else(|| versions.iter().next_back()).map(|(number, _)| *number)
        };
        let number = selection.version.or_else(newest).unwrap_or(0);
        let version = versions.get(&number).ok_or_else(|| {
            not_adopted(format!("version {number} of the catalog {catalog} is not known here: it does not exist, or was published a moment ago"))
        })?;
        if version.status == VersionStatus::Retired && !keeps(provider, number, selection, held) {
            let catalog = catalog.clone();
            return Err(Rejection::VersionRetired { catalog, version: number }.into());
        }
        let content = version.content.as_ref();
        let content = content.ok_or_else(|| {
            not_adopted(format!("version {number} of the catalog {catalog} has not come here yet"))
        })?;
        Ok((number, content.document()))
    }
}

/// Whether the selection names the very plan and price that are held.
fn keeps(provider: &TenantId, version: u32, wanted: &Selection, held: Option<&Holding>) -> bool {
    held.is_some_and(|held| {
        let plan = &held.offer.plan;
        plan.provider == *provider
            && plan.catalog == wanted.catalog
            && plan.version == version
            && plan.plan == wanted.plan
            && held.offer.price == wanted.price
    })
}

fn offer(
    document: &Document,
    plan_ref: PlanRef,
    plan: &Plan,
    price: &Price,
    currency: Currency,
) -> Result<Offer, Rejection> {
    let components = price.in_currency(currency).ok_or_else(|| Rejection::CurrencyNotOffered {
        price: price.id.clone(),
        currency,
        offered: price.currencies.iter().map(|it| it.currency).collect(),
    })?;
    Ok(Offer {
        plan: plan_ref,
        price: price.id.clone(),
        currency,
        cycle: price.cycle,
        components: components.to_vec(),
        proration: price.proration.unwrap_or(plan.proration),
        trial_days_max: plan.trial_days_max,
        seats_min: plan.seats_min,
        seats_max: plan.seats_max,
        downgrade: plan.downgrade,
        fallback: document.fallback.clone(),
    })
}

fn packs_of(
    known: &AddOn,
    plan: &Slug,
    quantity: u64,
    cycle: Cycle,
    currency: Currency,
) -> Result<AddOnHolding, Rejection> {
    let id = &known.id;
    if !known.plans.is_empty() && !known.plans.contains(plan) {
        return Err(Rejection::AddOnNotOffered {
            add_on: id.clone(),
            with: format!("the plan {plan}"),
        });
    }
    let amount = known.amount(cycle, currency).ok_or_else(|| Rejection::AddOnNotOffered {
        add_on: id.clone(),
        with: format!("a cycle of {cycle} in {currency}"),
    })?;
    let quantity_max = known.quantity_max.unwrap_or(crate::PACKS_MAX);
    if !(1..=quantity_max).contains(&quantity) {
        return Err(Rejection::AddOnQuantityInvalid { add_on: id.clone(), quantity_max });
    }
    Ok(AddOnHolding { offer: AddOnOffer { add_on: id.clone(), amount }, quantity })
}
