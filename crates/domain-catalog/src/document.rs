//! What a catalog says: products, features, meters, plans with their prices, add-ons,
//! and the routes behind features. A document may be wrong; `check` tells.

use exchequer_types::{Allowance, Component, Currency, Cycle, Downgrade, Features, Per};
use exchequer_types::{Proration, Slug};

/// A catalog's content. Lists have no order of their own: documents that differ in
/// nothing but order are the same content.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Document {
    pub name: String,
    pub description: String,
    /// What the catalog is sold in: every price names an amount in each, and in no
    /// other. Empty: each price says for itself.
    pub currencies: Vec<Currency>,
    /// The plan that tenants fall to when a subscription ends or pauses.
    pub fallback: Option<Slug>,
    pub products: Vec<Product>,
    pub features: Vec<Feature>,
    pub meters: Vec<Meter>,
    pub plans: Vec<Plan>,
    pub add_ons: Vec<AddOn>,
    /// What may be done behind a route, such as `VIEW`.
    pub actions: Vec<String>,
    pub methods: Vec<Method>,
    pub routes: Vec<Route>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Product {
    pub id: Slug,
    pub name: String,
    pub description: String,
}

/// Whether a feature is had or not, or counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FeatureKind {
    Switch,
    Limit,
}

/// What somebody is told to do whom a limit refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Refusal {
    /// To wait where waiting helps, else to change the plan.
    #[default]
    Wait,
    /// To change the plan.
    Upgrade,
    /// Nothing: no more is to be had.
    Forbid,
}

impl Refusal {
    pub const ALL: [Self; 3] = [Self::Wait, Self::Upgrade, Self::Forbid];

    /// As catalog files write it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Wait => "wait",
            Self::Upgrade => "upgrade",
            Self::Forbid => "forbid",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Feature {
    pub id: Slug,
    pub name: String,
    pub kind: FeatureKind,
    /// What a limit counts, such as `GB`.
    pub unit: String,
    /// How often counting begins anew; None: it never does.
    pub per: Option<Per>,
    /// What measures the use.
    pub meter: Option<Slug>,
    /// Percentages of a limit at which its holder is told.
    pub thresholds: Vec<u32>,
    /// Of a hard limit, in percent: so much more is given all the same.
    pub burst: u32,
    /// How long more than the limit may be held until nothing more is given. 0: for ever.
    pub grace_hours: u32,
    pub refusal: Refusal,
    pub description: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Meter {
    pub id: Slug,
    pub name: String,
    pub unit: String,
    pub description: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    pub id: Slug,
    pub name: String,
    pub description: String,
    pub product: Option<Slug>,
    /// The plan whose features this one has too, unless it says otherwise.
    pub extends: Option<Slug>,
    /// The ladder's order: a change to a higher rank is an upgrade.
    pub rank: u32,
    pub features: Vec<PlanFeature>,
    /// None: sold by contract, or not at all.
    pub prices: Vec<Price>,
    /// 0: no trial.
    pub trial_days_max: u32,
    pub seats_min: u64,
    /// None: as many as wanted.
    pub seats_max: Option<u64>,
    pub downgrade: Downgrade,
    /// For prices that name none.
    pub proration: Proration,
    /// Days from a failed payment until the tenant is locked.
    pub grace_days: Option<u32>,
    /// How many tenants of one owner may have the plan.
    pub per_owner_max: Option<u32>,
}

/// What happens at a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Beyond {
    /// No more is given: a hard limit.
    #[default]
    Refuse,
    /// More is given: a soft limit.
    Allow,
    /// More is given and billed.
    Bill,
}

/// How much of a feature a plan includes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlanFeature {
    pub feature: Slug,
    /// None: not included, although the extended plan includes it.
    pub allowance: Option<Allowance>,
    pub beyond: Beyond,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Price {
    pub id: Slug,
    pub cycle: Cycle,
    /// None: as the plan says.
    pub proration: Option<Proration>,
    pub currencies: Vec<PriceIn>,
}

/// A price in one currency.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PriceIn {
    pub currency: Currency,
    /// Each kind once.
    pub components: Vec<Component>,
}

/// A resource pack that is held beside a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddOn {
    pub id: Slug,
    pub name: String,
    pub description: String,
    /// The plans it is offered with; empty: with all.
    pub plans: Vec<Slug>,
    /// What one pack adds.
    pub features: Vec<AddOnFeature>,
    /// None: as many packs as wanted.
    pub quantity_max: Option<u64>,
    /// Each cycle once.
    pub prices: Vec<AddOnPrice>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddOnFeature {
    pub feature: Slug,
    /// Never `Seats`.
    pub allowance: Allowance,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddOnPrice {
    pub cycle: Cycle,
    pub amounts: Vec<Amount>,
}

/// Minor units for one pack and one cycle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Amount {
    pub currency: Currency,
    pub amount: i64,
}

/// The action that a method of HTTP stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Method {
    pub method: String,
    pub action: String,
}

/// The feature that requests below a path need.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    pub path: String,
    pub feature: Slug,
}

impl Document {
    pub fn plan(&self, id: &Slug) -> Option<&Plan> {
        self.plans.iter().find(|plan| plan.id == *id)
    }

    pub fn feature(&self, id: &Slug) -> Option<&Feature> {
        self.features.iter().find(|feature| feature.id == *id)
    }

    pub fn add_on(&self, id: &Slug) -> Option<&AddOn> {
        self.add_ons.iter().find(|add_on| add_on.id == *id)
    }

    /// What `plan` includes, that of the plans it extends too.
    pub fn included(&self, plan: &Plan) -> Features {
        let mut features = Features::new();
        for plan in self.lineage(plan).into_iter().rev() {
            for it in &plan.features {
                match it.allowance {
                    Some(allowance) => features.insert(it.feature.clone(), allowance),
                    None => features.remove(&it.feature),
                };
            }
        }
        features
    }

    /// What happens at the limit of `feature` in `plan`.
    pub fn beyond(&self, plan: &Plan, feature: &Slug) -> Beyond {
        let lineage = self.lineage(plan);
        let mut named = lineage.iter().flat_map(|plan| &plan.features);
        named.find(|it| it.feature == *feature).map_or_else(Beyond::default, |it| it.beyond)
    }

    /// The plan, the one it extends, and so on.
    fn lineage<'a>(&'a self, plan: &'a Plan) -> Vec<&'a Plan> {
        let mut lineage = vec![plan];
        let mut next = plan.extends.as_ref();
        // A document that was not checked may go round in circles.
        while let Some(parent) = next.and_then(|id| self.plan(id))
            && lineage.len() < self.plans.len()
        {
            lineage.push(parent);
            next = parent.extends.as_ref();
        }
        lineage
    }

    /// The document with every list in its one order.
    pub(crate) fn in_order(mut self) -> Self {
        self.currencies.sort_unstable();
        self.products.sort_by(|a, b| a.id.cmp(&b.id));
        self.features.sort_by(|a, b| a.id.cmp(&b.id));
        self.features.iter_mut().for_each(|it| it.thresholds.sort_unstable());
        self.meters.sort_by(|a, b| a.id.cmp(&b.id));
        self.plans.sort_by(|a, b| (a.rank, &a.id).cmp(&(b.rank, &b.id)));
        self.plans.iter_mut().for_each(Plan::order);
        self.add_ons.sort_by(|a, b| a.id.cmp(&b.id));
        self.add_ons.iter_mut().for_each(AddOn::order);
        self.actions.sort_unstable();
        self.methods.sort_by(|a, b| a.method.cmp(&b.method));
        self.routes.sort_by(|a, b| a.path.cmp(&b.path));
        self
    }
}

impl Plan {
    pub fn price(&self, id: &Slug) -> Option<&Price> {
        self.prices.iter().find(|price| price.id == *id)
    }

    fn order(&mut self) {
        self.features.sort_by(|a, b| a.feature.cmp(&b.feature));
        self.prices.sort_by(|a, b| a.id.cmp(&b.id));
        for price in &mut self.prices {
            price.currencies.sort_by_key(|it| it.currency);
            for it in &mut price.currencies {
                it.components.sort_by_key(|it| it.kind);
            }
        }
    }
}

impl Price {
    pub fn in_currency(&self, currency: Currency) -> Option<&[Component]> {
        let found = self.currencies.iter().find(|it| it.currency == currency)?;
        Some(&found.components)
    }
}

impl AddOn {
    /// Minor units for one pack and one cycle, where it is offered so.
    pub fn amount(&self, cycle: Cycle, currency: Currency) -> Option<i64> {
        let price = self.prices.iter().find(|price| price.cycle == cycle)?;
        price.amounts.iter().find(|it| it.currency == currency).map(|it| it.amount)
    }

    fn order(&mut self) {
        self.plans.sort_unstable();
        self.features.sort_by(|a, b| a.feature.cmp(&b.feature));
        self.prices.sort_by_key(|it| it.cycle);
        for price in &mut self.prices {
            price.amounts.sort_by_key(|it| it.currency);
        }
    }
}
