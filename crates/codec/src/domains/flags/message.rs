//! Projects, environments and flags as the API shows them.

use exchequer_domain_flags::{Environment, Flag, Project};
use exchequer_proto::flags::v1 as pb;
use exchequer_types::Slug;

use super::definition::{definition_to_proto, dialect_to_proto};
use super::state::targeting_by_environment;
use crate::convert::instant;

pub fn project_message(it: &Project) -> pb::Project {
    pb::Project {
        key: it.key.to_string(),
        name: it.name.clone(),
        version: it.version,
        created_at: Some(instant(it.created_at)),
    }
}

/// `version` is that of the environment's snapshot.
pub fn environment_message(project: &Slug, it: &Environment, version: u64) -> pb::Environment {
    pb::Environment {
        project: project.to_string(),
        key: it.key.to_string(),
        name: it.name.clone(),
        dialect: dialect_to_proto(it.dialect).into(),
        salt: it.salt.clone(),
        production: it.production,
        version,
        created_at: Some(instant(it.created_at)),
    }
}

pub fn flag_message(project: &Slug, it: &Flag) -> pb::Flag {
    pb::Flag {
        project: project.to_string(),
        key: it.key.to_string(),
        definition: Some(definition_to_proto(&it.definition)),
        archived: it.archived,
        version: it.version,
        created_at: Some(instant(it.created_at)),
        updated_at: Some(instant(it.updated_at)),
        targeting: targeting_by_environment(it),
    }
}
