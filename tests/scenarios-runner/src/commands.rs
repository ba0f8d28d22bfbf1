//! The commands that a script can send, by the names and columns of the API.

use exchequer_codec::{encode_command, seal};
use exchequer_domain_audit as audit;
use exchequer_domain_tenants as tenants;
use exchequer_engine::Submission;
use exchequer_kernel::SealKey;
use exchequer_proto::journal::v1 as pb;
use exchequer_tenant::Command;
use exchequer_types::{ActorId, CommandId, Issuer, StreamId, TenantId, Timestamp};

use crate::script::{Columns, Line, ScriptError};

/// Who sends commands when the script does not say.
const ACTOR: &str = "operator";

/// Reads the command of `line`; `number` makes its id when it names none. None
/// when the line's verb is no command.
pub(crate) fn read(
    line: &Line,
    columns: &mut Columns<'_>,
    number: u32,
) -> Result<Option<Submission>, ScriptError> {
    let Some((tenant, command)) = command(line, columns)? else { return Ok(None) };
    let invalid = |error: exchequer_types::IdError| line.error(error.to_string());
    let id = columns.text_or("command", &format!("c{number}"));
    let actor = columns.text_or("as", ACTOR);
    Ok(Some(Submission {
        stream: StreamId::Tenant(TenantId::parse(tenant).map_err(invalid)?),
        issuer: Issuer::parse("api").map_err(invalid)?,
        id: CommandId::parse(id).map_err(invalid)?,
        actor: ActorId::parse(actor).map_err(invalid)?,
        command,
        expected_version: columns.number("expect_version")?,
        not_after: columns.instant("not_after")?,
        validate_only: columns.flag("validate_only"),
    }))
}

fn command(
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
            Command::Create {
                parent: TenantId::parse(parent).map_err(|error| line.error(error.to_string()))?,
                name: columns.text("name")?,
                settings: columns.all_of("setting."),
            }
        }
        verb => match tenants_command(verb, columns)? {
            Some(command) => Command::Tenants(command),
            None => return Ok(None),
        },
    };
    Ok(Some((columns.text("id")?, command)))
}

fn tenants_command(
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
    })
}

/// The command as its gateway would seal it under `key`.
pub(crate) fn sealed(submission: &Submission, key: &SealKey, now: Timestamp) -> bytes::Bytes {
    let (kind, payload) = encode_command(&submission.command).unwrap_or_default();
    let envelope = pb::Envelope {
        stream: submission.stream.to_string(),
        issuer: submission.issuer.to_string(),
        id: submission.id.to_string(),
        r#type: kind.to_owned(),
        payload,
        actor: submission.actor.to_string(),
        claimed_at: now.micros(),
        expected_version: submission.expected_version,
        not_after: submission.not_after.map(Timestamp::micros),
        validate_only: submission.validate_only,
        ..pb::Envelope::default()
    };
    seal(key, envelope)
}

/// A question for the outcome of another command of the same tenant.
pub(crate) fn lookup(tenant: &str, issuer: &str, id: &str, number: u32) -> Option<Submission> {
    Some(Submission {
        stream: StreamId::Tenant(TenantId::parse(tenant).ok()?),
        issuer: Issuer::parse("api").ok()?,
        id: CommandId::parse(format!("lookup{number}")).ok()?,
        actor: ActorId::parse(ACTOR).ok()?,
        command: Command::Lookup { issuer: issuer.to_owned(), id: id.to_owned() },
        expected_version: None,
        not_after: None,
        validate_only: false,
    })
}
