//! How the audit log tells of a command: the resource before and after it.

use exchequer_kernel::Shown;
use exchequer_types::Json;

use crate::{Command, State};

/// How the audit log tells of `command`.
pub fn shown(before: &State, after: &State, command: &Command) -> Shown {
    let (action, resource_type) = match command {
        Command::CreateProject(_) => ("project.created", "project"),
        Command::CreateEnvironment(_) => ("environment.created", "environment"),
        Command::CreateFlag(_) => ("flag.created", "flag"),
        Command::UpdateFlag(_) => ("flag.updated", "flag"),
        Command::SetTargeting(_) => ("flag.targeting-set", "flag"),
        Command::ToggleFlag(it) if it.enabled => ("flag.switched-on", "flag"),
        Command::ToggleFlag(_) => ("flag.switched-off", "flag"),
        Command::GrowRollout(_) => ("flag.rollout-grown", "flag"),
        Command::ArchiveFlag(_) => ("flag.archived", "flag"),
        Command::RestoreFlag(_) => ("flag.restored", "flag"),
    };
    let project = command.project();
    let resource_id = match command.flag().or_else(|| command.environment()) {
        Some(part) => format!("{project}/{part}"),
        None => project.to_string(),
    };
    let (before, after) = (resource(before, command), resource(after, command));
    Shown { action, resource_type, resource_id, before, after }
}

/// Null when it is not there. A flag is shown with the environment that the command is
/// about, or with all of them.
fn resource(state: &State, command: &Command) -> Json {
    let Some(project) = state.projects.get(command.project()) else { return Json::Null };
    let found = match (command.flag(), command.environment()) {
        (Some(flag), environment) => project.flags.get(flag).map(|flag| flag.to_json(environment)),
        (None, Some(environment)) => {
            project.environments.get(environment).map(crate::Environment::to_json)
        }
        (None, None) => Some(project.to_json()),
    };
    found.unwrap_or(Json::Null)
}
