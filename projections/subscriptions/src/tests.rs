//! Fold and query on the store in memory: in any batches, replayed, and cut off between
//! any two rows.

use std::collections::BTreeMap;

use exchequer_codec::Entry;
use exchequer_domain_subscriptions::{
    Cancel, Change, Charge, Command, Event, State, Subscribe, Subscriptions, When, timer_command,
};
use exchequer_kernel::{Ctx, Decider as _, Projection as _};
use exchequer_readstore::views::{GENERATION, Suite};
use exchequer_readstore::{ReadStore as _, RowSet};
use exchequer_types::{
    ActorId, Asked, CommandId, Component, ComponentKind, Currency, Cycle, Downgrade, Holding,
    Identity, Offer, PartitionId, PlanRef, Proration, Slug, TenantId, Timestamp, Zone,
};

use crate::rows::subscription_key;
use crate::{ChargeFilter, SUBSCRIPTIONS, SubscriptionsView, TABLES, charges, get};

const VIEW: Suite<SubscriptionsView> = Suite { projection: SubscriptionsView, tables: TABLES };

fn id(text: &str) -> TenantId {
    TenantId::parse(text).unwrap()
}

fn at(text: &str) -> Timestamp {
    Timestamp::parse(text).unwrap()
}

fn holding(plan: &str, amount: i64) -> Holding {
    let slug = |text: &str| Slug::parse(text).unwrap();
    Holding {
        offer: Offer {
            plan: PlanRef {
                provider: TenantId::platform(),
                catalog: slug("main"),
                version: 1,
                plan: slug(plan),
            },
            price: slug("monthly"),
            currency: Currency::parse("USD").unwrap(),
            cycle: Cycle::MONTH,
            components: vec![Component { kind: ComponentKind::PerSeat, amount }],
            proration: Proration::BySecond,
            trial_days_max: 30,
            seats_min: 1,
            seats_max: None,
            downgrade: Downgrade::Accept,
            fallback: Some(slug("free")),
        },
        seats: 2,
        add_ons: Vec::new(),
    }
}

/// What two tenants' deciders would write: one entry for each decision.
#[derive(Default)]
struct World {
    states: BTreeMap<String, State>,
    entries: Vec<Entry>,
    charges: Vec<Charge>,
}

impl World {
    fn decide(&mut self, tenant: &str, now: Timestamp, command: &Command) {
        let seq = u64::try_from(self.entries.len()).unwrap() + 1;
        let name = format!("c-{seq}");
        let ctx = Ctx {
            now,
            recorded_at: now,
            claimed_at: now,
            tenant: id(tenant),
            actor: ActorId::parse("u-1").unwrap(),
            home: None,
            command_id: CommandId::parse(&name).unwrap(),
            identity: Identity::of(tenant, "api", &name),
        };
        let state = self.states.entry(tenant.to_owned()).or_default();
        let events = Subscriptions::decide(state, command, &ctx).unwrap();
        for event in &events {
            Subscriptions::evolve(state, event, now);
            if let Event::ChargeRecorded(charge) = event {
                self.charges.push(charge.clone());
            }
        }
        let events: Vec<_> = events
            .into_iter()
            .map(|event| (tenant, exchequer_tenant::Event::Subscriptions(event)))
            .collect();
        self.entries.push(Entry::of_events(PartitionId(0), seq, now, &events));
    }

    fn fire(&mut self, tenant: &str) {
        let current = self.states[tenant].current.as_ref().unwrap();
        let timer = current.timer.clone().unwrap();
        self.decide(tenant, timer.due, &timer_command(&timer.id));
    }

    /// Acme changes, renews, ends and begins anew; Zeta is in a trial.
    fn history() -> Self {
        let subscribe = |trial_days| {
            let (holding, zone) = (holding("pro", 1000), Zone::UTC);
            Command::Subscribe(Subscribe { holding, trial_days, zone })
        };
        let change = |when| {
            let holding = holding("team", 3000);
            Command::Change(Change { holding, asked: Asked::ALL, when, exceeded: Vec::new() })
        };
        let cancel = Command::Cancel(Cancel { when: When::Now, reason: "r".to_owned() });
        let mut world = Self::default();
        world.decide("acme", at("2026-01-31T00:00:00Z"), &subscribe(None));
        world.decide("zeta", at("2026-02-01T00:00:00Z"), &subscribe(Some(14)));
        world.decide("acme", at("2026-02-10T00:00:00Z"), &change(When::PeriodEnd));
        world.fire("acme");
        world.fire("acme");
        world.decide("acme", at("2026-04-10T00:00:00Z"), &cancel);
        world.decide("acme", at("2026-05-10T00:00:00Z"), &subscribe(None));
        world.decide("acme", at("2026-05-20T00:00:00Z"), &change(When::Now));
        world
    }
}

// REQ: KER-06
#[tokio::test]
async fn any_batches_and_a_replay_give_the_same_rows() {
    VIEW.check_batches(&World::history().entries).await;
}

// REQ: KER-06
#[tokio::test]
async fn a_batch_cut_off_anywhere_is_made_good_by_a_replay() {
    VIEW.check_cut_offs(&World::history().entries).await;
}

// REQ: KER-14 BIL-03
#[tokio::test]
async fn the_row_is_what_the_domain_says() {
    let world = World::history();
    let store = VIEW.folded(&world.entries).await;
    for tenant in ["acme", "zeta"] {
        let found = get(&store, GENERATION, &id(tenant)).await.unwrap();
        assert_eq!(found, world.states[tenant].current);
    }
    assert_eq!(get(&store, GENERATION, &id("nobody")).await.unwrap(), None);
    let row = store.get(&SUBSCRIPTIONS, GENERATION, subscription_key("zeta")).await.unwrap();
    let values = row.unwrap().values;
    let column = |name| SUBSCRIPTIONS.columns.iter().position(|it| it.name == name).unwrap();
    assert_eq!(values.len(), SUBSCRIPTIONS.columns.len());
    assert_eq!(values[column("state")].as_text(), "trialing");
    assert_eq!(values[column("plan")].as_text(), "pro");
    assert_eq!(values[column("seats")].as_int(), 2);
    let trial_end = at("2026-02-15T00:00:00Z").micros();
    assert_eq!(values[column("trial_ends_at")].as_int(), trial_end);
    assert_eq!(values[column("next_due")].as_int(), trial_end);
    assert_eq!(values[column("ended_at")].as_int(), -1);
}

// REQ: BIL-05
#[tokio::test]
async fn charges_are_listed_newest_first_page_by_page() {
    let world = World::history();
    let store = VIEW.folded(&world.entries).await;
    let mut expected = world.charges.clone();
    expected.reverse();
    assert_eq!(expected.len(), 6);
    for limit in [1, 2, 6, 7] {
        let (mut found, mut before) = (Vec::new(), None);
        loop {
            let filter = ChargeFilter::default();
            let page =
                charges(&store, GENERATION, &id("acme"), &|it| filter.holds(it), before, limit)
                    .await
                    .unwrap();
            assert!(page.charges.len() <= limit);
            found.extend(page.charges);
            before = page.next;
            if before.is_none() {
                break;
            }
        }
        assert_eq!(found, expected, "{limit} a page");
    }
    let first = expected.last().unwrap().subscription.clone();
    let filter = ChargeFilter { subscription: Some(first), period_index: Some(0) };
    let page =
        charges(&store, GENERATION, &id("acme"), &|it| filter.holds(it), None, 100).await.unwrap();
    assert_eq!(page.charges, expected[5..]);
    let all = ChargeFilter::default();
    let none =
        charges(&store, GENERATION, &id("zeta"), &|it| all.holds(it), None, 100).await.unwrap();
    assert!(none.charges.is_empty());
}

// REQ: KER-10
#[tokio::test]
async fn what_cannot_be_folded_stops_the_view() {
    let world = World::history();
    let mut rows = RowSet::default();
    // Without the beginning.
    SubscriptionsView.fold(&world.entries[2], &mut rows);
    assert!(rows.failure().is_some_and(|it| it.contains("never subscribed")), "{rows:?}");
}
