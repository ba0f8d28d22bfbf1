//! Examples of the catalog domain's types.

use exchequer_domain_catalog::{
    AddOn, AddOnFeature, AddOnPrice, Adoption, Amount, Beyond, Command as C, Content, DiscardDraft,
    Document, Event as E, Feature, FeatureKind, Meter, Method, Plan, PlanFeature, Price, PriceIn,
    Product, Publish, Retire, Route, SaveDraft, VersionStatus,
};
use exchequer_tenant::{Command, Event};
use exchequer_types::{
    Allowance, Component, ComponentKind, Currency, Cycle, CycleUnit, Downgrade, Per, Proration,
    Slug, TenantId,
};

fn slug(text: &str) -> Slug {
    Slug::parse(text).unwrap()
}

fn text(text: &str) -> String {
    text.to_owned()
}

fn usd() -> Currency {
    Currency::parse("USD").unwrap()
}

fn plan_features() -> Vec<PlanFeature> {
    let includes = |feature: &str, allowance, beyond| PlanFeature {
        feature: slug(feature),
        allowance,
        beyond,
    };
    vec![
        includes("api", Some(Allowance::On), Beyond::Refuse),
        includes("calls", Some(Allowance::Limit(0)), Beyond::Allow),
        includes("members", Some(Allowance::Seats), Beyond::Bill),
        includes("sso", None, Beyond::Refuse),
        includes("storage", Some(Allowance::Unlimited), Beyond::Refuse),
    ]
}

fn plan() -> Plan {
    Plan {
        id: slug("pro"),
        name: text("Pro"),
        description: text("For teams."),
        product: Some(slug("analytics")),
        extends: Some(slug("free")),
        rank: 2,
        features: plan_features(),
        prices: vec![Price {
            id: slug("monthly"),
            cycle: Cycle::new(CycleUnit::Week, 2).unwrap(),
            proration: Some(Proration::None),
            currencies: vec![PriceIn {
                currency: usd(),
                components: vec![
                    Component { kind: ComponentKind::Flat, amount: 1_000_000_000_000_000 },
                    Component { kind: ComponentKind::PerSeat, amount: 0 },
                ],
            }],
        }],
        trial_days_max: 30,
        seats_min: 2,
        seats_max: Some(1_000_000_000_000),
        downgrade: Downgrade::Refuse,
        proration: Proration::ByDay,
        grace_days: Some(3),
        per_owner_max: Some(1),
    }
}

/// Every field filled; it need not be right.
pub(crate) fn document() -> Document {
    Document {
        name: text("All of it"),
        description: text("Every field."),
        currencies: vec![usd()],
        fallback: Some(slug("free")),
        products: vec![Product {
            id: slug("analytics"),
            name: text("Analytics"),
            description: text("Reports."),
        }],
        features: vec![Feature {
            id: slug("calls"),
            name: text("CALLS"),
            kind: FeatureKind::Limit,
            unit: text("calls"),
            per: Some(Per::Month),
            meter: Some(slug("api-calls")),
            thresholds: vec![80, 100],
            burst: 0,
            grace_hours: 0,
            refusal: <_>::default(),
            description: text("Calls of the API."),
        }],
        meters: vec![Meter {
            id: slug("api-calls"),
            name: text("api_calls"),
            unit: text("calls"),
            description: text("Counted at the edge."),
        }],
        plans: vec![plan()],
        add_ons: vec![AddOn {
            id: slug("calls-1000"),
            name: text("1,000 calls"),
            description: text("More calls."),
            plans: vec![slug("pro")],
            features: vec![AddOnFeature {
                feature: slug("calls"),
                allowance: Allowance::Limit(1_000),
            }],
            quantity_max: Some(10),
            prices: vec![AddOnPrice {
                cycle: Cycle::YEAR,
                amounts: vec![Amount { currency: usd(), amount: 500 }],
            }],
        }],
        actions: vec![text("VIEW")],
        methods: vec![Method { method: text("GET"), action: text("VIEW") }],
        routes: vec![Route { path: text("/v1/calls"), feature: slug("calls") }],
    }
}

fn adoption() -> Adoption {
    let content = Content::of(document());
    Adoption {
        provider: TenantId::parse("reseller").unwrap(),
        catalog: slug("saas"),
        version: 3,
        status: VersionStatus::Published,
        hash: content.hash(),
        content: Some(content),
    }
}

/// One event of each type, every field filled.
pub(crate) fn events() -> Vec<Event> {
    let (catalog, content) = (slug("saas"), Content::of(document()));
    let hash = content.hash();
    let events = [
        E::DraftSaved { catalog: catalog.clone(), content: content.clone() },
        E::DraftDiscarded { catalog: catalog.clone() },
        E::Published { catalog: catalog.clone(), version: 3, content },
        E::Retired { catalog, version: 3, hash },
        E::Adopted(adoption()),
    ];
    events.map(Event::Catalog).into()
}

/// One command of each type, every field filled.
pub(crate) fn commands() -> Vec<Command> {
    let catalog = slug("saas");
    let hash = Some(Content::of(document()).hash());
    let commands = [
        C::SaveDraft(SaveDraft { catalog: catalog.clone(), document: document() }),
        C::DiscardDraft(DiscardDraft { catalog: catalog.clone() }),
        C::Publish(Publish { catalog: catalog.clone(), hash }),
        C::Retire(Retire { catalog, version: 3 }),
        C::Adopt(adoption()),
    ];
    commands.map(Command::Catalog).into()
}
