//! given/when/then over the whole domain, every rejection in order of precedence.

mod bounds;
mod rollouts;
mod stories;

use std::collections::BTreeSet;

use exchequer_flag_eval::{
    Condition, Gate, Kind, Outcome, Rule, Scalar, Split, Test, Value, Variant,
};
use exchequer_kernel::{Ctx, Decider as _, Reason as _};
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
    pub(crate) events: Vec<Event>,
    commands: u32,
}

impl Story {
    /// Project `web` with environments `prod` and `test`, and a boolean flag `checkout`.
    pub(crate) fn begun() -> Self {
        Self::default()
            .when(create_project("web"))
            .when(create_environment("prod"))
            .when(create_environment("test"))
            .when(create_flag("checkout"))
    }

    pub(crate) fn decide(&mut self, command: &Command) -> Result<Vec<Event>, Rejection> {
        self.commands += 1;
        let ctx = ctx(&format!("c-{}", self.commands), at(i64::from(self.commands)));
        let decided = Flags::decide(&self.state, command, &ctx);
        assert_eq!(decided, Flags::decide(&self.state, command, &ctx));
        let events = decided?;
        let before = self.state.clone();
        for event in &events {
            Flags::evolve(&mut self.state, event, ctx.now);
        }
        assert_ne!(reply(&self.state, command, &events), Reply::Nothing);
        let shown = shown(&before, &self.state, command);
        assert_ne!(shown.before, shown.after);
        assert_ne!(version(&before, command), version(&self.state, command));
        self.events.extend(events.clone());
        Ok(events)
    }

    pub(crate) fn when(mut self, command: Command) -> Self {
        self.decide(&command).unwrap();
        self
    }

    pub(crate) fn refuses(&mut self, command: Command) -> &'static str {
        let rejection = self.decide(&command).unwrap_err();
        assert!(!rejection.message().is_empty());
        rejection.code()
    }

    pub(crate) fn flag(&self) -> &Flag {
        self.state.projects.get(&slug("web")).unwrap().flags.get(&slug("checkout")).unwrap()
    }

    pub(crate) fn snapshot_version(&self, environment: &str) -> u64 {
        let project = self.state.projects.get(&slug("web")).unwrap();
        snapshot_version(project, &slug(environment)).unwrap()
    }
}

pub(crate) fn create_project(key: &str) -> Command {
    Command::CreateProject(CreateProject { project: slug(key), name: key.to_owned() })
}

pub(crate) fn create_environment(key: &str) -> Command {
    Command::CreateEnvironment(CreateEnvironment {
        project: slug("web"),
        environment: slug(key),
        name: key.to_owned(),
        dialect: Dialect::FractionalV2,
        salt: None,
        production: key == "prod",
    })
}

pub(crate) fn definition() -> Definition {
    let variant = |key: &str, value| Variant { key: key.to_owned(), value: Value::Boolean(value) };
    Definition {
        name: "Checkout".to_owned(),
        description: "The **new** one.\nSoon.".to_owned(),
        tags: vec!["web".to_owned()],
        kind: Kind::Boolean,
        variants: vec![variant("on", true), variant("off", false)],
        default_variant: "on".to_owned(),
        off_variant: "off".to_owned(),
    }
}

pub(crate) fn create_flag(key: &str) -> Command {
    let (project, flag) = (slug("web"), slug(key));
    Command::CreateFlag(CreateFlag { project, flag, definition: definition() })
}

pub(crate) fn update(definition: Definition) -> Command {
    let (project, flag) = (slug("web"), slug("checkout"));
    let kind = Some(definition.kind);
    let only = BTreeSet::new();
    Command::UpdateFlag(UpdateFlag { project, flag, kind, definition, only })
}

pub(crate) fn target(environment: &str, targeting: Targeting) -> Command {
    Command::SetTargeting(SetTargeting {
        project: slug("web"),
        flag: slug("checkout"),
        environment: slug(environment),
        targeting,
    })
}

pub(crate) fn toggle(environment: &str, enabled: bool) -> Command {
    Command::ToggleFlag(ToggleFlag {
        project: slug("web"),
        flag: slug("checkout"),
        environment: slug(environment),
        enabled,
    })
}

pub(crate) fn grow(rule: Option<&str>, weights: &[(&str, u32)]) -> Command {
    Command::GrowRollout(GrowRollout {
        project: slug("web"),
        flag: slug("checkout"),
        environment: slug("prod"),
        rule: rule.map(str::to_owned),
        weights: weights.iter().map(|(variant, weight)| ((*variant).to_owned(), *weight)).collect(),
    })
}

pub(crate) fn archive(flag: &str) -> Command {
    Command::ArchiveFlag(ArchiveFlag { project: slug("web"), flag: slug(flag) })
}

pub(crate) fn restore(flag: &str) -> Command {
    Command::RestoreFlag(RestoreFlag { project: slug("web"), flag: slug(flag) })
}

pub(crate) fn split(salt: &str, on: u32) -> Outcome {
    Outcome::Split(Split::weighted(salt, "", [("on", on), ("off", 100_000 - on)]))
}

pub(crate) fn rule(id: &str, outcome: Outcome) -> Rule {
    let test = Test::Is(Scalar::Text("vn".to_owned()));
    let condition = Condition::Attribute { name: "country".to_owned(), test };
    Rule { id: id.to_owned(), condition, outcome }
}

/// On, gated, with a split for a country and another for everybody.
pub(crate) fn targeting(on: u32) -> Targeting {
    Targeting {
        enabled: true,
        off_variant: None,
        gate: Some(Gate { features: vec!["checkout".to_owned()], plans: Vec::new() }),
        targets: Vec::new(),
        rules: vec![rule("vietnam", split("", on))],
        fallthrough: Some(split("own", on)),
    }
}
