//! On or off in one environment, with everything else as it is.

use exchequer_types::Slug;

use super::{check_size, environment, open_flag, project};
use crate::{Event, Rejection, State};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToggleFlag {
    pub project: Slug,
    pub flag: Slug,
    pub environment: Slug,
    pub enabled: bool,
}

impl ToggleFlag {
    pub(crate) fn decide(&self, state: &State) -> Result<Vec<Event>, Rejection> {
        let project = project(state, &self.project)?;
        let flag = open_flag(project, &self.flag)?;
        environment(project, &self.environment)?;
        let is_on = flag.targeting.get(&self.environment).is_some_and(|it| it.enabled);
        if is_on == self.enabled {
            return Err(Rejection::Unchanged);
        }
        let mut after = flag.clone();
        after.targeting.entry(self.environment.clone()).or_default().enabled = self.enabled;
        check_size(state, Some(flag), &after)?;
        Ok(vec![Event::FlagToggled {
            project: self.project.clone(),
            flag: self.flag.clone(),
            environment: self.environment.clone(),
            enabled: self.enabled,
        }])
    }
}
