//! The state as the decider's cell keeps it, and a flag as rows keep it.

use exchequer_domain_flags::{Environment, Flag, Project, State, Table, flag_bytes};
use exchequer_proto::flags::v1 as pb;

use super::definition::{definition_from_proto, definition_to_proto, dialect_to_proto};
use super::targeting::{targeting_from_proto, targeting_to_proto};
use super::{dialect, given};
use crate::DecodeError;
use crate::convert::{slug, timestamp};

pub(crate) fn state_to_proto(state: &State) -> pb::State {
    pb::State { projects: state.projects.iter().map(project_to_proto).collect() }
}

pub(crate) fn state_from_proto(it: pb::State) -> Result<State, DecodeError> {
    let mut state = State::default();
    for it in it.projects {
        let project = project_from_proto(it)?;
        state.bytes += project.flags.iter().map(flag_bytes).sum::<usize>();
        state.projects.put(project);
    }
    Ok(state)
}

fn project_to_proto(it: &Project) -> pb::ProjectState {
    let environment = |it: &Environment| pb::EnvironmentState {
        key: it.key.to_string(),
        name: it.name.clone(),
        dialect: dialect_to_proto(it.dialect).into(),
        salt: it.salt.clone(),
        production: it.production,
        changes: it.changes,
        created_at: it.created_at.micros(),
    };
    pb::ProjectState {
        key: it.key.to_string(),
        name: it.name.clone(),
        version: it.version,
        changes: it.changes,
        created_at: it.created_at.micros(),
        environments: it.environments.iter().map(environment).collect(),
        flags: it.flags.iter().map(flag_state_to_proto).collect(),
    }
}

fn project_from_proto(it: pb::ProjectState) -> Result<Project, DecodeError> {
    let mut environments = Table::default();
    for it in it.environments {
        environments.put(Environment {
            key: slug(it.key, "environment")?,
            name: it.name,
            dialect: dialect(it.dialect)?,
            salt: it.salt,
            production: it.production,
            changes: it.changes,
            created_at: timestamp(it.created_at, "created_at")?,
        });
    }
    let mut flags = Table::default();
    for it in it.flags {
        flags.put(flag_state_from_proto(it)?);
    }
    Ok(Project {
        key: slug(it.key, "project")?,
        name: it.name,
        version: it.version,
        changes: it.changes,
        created_at: timestamp(it.created_at, "created_at")?,
        environments,
        flags,
    })
}

/// A flag, whole.
pub fn flag_state_to_proto(it: &Flag) -> pb::FlagState {
    pb::FlagState {
        key: it.key.to_string(),
        definition: Some(definition_to_proto(&it.definition)),
        archived: it.archived,
        version: it.version,
        created_at: it.created_at.micros(),
        updated_at: it.updated_at.micros(),
        targeting: targeting_by_environment(it),
    }
}

/// What [`flag_state_to_proto`] made.
pub fn flag_state_from_proto(it: pb::FlagState) -> Result<Flag, DecodeError> {
    let targeting = it.targeting.into_iter().map(|it| {
        let environment = slug(it.environment, "environment")?;
        Ok((environment, given(targeting_from_proto(it.targeting), "targeting")?))
    });
    Ok(Flag {
        key: slug(it.key, "flag")?,
        definition: given(definition_from_proto(it.definition), "definition")?,
        archived: it.archived,
        version: it.version,
        created_at: timestamp(it.created_at, "created_at")?,
        updated_at: timestamp(it.updated_at, "updated_at")?,
        targeting: targeting.collect::<Result<_, DecodeError>>()?,
    })
}

/// By environment.
pub(super) fn targeting_by_environment(flag: &Flag) -> Vec<pb::EnvironmentTargeting> {
    let targeting = flag.targeting.iter().map(|(environment, it)| pb::EnvironmentTargeting {
        environment: environment.to_string(),
        targeting: Some(targeting_to_proto(it)),
    });
    targeting.collect()
}
