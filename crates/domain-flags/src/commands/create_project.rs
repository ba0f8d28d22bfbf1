//! A project, without environments and flags.

use exchequer_types::Slug;

use super::check_name;
use crate::rejection::PROJECTS_MAX;
use crate::{Event, Rejection, State};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreateProject {
    pub project: Slug,
    pub name: String,
}

impl CreateProject {
    pub(crate) fn decide(&self, state: &State) -> Result<Vec<Event>, Rejection> {
        if state.projects.get(&self.project).is_some() {
            return Err(Rejection::ProjectExists);
        }
        check_name(&self.name)?;
        if state.projects.len() >= PROJECTS_MAX {
            return Err(Rejection::ProjectsTooMany);
        }
        Ok(vec![Event::ProjectCreated { project: self.project.clone(), name: self.name.clone() }])
    }
}
