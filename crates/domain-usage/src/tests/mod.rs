//! given/when/then over the whole domain, every rejection in order of precedence.

mod corrections;
mod meters;
mod schemas;

use exchequer_kernel::{Ctx, Decider as _, Reason as _};
use exchequer_metering::{Aggregation, Filter, GroupBy, Meter as Rules, Path, Scalar, Test};
use exchequer_types::{ActorId, CommandId, Identity, Slug, TenantId, Timestamp};

use crate::*;

pub(crate) fn at(seconds: i64) -> Timestamp {
    Timestamp::saturating_from_micros(seconds * 1_000_000)
}

pub(crate) fn slug(text: &str) -> Slug {
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

/// A history of commands, each decided twice.
#[derive(Default, Clone)]
pub(crate) struct Story {
    pub(crate) state: State,
    commands: u32,
}

impl Story {
    pub(crate) fn decide(&mut self, command: &Command) -> Result<Vec<Event>, Rejection> {
        self.commands += 1;
        // A day between commands.
        let now = at(i64::from(self.commands) * 86_400);
        let ctx = ctx(&format!("c-{}", self.commands), now);
        let decided = Usage::decide(&self.state, command, &ctx);
        assert_eq!(decided, Usage::decide(&self.state, command, &ctx));
        let events = decided?;
        let before = self.state.clone();
        for event in &events {
            Usage::evolve(&mut self.state, event, ctx.now);
            assert!(facts(event).is_empty());
        }
        assert_ne!(reply(&self.state, command, &events), Reply::Nothing);
        let shown = shown(&before, &self.state, command);
        assert_ne!(shown.before, shown.after);
        assert!(!shown.resource_id.is_empty());
        assert_eq!(version(&before, command) + 1, version(&self.state, command));
        let definitions = self.state.version - before.version;
        assert_eq!(definitions, u64::from(!command.is_correction()));
        Ok(events)
    }

    pub(crate) fn when(mut self, command: Command) -> Self {
        self.decide(&command).unwrap();
        self
    }

    /// The code that the command is refused with, by a message that says something.
    pub(crate) fn refuses(&mut self, command: Command) -> &'static str {
        let before = self.state.clone();
        let rejection = self.decide(&command).unwrap_err();
        assert_eq!(self.state, before);
        assert!(!rejection.message().is_empty());
        rejection.code()
    }

    pub(crate) fn meter(&self, key: &str) -> &Meter {
        &self.state.meters[&slug(key)]
    }
}

pub(crate) fn rules(key: &str) -> Rules {
    Rules {
        key: slug(key),
        version: 0,
        event_type: "request".to_owned(),
        aggregation: Aggregation::Sum,
        value: Some(Path::parse("$.tokens").unwrap()),
        group_by: vec![GroupBy { name: slug("model"), path: Path::parse("$.model").unwrap() }],
        filters: vec![Filter {
            path: Path::parse("$.kind").unwrap(),
            test: Test::In(vec![Scalar::Text("prompt".to_owned()), Scalar::Bool(true)]),
        }],
        unit: "tokens".to_owned(),
        groups_max: 100,
    }
}

pub(crate) fn create(rules: Rules) -> Command {
    Command::CreateMeter(CreateMeter { rules })
}

pub(crate) fn update(rules: Rules, only: &[RulesField]) -> Command {
    Command::UpdateMeter(UpdateMeter { rules, only: only.iter().copied().collect() })
}

pub(crate) fn retire(key: &str) -> Command {
    Command::RetireMeter(RetireMeter { meter: slug(key) })
}

pub(crate) fn backfill(key: &str, from: Timestamp) -> Command {
    Command::BackfillMeter(BackfillMeter { meter: slug(key), from })
}

pub(crate) fn put(kind: &str, text: &str) -> Command {
    Command::PutEventSchema(PutEventSchema { kind: kind.to_owned(), text: text.to_owned() })
}
