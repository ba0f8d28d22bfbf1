//! Examples of the flags domain's types.

use exchequer_domain_flags::{
    ArchiveFlag, Command as C, CreateEnvironment, CreateFlag, CreateProject, Definition,
    DefinitionField, Dialect, Event as E, GrowRollout, RestoreFlag, SetTargeting, Targeting,
    ToggleFlag, UpdateFlag,
};
use exchequer_flag_eval::{
    Condition, Gate, Kind, Outcome, Rule, Scalar, Split, Target, Test, Value, Variant,
};
use exchequer_tenant::{Command, Event};
use exchequer_types::Slug;

fn slug(text: &str) -> Slug {
    Slug::parse(text).unwrap()
}

fn texts(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|it| (*it).to_owned()).collect()
}

fn definition() -> Definition {
    let variant =
        |key: &str| Variant { key: key.to_owned(), value: Value::Text(key.to_uppercase()) };
    Definition {
        name: "Colour of the button".to_owned(),
        description: "Of the **checkout**.\n".to_owned(),
        tags: texts(&["web", "payments"]),
        kind: Kind::Text,
        variants: ["red", "blue", "grey"].map(variant).into(),
        default_variant: "red".to_owned(),
        off_variant: "grey".to_owned(),
    }
}

fn booleans() -> Definition {
    let variant = |key: &str, value| Variant { key: key.to_owned(), value: Value::Boolean(value) };
    Definition {
        kind: Kind::Boolean,
        variants: vec![variant("on", true), variant("off", false)],
        default_variant: "on".to_owned(),
        off_variant: "off".to_owned(),
        ..definition()
    }
}

fn split() -> Split {
    Split::weighted("env_a.colour", "tenant", [("red", 10_000), ("blue", 90_000)])
}

fn laid_out() -> Split {
    let before = split().lay_out(None).unwrap();
    let after = Split::weighted("env_a.colour", "tenant", [("red", 50_000), ("blue", 50_000)]);
    after.lay_out(Some(&before)).unwrap()
}

/// A condition with every test.
fn condition() -> Condition {
    let number = |text: &str| text.parse().unwrap();
    let tests = [
        Test::Exists,
        Test::Is(Scalar::Boolean(true)),
        Test::In(vec![Scalar::Text("vn".to_owned()), Scalar::Number(number("-0.5"))]),
        Test::Below(number("18")),
        Test::AtMost(number("1.50")),
        Test::Above(number("1e30")),
        Test::AtLeast(number("0")),
        Test::StartsWith(texts(&["a", "b"])),
        Test::EndsWith(texts(&["@example.com"])),
        Test::Contains(texts(&["é"])),
    ];
    let name = || "user.attribute".to_owned();
    let tests = tests.map(|test| Condition::Attribute { name: name(), test });
    Condition::All(vec![
        Condition::Any(tests.into()),
        Condition::Not(Box::new(Condition::Plan(texts(&["free"])))),
        Condition::Entitled("sso".to_owned()),
    ])
}

fn targeting(split: Split) -> Targeting {
    let target = |variant: &str, attribute: &str, values: &[&str]| Target {
        variant: variant.to_owned(),
        attribute: attribute.to_owned(),
        values: texts(values),
    };
    let rule = |id: &str, condition, outcome| Rule { id: id.to_owned(), condition, outcome };
    let paid = Condition::Plan(texts(&["pro", "enterprise"]));
    Targeting {
        enabled: true,
        off_variant: Some("blue".to_owned()),
        gate: Some(Gate { features: texts(&["checkout"]), plans: texts(&["pro"]) }),
        targets: vec![target("red", "targeting_key", &["u-1", "u-2"])],
        rules: vec![
            rule("some", condition(), Outcome::Variant("blue".to_owned())),
            rule("paid", paid, Outcome::Split(split.clone())),
        ],
        fallthrough: Some(Outcome::Split(split)),
    }
}

/// One event of each type, every field filled.
pub(crate) fn events() -> Vec<Event> {
    let (project, flag, environment) = (|| slug("web"), || slug("colour"), || slug("prod"));
    let events = [
        E::ProjectCreated { project: project(), name: "Web".to_owned() },
        E::EnvironmentCreated {
            project: project(),
            environment: environment(),
            name: "Production".to_owned(),
            dialect: Dialect::FractionalV2,
            salt: "env_a".to_owned(),
            production: true,
        },
        E::FlagCreated { project: project(), flag: flag(), definition: definition() },
        E::FlagUpdated { project: project(), flag: flag(), definition: booleans() },
        E::TargetingSet {
            project: project(),
            flag: flag(),
            environment: environment(),
            targeting: targeting(laid_out()),
        },
        E::FlagToggled {
            project: project(),
            flag: flag(),
            environment: environment(),
            enabled: true,
        },
        E::RolloutGrown {
            project: project(),
            flag: flag(),
            environment: environment(),
            rule: Some("paid".to_owned()),
            split: laid_out(),
        },
        E::FlagArchived { project: project(), flag: flag() },
        E::FlagRestored { project: project(), flag: flag() },
    ];
    events.map(Event::Flags).into()
}

/// One command of each type, every field filled.
pub(crate) fn commands() -> Vec<Command> {
    let (project, flag, environment) = (|| slug("web"), || slug("colour"), || slug("prod"));
    let commands = [
        C::CreateProject(CreateProject { project: project(), name: "Web".to_owned() }),
        C::CreateEnvironment(CreateEnvironment {
            project: project(),
            environment: environment(),
            name: "Production".to_owned(),
            dialect: Dialect::FractionalV2,
            salt: Some("own".to_owned()),
            production: true,
        }),
        C::CreateFlag(CreateFlag { project: project(), flag: flag(), definition: definition() }),
        C::UpdateFlag(UpdateFlag {
            project: project(),
            flag: flag(),
            kind: Some(booleans().kind),
            definition: booleans(),
            only: [DefinitionField::Name, DefinitionField::OffVariant].into(),
        }),
        C::SetTargeting(SetTargeting {
            project: project(),
            flag: flag(),
            environment: environment(),
            targeting: targeting(split()),
        }),
        C::ToggleFlag(ToggleFlag {
            project: project(),
            flag: flag(),
            environment: environment(),
            enabled: true,
        }),
        C::GrowRollout(GrowRollout {
            project: project(),
            flag: flag(),
            environment: environment(),
            rule: Some("paid".to_owned()),
            weights: vec![("red".to_owned(), 50_000), ("blue".to_owned(), 50_000)],
        }),
        C::ArchiveFlag(ArchiveFlag { project: project(), flag: flag() }),
        C::RestoreFlag(RestoreFlag { project: project(), flag: flag() }),
    ];
    commands.map(Command::Flags).into()
}
