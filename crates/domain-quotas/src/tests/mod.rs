//! given/when/then over the whole domain, every rejection in order of precedence, and
//! histories of commands against a model that is computed from the events alone.

mod bursts;
mod commands;
mod model;
mod timers;
mod windows;

use std::collections::BTreeMap;

use exchequer_kernel::{Ctx, Decider as _, Reason as _};
use exchequer_types::{
    ActorId, CommandId, CycleUnit, Identity, Quantity, Slug, TenantId, Timestamp,
};

use crate::*;

fn at(seconds: i64) -> Timestamp {
    Timestamp::saturating_from_micros(seconds * 1_000_000)
}

fn slug(text: &str) -> Slug {
    Slug::parse(text).unwrap()
}

fn ctx(command: u32, now: Timestamp) -> Ctx {
    let command = format!("c-{command}");
    Ctx {
        now,
        recorded_at: now,
        claimed_at: now,
        tenant: TenantId::parse("acme").unwrap(),
        actor: ActorId::parse("u-1").unwrap(),
        home: None,
        command_id: CommandId::parse(command.as_str()).unwrap(),
        identity: Identity::of("acme", "api", &command),
    }
}

/// A hard limit without a window.
fn hard(limit: u64) -> Terms {
    Terms { limit: Some(limit), thresholds: vec![80], ..Terms::default() }
}

/// A hard limit for each calendar day.
fn daily(limit: u64) -> Terms {
    Terms { counting: Some(Counting::calendar(CycleUnit::Day)), ..hard(limit) }
}

fn reserve(id: &str, feature: &str, amount: u64) -> Command {
    let (id, feature) = (id.to_owned(), slug(feature));
    Command::Reserve(Reserve { id, feature, amount, ttl_seconds: 60 })
}

fn finalise(id: &str, amount: Option<u64>) -> Command {
    Command::Finalise(Finalise { id: id.to_owned(), amount })
}

fn release(id: &str) -> Command {
    Command::Release(Release { id: id.to_owned() })
}

fn adjust(feature: &str, units: u64) -> Command {
    Command::AdjustHeld(AdjustHeld { feature: slug(feature), units, reason: "deleted".to_owned() })
}

/// A history of commands, each decided twice. Every state keeps the invariants.
#[derive(Default)]
struct Story {
    state: State,
    events: Vec<(Event, Timestamp)>,
    commands: u32,
}

impl Story {
    fn with(terms: &[(&str, Terms)]) -> Self {
        let mut story = Self::default();
        story.follows(terms, at(0));
        story
    }

    fn at(&mut self, command: &Command, now: Timestamp) -> Result<Vec<Event>, &'static str> {
        self.commands += 1;
        let ctx = ctx(self.commands, now);
        let decided = Quotas::decide(&self.state, command, &ctx);
        assert_eq!(decided, Quotas::decide(&self.state, command, &ctx));
        let events = decided.map_err(|rejection| {
            assert!(!rejection.message().is_empty());
            rejection.code()
        })?;
        self.take(&events, now);
        Ok(events)
    }

    fn follows(&mut self, terms: &[(&str, Terms)], now: Timestamp) -> Vec<Event> {
        self.commands += 1;
        let wanted: BTreeMap<Slug, Terms> =
            terms.iter().map(|(feature, terms)| (slug(feature), terms.clone())).collect();
        let ctx = ctx(self.commands, now);
        let events = follow_terms(&self.state, &wanted, &ctx);
        assert_eq!(events, follow_terms(&self.state, &wanted, &ctx));
        self.take(&events, now);
        assert!(follow_terms(&self.state, &wanted, &ctx).is_empty(), "once is enough");
        events
    }

    fn take(&mut self, events: &[Event], now: Timestamp) {
        for event in events {
            Quotas::evolve(&mut self.state, event, now);
            self.events.push((event.clone(), now));
            invariants::is_covered(&self.state, event).unwrap();
        }
        invariants::check(&self.state).unwrap();
    }

    /// Decides every timer that is due by `now`, at its instant.
    fn pass(&mut self, now: Timestamp) -> Vec<Event> {
        let mut events = Vec::new();
        while let Some(timer) = self.state.timer.clone().filter(|timer| timer.due <= now) {
            events.extend(self.at(&timer_command(&timer.id), timer.due).unwrap());
        }
        events
    }

    fn quota(&self, feature: &str) -> Quota {
        self.state.quota(&slug(feature)).cloned().unwrap()
    }

    fn figures(&self, feature: &str) -> (u64, u64) {
        let quota = self.quota(feature);
        (quota.used, quota.reserved)
    }
}

fn reached(events: &[Event]) -> Vec<u32> {
    let percents = events.iter().filter_map(|event| match event {
        Event::ThresholdReached { percent, .. } => Some(*percent),
        _ => None,
    });
    percents.collect()
}
