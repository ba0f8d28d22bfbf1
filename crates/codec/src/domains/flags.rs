//! The flags domain on the wire: its commands, events, replies and state.

mod definition;
mod message;
mod state;
mod targeting;
#[cfg(test)]
mod tests;

pub use definition::{definition_from_proto, dialect_from_proto, kind_from_proto, value_to_proto};
pub use message::{environment_message, flag_message, project_message};
pub use state::{flag_state_from_proto, flag_state_to_proto};
pub(crate) use state::{state_from_proto, state_to_proto};
pub use targeting::targeting_from_proto;

use exchequer_domain_flags::{
    self as flags, Command as C, DefinitionField, Dialect, Event as E, Reply,
};
use exchequer_proto::flags::v1 as pb;
use exchequer_tenant::Command;
use exchequer_types::Slug;
use prost::Message as _;

use super::Encoded;
use super::catalog::{Misfit, MisfitKind};
use crate::DecodeError;
use crate::convert::slug;
use definition::{definition_to_proto, dialect_to_proto, kind_to_proto};
use targeting::{split_from_proto, split_to_proto, targeting_to_proto};

const CREATE_PROJECT: &str = "flags.create-project.v1";
const CREATE_ENVIRONMENT: &str = "flags.create-environment.v1";
const CREATE_FLAG: &str = "flags.create-flag.v1";
const UPDATE_FLAG: &str = "flags.update-flag.v1";
const SET_TARGETING: &str = "flags.set-targeting.v1";
const TOGGLE_FLAG: &str = "flags.toggle-flag.v1";
const GROW_ROLLOUT: &str = "flags.grow-rollout.v1";
const ARCHIVE_FLAG: &str = "flags.archive-flag.v1";
const RESTORE_FLAG: &str = "flags.restore-flag.v1";

/// Every command type and version of the domain that was ever sent.
pub(crate) const COMMANDS: &[&str] = &[
    CREATE_PROJECT,
    CREATE_ENVIRONMENT,
    CREATE_FLAG,
    UPDATE_FLAG,
    SET_TARGETING,
    TOGGLE_FLAG,
    GROW_ROLLOUT,
    ARCHIVE_FLAG,
    RESTORE_FLAG,
];

const PROJECT_CREATED: &str = "flags.project-created.v1";
const ENVIRONMENT_CREATED: &str = "flags.environment-created.v1";
const FLAG_CREATED: &str = "flags.flag-created.v1";
const FLAG_UPDATED: &str = "flags.flag-updated.v1";
const TARGETING_SET: &str = "flags.targeting-set.v1";
const FLAG_TOGGLED: &str = "flags.flag-toggled.v1";
const ROLLOUT_GROWN: &str = "flags.rollout-grown.v1";
const FLAG_ARCHIVED: &str = "flags.flag-archived.v1";
const FLAG_RESTORED: &str = "flags.flag-restored.v1";

/// Every event type and version of the domain that was ever written.
pub(crate) const EVENTS: &[&str] = &[
    PROJECT_CREATED,
    ENVIRONMENT_CREATED,
    FLAG_CREATED,
    FLAG_UPDATED,
    TARGETING_SET,
    FLAG_TOGGLED,
    ROLLOUT_GROWN,
    FLAG_ARCHIVED,
    FLAG_RESTORED,
];

/// The command's type name and payload.
#[expect(clippy::unnecessary_wraps, reason = "every domain's module has these functions")]
pub(crate) fn encode_command(command: &C) -> Option<Encoded> {
    let text = ToString::to_string;
    Some(match command {
        C::CreateProject(it) => {
            let create = pb::CreateProject { project: text(&it.project), name: it.name.clone() };
            (CREATE_PROJECT, create.encode_to_vec())
        }
        C::CreateEnvironment(it) => {
            let create = pb::CreateEnvironment {
                project: text(&it.project),
                environment: text(&it.environment),
                name: it.name.clone(),
                dialect: dialect_to_proto(it.dialect).into(),
                salt: it.salt.clone(),
                production: it.production,
            };
            (CREATE_ENVIRONMENT, create.encode_to_vec())
        }
        C::CreateFlag(it) => {
            let (project, flag) = (text(&it.project), text(&it.flag));
            let definition = Some(definition_to_proto(&it.definition));
            (CREATE_FLAG, pb::CreateFlag { project, flag, definition }.encode_to_vec())
        }
        C::UpdateFlag(it) => {
            let (project, flag) = (text(&it.project), text(&it.flag));
            let kind = it.kind.map_or(0, |kind| kind_to_proto(kind).into());
            let definition = Some(pb::Definition { kind, ..definition_to_proto(&it.definition) });
            let only = it.only.iter().map(|it| it.as_str().to_owned()).collect();
            (UPDATE_FLAG, pb::UpdateFlag { project, flag, definition, only }.encode_to_vec())
        }
        C::SetTargeting(it) => {
            let set = pb::SetTargeting {
                project: text(&it.project),
                flag: text(&it.flag),
                environment: text(&it.environment),
                targeting: Some(targeting_to_proto(&it.targeting)),
            };
            (SET_TARGETING, set.encode_to_vec())
        }
        C::ToggleFlag(it) => {
            let toggle = pb::ToggleFlag {
                project: text(&it.project),
                flag: text(&it.flag),
                environment: text(&it.environment),
                enabled: it.enabled,
            };
            (TOGGLE_FLAG, toggle.encode_to_vec())
        }
        C::GrowRollout(it) => {
            let weights = it
                .weights
                .iter()
                .map(|(variant, weight)| pb::Weight { variant: variant.clone(), weight: *weight });
            let grow = pb::GrowRollout {
                project: text(&it.project),
                flag: text(&it.flag),
                environment: text(&it.environment),
                rule: it.rule.clone(),
                weights: weights.collect(),
            };
            (GROW_ROLLOUT, grow.encode_to_vec())
        }
        C::ArchiveFlag(it) => {
            let (project, flag) = (text(&it.project), text(&it.flag));
            (ARCHIVE_FLAG, pb::ArchiveFlag { project, flag }.encode_to_vec())
        }
        C::RestoreFlag(it) => {
            let (project, flag) = (text(&it.project), text(&it.flag));
            (RESTORE_FLAG, pb::RestoreFlag { project, flag }.encode_to_vec())
        }
    })
}

/// The command of a type name and payload.
pub(crate) fn decode_command(kind: &str, payload: &[u8]) -> Result<Command, DecodeError> {
    Ok(Command::Flags(match kind {
        CREATE_PROJECT => {
            let it = pb::CreateProject::decode(payload)?;
            let project = project(it.project)?;
            C::CreateProject(flags::CreateProject { project, name: it.name })
        }
        CREATE_ENVIRONMENT => {
            let it = pb::CreateEnvironment::decode(payload)?;
            C::CreateEnvironment(flags::CreateEnvironment {
                project: project(it.project)?,
                environment: environment(it.environment)?,
                name: it.name,
                dialect: dialect(it.dialect)?,
                salt: it.salt,
                production: it.production,
            })
        }
        CREATE_FLAG => {
            let it = pb::CreateFlag::decode(payload)?;
            let (project, flag) = named(it.project, it.flag)?;
            let definition = given(definition_from_proto(it.definition), "definition")?;
            C::CreateFlag(flags::CreateFlag { project, flag, definition })
        }
        UPDATE_FLAG => {
            let it = pb::UpdateFlag::decode(payload)?;
            let (project, flag) = named(it.project, it.flag)?;
            let kind = it.definition.as_ref().and_then(|it| kind_from_proto(it.kind));
            let definition = given(definition_from_proto(it.definition), "definition")?;
            let only = it.only.iter().map(|it| DefinitionField::parse(it));
            let only = only.collect::<Option<_>>().ok_or(DecodeError::Field { field: "only" })?;
            C::UpdateFlag(flags::UpdateFlag { project, flag, kind, definition, only })
        }
        SET_TARGETING => {
            let it = pb::SetTargeting::decode(payload)?;
            let (project, flag) = named(it.project, it.flag)?;
            let environment = environment(it.environment)?;
            let targeting = given(targeting_from_proto(it.targeting), "targeting")?;
            C::SetTargeting(flags::SetTargeting { project, flag, environment, targeting })
        }
        TOGGLE_FLAG => {
            let it = pb::ToggleFlag::decode(payload)?;
            let (project, flag) = named(it.project, it.flag)?;
            let (environment, enabled) = (environment(it.environment)?, it.enabled);
            C::ToggleFlag(flags::ToggleFlag { project, flag, environment, enabled })
        }
        GROW_ROLLOUT => {
            let it = pb::GrowRollout::decode(payload)?;
            let (project, flag) = named(it.project, it.flag)?;
            let environment = environment(it.environment)?;
            let weights = it.weights.into_iter().map(|it| (it.variant, it.weight)).collect();
            let rule = it.rule;
            C::GrowRollout(flags::GrowRollout { project, flag, environment, rule, weights })
        }
        ARCHIVE_FLAG => {
            let it = pb::ArchiveFlag::decode(payload)?;
            let (project, flag) = named(it.project, it.flag)?;
            C::ArchiveFlag(flags::ArchiveFlag { project, flag })
        }
        RESTORE_FLAG => {
            let it = pb::RestoreFlag::decode(payload)?;
            let (project, flag) = named(it.project, it.flag)?;
            C::RestoreFlag(flags::RestoreFlag { project, flag })
        }
        _ => return Err(DecodeError::UnknownType(kind.to_owned())),
    }))
}

/// The event's type name and payload.
pub(crate) fn encode_event(event: &E) -> Encoded {
    let text = ToString::to_string;
    let project = text(event.project());
    let flag = event.flag().map(text).unwrap_or_default();
    let environment = event.environment().map(text).unwrap_or_default();
    match event {
        E::ProjectCreated { name, .. } => {
            let name = name.clone();
            (PROJECT_CREATED, pb::ProjectCreated { project, name }.encode_to_vec())
        }
        E::EnvironmentCreated { name, dialect, salt, production, .. } => {
            let (name, dialect) = (name.clone(), dialect_to_proto(*dialect).into());
            let (salt, production) = (salt.clone(), *production);
            let created =
                pb::EnvironmentCreated { project, environment, name, dialect, salt, production };
            (ENVIRONMENT_CREATED, created.encode_to_vec())
        }
        E::FlagCreated { definition, .. } => {
            let definition = Some(definition_to_proto(definition));
            (FLAG_CREATED, pb::FlagCreated { project, flag, definition }.encode_to_vec())
        }
        E::FlagUpdated { definition, .. } => {
            let definition = Some(definition_to_proto(definition));
            (FLAG_UPDATED, pb::FlagUpdated { project, flag, definition }.encode_to_vec())
        }
        E::TargetingSet { targeting, .. } => {
            let targeting = Some(targeting_to_proto(targeting));
            let set = pb::TargetingSet { project, flag, environment, targeting };
            (TARGETING_SET, set.encode_to_vec())
        }
        E::FlagToggled { enabled, .. } => {
            let enabled = *enabled;
            let toggled = pb::FlagToggled { project, flag, environment, enabled };
            (FLAG_TOGGLED, toggled.encode_to_vec())
        }
        E::RolloutGrown { rule, split, .. } => {
            let (rule, split) = (rule.clone(), Some(split_to_proto(split)));
            let grown = pb::RolloutGrown { project, flag, environment, rule, split };
            (ROLLOUT_GROWN, grown.encode_to_vec())
        }
        E::FlagArchived { .. } => {
            (FLAG_ARCHIVED, pb::FlagArchived { project, flag }.encode_to_vec())
        }
        E::FlagRestored { .. } => {
            (FLAG_RESTORED, pb::FlagRestored { project, flag }.encode_to_vec())
        }
    }
}

/// The event with this type name and payload.
pub(crate) fn decode_event(_: &str, kind: &str, payload: &[u8]) -> Result<E, DecodeError> {
    Ok(match kind {
        PROJECT_CREATED => {
            let it = pb::ProjectCreated::decode(payload)?;
            E::ProjectCreated { project: project(it.project)?, name: it.name }
        }
        ENVIRONMENT_CREATED => {
            let it = pb::EnvironmentCreated::decode(payload)?;
            E::EnvironmentCreated {
                project: project(it.project)?,
                environment: environment(it.environment)?,
                name: it.name,
                dialect: dialect(it.dialect)?,
                salt: it.salt,
                production: it.production,
            }
        }
        FLAG_CREATED => {
            let it = pb::FlagCreated::decode(payload)?;
            let definition = given(definition_from_proto(it.definition), "definition")?;
            E::FlagCreated { project: project(it.project)?, flag: flag(it.flag)?, definition }
        }
        FLAG_UPDATED => {
            let it = pb::FlagUpdated::decode(payload)?;
            let definition = given(definition_from_proto(it.definition), "definition")?;
            E::FlagUpdated { project: project(it.project)?, flag: flag(it.flag)?, definition }
        }
        TARGETING_SET => {
            let it = pb::TargetingSet::decode(payload)?;
            E::TargetingSet {
                project: project(it.project)?,
                flag: flag(it.flag)?,
                environment: environment(it.environment)?,
                targeting: given(targeting_from_proto(it.targeting), "targeting")?,
            }
        }
        FLAG_TOGGLED => {
            let it = pb::FlagToggled::decode(payload)?;
            E::FlagToggled {
                project: project(it.project)?,
                flag: flag(it.flag)?,
                environment: environment(it.environment)?,
                enabled: it.enabled,
            }
        }
        ROLLOUT_GROWN => {
            let it = pb::RolloutGrown::decode(payload)?;
            E::RolloutGrown {
                project: project(it.project)?,
                flag: flag(it.flag)?,
                environment: environment(it.environment)?,
                rule: it.rule,
                split: split_from_proto(it.split.ok_or(DecodeError::Field { field: "split" })?),
            }
        }
        FLAG_ARCHIVED => {
            let it = pb::FlagArchived::decode(payload)?;
            E::FlagArchived { project: project(it.project)?, flag: flag(it.flag)? }
        }
        FLAG_RESTORED => {
            let it = pb::FlagRestored::decode(payload)?;
            E::FlagRestored { project: project(it.project)?, flag: flag(it.flag)? }
        }
        _ => return Err(DecodeError::UnknownType(kind.to_owned())),
    })
}

/// A reply's bytes.
pub(crate) fn encode_reply(reply: &Reply) -> Vec<u8> {
    match reply {
        Reply::Nothing => Vec::new(),
        Reply::Project(project) => project_message(project).encode_to_vec(),
        Reply::Environment { project, environment, version } => {
            environment_message(project, environment, *version).encode_to_vec()
        }
        Reply::Flag { project, flag } => flag_message(project, flag).encode_to_vec(),
    }
}

fn project(text: String) -> Result<Slug, DecodeError> {
    slug(text, "project")
}

/// A flag and its project.
fn named(project_text: String, flag_text: String) -> Result<(Slug, Slug), DecodeError> {
    Ok((project(project_text)?, flag(flag_text)?))
}

fn environment(text: String) -> Result<Slug, DecodeError> {
    slug(text, "environment")
}

fn flag(text: String) -> Result<Slug, DecodeError> {
    slug(text, "flag")
}

fn dialect(dialect: i32) -> Result<Dialect, DecodeError> {
    dialect_from_proto(dialect).ok_or(DecodeError::Field { field: "dialect" })
}

/// A value of a record that we wrote ourselves.
pub(super) fn given<T>(read: Result<T, Misfit>, field: &'static str) -> Result<T, DecodeError> {
    read.map_err(|_| DecodeError::Field { field })
}

/// What must be there.
pub(super) fn required<T>(value: Option<T>) -> Result<T, Misfit> {
    value.ok_or_else(|| misfit(MisfitKind::Value, "must be given"))
}

/// At the place where it is found; [`at`] says where that is, from the inside out.
pub(super) fn misfit(kind: MisfitKind, message: impl Into<String>) -> Misfit {
    Misfit { path: String::new(), kind, message: message.into() }
}

/// Puts `place` before the path of a misfit.
pub(super) fn at(place: &str) -> impl FnOnce(Misfit) -> Misfit {
    move |misfit| {
        let Misfit { path, kind, message } = misfit;
        let is_joined = path.is_empty() || path.starts_with('[');
        let path = if is_joined { format!("{place}{path}") } else { format!("{place}.{path}") };
        Misfit { path, kind, message }
    }
}

/// Each of a list, with its place in it.
pub(super) fn each<I, T>(
    list: Vec<I>,
    name: &str,
    mut read: impl FnMut(I) -> Result<T, Misfit>,
) -> Result<Vec<T>, Misfit> {
    let read = list
        .into_iter()
        .enumerate()
        .map(|(index, it)| read(it).map_err(|misfit| at(name)(at(&format!("[{index}]"))(misfit))));
    read.collect()
}
