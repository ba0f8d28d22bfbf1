//! How events change a provider's projects. Total: what names something that is not
//! there changes nothing.

use std::collections::BTreeMap;

use exchequer_flag_eval::{Outcome, Split};
use exchequer_types::{Slug, Timestamp};

use crate::size::flag_bytes;
use crate::table::Table;
use crate::{Environment, Event, Flag, Project, State, Targeting};

pub(crate) fn evolve(state: &mut State, event: &Event, at: Timestamp) {
    if let Event::ProjectCreated { project, name } = event {
        state.projects.put(Project {
            key: project.clone(),
            name: name.clone(),
            version: 1,
            changes: 0,
            created_at: at,
            environments: Table::default(),
            flags: Table::default(),
        });
        return;
    }
    let bytes = &mut state.bytes;
    state.projects.change(event.project(), |project| {
        let before = event.flag().and_then(|key| project.flags.get(key)).map_or(0, flag_bytes);
        change(project, event, at);
        let after = event.flag().and_then(|key| project.flags.get(key)).map_or(0, flag_bytes);
        *bytes = (*bytes + after).saturating_sub(before);
    });
}

fn change(project: &mut Project, event: &Event, at: Timestamp) {
    match event {
        Event::ProjectCreated { .. } => {}
        Event::EnvironmentCreated { environment, name, dialect, salt, production, .. } => {
            project.version += 1;
            project.environments.put(Environment {
                key: environment.clone(),
                name: name.clone(),
                dialect: *dialect,
                salt: salt.clone(),
                production: *production,
                changes: 1,
                created_at: at,
            });
        }
        Event::FlagCreated { flag, definition, .. } => {
            project.changes += 1;
            project.flags.put(Flag {
                key: flag.clone(),
                definition: definition.clone(),
                archived: false,
                version: 1,
                created_at: at,
                updated_at: at,
                targeting: BTreeMap::new(),
            });
        }
        Event::FlagUpdated { flag, definition, .. } => {
            everywhere(project, flag, at, |it| it.definition = definition.clone());
        }
        Event::FlagArchived { flag, .. } => everywhere(project, flag, at, |it| it.archived = true),
        Event::FlagRestored { flag, .. } => everywhere(project, flag, at, |it| it.archived = false),
        Event::TargetingSet { flag, environment, targeting, .. } => {
            within(project, flag, environment, at, |it| *it = targeting.clone());
        }
        Event::FlagToggled { flag, environment, enabled, .. } => {
            within(project, flag, environment, at, |it| it.enabled = *enabled);
        }
        Event::RolloutGrown { flag, environment, rule, split, .. } => {
            within(project, flag, environment, at, |it| {
                if let Some(found) = split_of(it, rule.as_deref()) {
                    *found = split.clone();
                }
            });
        }
    }
}

/// A change of a flag in all environments.
fn everywhere(project: &mut Project, flag: &Slug, at: Timestamp, change: impl FnOnce(&mut Flag)) {
    project.changes += 1;
    project.flags.change(flag, |flag| {
        flag.version += 1;
        flag.updated_at = at;
        change(flag);
    });
}

/// A change of a flag in one environment.
fn within(
    project: &mut Project,
    flag: &Slug,
    environment: &Slug,
    at: Timestamp,
    change: impl FnOnce(&mut Targeting),
) {
    project.environments.change(environment, |it| it.changes += 1);
    project.flags.change(flag, |flag| {
        flag.version += 1;
        flag.updated_at = at;
        change(flag.targeting.entry(environment.clone()).or_default());
    });
}

/// The split of a rule, or of the fallthrough.
fn split_of<'a>(targeting: &'a mut Targeting, rule: Option<&str>) -> Option<&'a mut Split> {
    let outcome = match rule {
        Some(id) => targeting.rules.iter_mut().find(|it| it.id == id).map(|it| &mut it.outcome),
        None => targeting.fallthrough.as_mut(),
    };
    match outcome {
        Some(Outcome::Split(split)) => Some(split),
        _ => None,
    }
}
