//! One file per command: its fields, its rule, its rejections in order of
//! precedence.

mod archive_flag;
mod create_environment;
mod create_flag;
mod create_project;
mod grow_rollout;
mod set_targeting;
mod toggle_flag;
mod update_flag;

pub use archive_flag::{ArchiveFlag, RestoreFlag};
pub use create_environment::CreateEnvironment;
pub use create_flag::CreateFlag;
pub use create_project::CreateProject;
pub use grow_rollout::GrowRollout;
pub use set_targeting::SetTargeting;
pub use toggle_flag::ToggleFlag;
pub use update_flag::{DefinitionField, UpdateFlag};

use exchequer_flag_eval::Compiled;
use exchequer_types::Slug;

use crate::rejection::{
    DESCRIPTION_CHARS_MAX, FLAG_BYTES_MAX, FLAGS_BYTES_MAX, NAME_CHARS_MAX, TAG_CHARS_MAX, TAGS_MAX,
};
use crate::size::flag_bytes;
use crate::{Definition, Environment, Flag, LIMITS, Project, Rejection, State, Targeting};

/// What can be asked of a provider's flags.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    CreateProject(CreateProject),
    CreateEnvironment(CreateEnvironment),
    CreateFlag(CreateFlag),
    UpdateFlag(UpdateFlag),
    SetTargeting(SetTargeting),
    ToggleFlag(ToggleFlag),
    GrowRollout(GrowRollout),
    ArchiveFlag(ArchiveFlag),
    RestoreFlag(RestoreFlag),
}

impl Command {
    pub(crate) fn project(&self) -> &Slug {
        match self {
            Self::CreateProject(it) => &it.project,
            Self::CreateEnvironment(it) => &it.project,
            Self::CreateFlag(it) => &it.project,
            Self::UpdateFlag(it) => &it.project,
            Self::SetTargeting(it) => &it.project,
            Self::ToggleFlag(it) => &it.project,
            Self::GrowRollout(it) => &it.project,
            Self::ArchiveFlag(it) => &it.project,
            Self::RestoreFlag(it) => &it.project,
        }
    }

    /// The flag that it is about, if it is about one.
    pub(crate) fn flag(&self) -> Option<&Slug> {
        match self {
            Self::CreateProject(_) | Self::CreateEnvironment(_) => None,
            Self::CreateFlag(it) => Some(&it.flag),
            Self::UpdateFlag(it) => Some(&it.flag),
            Self::SetTargeting(it) => Some(&it.flag),
            Self::ToggleFlag(it) => Some(&it.flag),
            Self::GrowRollout(it) => Some(&it.flag),
            Self::ArchiveFlag(it) => Some(&it.flag),
            Self::RestoreFlag(it) => Some(&it.flag),
        }
    }

    /// The environment that it is about, if it is about one.
    pub(crate) fn environment(&self) -> Option<&Slug> {
        match self {
            Self::CreateEnvironment(it) => Some(&it.environment),
            Self::SetTargeting(it) => Some(&it.environment),
            Self::ToggleFlag(it) => Some(&it.environment),
            Self::GrowRollout(it) => Some(&it.environment),
            _ => None,
        }
    }
}

fn project<'a>(state: &'a State, key: &Slug) -> Result<&'a Project, Rejection> {
    state.projects.get(key).ok_or(Rejection::ProjectNotFound)
}

fn environment<'a>(project: &'a Project, key: &Slug) -> Result<&'a Environment, Rejection> {
    project.environments.get(key).ok_or(Rejection::EnvironmentNotFound)
}

/// A flag that can be changed.
fn open_flag<'a>(project: &'a Project, key: &Slug) -> Result<&'a Flag, Rejection> {
    let flag = project.flags.get(key).ok_or(Rejection::FlagNotFound)?;
    if flag.archived { Err(Rejection::FlagArchived) } else { Ok(flag) }
}

fn check_name(name: &str) -> Result<(), Rejection> {
    let fits = (1..=NAME_CHARS_MAX).contains(&name.chars().count());
    if fits && !name.chars().any(char::is_control) { Ok(()) } else { Err(Rejection::NameInvalid) }
}

/// Name, description and tags.
fn check_texts(it: &Definition) -> Result<(), Rejection> {
    check_name(&it.name)?;
    let is_bad = |it: char| it.is_control() && !['\n', '\r', '\t'].contains(&it);
    if it.description.chars().count() > DESCRIPTION_CHARS_MAX || it.description.chars().any(is_bad)
    {
        return Err(Rejection::DescriptionInvalid);
    }
    let is_tag = |tag: &String| {
        (1..=TAG_CHARS_MAX).contains(&tag.chars().count()) && !tag.chars().any(char::is_control)
    };
    let is_repeated = |(at, tag)| it.tags[..at].contains(tag);
    let fit = it.tags.len() <= TAGS_MAX && it.tags.iter().all(is_tag);
    if fit && !it.tags.iter().enumerate().any(is_repeated) {
        Ok(())
    } else {
        Err(Rejection::TagsInvalid)
    }
}

/// Would the flag be evaluated with `targeting`? `field` is where the request has what
/// may be wrong, `at` what stands before each path.
fn check_compiles(
    key: &Slug,
    definition: &Definition,
    targeting: &Targeting,
    field: &'static str,
    at: &str,
) -> Result<(), Rejection> {
    match Compiled::of(&definition.evaluated(key, targeting), &LIMITS) {
        Ok(_) => Ok(()),
        Err(mut violations) => {
            for violation in &mut violations {
                violation.path.insert_str(0, at);
            }
            Err(Rejection::Invalid { field, violations })
        }
    }
}

/// Is there room for `after` in place of `before`?
fn check_size(state: &State, before: Option<&Flag>, after: &Flag) -> Result<(), Rejection> {
    let bytes = flag_bytes(after);
    if bytes > FLAG_BYTES_MAX {
        return Err(Rejection::FlagTooLarge { bytes });
    }
    let others = state.bytes.saturating_sub(before.map_or(0, flag_bytes));
    // What does not grow is always allowed.
    let grows = before.is_none_or(|before| flag_bytes(before) < bytes);
    if grows && others + bytes > FLAGS_BYTES_MAX { Err(Rejection::FlagsTooLarge) } else { Ok(()) }
}
