//! SIM-19 and SIM-21: what a tenant may use, worked out from its plan's document, its
//! packs and its grants, and compared with what the domain and gateways answer.

use std::collections::BTreeMap;

use exchequer_domain_catalog::{self as catalog, Adopted, Content, VersionStatus};
use exchequer_domain_entitlements::{Amount, Decision, Expiry, GrantKind, Rule};
use exchequer_tenant::Event;
use exchequer_types::{
    Allowance, Features, PlanContent, PlanRef, Slug, StreamId, TenantId, Timestamp,
};

use super::happened::History;
use super::shadow::Shadow;

/// Every version of every catalog that was published.
#[derive(Debug, Default)]
pub(crate) struct Documents(BTreeMap<(TenantId, Slug, u32), (Content, VersionStatus)>);

#[derive(Clone, Debug)]
pub(crate) struct Grant {
    pub(crate) feature: Slug,
    pub(crate) amount: Amount,
    pub(crate) kind: GrantKind,
    pub(crate) expiry: Option<Expiry>,
}

impl Documents {
    pub(crate) fn read(histories: &BTreeMap<String, History>) -> Self {
        let mut documents = BTreeMap::new();
        for (stream, history) in histories {
            let Ok(StreamId::Tenant(provider)) = StreamId::parse(stream) else { continue };
            for happened in history.steps.iter().flat_map(|step| &step.events) {
                match &happened.event {
                    Event::Catalog(catalog::Event::Published { catalog, version, content }) => {
                        let key = (provider.clone(), catalog.clone(), *version);
                        documents.insert(key, (content.clone(), VersionStatus::Published));
                    }
                    Event::Catalog(catalog::Event::Retired { catalog, version, .. }) => {
                        let key = (provider.clone(), catalog.clone(), *version);
                        documents.entry(key).and_modify(|it| it.1 = VersionStatus::Retired);
                    }
                    _ => {}
                }
            }
        }
        Self(documents)
    }

    /// SIM-9: a version that `adopted` lacks, or knows otherwise.
    pub(crate) fn missing(&self, adopted: &Adopted) -> Option<String> {
        self.0.iter().find_map(|((provider, catalog, version), (content, status))| {
            let found = adopted.get(provider, catalog, *version);
            let is_known = found.is_some_and(|it| {
                it.status == *status
                    && it.hash == content.hash()
                    && it.content.as_ref() == Some(content)
            });
            let found = found.map(|it| it.status);
            (!is_known).then(|| {
                format!("version {version} of {catalog} of {provider}, {status:?}: {found:?}")
            })
        })
    }

    /// What the plan includes, and a pack of each of these add-ons.
    pub(crate) fn content(
        &self,
        plan: &PlanRef,
        packs: &BTreeMap<Slug, u64>,
    ) -> Option<PlanContent> {
        let key = (plan.provider.clone(), plan.catalog.clone(), plan.version);
        let document = self.0.get(&key)?.0.document();
        let mut included = Features::new();
        let mut next = Some(document.plans.iter().find(|it| it.id == plan.plan)?);
        let mut said = Vec::new();
        while let Some(plan) = next {
            for it in &plan.features {
                if !said.contains(&&it.feature) {
                    said.push(&it.feature);
                    included.extend(it.allowance.map(|allowance| (it.feature.clone(), allowance)));
                }
            }
            let base = plan.extends.as_ref();
            next = base.and_then(|base| document.plans.iter().find(|it| it.id == *base));
        }
        let mut add_ons = BTreeMap::new();
        for id in packs.keys() {
            let add_on = document.add_ons.iter().find(|it| it.id == *id)?;
            let features = add_on.features.iter().map(|it| (it.feature.clone(), it.allowance));
            add_ons.insert(id.clone(), features.collect::<Features>());
        }
        Some(PlanContent { plan: included, add_ons })
    }
}

/// Compares `decision` about `feature` at `at` with what `shadow` gives a reason for.
pub(crate) fn check(
    shadow: &Shadow,
    documents: &Documents,
    feature: &Slug,
    at: Timestamp,
    decision: &Decision,
) -> Result<(), String> {
    let reasons = reasons(shadow, documents, feature, at);
    let told = || format!("{feature} at {at}: {decision:?}, by {reasons:?}");
    let mut given: Vec<_> = decision.parts.iter().map(|it| (it.rule.clone(), it.amount)).collect();
    let mut wanted = reasons.clone();
    let by_text = |it: &(Rule, Amount)| format!("{:?}", it.0);
    given.sort_by_key(by_text);
    wanted.sort_by_key(by_text);
    let used = shadow.used.get(feature).copied().unwrap_or(0);
    let (limit, left) = sum(&reasons);
    let is_allowed = !reasons.is_empty() && left.is_none_or(|units| used < units);
    let is_right = given == wanted
        && decision.limit == limit
        && decision.used == used
        && decision.allowed == is_allowed
        && (reasons.is_empty() || reasons.iter().any(|(rule, _)| *rule == decision.rule));
    if is_right { Ok(()) } else { Err(told()) }
}

/// Does anything give the feature?
pub(crate) fn has(shadow: &Shadow, documents: &Documents, feature: &Slug, at: Timestamp) -> bool {
    !reasons(shadow, documents, feature, at).is_empty()
}

/// All that gives the feature now.
fn reasons(
    shadow: &Shadow,
    documents: &Documents,
    feature: &Slug,
    at: Timestamp,
) -> Vec<(Rule, Amount)> {
    let mut reasons = Vec::new();
    for (id, grant) in &shadow.grants {
        let lasts = grant.expiry.as_ref().is_none_or(|expiry| at < expiry.at);
        if grant.feature == *feature && lasts {
            reasons.push((Rule::Grant { id: id.clone(), kind: grant.kind }, grant.amount));
        }
    }
    if let Some(held) = shadow.held(at) {
        let content = documents.content(&held.plan, &held.add_ons).unwrap_or_default();
        if let Some(allowance) = content.plan.get(feature) {
            let rule = Rule::Plan { plan: held.plan.clone(), by: held.by };
            reasons.push((rule, amount(*allowance, held.seats)));
        }
        for (id, packs) in &held.add_ons {
            let allowance = content.add_ons.get(id).and_then(|it| it.get(feature));
            if let Some(allowance) = allowance {
                let amount = match amount(*allowance, 0) {
                    Amount::Units(units) => Amount::Units(units.saturating_mul(*packs)),
                    unnumbered => unnumbered,
                };
                reasons.push((Rule::AddOn { add_on: id.clone(), packs: *packs }, amount));
            }
        }
    }
    reasons.retain(|(_, amount)| *amount != Amount::Units(0));
    reasons
}

fn amount(allowance: Allowance, seats: u64) -> Amount {
    match allowance {
        Allowance::On => Amount::On,
        Allowance::Limit(units) => Amount::Units(units),
        Allowance::Unlimited => Amount::Unlimited,
        Allowance::Seats => Amount::Units(seats),
    }
}

/// All together, and the number of units when there is one.
fn sum(reasons: &[(Rule, Amount)]) -> (Amount, Option<u64>) {
    let has = |wanted| reasons.iter().any(|(_, amount)| *amount == wanted);
    if has(Amount::Unlimited) {
        return (Amount::Unlimited, None);
    }
    if has(Amount::On) {
        return (Amount::On, None);
    }
    let units = reasons.iter().fold(0_u64, |sum, (_, amount)| match amount {
        Amount::Units(units) => sum.saturating_add(*units),
        _ => sum,
    });
    (Amount::Units(units), Some(units))
}
