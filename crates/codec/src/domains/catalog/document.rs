//! A catalog's document on the wire. What cannot be a document is told with the path
//! of every value at fault, for callers who sent it.

use core::fmt::Display;

use exchequer_domain_catalog::{
    AddOn, AddOnFeature, AddOnPrice, Amount, Beyond, Document, Feature, FeatureKind, Meter, Method,
    Plan, PlanFeature, Price, PriceIn, Product, Refusal, Route,
};
use exchequer_proto::catalog::v1 as pb;
use exchequer_types::{
    Allowance, Component, ComponentKind, Currency, Cycle, CycleUnit, Downgrade, Per, Proration,
    Slug,
};
use pb::plan_feature::Allowance as Included;

/// Further misfits are not told.
const MISFITS_MAX: usize = 16;

/// A value that cannot be what its field holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Misfit {
    /// Such as `plans[2].prices[0].currencies[1].currency`.
    pub path: String,
    pub kind: MisfitKind,
    /// What the value must be.
    pub message: String,
}

/// What the field holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MisfitKind {
    Id,
    Enum,
    Value,
}

/// The document as the API shows it.
pub fn document_to_proto(it: &Document) -> pb::Document {
    pb::Document {
        name: it.name.clone(),
        description: it.description.clone(),
        currencies: it.currencies.iter().map(ToString::to_string).collect(),
        fallback: optional(it.fallback.as_ref()),
        products: it.products.iter().map(product_to_proto).collect(),
        features: it.features.iter().map(feature_to_proto).collect(),
        meters: it.meters.iter().map(meter_to_proto).collect(),
        plans: it.plans.iter().map(plan_to_proto).collect(),
        add_ons: it.add_ons.iter().map(add_on_to_proto).collect(),
        actions: it.actions.clone(),
        methods: it
            .methods
            .iter()
            .map(|it| pb::Method { method: it.method.clone(), action: it.action.clone() })
            .collect(),
        routes: it
            .routes
            .iter()
            .map(|it| pb::Route { path: it.path.clone(), feature: it.feature.to_string() })
            .collect(),
    }
}

/// The document in a message, or all that cannot be one. It may still say what is wrong.
pub fn document_from_proto(it: pb::Document) -> Result<Document, Vec<Misfit>> {
    let mut reader = Reader { misfits: Vec::new() };
    let document = reader.document(it);
    if reader.misfits.is_empty() { Ok(document) } else { Err(reader.misfits) }
}

fn optional(id: Option<&Slug>) -> String {
    id.map(ToString::to_string).unwrap_or_default()
}

fn product_to_proto(it: &Product) -> pb::Product {
    pb::Product {
        id: it.id.to_string(),
        name: it.name.clone(),
        description: it.description.clone(),
    }
}

fn feature_to_proto(it: &Feature) -> pb::Feature {
    let kind = match it.kind {
        FeatureKind::Switch => pb::FeatureKind::Switch,
        FeatureKind::Limit => pb::FeatureKind::Limit,
    };
    pb::Feature {
        id: it.id.to_string(),
        name: it.name.clone(),
        kind: kind.into(),
        unit: it.unit.clone(),
        per: it.per.map_or(pb::CycleUnit::Unspecified, per_to_proto).into(),
        meter: optional(it.meter.as_ref()),
        thresholds: it.thresholds.clone(),
        burst: it.burst,
        grace_hours: it.grace_hours,
        refusal: match it.refusal {
            Refusal::Wait => pb::LimitRefusal::Unspecified,
            Refusal::Upgrade => pb::LimitRefusal::Upgrade,
            Refusal::Forbid => pb::LimitRefusal::Forbid,
        }
        .into(),
        description: it.description.clone(),
    }
}

fn meter_to_proto(it: &Meter) -> pb::Meter {
    pb::Meter {
        id: it.id.to_string(),
        name: it.name.clone(),
        unit: it.unit.clone(),
        description: it.description.clone(),
    }
}

fn plan_to_proto(it: &Plan) -> pb::Plan {
    let downgrade = match it.downgrade {
        Downgrade::Accept => pb::Downgrade::Unspecified,
        Downgrade::Refuse => pb::Downgrade::Refuse,
    };
    pb::Plan {
        id: it.id.to_string(),
        name: it.name.clone(),
        description: it.description.clone(),
        product: optional(it.product.as_ref()),
        extends: optional(it.extends.as_ref()),
        rank: it.rank,
        features: it
            .features
            .iter()
            .map(|it| feature_of(&it.feature, it.allowance, it.beyond))
            .collect(),
        prices: it.prices.iter().map(price_to_proto).collect(),
        trial_days_max: it.trial_days_max,
        seats_min: if it.seats_min == 1 { 0 } else { it.seats_min },
        seats_max: it.seats_max,
        downgrade: downgrade.into(),
        proration: match it.proration {
            Proration::BySecond => pb::Proration::Unspecified,
            other => proration_to_proto(other),
        }
        .into(),
        grace_days: it.grace_days,
        per_owner_max: it.per_owner_max,
    }
}

fn feature_of(feature: &Slug, allowance: Option<Allowance>, beyond: Beyond) -> pb::PlanFeature {
    let allowance = match allowance {
        Some(Allowance::Limit(limit)) => Included::Limit(limit),
        Some(Allowance::On) => Included::Inclusion(pb::Inclusion::On.into()),
        Some(Allowance::Unlimited) => Included::Inclusion(pb::Inclusion::Unlimited.into()),
        Some(Allowance::Seats) => Included::Inclusion(pb::Inclusion::PerSeat.into()),
        None => Included::Inclusion(pb::Inclusion::None.into()),
    };
    let beyond = match beyond {
        Beyond::Refuse => pb::Beyond::Unspecified,
        Beyond::Allow => pb::Beyond::Allow,
        Beyond::Bill => pb::Beyond::Bill,
    };
    pb::PlanFeature {
        feature: feature.to_string(),
        allowance: Some(allowance),
        beyond: beyond.into(),
    }
}

fn price_to_proto(it: &Price) -> pb::Price {
    let currencies = it.currencies.iter().map(|it| pb::PriceInCurrency {
        currency: it.currency.to_string(),
        components: it.components.iter().map(component_to_proto).collect(),
    });
    pb::Price {
        id: it.id.to_string(),
        cycle: Some(cycle_to_proto(it.cycle)),
        proration: it.proration.map_or(pb::Proration::Unspecified, proration_to_proto).into(),
        currencies: currencies.collect(),
    }
}

fn component_to_proto(it: &Component) -> pb::Component {
    let kind = match it.kind {
        ComponentKind::Flat => pb::ComponentKind::Flat,
        ComponentKind::PerSeat => pb::ComponentKind::PerSeat,
    };
    pb::Component { kind: kind.into(), amount: it.amount }
}

fn add_on_to_proto(it: &AddOn) -> pb::AddOn {
    let prices = it.prices.iter().map(|it| pb::AddOnPrice {
        cycle: Some(cycle_to_proto(it.cycle)),
        currencies: it
            .amounts
            .iter()
            .map(|it| pb::Amount { currency: it.currency.to_string(), amount: it.amount })
            .collect(),
    });
    pb::AddOn {
        id: it.id.to_string(),
        name: it.name.clone(),
        description: it.description.clone(),
        plans: it.plans.iter().map(ToString::to_string).collect(),
        features: it
            .features
            .iter()
            .map(|it| feature_of(&it.feature, Some(it.allowance), Beyond::Refuse))
            .collect(),
        quantity_max: it.quantity_max,
        prices: prices.collect(),
    }
}

fn cycle_to_proto(cycle: Cycle) -> pb::Cycle {
    pb::Cycle { unit: unit_to_proto(cycle.unit()).into(), count: cycle.count() }
}

fn per_to_proto(per: Per) -> pb::CycleUnit {
    match per {
        Per::Minute => pb::CycleUnit::Minute,
        Per::Hour => pb::CycleUnit::Hour,
        Per::Day => pb::CycleUnit::Day,
        Per::Week => pb::CycleUnit::Week,
        Per::Month => pb::CycleUnit::Month,
        Per::Year => pb::CycleUnit::Year,
        Per::Period => pb::CycleUnit::Period,
    }
}

fn unit_to_proto(unit: CycleUnit) -> pb::CycleUnit {
    match unit {
        CycleUnit::Day => pb::CycleUnit::Day,
        CycleUnit::Week => pb::CycleUnit::Week,
        CycleUnit::Month => pb::CycleUnit::Month,
        CycleUnit::Year => pb::CycleUnit::Year,
    }
}

fn proration_to_proto(proration: Proration) -> pb::Proration {
    match proration {
        Proration::BySecond => pb::Proration::BySecond,
        Proration::ByDay => pb::Proration::ByDay,
        Proration::None => pb::Proration::None,
        Proration::Full => pb::Proration::Full,
    }
}

/// Reads a message; what does not fit is left out and noted.
struct Reader {
    misfits: Vec<Misfit>,
}

impl Reader {
    fn misfit(&mut self, path: impl Into<String>, kind: MisfitKind, message: impl Into<String>) {
        if self.misfits.len() < MISFITS_MAX {
            self.misfits.push(Misfit { path: path.into(), kind, message: message.into() });
        }
    }

    fn document(&mut self, it: pb::Document) -> Document {
        Document {
            name: it.name,
            description: it.description,
            currencies: self.each("currencies", it.currencies, Self::currency),
            fallback: self.optional_id("fallback".to_owned(), it.fallback),
            products: self.each("products", it.products, |reader, path, it| {
                let id = reader.id(&format!("{path}.id"), it.id)?;
                Some(Product { id, name: it.name, description: it.description })
            }),
            features: self.each("features", it.features, Self::feature),
            meters: self.each("meters", it.meters, |reader, path, it| {
                let id = reader.id(&format!("{path}.id"), it.id)?;
                Some(Meter { id, name: it.name, unit: it.unit, description: it.description })
            }),
            plans: self.each("plans", it.plans, Self::plan),
            add_ons: self.each("add_ons", it.add_ons, Self::add_on),
            actions: it.actions,
            methods: it
                .methods
                .into_iter()
                .map(|it| Method { method: it.method, action: it.action })
                .collect(),
            routes: self.each("routes", it.routes, |reader, path, it| {
                let feature = reader.id(&format!("{path}.feature"), it.feature)?;
                Some(Route { path: it.path, feature })
            }),
        }
    }

    fn each<M, T>(
        &mut self,
        field: &str,
        items: Vec<M>,
        mut read: impl FnMut(&mut Self, &str, M) -> Option<T>,
    ) -> Vec<T> {
        let items = items.into_iter().enumerate();
        items.filter_map(|(index, it)| read(self, &format!("{field}[{index}]"), it)).collect()
    }

    fn id(&mut self, path: &str, text: String) -> Option<Slug> {
        let parsed = Slug::parse(text);
        self.fits(path, MisfitKind::Id, parsed)
    }

    fn optional_id(&mut self, path: String, text: String) -> Option<Slug> {
        if text.is_empty() { None } else { self.id(&path, text) }
    }

    fn fits<T, E: Display>(
        &mut self,
        path: &str,
        kind: MisfitKind,
        read: Result<T, E>,
    ) -> Option<T> {
        read.map_err(|error| self.misfit(path, kind, error.to_string())).ok()
    }

    fn currency(&mut self, path: &str, code: String) -> Option<Currency> {
        let read = Currency::parse(&code).ok_or("must be a code of ISO 4217, such as USD");
        self.fits(path, MisfitKind::Value, read)
    }

    fn feature(&mut self, path: &str, it: pb::Feature) -> Option<Feature> {
        let kind = match pb::FeatureKind::try_from(it.kind) {
            Ok(pb::FeatureKind::Switch) => Ok(FeatureKind::Switch),
            Ok(pb::FeatureKind::Limit) => Ok(FeatureKind::Limit),
            _ => Err("must be SWITCH or LIMIT"),
        };
        let refusal = match pb::LimitRefusal::try_from(it.refusal) {
            Ok(pb::LimitRefusal::Unspecified | pb::LimitRefusal::Wait) => Ok(Refusal::Wait),
            Ok(pb::LimitRefusal::Upgrade) => Ok(Refusal::Upgrade),
            Ok(pb::LimitRefusal::Forbid) => Ok(Refusal::Forbid),
            Err(_) => Err("must be WAIT, UPGRADE or FORBID"),
        };
        Some(Feature {
            kind: self.fits(&format!("{path}.kind"), MisfitKind::Enum, kind)?,
            id: self.id(&format!("{path}.id"), it.id)?,
            name: it.name,
            unit: it.unit,
            per: self.per(&format!("{path}.per"), it.per),
            meter: self.optional_id(format!("{path}.meter"), it.meter),
            thresholds: it.thresholds,
            burst: it.burst,
            grace_hours: it.grace_hours,
            refusal: self
                .fits(&format!("{path}.refusal"), MisfitKind::Enum, refusal)
                .unwrap_or_default(),
            description: it.description,
        })
    }

    /// None when it is not given, and when something was noted.
    fn optional_unit(&mut self, path: &str, unit: i32) -> Option<CycleUnit> {
        let unit = match pb::CycleUnit::try_from(unit) {
            Ok(pb::CycleUnit::Unspecified) => Ok(None),
            Ok(pb::CycleUnit::Day) => Ok(Some(CycleUnit::Day)),
            Ok(pb::CycleUnit::Week) => Ok(Some(CycleUnit::Week)),
            Ok(pb::CycleUnit::Month) => Ok(Some(CycleUnit::Month)),
            Ok(pb::CycleUnit::Year) => Ok(Some(CycleUnit::Year)),
            Ok(pb::CycleUnit::Minute | pb::CycleUnit::Hour | pb::CycleUnit::Period) | Err(_) => {
                Err("must be DAY, WEEK, MONTH or YEAR")
            }
        };
        self.fits(path, MisfitKind::Enum, unit).flatten()
    }

    /// None when it is not given, and when something was noted.
    fn per(&mut self, path: &str, per: i32) -> Option<Per> {
        let per = match pb::CycleUnit::try_from(per) {
            Ok(pb::CycleUnit::Unspecified) => Ok(None),
            Ok(pb::CycleUnit::Minute) => Ok(Some(Per::Minute)),
            Ok(pb::CycleUnit::Hour) => Ok(Some(Per::Hour)),
            Ok(pb::CycleUnit::Day) => Ok(Some(Per::Day)),
            Ok(pb::CycleUnit::Week) => Ok(Some(Per::Week)),
            Ok(pb::CycleUnit::Month) => Ok(Some(Per::Month)),
            Ok(pb::CycleUnit::Year) => Ok(Some(Per::Year)),
            Ok(pb::CycleUnit::Period) => Ok(Some(Per::Period)),
            Err(_) => Err("must be MINUTE, HOUR, DAY, WEEK, MONTH, YEAR or PERIOD"),
        };
        self.fits(path, MisfitKind::Enum, per).flatten()
    }

    fn plan(&mut self, path: &str, it: pb::Plan) -> Option<Plan> {
        let downgrade = match pb::Downgrade::try_from(it.downgrade) {
            Ok(pb::Downgrade::Unspecified | pb::Downgrade::Accept) => Ok(Downgrade::Accept),
            Ok(pb::Downgrade::Refuse) => Ok(Downgrade::Refuse),
            Err(_) => Err("must be ACCEPT or REFUSE"),
        };
        let features = self.each(&format!("{path}.features"), it.features, Self::plan_feature);
        let prices = self.each(&format!("{path}.prices"), it.prices, Self::price);
        Some(Plan {
            id: self.id(&format!("{path}.id"), it.id)?,
            name: it.name,
            description: it.description,
            product: self.optional_id(format!("{path}.product"), it.product),
            extends: self.optional_id(format!("{path}.extends"), it.extends),
            rank: it.rank,
            features,
            prices,
            trial_days_max: it.trial_days_max,
            seats_min: it.seats_min.max(1),
            seats_max: it.seats_max,
            downgrade: self.fits(&format!("{path}.downgrade"), MisfitKind::Enum, downgrade)?,
            proration: self
                .proration(&format!("{path}.proration"), it.proration)
                .unwrap_or_default(),
            grace_days: it.grace_days,
            per_owner_max: it.per_owner_max,
        })
    }

    fn plan_feature(&mut self, path: &str, it: pb::PlanFeature) -> Option<PlanFeature> {
        let inclusion = |inclusion| match pb::Inclusion::try_from(inclusion) {
            Ok(pb::Inclusion::On) => Ok(Some(Allowance::On)),
            Ok(pb::Inclusion::Unlimited) => Ok(Some(Allowance::Unlimited)),
            Ok(pb::Inclusion::PerSeat) => Ok(Some(Allowance::Seats)),
            Ok(pb::Inclusion::None) => Ok(None),
            _ => Err("must be ON, UNLIMITED, PER_SEAT or NONE"),
        };
        let allowance = match it.allowance {
            Some(Included::Limit(limit)) => Ok(Some(Allowance::Limit(limit))),
            Some(Included::Inclusion(it)) => inclusion(it),
            None => Err("must be given: limit or inclusion"),
        };
        let beyond = match pb::Beyond::try_from(it.beyond) {
            Ok(pb::Beyond::Unspecified | pb::Beyond::Refuse) => Ok(Beyond::Refuse),
            Ok(pb::Beyond::Allow) => Ok(Beyond::Allow),
            Ok(pb::Beyond::Bill) => Ok(Beyond::Bill),
            Err(_) => Err("must be REFUSE, ALLOW or BILL"),
        };
        Some(PlanFeature {
            feature: self.id(&format!("{path}.feature"), it.feature)?,
            allowance: self.fits(&format!("{path}.allowance"), MisfitKind::Enum, allowance)?,
            beyond: self.fits(&format!("{path}.beyond"), MisfitKind::Enum, beyond)?,
        })
    }

    /// None when it is not given, and when something was noted.
    fn proration(&mut self, path: &str, proration: i32) -> Option<Proration> {
        let proration = match pb::Proration::try_from(proration) {
            Ok(pb::Proration::Unspecified) => Ok(None),
            Ok(pb::Proration::BySecond) => Ok(Some(Proration::BySecond)),
            Ok(pb::Proration::ByDay) => Ok(Some(Proration::ByDay)),
            Ok(pb::Proration::None) => Ok(Some(Proration::None)),
            Ok(pb::Proration::Full) => Ok(Some(Proration::Full)),
            Err(_) => Err("must be BY_SECOND, BY_DAY, NONE or FULL"),
        };
        self.fits(path, MisfitKind::Enum, proration).flatten()
    }

    fn price(&mut self, path: &str, it: pb::Price) -> Option<Price> {
        let currencies = self.each(&format!("{path}.currencies"), it.currencies, Self::price_in);
        Some(Price {
            id: self.id(&format!("{path}.id"), it.id)?,
            cycle: self.cycle(&format!("{path}.cycle"), it.cycle)?,
            proration: self.proration(&format!("{path}.proration"), it.proration),
            currencies,
        })
    }

    fn price_in(&mut self, path: &str, it: pb::PriceInCurrency) -> Option<PriceIn> {
        let components =
            self.each(&format!("{path}.components"), it.components, |reader, path, it| {
                let kind = match pb::ComponentKind::try_from(it.kind) {
                    Ok(pb::ComponentKind::Flat) => Ok(ComponentKind::Flat),
                    Ok(pb::ComponentKind::PerSeat) => Ok(ComponentKind::PerSeat),
                    _ => Err("must be FLAT or PER_SEAT"),
                };
                let kind = reader.fits(&format!("{path}.kind"), MisfitKind::Enum, kind)?;
                Some(Component { kind, amount: it.amount })
            });
        let currency = self.currency(&format!("{path}.currency"), it.currency)?;
        Some(PriceIn { currency, components })
    }

    fn cycle(&mut self, path: &str, it: Option<pb::Cycle>) -> Option<Cycle> {
        let it = it.unwrap_or_default();
        if it.unit == 0 {
            self.misfit(path, MisfitKind::Value, "must be given");
        }
        let unit = self.optional_unit(&format!("{path}.unit"), it.unit)?;
        self.fits(path, MisfitKind::Value, Cycle::new(unit, it.count))
    }

    fn add_on(&mut self, path: &str, it: pb::AddOn) -> Option<AddOn> {
        let features = self.each(&format!("{path}.features"), it.features, |reader, path, it| {
            let it = reader.plan_feature(path, it)?;
            let allowance = it.allowance.ok_or("must be a limit, ON or UNLIMITED");
            let allowance =
                reader.fits(&format!("{path}.allowance"), MisfitKind::Enum, allowance)?;
            Some(AddOnFeature { feature: it.feature, allowance })
        });
        let prices = self.each(&format!("{path}.prices"), it.prices, |reader, path, it| {
            let field = format!("{path}.currencies");
            let amounts = reader.each(&field, it.currencies, |reader, path, it| {
                let currency = reader.currency(&format!("{path}.currency"), it.currency)?;
                Some(Amount { currency, amount: it.amount })
            });
            let cycle = reader.cycle(&format!("{path}.cycle"), it.cycle)?;
            Some(AddOnPrice { cycle, amounts })
        });
        Some(AddOn {
            id: self.id(&format!("{path}.id"), it.id)?,
            name: it.name,
            description: it.description,
            plans: self.each(&format!("{path}.plans"), it.plans, Self::id),
            features,
            quantity_max: it.quantity_max,
            prices,
        })
    }
}
