//! A provider's meters and event schemas, and corrections of a tenant's events.

use exchequer_domain_usage as usage;
use exchequer_domain_usage::{Command as U, RulesField};
use exchequer_metering::{
    Aggregation, Filter, GROUPS_DEFAULT, GroupBy, Meter as Rules, Path, Scalar, Test,
};
use exchequer_tenant::Command;
use exchequer_types::{Quantity, Slug, Timestamp};

use super::{own_provider, slug};
use crate::script::{Columns, Line, ScriptError};

/// The command of a line about what is counted; None when it is about something else.
pub(super) fn read(
    line: &Line,
    columns: &mut Columns<'_>,
) -> Result<Option<(String, Command)>, ScriptError> {
    let meter = |columns: &mut Columns<'_>| slug(line, &columns.text("id")?);
    let command = match line.verb() {
        "create_meter" => U::CreateMeter(usage::CreateMeter { rules: rules(line, columns)? }),
        "update_meter" => {
            let only = only(line, columns)?;
            U::UpdateMeter(usage::UpdateMeter { rules: rules(line, columns)?, only })
        }
        "retire_meter" => U::RetireMeter(usage::RetireMeter { meter: meter(columns)? }),
        "backfill_meter" => {
            let from = columns.instant("from")?.unwrap_or(Timestamp::MIN);
            U::BackfillMeter(usage::BackfillMeter { meter: meter(columns)?, from })
        }
        "put_event_schema" => {
            let (kind, text) = (columns.text("type")?, columns.text("schema")?);
            U::PutEventSchema(usage::PutEventSchema { kind, text })
        }
        "retire_event_schema" => {
            U::RetireEventSchema(usage::RetireEventSchema { kind: columns.text("type")? })
        }
        "void_event" | "amend_event" => return correction(line, columns).map(Some),
        _ => return Ok(None),
    };
    Ok(Some((own_provider(columns), Command::Usage(command))))
}

fn correction(line: &Line, columns: &mut Columns<'_>) -> Result<(String, Command), ScriptError> {
    let tenant = columns.text("tenant")?;
    let (source, event) = (columns.text("source")?, columns.text("id")?);
    let reason = columns.text("reason")?;
    let command = if line.verb() == "void_event" {
        U::VoidEvent(usage::VoidEvent { source, event, reason })
    } else {
        let data = columns.text("data")?;
        U::AmendEvent(usage::AmendEvent { source, event, data, reason })
    };
    Ok((tenant, Command::Usage(command)))
}

/// The fields that `only` names.
fn only(
    line: &Line,
    columns: &mut Columns<'_>,
) -> Result<std::collections::BTreeSet<RulesField>, ScriptError> {
    let named = columns.optional("only").unwrap_or_default();
    let fields = named.split(',').filter(|it| !it.is_empty()).map(|it| {
        RulesField::parse(it).ok_or_else(|| line.error(format!("{it} is no field of a meter")))
    });
    fields.collect()
}

/// With the lines below: `group_by` and `filter`.
fn rules(line: &Line, columns: &mut Columns<'_>) -> Result<Rules, ScriptError> {
    let aggregation = columns.text_or("aggregation", "count");
    let aggregation = Aggregation::parse(&aggregation)
        .ok_or_else(|| line.error(format!("{aggregation} is no aggregation")))?;
    let value = columns.optional("value").map(|it| path(line, &it)).transpose()?;
    let groups_max = columns.number("groups_max")?.map_or(Ok(GROUPS_DEFAULT), u32::try_from);
    let mut rules = Rules {
        key: slug(line, &columns.text("id")?)?,
        version: 0,
        event_type: columns.text_or("type", "any"),
        aggregation,
        value,
        group_by: Vec::new(),
        filters: Vec::new(),
        unit: columns.text_or("unit", "units"),
        groups_max: groups_max.map_err(|error| line.error(error.to_string()))?,
    };
    for line in &line.below {
        let mut columns = line.columns()?;
        match line.verb() {
            "group_by" => rules.group_by.push(GroupBy {
                name: Slug::parse(columns.text("id")?)
                    .map_err(|error| line.error(error.to_string()))?,
                path: path(line, &columns.text("path")?)?,
            }),
            "filter" => rules.filters.push(filter(line, &mut columns)?),
            verb => return Err(line.error(format!("a meter has no {verb}"))),
        }
        columns.end()?;
    }
    rules.group_by.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(rules)
}

fn filter(line: &Line, columns: &mut Columns<'_>) -> Result<Filter, ScriptError> {
    let path = path(line, &columns.text("path")?)?;
    let texts = |text: String| text.split(',').map(|it| Scalar::Text(it.to_owned())).collect();
    let bound = |text: String| {
        Quantity::parse(&text).map_err(|error| line.error(format!("{text}: {error}")))
    };
    let test = if let Some(values) = columns.optional("one_of") {
        Test::In(texts(values))
    } else if let Some(values) = columns.optional("none_of") {
        Test::NotIn(texts(values))
    } else if let Some(number) = columns.optional("above") {
        Test::Greater(bound(number)?)
    } else if let Some(number) = columns.optional("at_most") {
        Test::AtMost(bound(number)?)
    } else if columns.flag("exists") {
        Test::Exists
    } else if columns.flag("missing") {
        Test::Missing
    } else {
        return Err(line.error("one_of=, none_of=, above=, at_most=, exists or missing"));
    };
    Ok(Filter { path, test })
}

fn path(line: &Line, text: &str) -> Result<Path, ScriptError> {
    Path::parse(text).map_err(|error| line.error(format!("{text}: {error}")))
}
