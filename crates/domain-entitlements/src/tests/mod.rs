//! given/when/then over the whole domain, every rejection in order of precedence, and
//! decisions against a model that is computed from the events alone.

mod commands;
mod decisions;
mod model;

use std::collections::BTreeMap;

use exchequer_kernel::{Ctx, Decider as _, Reason as _};
use exchequer_types::{
    ActorId, Allowance, CommandId, Fact, Features, HeldBy, HeldPlan, Identity, PlanContent,
    PlanRef, Slug, TenantId, Timestamp,
};

use crate::*;

fn at(seconds: i64) -> Timestamp {
    Timestamp::saturating_from_micros(seconds * 1_000_000)
}

fn slug(text: &str) -> Slug {
    Slug::parse(text).unwrap()
}

fn ctx(command: &str, now: Timestamp) -> Ctx {
    Ctx {
        now,
        recorded_at: now,
        claimed_at: now,
        tenant: TenantId::parse("acme").unwrap(),
        actor: ActorId::parse("u-1").unwrap(),
        home: None,
        command_id: CommandId::parse(command).unwrap(),
        identity: Identity::of("acme", "api", command),
    }
}

fn features(pairs: &[(&str, Allowance)]) -> Features {
    pairs.iter().map(|(feature, allowance)| (slug(feature), *allowance)).collect()
}

fn plan(name: &str) -> PlanRef {
    PlanRef { provider: TenantId::platform(), catalog: slug("saas"), version: 1, plan: slug(name) }
}

fn held(name: &str, seats: u64, packs: &[(&str, u64)]) -> HeldPlan {
    HeldPlan {
        plan: plan(name),
        by: HeldBy::Subscription,
        seats,
        add_ons: packs.iter().map(|(add_on, packs)| (slug(add_on), *packs)).collect(),
        since: at(0),
    }
}

/// The plan `pro`: 10 reports, SSO, a seat each, unlimited storage, no exports; and an
/// add-on of 5 reports and priority support.
fn pro() -> PlanContent {
    PlanContent {
        plan: features(&[
            ("exports", Allowance::Limit(0)),
            ("reports", Allowance::Limit(10)),
            ("seats", Allowance::Seats),
            ("sso", Allowance::On),
            ("storage", Allowance::Unlimited),
        ]),
        add_ons: BTreeMap::from([(
            slug("more"),
            features(&[("reports", Allowance::Limit(5)), ("support", Allowance::On)]),
        )]),
    }
}

fn grant(feature: &str, amount: Amount, expires_at: Option<Timestamp>) -> Command {
    Command::Grant(GrantFeature {
        feature: slug(feature),
        amount,
        kind: GrantKind::Promotional,
        reason: "as agreed".to_owned(),
        expires_at,
    })
}

fn report(feature: &str, used: u64) -> Command {
    Command::ReportUse(ReportUse { feature: slug(feature), used })
}

fn revoke(id: &str) -> Command {
    Command::Revoke(Revoke { id: id.to_owned(), reason: "by mistake".to_owned() })
}

/// A history of commands, each decided twice. Every state keeps the invariants.
#[derive(Default)]
struct Story {
    state: State,
    events: Vec<(Event, Timestamp)>,
    commands: u32,
}

impl Story {
    fn on_pro() -> Self {
        let mut story = Self::default();
        story.follows(&Fact::PlanChanged { held: Some(held("pro", 3, &[])) }, Some(&pro()), at(1));
        story
    }

    fn at(&mut self, command: &Command, now: Timestamp) -> Result<Vec<Event>, &'static str> {
        self.commands += 1;
        let ctx = ctx(&format!("c-{}", self.commands), now);
        let decided = Entitlements::decide(&self.state, command, &ctx);
        assert_eq!(decided, Entitlements::decide(&self.state, command, &ctx));
        let events = decided.map_err(|rejection| {
            assert!(!rejection.message().is_empty());
            rejection.code()
        })?;
        self.take(&events, now);
        Ok(events)
    }

    fn follows(
        &mut self,
        fact: &Fact,
        content: Option<&PlanContent>,
        now: Timestamp,
    ) -> Vec<Event> {
        self.commands += 1;
        let ctx = ctx(&format!("c-{}", self.commands), now);
        let events = follow(&self.state, fact, content, &ctx);
        assert_eq!(events, follow(&self.state, fact, content, &ctx));
        self.take(&events, now);
        events
    }

    fn take(&mut self, events: &[Event], now: Timestamp) {
        for event in events {
            Entitlements::evolve(&mut self.state, event, now);
            self.events.push((event.clone(), now));
        }
        invariants::check(&self.state, now).unwrap();
    }

    /// Grants, and gives the grant.
    fn grant(&mut self, feature: &str, amount: Amount, expires_at: Option<Timestamp>) -> Grant {
        let command = grant(feature, amount, expires_at);
        let events = self.at(&command, at(2)).unwrap();
        match reply(&self.state, &command, &events) {
            Reply::Grant(grant) => *grant,
            other => panic!("{other:?}"),
        }
    }

    fn refuses(&mut self, command: &Command) -> &'static str {
        self.at(command, at(1_000)).unwrap_err()
    }

    fn check(&self, feature: &str, now: Timestamp) -> Decision {
        check(&self.state, &slug(feature), now)
    }
}
