//! What is the same of a flag in all environments, set whole. A variant that an
//! environment serves cannot be taken away.

use exchequer_types::Slug;

use super::create_flag::check_definition;
use super::{check_compiles, check_size, check_texts, open_flag, project};
use crate::{Definition, Event, Flag, Rejection, State};

/// `definition.kind` is the flag's own, or the command is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpdateFlag {
    pub project: Slug,
    pub flag: Slug,
    pub definition: Definition,
}

impl UpdateFlag {
    pub(crate) fn decide(&self, state: &State) -> Result<Vec<Event>, Rejection> {
        let project = project(state, &self.project)?;
        let flag = open_flag(project, &self.flag)?;
        check_texts(&self.definition)?;
        // A flag's type never changes: its values are checked against it.
        let definition = Definition { kind: flag.definition.kind, ..self.definition.clone() };
        check_definition(&self.flag, &definition)?;
        for (environment, targeting) in &flag.targeting {
            let at = format!("targeting[{environment}].");
            check_compiles(&self.flag, &definition, targeting, "variants", &at)?;
        }
        if definition == flag.definition {
            return Err(Rejection::Unchanged);
        }
        check_size(state, Some(flag), &Flag { definition: definition.clone(), ..flag.clone() })?;
        Ok(vec![Event::FlagUpdated {
            project: self.project.clone(),
            flag: self.flag.clone(),
            definition,
        }])
    }
}
