//! What flags answer, and how a rollout spreads over many visitors.

use std::collections::BTreeMap;
use std::sync::Arc;

use exchequer_api::Customer;
use exchequer_flag_eval::{
    Attribute, Context, DecidedBy, Decision, ErrorCode, Kind, Number, Plan as _, Reason, Value,
};
use exchequer_projection_entitlements::LiveEntitlements;
use exchequer_projection_flags::{LiveFlags, LiveProject, ProjectKey};
use exchequer_types::{Slug, TenantId};

use super::text::{none, sheet, table};
use crate::commands::place;
use crate::script::{Columns, Line, ScriptError};
use crate::world::World;

/// Visitors whom a rollout is shown for: `visitor-1` and so on.
const VISITORS: u32 = 1_000;

/// What visitors were shown when a rollout was last printed, by flag.
#[derive(Debug, Default)]
pub(crate) struct Rollouts {
    by_flag: BTreeMap<String, Vec<String>>,
}

/// A flag in an environment, as the gateway has it in memory.
struct Asked {
    provider: TenantId,
    project: Arc<LiveProject>,
    environment: Slug,
    flag: Slug,
}

/// Asks for a flag, as an application does: by what the gateway evaluates with.
pub(crate) fn evaluate(
    world: &World,
    line: &Line,
    columns: &mut Columns<'_>,
) -> Result<String, ScriptError> {
    let asked = asked(world, line, columns)?;
    let kind = match columns.optional("as").as_deref() {
        None => None,
        Some("boolean") => Some(Kind::Boolean),
        Some("string") => Some(Kind::Text),
        Some(_) => return Err(line.error("as=boolean or as=string")),
    };
    let tenant = columns.optional("tenant");
    let customer = tenant.as_deref().map(|it| customer(world, line, it, &asked.provider));
    let customer = customer.transpose()?;
    let who = columns.optional("for");
    let attributes = columns.all_of("");
    let lists: Vec<Vec<&str>> = attributes.values().map(|it| items(it)).collect();
    let attributes = attributes.iter().zip(&lists);
    let attributes = attributes.map(|((name, text), list)| (name.as_str(), attribute(text, list)));
    let context = Context::new(who.as_deref(), tenant.as_deref(), attributes);
    let context = context.map_err(|error| line.error(error.to_string()))?;
    let (snapshot, version) = asked.snapshot(line)?;
    let flag = asked.flag.as_str();
    let decision = exchequer_api::evaluate(&snapshot, flag, kind, &context, customer.as_ref());
    let of_customer = customer.as_ref().map(|it| {
        let plan = it.plan().map_or_else(none, str::to_owned);
        format!("{plan}, version {}", it.version())
    });
    Ok(sheet(&[
        ("value", decision.value.map(value).unwrap_or_default()),
        ("variant", decision.variant.unwrap_or_default().to_owned()),
        ("reason", reason(&decision).to_owned()),
        ("decided by", decided_by(decision.by)),
        ("flags", format!("version {version}")),
        ("plan", of_customer.unwrap_or_default()),
    ]))
}

impl Rollouts {
    /// How many visitors are shown each variant, and how many came to it and left it
    /// since it was last shown.
    pub(crate) fn show(
        &mut self,
        world: &World,
        line: &Line,
        columns: &mut Columns<'_>,
    ) -> Result<String, ScriptError> {
        let asked = asked(world, line, columns)?;
        let (snapshot, _) = asked.snapshot(line)?;
        let mut shown = Vec::new();
        for number in 1..=VISITORS {
            let who = format!("visitor-{number}");
            let context = Context::new(Some(&who), None, []);
            let context = context.map_err(|error| line.error(error.to_string()))?;
            let flag = asked.flag.as_str();
            let decision = exchequer_api::evaluate(&snapshot, flag, None, &context, None);
            shown.push(decision.variant.unwrap_or_else(|| reason(&decision)).to_owned());
        }
        let before = self.by_flag.insert(line.text.clone(), shown.clone());
        let mut variants: Vec<&String> = shown.iter().chain(before.iter().flatten()).collect();
        variants.sort_unstable();
        variants.dedup();
        let rows = variants.into_iter().map(|variant| {
            let has = |it: &&String| *it == variant;
            let mut row = vec![variant.clone(), shown.iter().filter(has).count().to_string()];
            if let Some(before) = &before {
                let moved = |from: &[String], to: &[String]| {
                    let pairs = from.iter().zip(to);
                    pairs.filter(|(from, to)| has(from) && !has(to)).count().to_string()
                };
                row.extend([moved(&shown, before), moved(before, &shown)]);
            }
            row
        });
        let heads = ["variant", ">visitors", ">came", ">left"];
        let heads = if before.is_some() { &heads[..] } else { &heads[..2] };
        Ok(table(heads, rows))
    }
}

fn asked(world: &World, line: &Line, columns: &mut Columns<'_>) -> Result<Asked, ScriptError> {
    let tenant = columns.text_or("provider", "platform");
    let provider = TenantId::parse(tenant).map_err(|error| line.error(error.to_string()))?;
    let (project, environment, flag) = place(line, columns)?;
    let seen = world.live::<LiveFlags>(ProjectKey { tenant: provider.clone(), project });
    let seen = seen.map_err(|error| line.error(error))?;
    Ok(Asked { provider, project: seen.snapshot, environment, flag })
}

impl Asked {
    fn snapshot(
        &self,
        line: &Line,
    ) -> Result<(Arc<exchequer_flag_eval::Snapshot>, u64), ScriptError> {
        let found = self.project.environment(&self.environment);
        found.ok_or_else(|| line.error("there is no such environment"))
    }
}

fn customer(
    world: &World,
    line: &Line,
    tenant: &str,
    provider: &TenantId,
) -> Result<Customer, ScriptError> {
    let tenant = TenantId::parse(tenant).map_err(|error| line.error(error.to_string()))?;
    let seen = world.live::<LiveEntitlements>(tenant).map_err(|error| line.error(error))?;
    Ok(Customer::of(seen.snapshot, provider, world.now()))
}

/// `[a,b]` is a list.
fn items(text: &str) -> Vec<&str> {
    let inside = text.strip_prefix('[').and_then(|it| it.strip_suffix(']'));
    inside.map(|it| it.split(',').collect()).unwrap_or_default()
}

fn attribute<'a>(text: &'a str, list: &[&'a str]) -> Attribute<'a> {
    match text {
        _ if !list.is_empty() => Attribute::List(list.to_vec()),
        "true" => Attribute::Boolean(true),
        "false" => Attribute::Boolean(false),
        _ => match text.parse::<Number>() {
            Ok(number) => Attribute::Number(number),
            Err(_) => Attribute::Text(text),
        },
    }
}

fn value(it: &Value) -> String {
    match it {
        Value::Boolean(it) => it.to_string(),
        Value::Text(it) => format!("{it:?}"),
    }
}

fn reason(it: &Decision<'_>) -> &'static str {
    match it.reason {
        Reason::Static => "static",
        Reason::Default => "default",
        Reason::TargetingMatch => "targeting_match",
        Reason::Split => "split",
        Reason::Disabled => "disabled",
        Reason::PlanRestriction => "plan_restriction",
        Reason::Error(ErrorCode::FlagNotFound) => "error: flag_not_found",
        Reason::Error(ErrorCode::TypeMismatch) => "error: type_mismatch",
        Reason::Error(ErrorCode::TargetingKeyMissing) => "error: targeting_key_missing",
    }
}

fn decided_by(it: DecidedBy<'_>) -> String {
    match it {
        DecidedBy::Nothing => String::new(),
        DecidedBy::Gate => "what it needs".to_owned(),
        DecidedBy::Target { index } => format!("target {}", index + 1),
        DecidedBy::Rule { index, id } => format!("rule {}, {id}", index + 1),
        DecidedBy::Fallthrough => "otherwise".to_owned(),
    }
}
