//! Quotas of a whole tenant: they follow plan, grants and periods in the same commit.

use exchequer_domain_catalog as catalog;
use exchequer_domain_entitlements as entitlements;
use exchequer_domain_quotas as quotas;
use exchequer_domain_subscriptions as subscriptions;
use exchequer_types::{
    Allowance, Component, ComponentKind, Currency, Cycle, Downgrade, Per, Proration, Selection,
    SelectionChange, Slug,
};

use super::*;

const DAY: i64 = 86_400;

fn slug(text: &str) -> Slug {
    Slug::parse(text).unwrap()
}

fn usd() -> Currency {
    Currency::parse("USD").unwrap()
}

fn plan(id: &str, storage: u64, questions: u64, downgrade: Downgrade) -> catalog::Plan {
    let components = vec![Component { kind: ComponentKind::Flat, amount: 1_000 }];
    let price = |id: &str, cycle| catalog::Price {
        id: slug(id),
        cycle,
        proration: None,
        currencies: vec![catalog::PriceIn { currency: usd(), components: components.clone() }],
    };
    let included = |feature: &str, allowance, beyond| catalog::PlanFeature {
        feature: slug(feature),
        allowance: Some(allowance),
        beyond,
    };
    catalog::Plan {
        id: slug(id),
        name: id.to_owned(),
        description: String::new(),
        product: None,
        extends: None,
        rank: 0,
        features: vec![
            included("storage", Allowance::Limit(storage), catalog::Beyond::Refuse),
            included("questions", Allowance::Limit(questions), catalog::Beyond::Bill),
            included("sso", Allowance::On, catalog::Beyond::Refuse),
        ],
        prices: vec![price("monthly", Cycle::MONTH), price("yearly", Cycle::YEAR)],
        trial_days_max: 14,
        seats_min: 1,
        seats_max: None,
        downgrade,
        proration: Proration::BySecond,
        grace_days: None,
        per_owner_max: None,
    }
}

fn feature(id: &str, kind: catalog::FeatureKind) -> catalog::Feature {
    let is_questions = id == "questions";
    catalog::Feature {
        id: slug(id),
        name: id.to_owned(),
        kind,
        unit: String::new(),
        per: is_questions.then_some(Per::Month),
        meter: is_questions.then(|| slug("asked")),
        thresholds: if is_questions { vec![100, 50] } else { Vec::new() },
        burst: 0,
        grace_hours: 0,
        refusal: <_>::default(),
        description: String::new(),
    }
}

/// The partition with a catalog of the plans `large` and `small`.
fn with_catalog() -> Reference {
    let meter = catalog::Meter {
        id: slug("asked"),
        name: "Asked".to_owned(),
        unit: String::new(),
        description: String::new(),
    };
    let document = catalog::Document {
        currencies: vec![usd()],
        features: vec![
            feature("storage", catalog::FeatureKind::Limit),
            feature("questions", catalog::FeatureKind::Limit),
            feature("sso", catalog::FeatureKind::Switch),
        ],
        meters: vec![meter],
        plans: vec![
            plan("large", 100, 1_000, Downgrade::Accept),
            plan("small", 10, 100, Downgrade::Accept),
            plan("strict", 20, 100, Downgrade::Refuse),
        ],
        ..catalog::Document::default()
    };
    let content = catalog::Content::of(document);
    let mut state = catalog::State::default();
    state.adopted.adopt(catalog::Adoption {
        provider: TenantId::platform(),
        catalog: slug("main"),
        version: 1,
        status: catalog::VersionStatus::Published,
        hash: content.hash(),
        content: Some(content),
    });
    Reference { catalog: Arc::new(state), ..reference() }
}

/// A tenant and its commands, each decided twice.
struct Customer {
    stream: Stream,
    commands: u32,
}

impl Customer {
    fn on(plan: &str, price: &str, trial_days: Option<u32>) -> Self {
        let mut customer = Self { stream: Stream::default(), commands: 0 };
        customer.does(create(), 0);
        let selection = Selection {
            catalog: slug("main"),
            version: None,
            plan: slug(plan),
            price: slug(price),
            currency: usd(),
            seats: 1,
            add_ons: BTreeMap::new(),
        };
        customer.does(Command::Subscribe(Subscribe { selection, trial_days, zone: None }), 0);
        customer
    }

    fn asks(&mut self, command: Command, now: i64) -> Result<Decision, String> {
        self.commands += 1;
        let request = request(&format!("c-{}", self.commands), command);
        let once = step(&self.stream, &request, &with_catalog(), at(now)).unwrap();
        let twice = step(&self.stream, &request, &with_catalog(), at(now)).unwrap();
        assert_eq!((&once.events, &once.leaves), (&twice.events, &twice.leaves));
        self.stream = once.stream.clone();
        quotas::invariants::check(&self.stream.quotas).unwrap();
        let pending = self.stream.quotas.timer.as_ref();
        let known: Vec<&str> =
            self.stream.timers.iter().map(|it| it.1).filter(|it| it.starts_with("tmq_")).collect();
        assert_eq!(known, pending.map(|it| it.id.as_str()).into_iter().collect::<Vec<_>>());
        match &once.rejection {
            None => Ok(once),
            Some(no) => Err(no.code.clone()),
        }
    }

    fn does(&mut self, command: Command, now: i64) -> Decision {
        self.asks(command, now).unwrap()
    }

    fn reserve(&mut self, id: &str, feature: &str, amount: u64, now: i64) -> Result<(), String> {
        let (id, feature) = (id.to_owned(), slug(feature));
        let reserve = quotas::Reserve { id, feature, amount, ttl_seconds: 60 };
        self.asks(Command::Quotas(quotas::Command::Reserve(reserve)), now).map(drop)
    }

    fn finalise(&mut self, id: &str, now: i64) {
        let finalise = quotas::Finalise { id: id.to_owned(), amount: None };
        self.does(Command::Quotas(quotas::Command::Finalise(finalise)), now);
    }

    fn change(&mut self, plan: &str, price: &str, now: i64) -> Result<(), String> {
        let to = SelectionChange {
            plan: Some(slug(plan)),
            price: Some(slug(price)),
            ..SelectionChange::default()
        };
        let change = ChangeSubscription { to, when: subscriptions::When::Now };
        self.asks(Command::ChangeSubscription(change), now).map(drop)
    }

    fn quota(&self, feature: &str) -> &quotas::Quota {
        self.stream.quotas.quota(&slug(feature)).unwrap()
    }

    fn left(&self, feature: &str) -> Option<u64> {
        self.quota(feature).remaining()
    }
}

// REQ: USE-06
#[test]
fn what_a_plan_counts_is_limited_in_the_same_commit() {
    let customer = Customer::on("small", "monthly", None);
    let counted: Vec<&str> =
        customer.stream.quotas.quotas().map(|it| it.feature.as_str()).collect();
    assert_eq!(counted, ["questions", "storage"], "a switch is not counted");
    let (questions, storage) = (customer.quota("questions"), customer.quota("storage"));
    assert_eq!(questions.terms.beyond, quotas::Beyond::Bill);
    assert_eq!(questions.terms.thresholds, [50, 100]);
    assert_eq!(questions.terms.meter, Some(slug("asked")));
    assert_eq!(questions.window.unwrap().end, at(31 * DAY));
    assert_eq!((storage.terms.thresholds.as_slice(), storage.window), ([80].as_slice(), None));
}

// REQ: USE-06, USE-07
#[test]
fn what_is_not_given_cannot_be_reserved() {
    let mut nobody = Customer { stream: Stream::default(), commands: 0 };
    assert_eq!(nobody.reserve("r", "storage", 1, 1), Err("TENANT_NOT_FOUND".to_owned()));
    let mut customer = Customer::on("small", "monthly", None);
    assert_eq!(customer.reserve("r", "gold", 1, 1), Err("FEATURE_NOT_INCLUDED".to_owned()));
    assert_eq!(customer.reserve("r", "sso", 1, 1), Err("FEATURE_NOT_LIMITED".to_owned()));
    customer.reserve("r1", "storage", 5, 1).unwrap();
    let reason = "unpaid".to_owned();
    let suspend = tenants::Command::Suspend(tenants::Suspend { reason });
    customer.does(Command::Tenants(suspend), 2);
    assert_eq!(customer.reserve("r2", "storage", 1, 3), Err("QUOTA_TENANT_SUSPENDED".to_owned()));
    customer.finalise("r1", 3);
    let close = tenants::Command::Close(tenants::Close { reason: String::new() });
    customer.does(Command::Tenants(close), 4);
    assert_eq!(customer.reserve("r3", "storage", 1, 5), Err("TENANT_CLOSED".to_owned()));
    assert_eq!(customer.stream.quotas.quotas().len(), 0);
}

// REQ: USE-06, BIL-03
#[test]
fn a_change_of_plan_moves_limits_and_keeps_what_is_held() {
    let mut customer = Customer::on("small", "monthly", None);
    customer.reserve("r1", "storage", 10, 1).unwrap();
    customer.finalise("r1", 2);
    assert_eq!(customer.reserve("r2", "storage", 1, 3), Err("QUOTA_LIMIT_REACHED".to_owned()));
    customer.change("large", "monthly", 4).unwrap();
    assert_eq!(customer.left("storage"), Some(90));
    customer.reserve("r2", "storage", 30, 5).unwrap();
    let refused = customer.change("strict", "monthly", 6);
    assert_eq!(refused, Err("DOWNGRADE_REFUSED".to_owned()), "40 of 20 are held");
    customer.change("small", "monthly", 6).unwrap();
    assert_eq!((customer.left("storage"), customer.quota("storage").held()), (Some(0), 40));
    assert_eq!(customer.reserve("r3", "storage", 1, 7), Err("QUOTA_LIMIT_REACHED".to_owned()));
}

// REQ: USE-06, ENT-01
#[test]
fn a_grant_lifts_a_limit_until_it_ends() {
    let mut customer = Customer::on("small", "monthly", None);
    let grant = |amount, until| {
        Command::Entitlements(entitlements::Command::Grant(entitlements::GrantFeature {
            feature: slug("storage"),
            amount,
            kind: entitlements::GrantKind::Manual,
            reason: "as agreed".to_owned(),
            expires_at: Some(at(until)),
        }))
    };
    customer.does(grant(entitlements::Amount::Units(5), 100), 1);
    assert_eq!(customer.left("storage"), Some(15));
    customer.does(grant(entitlements::Amount::Unlimited, 50), 2);
    assert_eq!(customer.left("storage"), None);
    customer.reserve("r1", "storage", 12, 3).unwrap();
    customer.finalise("r1", 4);
    customer.does(Command::Wake, 50);
    assert_eq!(customer.left("storage"), Some(3));
    assert_eq!(customer.reserve("r2", "storage", 1, 100), Err("QUOTA_LIMIT_REACHED".to_owned()));
    assert_eq!((customer.left("storage"), customer.quota("storage").used), (Some(0), 12));
}

// REQ: ENT-01
#[test]
fn what_the_provider_does_not_have_is_not_granted() {
    let grant = |feature: &str| {
        Command::Entitlements(entitlements::Command::Grant(entitlements::GrantFeature {
            feature: slug(feature),
            amount: entitlements::Amount::On,
            kind: entitlements::GrantKind::Manual,
            reason: "as agreed".to_owned(),
            expires_at: None,
        }))
    };
    let known = with_catalog();
    let mut stream = decide(&Stream::default(), "c-1", create(), 0).stream;
    let ask = |stream: &Stream, reference: &Reference, feature: &str| {
        step(stream, &request("c-2", grant(feature)), reference, at(1)).unwrap()
    };
    for (reference, feature) in [(&known, "teleport"), (&reference(), "sso")] {
        let refused = ask(&stream, reference, feature);
        assert_eq!(refused.status, Status::NotAdopted, "the next version may have it");
        let no = refused.rejection.unwrap();
        assert_eq!(
            (no.code.as_str(), no.field.as_deref()),
            ("CATALOG_NOT_ADOPTED", Some("feature"))
        );
        assert!(refused.events.is_empty() && refused.leaves.is_empty());
    }
    assert_eq!(ask(&stream, &known, "sso").status, Status::Accepted, "beside no plan at all");
    // The catalog of somebody else says nothing.
    let tenant = Arc::make_mut(&mut stream.tenants).tenant.as_mut().unwrap();
    tenant.parent = Some(TenantId::parse("reseller").unwrap());
    assert_eq!(ask(&stream, &known, "sso").status, Status::NotAdopted);
}

// REQ: USE-06
#[test]
fn counting_begins_anew_with_the_period() {
    let mut customer = Customer::on("small", "yearly", None);
    customer.reserve("r1", "questions", 40, 1).unwrap();
    customer.finalise("r1", 2);
    let woken = customer.does(Command::Wake, 31 * DAY);
    let reset = woken
        .events
        .iter()
        .find(|it| matches!(&it.event, Event::Quotas(quotas::Event::Reset { .. })));
    assert_eq!(reset.unwrap().at, at(31 * DAY), "at its instant");
    assert_eq!(customer.quota("questions").used, 0);
    assert_eq!(customer.quota("questions").window.unwrap().end, at(59 * DAY), "the next month");
    customer.reserve("r2", "questions", 7, 31 * DAY + 5).unwrap();
    customer.finalise("r2", 31 * DAY + 6);
    customer.change("large", "monthly", 40 * DAY).unwrap();
    let quota = customer.quota("questions");
    assert_eq!((quota.used, quota.window.unwrap().start), (0, at(40 * DAY)), "another period");
}

// REQ: USE-06
#[test]
fn a_trial_counts_by_itself() {
    let mut customer = Customer::on("small", "monthly", Some(14));
    customer.reserve("r1", "questions", 40, 1).unwrap();
    customer.finalise("r1", 2);
    customer.does(Command::Wake, 14 * DAY);
    let quota = customer.quota("questions");
    assert_eq!((quota.used, quota.window.unwrap().start), (0, at(14 * DAY)));
}
