//! A document's canonical form: JSON of RFC 8785, keyed by id, without what is at its
//! default. Its BLAKE3 hash is the content's address; a later field whose default is
//! absent changes no address.

use std::collections::BTreeMap;
use std::sync::Arc;

use exchequer_types::{Allowance, ComponentKind, Downgrade, Hash, Json, Per};
use exchequer_types::{Proration, Slug};

use crate::document::{
    AddOn, Beyond, Document, Feature, FeatureKind, Plan, PlanFeature, Price, Refusal,
};

/// A document in its one order, with its address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Content {
    document: Arc<Document>,
    hash: Hash,
    bytes: usize,
}

impl Content {
    /// The content of `document`, whose lists are put in order.
    pub fn of(document: Document) -> Self {
        let document = document.in_order();
        let canonical = document.canonical();
        let hash = Hash::blake3(canonical.as_bytes());
        Self { document: Arc::new(document), hash, bytes: canonical.len() }
    }

    pub fn document(&self) -> &Document {
        &self.document
    }

    /// BLAKE3 of the canonical form.
    pub fn hash(&self) -> Hash {
        self.hash
    }

    /// Of the canonical form.
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Document {
    /// The canonical form.
    pub fn canonical(&self) -> String {
        self.to_json().canonical()
    }

    pub(crate) fn to_json(&self) -> Json {
        let mut out = Members::default();
        out.text("name", &self.name);
        out.text("description", &self.description);
        let mut currencies: Vec<_> =
            self.currencies.iter().map(|it| Json::text(it.code())).collect();
        currencies.sort_by_key(Json::canonical);
        out.list("currencies", currencies);
        out.slug("fallback", self.fallback.as_ref());
        out.map(
            "products",
            self.products.iter().map(|it| {
                let mut out = Members::default();
                out.text("name", &it.name);
                out.text("description", &it.description);
                (it.id.to_string(), out.json())
            }),
        );
        out.map("features", self.features.iter().map(|it| (it.id.to_string(), feature(it))));
        out.map(
            "meters",
            self.meters.iter().map(|it| {
                let mut out = Members::default();
                out.text("name", &it.name);
                out.text("unit", &it.unit);
                out.text("description", &it.description);
                (it.id.to_string(), out.json())
            }),
        );
        out.map("plans", self.plans.iter().map(|it| (it.id.to_string(), plan(it))));
        out.map("add_ons", self.add_ons.iter().map(|it| (it.id.to_string(), add_on(it))));
        let mut actions = self.actions.clone();
        actions.sort_unstable();
        out.list("actions", actions.into_iter().map(Json::text).collect());
        let methods = self.methods.iter().map(|it| (it.method.clone(), Json::text(&it.action)));
        out.map("methods", methods);
        let routes =
            self.routes.iter().map(|it| (it.path.clone(), Json::text(it.feature.as_str())));
        out.map("routes", routes);
        out.json()
    }
}

fn feature(it: &Feature) -> Json {
    let mut out = Members::default();
    out.text("name", &it.name);
    out.text("kind", feature_kind_word(it.kind));
    out.text("unit", &it.unit);
    out.text("per", it.per.map_or("", Per::as_str));
    out.slug("meter", it.meter.as_ref());
    let mut thresholds = it.thresholds.clone();
    thresholds.sort_unstable();
    out.list("thresholds", thresholds.into_iter().map(|it| Json::Int(it.into())).collect());
    out.number("burst", it.burst.into());
    out.number("grace_hours", it.grace_hours.into());
    out.text("refusal", if it.refusal == Refusal::Wait { "" } else { it.refusal.word() });
    out.text("description", &it.description);
    out.json()
}

fn plan(it: &Plan) -> Json {
    let mut out = Members::default();
    out.text("name", &it.name);
    out.text("description", &it.description);
    out.slug("product", it.product.as_ref());
    out.slug("extends", it.extends.as_ref());
    out.number("rank", it.rank.into());
    out.map("features", it.features.iter().map(|it| (it.feature.to_string(), plan_feature(it))));
    out.map("prices", it.prices.iter().map(|it| (it.id.to_string(), price(it))));
    out.number("trial_days_max", it.trial_days_max.into());
    out.number("seats_min", it.seats_min);
    out.optional("seats_max", it.seats_max);
    out.text("downgrade", if it.downgrade == Downgrade::Refuse { "refuse" } else { "" });
    if it.proration != Proration::default() {
        out.text("proration", proration_word(it.proration));
    }
    out.optional("grace_days", it.grace_days.map(u64::from));
    out.optional("per_owner_max", it.per_owner_max.map(u64::from));
    out.json()
}

fn plan_feature(it: &PlanFeature) -> Json {
    let allowance = it.allowance.map_or_else(|| Json::text("none"), allowance);
    if it.beyond == Beyond::default() {
        return allowance;
    }
    Json::object([("allowance", allowance), ("beyond", Json::text(beyond_word(it.beyond)))])
}

fn price(it: &Price) -> Json {
    let mut out = Members::default();
    out.text("cycle", &it.cycle.to_string());
    out.text("proration", it.proration.map_or("", proration_word));
    let currencies = it.currencies.iter().map(|it| {
        let components = it
            .components
            .iter()
            .map(|it| (component_word(it.kind).to_owned(), Json::Int(it.amount)));
        (it.currency.code().to_owned(), Json::Map(components.collect()))
    });
    out.map("currencies", currencies);
    out.json()
}

fn add_on(it: &AddOn) -> Json {
    let mut out = Members::default();
    out.text("name", &it.name);
    out.text("description", &it.description);
    let mut plans: Vec<&Slug> = it.plans.iter().collect();
    plans.sort_unstable();
    out.list("plans", plans.into_iter().map(|it| Json::text(it.as_str())).collect());
    let features = it.features.iter().map(|it| (it.feature.to_string(), allowance(it.allowance)));
    out.map("features", features);
    out.optional("quantity_max", it.quantity_max);
    let prices = it.prices.iter().map(|it| {
        let amounts =
            it.amounts.iter().map(|it| (it.currency.code().to_owned(), Json::Int(it.amount)));
        let currencies = Json::Map(amounts.collect());
        (it.cycle.to_string(), Json::object([("currencies", currencies)]))
    });
    out.map("prices", prices);
    out.json()
}

fn allowance(it: Allowance) -> Json {
    match it {
        Allowance::Limit(limit) => Json::Int(i64::try_from(limit).unwrap_or(i64::MAX)),
        Allowance::On => Json::text("on"),
        Allowance::Unlimited => Json::text("unlimited"),
        Allowance::Seats => Json::text("per_seat"),
    }
}

pub fn feature_kind_word(kind: FeatureKind) -> &'static str {
    match kind {
        FeatureKind::Switch => "switch",
        FeatureKind::Limit => "limit",
    }
}

pub fn beyond_word(beyond: Beyond) -> &'static str {
    match beyond {
        Beyond::Refuse => "refuse",
        Beyond::Allow => "allow",
        Beyond::Bill => "bill",
    }
}

pub fn proration_word(proration: Proration) -> &'static str {
    match proration {
        Proration::BySecond => "by_second",
        Proration::ByDay => "by_day",
        Proration::None => "none",
        Proration::Full => "full",
    }
}

pub fn component_word(kind: ComponentKind) -> &'static str {
    match kind {
        ComponentKind::Flat => "flat",
        ComponentKind::PerSeat => "per_seat",
    }
}

/// An object's members, without those at their default.
#[derive(Default)]
struct Members(BTreeMap<&'static str, Json>);

impl Members {
    fn text(&mut self, name: &'static str, value: &str) {
        if !value.is_empty() {
            self.0.insert(name, Json::text(value));
        }
    }

    fn slug(&mut self, name: &'static str, value: Option<&Slug>) {
        self.text(name, value.map_or("", Slug::as_str));
    }

    fn number(&mut self, name: &'static str, value: u64) {
        if value != 0 {
            self.optional(name, Some(value));
        }
    }

    fn optional(&mut self, name: &'static str, value: Option<u64>) {
        if let Some(value) = value {
            self.0.insert(name, Json::Int(i64::try_from(value).unwrap_or(i64::MAX)));
        }
    }

    fn list(&mut self, name: &'static str, items: Vec<Json>) {
        if !items.is_empty() {
            self.0.insert(name, Json::List(items));
        }
    }

    fn map(&mut self, name: &'static str, members: impl Iterator<Item = (String, Json)>) {
        let members: BTreeMap<String, Json> = members.collect();
        if !members.is_empty() {
            self.0.insert(name, Json::Map(members));
        }
    }

    fn json(self) -> Json {
        Json::Object(self.0)
    }
}
