//! Projects, environments and flags, and how an environment targets a flag.

use exchequer_domain_flags as flags;
use exchequer_domain_flags::{Command as F, Definition, Dialect, Targeting};
use exchequer_flag_eval::{
    Condition, Gate, Kind, Number, Outcome, Rule, Scalar, Split, Target, Test, Value, Variant,
};
use exchequer_tenant::Command;
use exchequer_types::Slug;

use super::{own_provider, slug};
use crate::script::{Columns, Line, ScriptError};

/// Slots of one percent.
const SLOTS_PER_PERCENT: u32 = 1_000;

/// The command of a line about flags; None when it is about something else.
pub(super) fn read(
    line: &Line,
    columns: &mut Columns<'_>,
) -> Result<Option<(String, Command)>, ScriptError> {
    let id = |columns: &mut Columns<'_>, key: &str| slug(line, &columns.text(key)?);
    let command = match line.verb() {
        "create_project" => F::CreateProject(flags::CreateProject {
            project: id(columns, "id")?,
            name: columns.text("name")?,
        }),
        "create_environment" => F::CreateEnvironment(flags::CreateEnvironment {
            project: id(columns, "project")?,
            environment: id(columns, "id")?,
            name: columns.text("name")?,
            dialect: Dialect::default(),
            salt: columns.optional("salt"),
            production: columns.flag("production"),
        }),
        "create_flag" => F::CreateFlag(flags::CreateFlag {
            project: id(columns, "project")?,
            flag: id(columns, "id")?,
            definition: definition(line, columns)?,
        }),
        "archive_flag" => F::ArchiveFlag(flags::ArchiveFlag {
            project: id(columns, "project")?,
            flag: id(columns, "id")?,
        }),
        "toggle_flag" => {
            let (project, environment, flag) = place(line, columns)?;
            let enabled = columns.flag("on");
            if !enabled && !columns.flag("off") {
                return Err(line.error("toggle_flag PROJECT/ENVIRONMENT/FLAG on, or off"));
            }
            F::ToggleFlag(flags::ToggleFlag { project, flag, environment, enabled })
        }
        "set_targeting" => {
            let (project, environment, flag) = place(line, columns)?;
            let targeting = targeting(line, columns)?;
            F::SetTargeting(flags::SetTargeting { project, flag, environment, targeting })
        }
        "grow_rollout" => {
            let (project, environment, flag) = place(line, columns)?;
            let rule = columns.optional("rule");
            let weights = weights(line, columns)?;
            F::GrowRollout(flags::GrowRollout { project, flag, environment, rule, weights })
        }
        _ => return Ok(None),
    };
    Ok(Some((own_provider(columns), Command::Flags(command))))
}

/// Project, environment and flag of `PROJECT/ENVIRONMENT/FLAG`.
pub(crate) fn place(
    line: &Line,
    columns: &mut Columns<'_>,
) -> Result<(Slug, Slug, Slug), ScriptError> {
    let text = columns.bare().unwrap_or_default();
    let parts: Vec<&str> = text.split('/').collect();
    let [project, environment, flag] = parts[..] else {
        return Err(line.error("which flag? PROJECT/ENVIRONMENT/FLAG"));
    };
    Ok((slug(line, project)?, slug(line, environment)?, slug(line, flag)?))
}

/// The first variant is the default one, and the last one that of a flag that is off.
fn definition(line: &Line, columns: &mut Columns<'_>) -> Result<Definition, ScriptError> {
    let kind = match columns.text("kind")?.as_str() {
        "boolean" => Kind::Boolean,
        "string" => Kind::Text,
        _ => return Err(line.error("kind=boolean or kind=string")),
    };
    let mut variants = Vec::new();
    for line in &line.below {
        let mut columns = line.columns()?;
        let (key, value) = (columns.text("id")?, columns.text("value")?);
        let value = match (kind, value.as_str()) {
            (Kind::Boolean, "true") => Value::Boolean(true),
            (Kind::Boolean, "false") => Value::Boolean(false),
            _ => Value::Text(value),
        };
        variants.push(Variant { key, value });
        columns.end()?;
    }
    let key = |variant: Option<&Variant>| variant.map(|it| it.key.clone()).unwrap_or_default();
    Ok(Definition {
        name: columns.text_or("name", "a flag"),
        description: String::new(),
        tags: Vec::new(),
        kind,
        default_variant: columns.text_or("default", &key(variants.first())),
        off_variant: columns.text_or("off", &key(variants.last())),
        variants,
    })
}

fn targeting(line: &Line, columns: &mut Columns<'_>) -> Result<Targeting, ScriptError> {
    let mut targeting = Targeting {
        enabled: columns.flag("enabled"),
        off_variant: columns.optional("off"),
        ..Targeting::default()
    };
    for line in &line.below {
        let mut columns = line.columns()?;
        match line.verb() {
            "needs" => {
                let listed = |text: Option<String>| {
                    text.map(|it| it.split(',').map(str::to_owned).collect()).unwrap_or_default()
                };
                let features = listed(columns.optional("feature"));
                let plans = listed(columns.optional("plan"));
                targeting.gate = Some(Gate { features, plans });
            }
            "target" => {
                let variant = columns.text("variant")?;
                for (attribute, values) in columns.all_of("") {
                    let values = values.split(',').map(str::to_owned).collect();
                    targeting.targets.push(Target { variant: variant.clone(), attribute, values });
                }
            }
            "rule" => targeting.rules.push(rule(line, &mut columns)?),
            "otherwise" => targeting.fallthrough = Some(outcome(line, &mut columns)?),
            verb => return Err(line.error(format!("a flag's targeting has no {verb}"))),
        }
        columns.end()?;
    }
    Ok(targeting)
}

fn rule(line: &Line, columns: &mut Columns<'_>) -> Result<Rule, ScriptError> {
    let id = columns.text("id")?;
    let outcome = outcome(line, columns)?;
    let mut conditions = conditions(line)?;
    let condition = match conditions.len() {
        1 => conditions.remove(0),
        _ => Condition::All(conditions),
    };
    Ok(Rule { id, condition, outcome })
}

fn outcome(line: &Line, columns: &mut Columns<'_>) -> Result<Outcome, ScriptError> {
    if let Some(variant) = columns.optional("variant") {
        return Ok(Outcome::Variant(variant));
    }
    let by = columns.text_or("by", "");
    let weights = weights(line, columns)?;
    let weights = weights.iter().map(|(variant, weight)| (variant.as_str(), *weight));
    Ok(Outcome::Split(Split::weighted("", by, weights)))
}

/// `new=12.5%`, of each variant.
fn weights(line: &Line, columns: &mut Columns<'_>) -> Result<Vec<(String, u32)>, ScriptError> {
    let mut weights = Vec::new();
    for (variant, text) in columns.all_of("") {
        let is_weight = text.ends_with('%');
        let number = text.trim_end_matches('%');
        let (whole, part) = number.split_once('.').unwrap_or((number, ""));
        let thousandths: Option<u32> = format!("{part:0<3}").parse().ok();
        let weight = whole.parse::<u32>().ok().zip(thousandths).filter(|_| is_weight);
        let (whole, thousandths) =
            weight.ok_or_else(|| line.error(format!("{text} is no percentage")))?;
        weights
            .push((variant, whole.saturating_mul(SLOTS_PER_PERCENT).saturating_add(thousandths)));
    }
    Ok(weights)
}

fn conditions(line: &Line) -> Result<Vec<Condition>, ScriptError> {
    let mut all = Vec::new();
    for line in &line.below {
        let mut columns = line.columns()?;
        match line.verb() {
            "all" => all.push(Condition::All(conditions(line)?)),
            "any" => all.push(Condition::Any(conditions(line)?)),
            "not" => {
                for condition in conditions(line)? {
                    all.push(Condition::Not(Box::new(condition)));
                }
            }
            "exists" => {
                let name = columns.bare().unwrap_or_default();
                all.push(Condition::Attribute { name, test: Test::Exists });
            }
            "plan" => {
                let plans = columns.bare().unwrap_or_default();
                all.push(Condition::Plan(plans.split(',').map(str::to_owned).collect()));
            }
            "entitled" => all.push(Condition::Entitled(columns.text("feature")?)),
            verb => {
                for (name, text) in columns.all_of("") {
                    all.push(Condition::Attribute { name, test: test(line, verb, &text)? });
                }
            }
        }
        columns.end()?;
    }
    Ok(all)
}

fn test(line: &Line, verb: &str, text: &str) -> Result<Test, ScriptError> {
    let listed = || text.split(',').map(str::to_owned).collect();
    let number = || text.parse::<Number>().map_err(|error| line.error(format!("{text} {error}")));
    Ok(match verb {
        "is" => Test::Is(scalar(text)),
        "in" => Test::In(text.split(',').map(scalar).collect()),
        "below" => Test::Below(number()?),
        "at_most" => Test::AtMost(number()?),
        "above" => Test::Above(number()?),
        "at_least" => Test::AtLeast(number()?),
        "starts_with" => Test::StartsWith(listed()),
        "ends_with" => Test::EndsWith(listed()),
        "contains" => Test::Contains(listed()),
        _ => return Err(line.error(format!("{verb} is no condition"))),
    })
}

/// true and false are booleans, numbers are numbers, and all else is text.
fn scalar(text: &str) -> Scalar {
    match text {
        "true" => Scalar::Boolean(true),
        "false" => Scalar::Boolean(false),
        _ => match text.parse() {
            Ok(number) => Scalar::Number(number),
            Err(_) => Scalar::Text(text.to_owned()),
        },
    }
}
