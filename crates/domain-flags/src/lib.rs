//! Feature flags of a provider: projects, their environments, flags and how each
//! environment targets them. Pure: `decide` per command in `commands/`, `evolve` in
//! `evolve.rs`. What a flag answers is the business of `exchequer-flag-eval`, whose
//! compiler checks everything before it is stored.

#![deny(clippy::as_conversions, clippy::float_arithmetic)]

mod commands;
mod event;
mod evolve;
mod json;
mod rejection;
mod shown;
mod size;
mod state;
mod table;
#[cfg(test)]
mod tests;

pub use commands::{
    ArchiveFlag, Command, CreateEnvironment, CreateFlag, CreateProject, DefinitionField,
    GrowRollout, RestoreFlag, SetTargeting, ToggleFlag, UpdateFlag,
};
pub use event::Event;
pub use rejection::{
    DESCRIPTION_CHARS_MAX, ENVIRONMENTS_MAX, FLAG_BYTES_MAX, FLAGS_BYTES_MAX, NAME_CHARS_MAX,
    PROJECTS_MAX, Rejection, SALT_CHARS_MAX, TAG_CHARS_MAX, TAGS_MAX, codes,
};
pub use shown::shown;
pub use size::{flag_bytes, weight};
pub use state::{
    Definition, Dialect, Environment, Flag, LIMITS, Project, State, Targeting, snapshot_version,
};
pub use table::{Keyed, Table};

use exchequer_kernel::{Ctx, Decider};
use exchequer_types::{Fact, Slug, Timestamp};

/// The domain's rules over one provider's stream.
#[derive(Clone, Copy, Debug)]
pub struct Flags;

/// What an accepted command is answered with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    Nothing,
    Project(Project),
    /// `version` is that of its snapshot.
    Environment {
        project: Slug,
        environment: Environment,
        version: u64,
    },
    Flag {
        project: Slug,
        flag: Flag,
    },
}

impl Decider for Flags {
    type State = State;
    type Command = Command;
    type Event = Event;
    type Rejection = Rejection;

    fn decide(state: &State, command: &Command, ctx: &Ctx) -> Result<Vec<Event>, Rejection> {
        match command {
            Command::CreateProject(it) => it.decide(state),
            Command::CreateEnvironment(it) => it.decide(state, ctx),
            Command::CreateFlag(it) => it.decide(state),
            Command::UpdateFlag(it) => it.decide(state),
            Command::SetTargeting(it) => it.decide(state),
            Command::ToggleFlag(it) => it.decide(state),
            Command::GrowRollout(it) => it.decide(state),
            Command::ArchiveFlag(it) => it.decide(state),
            Command::RestoreFlag(it) => it.decide(state),
        }
    }

    fn evolve(state: &mut State, event: &Event, at: Timestamp) {
        evolve::evolve(state, event, at);
    }
}

/// The small public form of `event`: nobody follows flags.
pub fn facts(_: &Event) -> Vec<Fact> {
    Vec::new()
}

/// Version of what `command` is addressed to; 0 when it is not there.
pub fn version(state: &State, command: &Command) -> u64 {
    let project = state.projects.get(command.project());
    match command {
        Command::CreateProject(_) => project.map_or(0, |it| it.version),
        Command::CreateEnvironment(it) => {
            project.map_or(0, |project| snapshot_version(project, &it.environment).unwrap_or(0))
        }
        _ => {
            let flag = command.flag().and_then(|key| project?.flags.get(key));
            flag.map_or(0, |flag| flag.version)
        }
    }
}

/// What the accepted `command` is answered with, given the state after it and its events.
pub fn reply(after: &State, command: &Command, _: &[Event]) -> Reply {
    let Some(project) = after.projects.get(command.project()) else { return Reply::Nothing };
    let key = || project.key.clone();
    match command {
        Command::CreateProject(_) => Reply::Project(project.without_parts()),
        Command::CreateEnvironment(it) => {
            let version = snapshot_version(project, &it.environment).unwrap_or(0);
            let environment = project.environments.get(&it.environment).cloned();
            environment.map_or(Reply::Nothing, |environment| Reply::Environment {
                project: key(),
                environment,
                version,
            })
        }
        _ => {
            let flag = command.flag().and_then(|key| project.flags.get(key)).cloned();
            flag.map_or(Reply::Nothing, |flag| Reply::Flag { project: key(), flag })
        }
    }
}
