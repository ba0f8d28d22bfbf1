//! Flags: projects with environments, and all that their owners change; and the
//! contexts that they are evaluated for.

use exchequer_domain_flags as flags;
use exchequer_flag_eval::{
    Attribute, Condition, Context, Gate, Kind, Number, Outcome, Rule, Scalar, Split, TARGETING_KEY,
    TENANT, Target, Test, Value, Variant,
};
use exchequer_tenant::Command;
use exchequer_types::{Slug, TenantId};

use super::documents::{FEATURES, PLANS, slug};
use super::kernel::name;
use super::word;
use crate::rng::Rng;

const PROJECTS: [&str; 2] = ["web", "app"];
pub(super) const ENVIRONMENTS: [&str; 2] = ["live", "test"];
pub(super) const FLAGS: [&str; 4] = ["search", "theme", "beta", "price"];
const VARIANTS: [&str; 3] = ["on", "off", "other"];
const COUNTRIES: [&str; 3] = ["VN", "US", "FR"];

/// The value of an attribute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Given {
    Boolean(bool),
    Number(Number),
    Text(String),
    List(Vec<String>),
}

/// Whom a flag is evaluated for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Facts {
    pub(crate) targeting_key: Option<String>,
    pub(crate) tenant: Option<TenantId>,
    attributes: Vec<(String, Given)>,
}

impl Facts {
    pub(crate) fn draw(tenant: Option<TenantId>, rng: &mut Rng) -> Self {
        let mut attributes = Vec::new();
        let mut put = |name: &str, given| attributes.push((name.to_owned(), given));
        if rng.chance(700) {
            put("country", Given::Text(rng.word(&COUNTRIES).to_owned()));
        }
        if rng.chance(600) {
            let age =
                if rng.chance(900) { Given::Number(number(rng)) } else { Given::Boolean(true) };
            put("age", age);
        }
        if rng.chance(500) {
            put("beta", Given::Boolean(rng.chance(500)));
        }
        if rng.chance(400) {
            let groups = COUNTRIES.iter().filter(|_| rng.chance(400)).map(|it| (*it).to_owned());
            put("groups", Given::List(groups.collect()));
        }
        let targeting_key = rng.chance(850).then(|| user(rng));
        Self { targeting_key, tenant, attributes }
    }

    pub(crate) fn get(&self, name: &str) -> Option<Given> {
        let own = match name {
            TARGETING_KEY => self.targeting_key.clone(),
            TENANT => self.tenant.as_ref().map(ToString::to_string),
            _ => None,
        };
        let found = || self.attributes.iter().find(|it| it.0 == name).map(|it| it.1.clone());
        own.map(Given::Text).or_else(found)
    }

    pub(crate) fn context(&self) -> Context<'_> {
        let attributes = self.attributes.iter().map(|(name, given)| {
            let attribute = match given {
                Given::Boolean(it) => Attribute::Boolean(*it),
                Given::Number(it) => Attribute::Number(*it),
                Given::Text(text) => Attribute::Text(text),
                Given::List(items) => Attribute::List(items.iter().map(String::as_str).collect()),
            };
            (name.as_str(), attribute)
        });
        let tenant = self.tenant.as_ref().map(TenantId::as_str);
        word(Context::new(self.targeting_key.as_deref(), tenant, attributes))
    }
}

fn user(rng: &mut Rng) -> String {
    format!("u-{}", rng.below(25))
}

fn number(rng: &mut Rng) -> Number {
    match rng.below(3) {
        0 => Number::from(rng.below(70) as i64),
        1 => word(format!("{}.5", rng.below(30)).parse()),
        _ => word("0.1".parse()),
    }
}

pub(super) fn project(rng: &mut Rng) -> Slug {
    slug(if rng.chance(950) { PROJECTS[0] } else { PROJECTS[1] })
}

pub(super) fn environment(rng: &mut Rng) -> Slug {
    slug(if rng.chance(750) { ENVIRONMENTS[0] } else { ENVIRONMENTS[1] })
}

/// A project with an environment, and flags.
pub(super) fn beginnings(rng: &mut Rng) -> Vec<Command> {
    use flags::Command as F;
    let (project, environment) = (slug(PROJECTS[0]), slug(ENVIRONMENTS[0]));
    let mut all = vec![
        create_project(0),
        Command::Flags(F::CreateEnvironment(flags::CreateEnvironment {
            project: project.clone(),
            environment,
            name: name(rng),
            dialect: flags::Dialect::default(),
            salt: None,
            production: true,
        })),
    ];
    for flag in FLAGS.iter().take(rng.within(1, 4) as usize) {
        let (project, flag) = (project.clone(), slug(flag));
        let mut definition = definition(&flag, rng);
        "on".clone_into(&mut definition.default_variant);
        all.push(Command::Flags(F::CreateFlag(flags::CreateFlag { project, flag, definition })));
    }
    all
}

fn create_project(number: usize) -> Command {
    let (project, name) = (slug(PROJECTS[number]), "Project".to_owned());
    Command::Flags(flags::Command::CreateProject(flags::CreateProject { project, name }))
}

/// What a provider does with its flags.
pub(super) fn flag_command(rng: &mut Rng) -> Command {
    use flags::Command as F;
    let (project, environment) = (project(rng), environment(rng));
    let flag = slug(rng.word(&FLAGS));
    Command::Flags(match rng.below(100) {
        0..4 => return create_project(rng.below(2) as usize),
        4..10 => F::CreateEnvironment(flags::CreateEnvironment {
            project,
            environment,
            name: name(rng),
            dialect: flags::Dialect::default(),
            salt: rng.chance(400).then(|| format!("salt-{}", rng.below(3))),
            production: false,
        }),
        10..22 => {
            F::CreateFlag(flags::CreateFlag { project, definition: definition(&flag, rng), flag })
        }
        22..32 => {
            let definition = definition(&flag, rng);
            let kind = rng.chance(500).then_some(definition.kind);
            let only = std::collections::BTreeSet::new();
            F::UpdateFlag(flags::UpdateFlag { project, flag, kind, definition, only })
        }
        32..64 => {
            let targeting = targeting(rng);
            F::SetTargeting(flags::SetTargeting { project, flag, environment, targeting })
        }
        64..76 => {
            let enabled = rng.chance(700);
            F::ToggleFlag(flags::ToggleFlag { project, flag, environment, enabled })
        }
        76..92 => {
            let rule = rng.chance(250).then(|| format!("r-{}", rng.below(3)));
            let weights = weights(rng);
            F::GrowRollout(flags::GrowRollout { project, flag, environment, rule, weights })
        }
        92..96 => F::ArchiveFlag(flags::ArchiveFlag { project, flag }),
        _ => F::RestoreFlag(flags::RestoreFlag { project, flag }),
    })
}

fn definition(flag: &Slug, rng: &mut Rng) -> flags::Definition {
    // The kind of a flag goes by its name, for it never changes.
    let is_boolean = FLAGS[0] == flag.as_str() || FLAGS[2] == flag.as_str();
    let is_wrong = rng.chance(60);
    let value = |key: &str, rng: &mut Rng| {
        if is_boolean == is_wrong {
            Value::Text(format!("{key} {}", rng.below(4)))
        } else {
            Value::Boolean(key == "on")
        }
    };
    let variants =
        VARIANTS.iter().map(|key| Variant { key: (*key).to_owned(), value: value(key, rng) });
    let mut variants: Vec<_> = variants.collect();
    if rng.chance(80) {
        variants.pop();
    }
    flags::Definition {
        name: name(rng),
        description: String::new(),
        tags: Vec::new(),
        kind: if is_boolean { Kind::Boolean } else { Kind::Text },
        variants,
        default_variant: variant(rng),
        off_variant: "off".to_owned(),
    }
}

fn variant(rng: &mut Rng) -> String {
    if rng.chance(980) { rng.word(&VARIANTS).to_owned() } else { "gone".to_owned() }
}

fn targeting(rng: &mut Rng) -> flags::Targeting {
    let targets = (0..rng.below(3)).map(|_| Target {
        variant: variant(rng),
        attribute: if rng.chance(700) { TARGETING_KEY.to_owned() } else { TENANT.to_owned() },
        values: (0..rng.within(1, 4))
            .map(|_| if rng.chance(700) { user(rng) } else { format!("c{}", rng.below(6)) })
            .collect(),
    });
    let targets = targets.collect();
    let rules = (0..rng.below(4)).map(|number| Rule {
        id: format!("r-{number}"),
        condition: condition(rng, 0),
        outcome: outcome(rng),
    });
    let rules = rules.collect();
    flags::Targeting {
        enabled: rng.chance(850),
        off_variant: rng.chance(200).then(|| variant(rng)),
        gate: rng.chance(350).then(|| gate(rng)),
        targets,
        rules,
        fallthrough: rng.chance(900).then(|| outcome(rng)),
    }
}

fn gate(rng: &mut Rng) -> Gate {
    let features = FEATURES.iter().filter(|_| rng.chance(200)).map(|it| (*it).to_owned()).collect();
    let plans = PLANS.iter().filter(|_| rng.chance(250)).map(|it| (*it).to_owned()).collect();
    Gate { features, plans }
}

fn outcome(rng: &mut Rng) -> Outcome {
    if rng.chance(300) {
        return Outcome::Variant(variant(rng));
    }
    let by = match rng.below(10) {
        0..6 => "",
        6..8 => TENANT,
        8 => "age",
        _ => "groups",
    };
    let salt = if rng.chance(800) { "" } else { "own" };
    let weights = weights(rng);
    Outcome::Split(Split::weighted(salt, by, weights.iter().map(|(key, it)| (key.as_str(), *it))))
}

fn weights(rng: &mut Rng) -> Vec<(String, u32)> {
    let on = *rng.pick(&[0, 1, 10_000, 25_000, 50_000, 99_999, 100_000]);
    let other = rng.below(u64::from(100_000 - on) + 1) as u32;
    let off = 100_000 - on - other;
    let wrong = u32::from(rng.chance(60));
    let all = [("on", on), ("off", off + wrong), ("other", other)];
    all.iter().map(|(key, weight)| ((*key).to_owned(), *weight)).collect()
}

fn condition(rng: &mut Rng, depth: u32) -> Condition {
    let parts = |rng: &mut Rng| {
        (0..rng.within(1, 4)).map(|_| condition(rng, depth + 1)).collect::<Vec<_>>()
    };
    match rng.below(if depth < 3 { 10 } else { 6 }) {
        0 => Condition::Plan(
            PLANS.iter().take(rng.within(1, 3) as usize).map(|it| (*it).to_owned()).collect(),
        ),
        1 => Condition::Entitled(rng.word(&FEATURES).to_owned()),
        2..6 => {
            let name = rng.word(&["country", "age", "beta", "groups", TENANT, TARGETING_KEY]);
            Condition::Attribute { name: name.to_owned(), test: test(rng) }
        }
        6 | 7 => Condition::All(parts(rng)),
        8 => Condition::Any(parts(rng)),
        _ => Condition::Not(Box::new(condition(rng, depth + 1))),
    }
}

fn test(rng: &mut Rng) -> Test {
    let text = |rng: &mut Rng| match rng.below(4) {
        0 => user(rng),
        1 => "c1".to_owned(),
        _ => rng.word(&COUNTRIES).to_owned(),
    };
    let scalar = |rng: &mut Rng| match rng.below(4) {
        0 => Scalar::Boolean(rng.chance(500)),
        1 => Scalar::Number(number(rng)),
        _ => Scalar::Text(text(rng)),
    };
    match rng.below(10) {
        0 => Test::Exists,
        1 | 2 => Test::Is(scalar(rng)),
        3 => Test::In((0..rng.within(1, 12)).map(|_| scalar(rng)).collect()),
        4 => Test::Below(number(rng)),
        5 => Test::AtMost(number(rng)),
        6 => Test::Above(number(rng)),
        7 => Test::AtLeast(number(rng)),
        8 => Test::StartsWith(vec![text(rng).chars().take(1).collect()]),
        _ => match rng.below(2) {
            0 => Test::EndsWith(vec![text(rng).chars().skip(1).collect()]),
            _ => Test::Contains(vec![text(rng)]),
        },
    }
}
