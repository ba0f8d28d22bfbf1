//! A tree as a document.

use exchequer_domain_catalog::{
    AMOUNT_MAX, AddOn, AddOnFeature, AddOnPrice, Amount, Beyond, Document, Feature, FeatureKind,
    LIMIT_MAX, Meter, Method, Plan, PlanFeature, Price, PriceIn, Product, Refusal, Route,
    beyond_word, component_word, feature_kind_word, proration_word,
};
use exchequer_types::{
    Allowance, Component, ComponentKind, Currency, Cycle, Downgrade, MONEY_CHARS_MAX, Money,
    MoneyError, Per, Proration, Slug,
};

use crate::reader::{At, Fields, Reader};
use crate::tree::{Entry, Kind, Node};

pub(crate) fn document(reader: &mut Reader, root: &Node) -> Option<Document> {
    let it = reader.fields(
        At { node: root, path: "" },
        &[
            "name",
            "description",
            "currencies",
            "fallback",
            "products",
            "features",
            "meters",
            "plans",
            "add_ons",
            "actions",
            "methods",
            "routes",
        ],
    )?;
    let text = |reader: &mut Reader, at: At<'_>| reader.text(at).map(str::to_owned);
    Some(Document {
        name: it.required(reader, "name", text).unwrap_or_default(),
        description: it.text(reader, "description"),
        currencies: it.items(reader, "currencies", currency),
        fallback: it.optional(reader, "fallback", Reader::id),
        products: it.items(reader, "products", product),
        features: it.items(reader, "features", feature),
        meters: it.items(reader, "meters", meter),
        plans: it.required(reader, "plans", |reader, at| Some(reader.items(at, plan)))?,
        add_ons: it.items(reader, "add_ons", add_on),
        actions: it.items(reader, "actions", text),
        methods: it.entries(reader, "methods", |reader, entry, at| {
            Some(Method { method: entry.key.clone(), action: text(reader, at)? })
        }),
        routes: it.items(reader, "routes", route),
    })
}

fn product(reader: &mut Reader, at: At<'_>) -> Option<Product> {
    let it = reader.fields(at, &["id", "name", "description"])?;
    let (name, description) = named(reader, &it);
    Some(Product { id: it.required(reader, "id", Reader::id)?, name, description })
}

fn meter(reader: &mut Reader, at: At<'_>) -> Option<Meter> {
    let it = reader.fields(at, &["id", "name", "unit", "description"])?;
    let (name, description) = named(reader, &it);
    let unit = it.text(reader, "unit");
    Some(Meter { id: it.required(reader, "id", Reader::id)?, name, unit, description })
}

/// Name and description.
fn named(reader: &mut Reader, it: &Fields<'_>) -> (String, String) {
    let text = |reader: &mut Reader, at: At<'_>| reader.text(at).map(str::to_owned);
    let name = it.required(reader, "name", text).unwrap_or_default();
    (name, it.text(reader, "description"))
}

fn feature(reader: &mut Reader, at: At<'_>) -> Option<Feature> {
    let keys = [
        "id",
        "name",
        "kind",
        "unit",
        "per",
        "meter",
        "thresholds",
        "burst",
        "grace_hours",
        "refusal",
        "description",
    ];
    let it = reader.fields(at, &keys)?;
    let (name, description) = named(reader, &it);
    let kinds = [FeatureKind::Switch, FeatureKind::Limit].map(|it| (feature_kind_word(it), it));
    let units = Per::ALL.map(|it| (it.as_str(), it));
    let refusals = Refusal::ALL.map(|it| (it.word(), it));
    let id = it.required(reader, "id", Reader::id);
    let kind = it.required(reader, "kind", |reader, at| reader.word(at, &kinds));
    Some(Feature {
        name,
        description,
        unit: it.text(reader, "unit"),
        per: it.optional(reader, "per", |reader, at| reader.word(at, &units)),
        meter: it.optional(reader, "meter", Reader::id),
        thresholds: it.items(reader, "thresholds", Reader::number),
        burst: it.optional(reader, "burst", Reader::number).unwrap_or(0),
        grace_hours: it.optional(reader, "grace_hours", Reader::number).unwrap_or(0),
        refusal: it
            .optional(reader, "refusal", |reader, at| reader.word(at, &refusals))
            .unwrap_or_default(),
        id: id?,
        kind: kind?,
    })
}

fn route(reader: &mut Reader, at: At<'_>) -> Option<Route> {
    let it = reader.fields(at, &["path", "feature"])?;
    let path = it.text(reader, "path");
    Some(Route { path, feature: it.required(reader, "feature", Reader::id)? })
}

fn plan(reader: &mut Reader, at: At<'_>) -> Option<Plan> {
    let it = reader.fields(
        at,
        &[
            "id",
            "name",
            "description",
            "product",
            "extends",
            "rank",
            "features",
            "prices",
            "trial_days_max",
            "seats_min",
            "seats_max",
            "downgrade",
            "proration",
            "grace_days",
            "per_owner_max",
        ],
    )?;
    let (name, description) = named(reader, &it);
    let downgrades = [("accept", Downgrade::Accept), ("refuse", Downgrade::Refuse)];
    let downgrade = it.optional(reader, "downgrade", |reader, at| reader.word(at, &downgrades));
    let id = it.required(reader, "id", Reader::id);
    Some(Plan {
        name,
        description,
        product: it.optional(reader, "product", Reader::id),
        extends: it.optional(reader, "extends", Reader::id),
        rank: it.optional(reader, "rank", Reader::number).unwrap_or_default(),
        features: it.entries(reader, "features", |reader, entry, at| {
            let (allowance, beyond) = plan_feature(reader, at)?;
            Some(PlanFeature { feature: key_id(reader, entry, at)?, allowance, beyond })
        }),
        prices: it.items(reader, "prices", price),
        trial_days_max: it.optional(reader, "trial_days_max", Reader::number).unwrap_or_default(),
        seats_min: it.optional(reader, "seats_min", Reader::number).unwrap_or(1),
        seats_max: it.optional(reader, "seats_max", Reader::number),
        downgrade: downgrade.unwrap_or_default(),
        proration: it.optional(reader, "proration", proration).unwrap_or_default(),
        grace_days: it.optional(reader, "grace_days", Reader::number),
        per_owner_max: it.optional(reader, "per_owner_max", Reader::number),
        id: id?,
    })
}

/// `10`, `on`, `unlimited`, `per_seat`, `none`, or a mapping of allowance and beyond.
fn plan_feature(reader: &mut Reader, at: At<'_>) -> Option<(Option<Allowance>, Beyond)> {
    if !matches!(at.node.kind, Kind::Map(_)) {
        return Some((allowance(reader, at), Beyond::default()));
    }
    let it = reader.fields(at, &["allowance", "beyond"])?;
    let beyonds = [Beyond::Refuse, Beyond::Allow, Beyond::Bill].map(|it| (beyond_word(it), it));
    let beyond = it.optional(reader, "beyond", |reader, at| reader.word(at, &beyonds));
    Some((it.required(reader, "allowance", allowance), beyond.unwrap_or_default()))
}

/// None when the word is `none`, and when something was noted.
fn allowance(reader: &mut Reader, at: At<'_>) -> Option<Allowance> {
    match reader.text(at)? {
        "on" => Some(Allowance::On),
        "unlimited" => Some(Allowance::Unlimited),
        "per_seat" => Some(Allowance::Seats),
        "none" => None,
        text if text.starts_with(|char: char| char.is_ascii_digit()) => {
            reader.number_up_to(at, LIMIT_MAX).map(Allowance::Limit)
        }
        _ => {
            reader.invalid(at, "must be a whole number, on, unlimited, per_seat or none");
            None
        }
    }
}

fn key_id(reader: &mut Reader, entry: &Entry, at: At<'_>) -> Option<Slug> {
    reader.fits(at, Slug::parse(entry.key.as_str()))
}

fn proration(reader: &mut Reader, at: At<'_>) -> Option<Proration> {
    let all = [Proration::BySecond, Proration::ByDay, Proration::None, Proration::Full];
    reader.word(at, &all.map(|it| (proration_word(it), it)))
}

fn cycle(reader: &mut Reader, at: At<'_>) -> Option<Cycle> {
    let text = reader.text(at)?;
    reader.fits(at, Cycle::parse(text))
}

fn currency(reader: &mut Reader, at: At<'_>) -> Option<Currency> {
    let text = reader.text(at)?;
    reader.fits(at, currency_of(text))
}

fn currency_of(code: &str) -> Result<Currency, &'static str> {
    Currency::parse(code).ok_or("must be a code of ISO 4217, such as USD")
}

/// A decimal, read digit by digit.
fn amount(reader: &mut Reader, at: At<'_>, currency: Currency) -> Option<i64> {
    let text = reader.text(at)?;
    let is_digit = |char: char| char.is_ascii_digit() || char == '.';
    let is_long = text.len() > MONEY_CHARS_MAX && text.chars().all(is_digit);
    match Money::parse_decimal(text, currency) {
        Ok(money) => Some(money.minor),
        Err(error) if is_long || error == MoneyError::Overflow => {
            let most = Money::new(AMOUNT_MAX, currency).decimal();
            reader.amount_invalid(at, format!("must be 0 to {most}"));
            None
        }
        Err(error) => {
            reader.invalid(at, error.to_string());
            None
        }
    }
}

fn price(reader: &mut Reader, at: At<'_>) -> Option<Price> {
    let it = reader.fields(at, &["id", "cycle", "proration", "currencies"])?;
    let id = it.required(reader, "id", Reader::id);
    let cycle = it.required(reader, "cycle", cycle);
    let proration = it.optional(reader, "proration", proration);
    let currencies = it.entries(reader, "currencies", |reader, entry, at| {
        let currency = reader.fits(at, currency_of(&entry.key))?;
        Some(PriceIn { currency, components: components(reader, at, currency)? })
    });
    Some(Price { id: id?, cycle: cycle?, proration, currencies })
}

fn components(reader: &mut Reader, at: At<'_>, currency: Currency) -> Option<Vec<Component>> {
    let kinds = [ComponentKind::Flat, ComponentKind::PerSeat];
    let it = reader.fields(at, &kinds.map(component_word))?;
    let read = kinds.into_iter().filter_map(|kind| {
        let read = |reader: &mut Reader, at: At<'_>| amount(reader, at, currency);
        let amount = it.optional(reader, component_word(kind), read)?;
        Some(Component { kind, amount })
    });
    Some(read.collect())
}

fn add_on(reader: &mut Reader, at: At<'_>) -> Option<AddOn> {
    let keys = ["id", "name", "description", "plans", "features", "quantity_max", "prices"];
    let it = reader.fields(at, &keys)?;
    let (name, description) = named(reader, &it);
    let id = it.required(reader, "id", Reader::id);
    Some(AddOn {
        name,
        description,
        plans: it.items(reader, "plans", Reader::id),
        features: it.entries(reader, "features", |reader, entry, at| {
            if matches!(&at.node.kind, Kind::Text { text, .. } if text == "none") {
                reader.invalid(at, "must be a number, unlimited or on: a pack adds something");
            }
            let allowance = allowance(reader, at)?;
            Some(AddOnFeature { feature: key_id(reader, entry, at)?, allowance })
        }),
        quantity_max: it.optional(reader, "quantity_max", Reader::number),
        prices: it.items(reader, "prices", add_on_price),
        id: id?,
    })
}

fn add_on_price(reader: &mut Reader, at: At<'_>) -> Option<AddOnPrice> {
    let it = reader.fields(at, &["cycle", "currencies"])?;
    let cycle = it.required(reader, "cycle", cycle);
    let amounts = it.entries(reader, "currencies", |reader, entry, at| {
        let currency = reader.fits(at, currency_of(&entry.key))?;
        Some(Amount { currency, amount: amount(reader, at, currency)? })
    });
    Some(AddOnPrice { cycle: cycle?, amounts })
}
