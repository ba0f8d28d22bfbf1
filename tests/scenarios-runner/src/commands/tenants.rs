//! Commands for tenants themselves and for their audit logs.

use exchequer_domain_audit as audit;
use exchequer_domain_tenants as tenants;
use exchequer_tenant::{Command, Create};
use exchequer_types::{TenantId, Timestamp};

use super::ACTOR;
use crate::script::{Columns, Line, ScriptError};

/// The command of a line about a tenant; None when it is about something else.
pub(super) fn read(
    line: &Line,
    columns: &mut Columns<'_>,
) -> Result<Option<(String, Command)>, ScriptError> {
    let command = match line.verb() {
        "append_entry" => {
            let tenant = columns.text("tenant")?;
            return Ok(Some((tenant, append(vec![draft(columns)?]))));
        }
        "append_entries" => {
            let tenant = columns.text("tenant")?;
            let drafts = line.below.iter().map(entry).collect::<Result<_, _>>()?;
            return Ok(Some((tenant, append(drafts))));
        }
        "release_tenant" => {
            let reason = columns.text_or("reason", "");
            return Ok(Some((columns.text("tenant")?, Command::Release { reason })));
        }
        "create_tenant" => {
            let parent = columns.text_or("parent", "platform");
            Command::Create(Create {
                parent: TenantId::parse(parent).map_err(|error| line.error(error.to_string()))?,
                name: columns.text("name")?,
                settings: columns.all_of("setting."),
                test_clock: columns.instant("test_clock")?,
            })
        }
        verb => match of_tenants(verb, columns)? {
            Some(command) => Command::Tenants(command),
            None => return Ok(None),
        },
    };
    Ok(Some((columns.text("id")?, command)))
}

fn of_tenants(
    verb: &str,
    columns: &mut Columns<'_>,
) -> Result<Option<tenants::Command>, ScriptError> {
    use tenants::Command as T;
    Ok(Some(match verb {
        "rename_tenant" => T::Rename(tenants::Rename { name: columns.text("name")? }),
        "update_settings" => {
            let unset = columns.text_or("unset", "");
            let unset = unset.split(',').filter(|key| !key.is_empty()).map(str::to_owned);
            let unset = unset.collect();
            T::UpdateSettings(tenants::UpdateSettings { set: columns.all_of("set."), unset })
        }
        "promote_tenant" => T::Promote(tenants::Promote),
        "suspend_tenant" => T::Suspend(tenants::Suspend { reason: columns.text_or("reason", "") }),
        "reinstate_tenant" => T::Reinstate(tenants::Reinstate),
        "close_tenant" => T::Close(tenants::Close { reason: columns.text_or("reason", "") }),
        "schedule_closing" => {
            let at = columns.instant("at")?.unwrap_or(Timestamp::MIN);
            T::ScheduleClosing(tenants::ScheduleClosing { at })
        }
        "cancel_closing" => T::CancelClosing(tenants::CancelClosing),
        "advance_clock" => {
            let to = columns.instant("to")?.unwrap_or(Timestamp::MIN);
            T::AdvanceClock(tenants::AdvanceClock { to })
        }
        _ => return Ok(None),
    }))
}

fn append(entries: Vec<audit::Draft>) -> Command {
    Command::Audit(audit::Command::Append(audit::Append { entries }))
}

fn entry(line: &Line) -> Result<audit::Draft, ScriptError> {
    if line.verb() != "entry" {
        return Err(line.error("below append_entries stand lines of entry"));
    }
    let mut columns = line.columns()?;
    let draft = draft(&mut columns)?;
    columns.end()?;
    Ok(draft)
}

fn draft(columns: &mut Columns<'_>) -> Result<audit::Draft, ScriptError> {
    let resource = columns.text("resource")?;
    let (kind, id) = resource.split_once('/').unwrap_or((&resource, ""));
    let mut context = columns.text_or("context", "");
    if let Some(bytes) = columns.number("context_bytes")? {
        // {"text":"..."} around that many letters.
        let letters = usize::try_from(bytes).unwrap_or(0).saturating_sub(11);
        context = format!("{{\"text\":\"{}\"}}", "x".repeat(letters));
    }
    Ok(audit::Draft {
        action: columns.text("action")?,
        actor: columns.text_or("actor", ACTOR),
        resource_type: kind.to_owned(),
        resource_id: id.to_owned(),
        before: columns.text_or("before", ""),
        after: columns.text_or("after", ""),
        context,
        occurred_at: columns.instant("occurred")?,
        ..audit::Draft::default()
    })
}
