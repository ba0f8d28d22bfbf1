//! given/when/then over the whole domain. Every command is decided twice, and every
//! invariant is checked after each step of every story.

mod changes;
mod ends;
mod lives;
mod properties;
mod rejections;
mod schedule;

use std::collections::BTreeMap;
use std::sync::Arc;

use exchequer_kernel::{Ctx, Decider as _, Reason as _};
use exchequer_types::{
    ActorId, AddOnHolding, AddOnOffer, Asked, CommandId, Component, ComponentKind, Currency, Cycle,
    Downgrade, Exceeded, Holding, Identity, Offer, PlanRef, Proration, Slug, TenantId, Timestamp,
    Zone,
};

use crate::invariants::Life;
use crate::*;

fn at(text: &str) -> Timestamp {
    let full = if text.contains('T') { format!("{text}Z") } else { format!("{text}T00:00:00Z") };
    Timestamp::parse(&full).unwrap()
}

fn slug(text: &str) -> Slug {
    Slug::parse(text).unwrap()
}

fn zone(name: &str) -> Zone {
    Zone::parse(name).unwrap()
}

/// One seat of a plan at a flat monthly price, prorated by second, with `free` to fall to
/// and trials of up to 30 days.
fn holding(plan: &str, amount: i64) -> Holding {
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
            components: vec![Component { kind: ComponentKind::Flat, amount }],
            proration: Proration::BySecond,
            trial_days_max: 30,
            seats_min: 1,
            seats_max: None,
            downgrade: Downgrade::Accept,
            fallback: Some(slug("free")),
        },
        seats: 1,
        add_ons: Vec::new(),
    }
}

/// As [`holding`], for each seat.
fn seats(plan: &str, amount: i64, seats: u64) -> Holding {
    let mut holding = holding(plan, amount);
    holding.offer.components = vec![Component { kind: ComponentKind::PerSeat, amount }];
    Holding { seats, ..holding }
}

fn yearly(plan: &str, amount: i64) -> Holding {
    let mut holding = holding(plan, amount);
    holding.offer.cycle = Cycle::YEAR;
    holding.offer.price = slug("yearly");
    holding
}

fn packs(holding: Holding, amount: i64, quantity: u64) -> Holding {
    let offer = AddOnOffer { add_on: slug("storage"), amount };
    Holding { add_ons: vec![AddOnHolding { offer, quantity }], ..holding }
}

fn change(holding: &Holding, when: When) -> Command {
    Command::Change(Change {
        asked: Asked::ALL,
        holding: holding.clone(),
        when,
        exceeded: Vec::new(),
    })
}

fn cancel(when: When) -> Command {
    Command::Cancel(Cancel { when, reason: "too dear".to_owned() })
}

fn set_zone(name: &str) -> Command {
    Command::SetZone(SetZone { zone: zone(name) })
}

/// A tenant's history, on a clock of its own.
#[derive(Debug, Default)]
struct Story {
    state: State,
    life: Life,
    now: Timestamp,
    commands: u32,
    /// What is used beyond the limits of any scheduled change, when it falls due.
    exceeded: Vec<Exceeded>,
    /// Of the last command and of all timers since.
    events: Vec<Event>,
    /// All of them.
    charges: Vec<Charge>,
}

impl Story {
    fn at(text: &str) -> Self {
        Self { now: at(text), ..Self::default() }
    }

    fn subscribed(start: &str, zone_name: &str, holding: &Holding) -> Self {
        Self::trial(start, zone_name, holding, None)
    }

    fn trial(start: &str, zone_name: &str, holding: &Holding, days: Option<u32>) -> Self {
        let subscribe =
            Subscribe { holding: holding.clone(), trial_days: days, zone: zone(zone_name) };
        Self::at(start).when(Command::Subscribe(subscribe))
    }

    fn ctx(&self, id: &str, issuer: &str) -> Ctx {
        Ctx {
            now: self.now,
            recorded_at: self.now,
            claimed_at: self.now,
            tenant: TenantId::parse("acme").unwrap(),
            actor: ActorId::parse("u-1").unwrap(),
            home: None,
            command_id: CommandId::parse(id).unwrap(),
            identity: Identity::of("acme", issuer, id),
        }
    }

    fn decide(&self, command: &Command, ctx: &Ctx) -> Result<Vec<Event>, Rejection> {
        let decided = Subscriptions::decide(&self.state, command, ctx);
        assert_eq!(decided, Subscriptions::decide(&self.state, command, ctx));
        decided
    }

    fn take(&mut self, events: &[Event]) {
        for event in events {
            Subscriptions::evolve(&mut self.state, event, self.now);
            self.life.follow(event, self.now).unwrap();
            if let Event::ChargeRecorded(charge) = event {
                self.charges.push(charge.clone());
            }
        }
        self.life.check(self.state.current.as_ref()).unwrap();
        self.events.extend_from_slice(events);
    }

    /// Time passes; what falls due is decided at its instant.
    fn pass(&mut self, until: Timestamp) {
        while let Some(timer) =
            self.state.current.as_ref().and_then(|it| it.timer.clone()).filter(|it| it.due <= until)
        {
            self.now = timer.due;
            let ctx = self.ctx(&timer.id, "timer");
            let events = self.decide(&self.fires(&timer.id), &ctx).unwrap();
            self.take(&events);
            assert_eq!(
                self.decide(&timer_command(&timer.id), &ctx),
                Err(Rejection::TimerNotPending)
            );
        }
        self.now = until;
    }

    fn fires(&self, timer: &str) -> Command {
        let due = falling_due(&self.state, timer).into_iter();
        let exceeded = due.map(|it| (it.id.clone(), self.exceeded.clone())).collect();
        Command::FireTimer(FireTimer { timer: timer.to_owned(), exceeded })
    }

    fn until(mut self, text: &str) -> Self {
        self.events.clear();
        self.pass(at(text));
        self
    }

    fn ask(&mut self, command: &Command) -> Result<(), Rejection> {
        self.commands += 1;
        let ctx = self.ctx(&format!("c-{}", self.commands), "api");
        let events = self.decide(command, &ctx)?;
        self.events.clear();
        self.take(&events);
        Ok(())
    }

    fn when(mut self, command: Command) -> Self {
        if let Err(no) = self.ask(&command) {
            panic!("{}: {}", no.code(), no.message());
        }
        self
    }

    fn refuses(&mut self, command: Command, code: &str) -> String {
        let before = self.state.clone();
        let no = self.ask(&command).unwrap_err();
        assert_eq!(no.code(), code, "{}", no.message());
        assert_eq!(self.state, before);
        assert!(!no.message().is_empty());
        no.message()
    }

    fn sub(&self) -> &Subscription {
        self.state.current.as_ref().unwrap()
    }

    /// What was charged since the last command, in minor units: line by line.
    fn lines(&self) -> Vec<i64> {
        let charges = self.events.iter().filter_map(|event| match event {
            Event::ChargeRecorded(charge) => Some(charge),
            _ => None,
        });
        charges.flat_map(|charge| charge.lines.iter().map(|line| line.amount)).collect()
    }

    /// Since the last command.
    fn facts(&self) -> Vec<exchequer_types::Fact> {
        self.events.iter().flat_map(facts).collect()
    }

    /// The plans held since the last command: plan and right.
    fn held(&self) -> Vec<String> {
        let held = self.facts().into_iter().filter_map(|fact| match fact {
            exchequer_types::Fact::PlanChanged { held: Some(it) } => {
                Some(format!("{} x{} {:?}", it.plan.plan, it.seats, it.by))
            }
            exchequer_types::Fact::PlanChanged { held: None } => Some("nothing".to_owned()),
            _ => None,
        });
        held.collect()
    }

    /// The state, and the bounds of the current period.
    fn shows(&self) -> String {
        let it = self.sub();
        let end = it.period.end.map_or_else(|| "open".to_owned(), |end| end.to_string());
        format!("{} {}..{end}", it.word(), it.period.start).replace("T00:00:00Z", "")
    }

    fn entry(&self, index: usize) -> String {
        self.sub().schedule[index].id.clone()
    }
}

#[test]
fn state_is_cheap_to_clone_and_weighs_something() {
    let story = Story::subscribed("2026-01-01", "UTC", &holding("pro", 1000));
    assert!(weight(&story.state) > 500);
    assert_eq!(weight(&State::default()), 0);
    let clone = story.state.clone();
    assert!(Arc::ptr_eq(&clone.current.unwrap().holding, &story.sub().holding));
}
