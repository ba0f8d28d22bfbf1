//! A flag, off in every environment.

use std::collections::BTreeMap;

use exchequer_types::{Slug, Timestamp};

use super::{check_compiles, check_size, check_texts, project};
use crate::{Definition, Event, Flag, LIMITS, Rejection, State, Targeting};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreateFlag {
    pub project: Slug,
    pub flag: Slug,
    pub definition: Definition,
}

impl CreateFlag {
    pub(crate) fn decide(&self, state: &State) -> Result<Vec<Event>, Rejection> {
        let project = project(state, &self.project)?;
        if project.flags.get(&self.flag).is_some() {
            return Err(Rejection::FlagExists);
        }
        let definition = &self.definition;
        check_texts(definition)?;
        check_definition(&self.flag, definition)?;
        if project.flags.len() >= LIMITS.flags_max {
            return Err(Rejection::FlagsTooMany);
        }
        let after = Flag {
            key: self.flag.clone(),
            definition: definition.clone(),
            archived: false,
            version: 1,
            created_at: Timestamp::MIN,
            updated_at: Timestamp::MIN,
            targeting: BTreeMap::new(),
        };
        check_size(state, None, &after)?;
        Ok(vec![Event::FlagCreated {
            project: self.project.clone(),
            flag: self.flag.clone(),
            definition: definition.clone(),
        }])
    }
}

/// What a definition must be by itself, whatever environments make of it.
pub(super) fn check_definition(key: &Slug, definition: &Definition) -> Result<(), Rejection> {
    let check = |it| check_compiles(key, definition, it, "variants", "");
    check(&Targeting::default()).map_err(|rejection| match rejection {
        Rejection::Invalid { field, mut violations } => {
            for violation in &mut violations {
                if violation.path == "fallthrough.variant" {
                    "default_variant".clone_into(&mut violation.path);
                }
            }
            Rejection::Invalid { field, violations }
        }
        other => other,
    })
}
