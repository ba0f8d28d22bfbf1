//! An environment of a project. Every flag is off in it.

use exchequer_kernel::Ctx;
use exchequer_types::Slug;

use super::{check_name, project};
use crate::rejection::{ENVIRONMENTS_MAX, SALT_CHARS_MAX};
use crate::{Dialect, Event, Rejection, State};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreateEnvironment {
    pub project: Slug,
    pub environment: Slug,
    pub name: String,
    pub dialect: Dialect,
    /// None: one is made. Two environments with one salt put each unit into the same
    /// slots.
    pub salt: Option<String>,
    /// What is served to customers: roles may exclude it.
    pub production: bool,
}

impl CreateEnvironment {
    pub(crate) fn decide(&self, state: &State, ctx: &Ctx) -> Result<Vec<Event>, Rejection> {
        let project = project(state, &self.project)?;
        if project.environments.get(&self.environment).is_some() {
            return Err(Rejection::EnvironmentExists);
        }
        check_name(&self.name)?;
        if let Some(salt) = &self.salt {
            let fits = (1..=SALT_CHARS_MAX).contains(&salt.len());
            if !fits || !salt.bytes().all(|it| it.is_ascii_graphic()) {
                return Err(Rejection::EnvironmentSaltInvalid);
            }
        }
        if project.environments.len() >= ENVIRONMENTS_MAX {
            return Err(Rejection::EnvironmentsTooMany);
        }
        Ok(vec![Event::EnvironmentCreated {
            project: self.project.clone(),
            environment: self.environment.clone(),
            name: self.name.clone(),
            dialect: self.dialect,
            production: self.production,
            salt: self.salt.clone().unwrap_or_else(|| ctx.mint("env_", 0)),
        }])
    }
}
