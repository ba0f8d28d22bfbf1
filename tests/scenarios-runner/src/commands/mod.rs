//! The commands that a script can send, by the names and columns of the API.

mod access;
mod catalog;
mod entitlements;
mod flags;
mod quotas;
mod subscriptions;
mod tenants;
mod usage;

use exchequer_access::Principal;
use exchequer_codec::{encode_command, seal};
use exchequer_domain_access::KEY_ACTOR_PREFIX;
use exchequer_engine::Submission;
use exchequer_kernel::SealKey;
use exchequer_proto::journal::v1 as pb;
use exchequer_tenant::Command;
use exchequer_types::{ActorId, CommandId, Issuer, Slug, StreamId, TenantId, Timestamp};

pub(crate) use access::{hash, principal, scope};
pub(crate) use flags::place;

use crate::script::{Columns, Line, ScriptError};

/// Who sends commands when the script does not say.
const ACTOR: &str = "operator";

/// Ids that the platform gave, by the numbers that a script has for them.
pub(crate) trait Named {
    /// Of the tenant's planned changes, as `show schedule` numbers them from 1.
    fn entry(&self, tenant: &str, number: u64) -> Option<String>;
    /// Of the tenant's grants, from 1 in the order in which they were given.
    fn grant(&self, tenant: &str, number: u64) -> Option<String>;
    /// Of the newest credential of this name.
    fn credential(&self, tenant: &str, name: &str) -> Option<String>;
    /// Of the grant by which the principal has the role.
    fn role_grant(&self, tenant: &str, principal: &Principal, role: &Slug) -> Option<String>;
}

/// Reads the commands of `line`, to be sent one after another; `number` makes the first
/// one's id when it names none. Empty when the line's verb is no command.
pub(crate) fn read(
    line: &Line,
    columns: &mut Columns<'_>,
    named: &dyn Named,
    number: u32,
) -> Result<Vec<Submission>, ScriptError> {
    let commands = commands(line, columns, named)?;
    if commands.is_empty() {
        return Ok(Vec::new());
    }
    let invalid = |error: exchequer_types::IdError| line.error(error.to_string());
    let first = columns.text_or("command", &format!("c{number}"));
    let acting = columns.text_or("as", ACTOR);
    let tenant = commands.first().map_or("", |(tenant, _)| tenant.as_str());
    let actor = ActorId::parse(acts_as(named, tenant, acting)).map_err(invalid)?;
    let expected_version = columns.number("expect_version")?;
    let not_after = columns.instant("not_after")?;
    let validate_only = columns.flag("validate_only");
    let mut submissions = Vec::new();
    for (index, (tenant, command)) in commands.into_iter().enumerate() {
        let id = if index == 0 { first.clone() } else { format!("{first}-{}", index + 1) };
        let stream = StreamId::Tenant(TenantId::parse(tenant).map_err(invalid)?);
        let issuer = Issuer::parse("api").map_err(invalid)?;
        let id = CommandId::parse(id).map_err(invalid)?;
        submissions.push(Submission {
            expected_version,
            not_after,
            validate_only,
            ..Submission::new(stream, issuer, id, actor.clone(), command)
        });
    }
    Ok(submissions)
}

fn commands(
    line: &Line,
    columns: &mut Columns<'_>,
    named: &dyn Named,
) -> Result<Vec<(String, Command)>, ScriptError> {
    if let Some(commands) = catalog::read(line, columns)? {
        return Ok(commands);
    }
    if let Some(command) = flags::read(line, columns)? {
        return Ok(vec![command]);
    }
    if let Some(command) = subscriptions::read(line, columns, named)? {
        return Ok(vec![command]);
    }
    if let Some(command) = access::read(line, columns, named)? {
        return Ok(vec![command]);
    }
    if let Some(command) = entitlements::read(line, columns, named)? {
        return Ok(vec![command]);
    }
    if let Some(command) = usage::read(line, columns)? {
        return Ok(vec![command]);
    }
    if let Some(command) = quotas::read(line, columns)? {
        return Ok(vec![command]);
    }
    Ok(tenants::read(line, columns)?.into_iter().collect())
}

/// A credential is named as `credential/NAME` and acts under its id.
fn acts_as(named: &dyn Named, tenant: &str, text: String) -> String {
    let id = text.strip_prefix("credential/").and_then(|it| named.credential(tenant, it));
    id.map_or(text, |id| format!("{KEY_ACTOR_PREFIX}{id}"))
}

/// Whose catalogs or flags the line is about.
fn own_provider(columns: &mut Columns<'_>) -> String {
    columns.text_or("provider", "platform")
}

fn slug(line: &Line, text: &str) -> Result<Slug, ScriptError> {
    Slug::parse(text).map_err(|error| line.error(format!("{text:?}: {error}")))
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
    Some(Submission::new(
        StreamId::Tenant(TenantId::parse(tenant).ok()?),
        Issuer::parse("api").ok()?,
        CommandId::parse(format!("lookup{number}")).ok()?,
        ActorId::parse(ACTOR).ok()?,
        Command::Lookup { issuer: issuer.to_owned(), id: id.to_owned() },
    ))
}
