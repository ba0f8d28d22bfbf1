//! A flag is put away: it is not evaluated any more, and can be taken out again as
//! it was.

use exchequer_types::Slug;

use super::{open_flag, project};
use crate::{Event, Rejection, State};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArchiveFlag {
    pub project: Slug,
    pub flag: Slug,
}

impl ArchiveFlag {
    pub(crate) fn decide(&self, state: &State) -> Result<Vec<Event>, Rejection> {
        open_flag(project(state, &self.project)?, &self.flag)?;
        Ok(vec![Event::FlagArchived { project: self.project.clone(), flag: self.flag.clone() }])
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RestoreFlag {
    pub project: Slug,
    pub flag: Slug,
}

impl RestoreFlag {
    pub(crate) fn decide(&self, state: &State) -> Result<Vec<Event>, Rejection> {
        match open_flag(project(state, &self.project)?, &self.flag) {
            Err(Rejection::FlagArchived) => {}
            Err(other) => return Err(other),
            Ok(_) => return Err(Rejection::FlagNotArchived),
        }
        Ok(vec![Event::FlagRestored { project: self.project.clone(), flag: self.flag.clone() }])
    }
}
