//! given/when/then over the whole domain, every rejection in order of precedence.

mod adoption;
mod commands;
mod diff;
mod selection;

use exchequer_kernel::{Ctx, Decider as _, Reason as _};
use exchequer_types::{
    ActorId, Allowance, CommandId, Component, ComponentKind, Currency, Cycle, Downgrade, Identity,
    Per, Proration, Slug, TenantId, Timestamp,
};

use crate::*;

pub(crate) fn at(seconds: i64) -> Timestamp {
    Timestamp::saturating_from_micros(seconds * 1_000_000)
}

pub(crate) fn slug(text: &str) -> Slug {
    Slug::parse(text).unwrap()
}

pub(crate) fn currency(code: &str) -> Currency {
    Currency::parse(code).unwrap()
}

pub(crate) fn provider() -> TenantId {
    TenantId::parse("vendor").unwrap()
}

fn feature(id: &str, kind: FeatureKind) -> Feature {
    Feature {
        id: slug(id),
        name: id.to_uppercase(),
        kind,
        unit: String::new(),
        per: None,
        meter: None,
        thresholds: vec![],
        burst: 0,
        grace_hours: 0,
        refusal: <_>::default(),
        description: String::new(),
    }
}

fn includes(id: &str, allowance: Option<Allowance>) -> PlanFeature {
    PlanFeature { feature: slug(id), allowance, beyond: Beyond::Refuse }
}

pub(crate) fn price(id: &str, cycle: Cycle, flat: i64, per_seat: i64) -> Price {
    let components = vec![
        Component { kind: ComponentKind::PerSeat, amount: per_seat },
        Component { kind: ComponentKind::Flat, amount: flat },
    ];
    let currencies = ["VND", "USD"]
        .map(|code| PriceIn { currency: currency(code), components: components.clone() });
    Price { id: slug(id), cycle, proration: None, currencies: currencies.into() }
}

pub(crate) fn plan(id: &str, rank: u32) -> Plan {
    Plan {
        id: slug(id),
        name: id.to_uppercase(),
        description: String::new(),
        product: Some(slug("platform")),
        extends: None,
        rank,
        features: vec![],
        prices: vec![price("monthly", Cycle::MONTH, 1_000, 500)],
        trial_days_max: 14,
        seats_min: 1,
        seats_max: Some(25),
        downgrade: Downgrade::Accept,
        proration: Proration::ByDay,
        grace_days: Some(3),
        per_owner_max: None,
    }
}

/// Two plans, the second on top of the first, and a pack.
pub(crate) fn document() -> Document {
    let free = Plan {
        features: vec![
            includes("storage", Some(Allowance::Limit(1))),
            includes("api", Some(Allowance::On)),
        ],
        ..plan("free", 0)
    };
    let pro = Plan {
        extends: Some(slug("free")),
        features: vec![
            includes("storage", Some(Allowance::Limit(10))),
            includes("seats", Some(Allowance::Seats)),
            includes("api", None),
        ],
        ..plan("pro", 1)
    };
    let pack = AddOn {
        id: slug("storage-10"),
        name: "10 GB more".to_owned(),
        description: String::new(),
        plans: vec![slug("pro")],
        features: vec![AddOnFeature { feature: slug("storage"), allowance: Allowance::Limit(10) }],
        quantity_max: Some(5),
        prices: vec![AddOnPrice {
            cycle: Cycle::MONTH,
            amounts: ["USD", "VND"]
                .map(|code| Amount { currency: currency(code), amount: 200 })
                .into(),
        }],
    };
    Document {
        name: "Test".to_owned(),
        currencies: vec![currency("VND"), currency("USD")],
        fallback: Some(slug("free")),
        products: vec![Product {
            id: slug("platform"),
            name: "Platform".to_owned(),
            description: String::new(),
        }],
        features: vec![
            feature("api", FeatureKind::Switch),
            Feature {
                unit: "GB".to_owned(),
                meter: Some(slug("storage-gb")),
                thresholds: vec![80, 100],
                burst: 25,
                grace_hours: 12,
                refusal: Refusal::Upgrade,
                per: Some(Per::Month),
                ..feature("storage", FeatureKind::Limit)
            },
            feature("seats", FeatureKind::Limit),
        ],
        meters: vec![Meter {
            id: slug("storage-gb"),
            name: "storage_gb".to_owned(),
            unit: "GB".to_owned(),
            description: String::new(),
        }],
        plans: vec![pro, free],
        add_ons: vec![pack],
        actions: vec!["VIEW".to_owned()],
        methods: vec![Method { method: "GET".to_owned(), action: "VIEW".to_owned() }],
        routes: vec![Route { path: "/v1/api".to_owned(), feature: slug("api") }],
        ..Document::default()
    }
}

/// The same with another name.
pub(crate) fn named(name: &str) -> Document {
    Document { name: name.to_owned(), ..document() }
}

pub(crate) fn adoption(version: u32, status: VersionStatus, content: Option<Content>) -> Adoption {
    let hash = Content::of(named(&format!("Version {version}"))).hash();
    Adoption { provider: provider(), catalog: slug("main"), version, status, hash, content }
}

/// A history of commands, each decided twice.
#[derive(Default)]
pub(crate) struct Story {
    pub(crate) state: State,
    commands: i64,
}

impl Story {
    pub(crate) fn decide(&mut self, command: &Command) -> Result<Vec<Event>, Rejection> {
        self.commands += 1;
        let id = format!("c-{}", self.commands);
        let ctx = Ctx {
            now: at(self.commands),
            recorded_at: at(self.commands),
            claimed_at: at(0),
            tenant: provider(),
            actor: ActorId::parse("u-1").unwrap(),
            home: None,
            command_id: CommandId::parse(id.as_str()).unwrap(),
            identity: Identity::of("vendor", "api", &id),
        };
        let decided = Catalog::decide(&self.state, command, &ctx);
        assert_eq!(decided, Catalog::decide(&self.state, command, &ctx));
        for event in decided.as_ref().unwrap_or(&vec![]) {
            Catalog::evolve(&mut self.state, event, ctx.now);
            assert_eq!(facts(event), []);
        }
        decided
    }

    pub(crate) fn when(mut self, command: Command) -> Self {
        self.decide(&command).unwrap();
        self
    }

    pub(crate) fn refuses(&mut self, command: Command) -> &'static str {
        let before = self.state.clone();
        let no = self.decide(&command).unwrap_err();
        assert!(!no.message().is_empty());
        assert_eq!(self.state, before);
        no.code()
    }
}

pub(crate) fn save(document: Document) -> Command {
    Command::SaveDraft(SaveDraft { catalog: slug("main"), document })
}

pub(crate) fn publish() -> Command {
    Command::Publish(Publish { catalog: slug("main"), hash: None })
}

pub(crate) fn retire(version: u32) -> Command {
    Command::Retire(Retire { catalog: slug("main"), version })
}

pub(crate) fn discard() -> Command {
    Command::DiscardDraft(DiscardDraft { catalog: slug("main") })
}
