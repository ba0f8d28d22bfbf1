//! What is the same of a flag in all environments, set whole or field by field. A variant
//! that an environment serves cannot be taken away.

use std::collections::BTreeSet;

use exchequer_flag_eval::Kind;
use exchequer_types::Slug;

use super::create_flag::check_definition;
use super::{check_compiles, check_size, check_texts, open_flag, project};
use crate::{Definition, Event, Flag, Rejection, State};

/// A flag keeps its kind: `kind` is that one, or None. `definition.kind` counts for nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpdateFlag {
    pub project: Slug,
    pub flag: Slug,
    pub kind: Option<Kind>,
    pub definition: Definition,
    /// The fields of `definition` that are set; all when empty.
    pub only: BTreeSet<DefinitionField>,
}

/// A field of a definition that can be set by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum DefinitionField {
    Name,
    Description,
    Tags,
    Variants,
    DefaultVariant,
    OffVariant,
}

impl DefinitionField {
    pub const ALL: [Self; 6] = [
        Self::Name,
        Self::Description,
        Self::Tags,
        Self::Variants,
        Self::DefaultVariant,
        Self::OffVariant,
    ];

    /// As a definition's message calls it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::Description => "description",
            Self::Tags => "tags",
            Self::Variants => "variants",
            Self::DefaultVariant => "default_variant",
            Self::OffVariant => "off_variant",
        }
    }

    /// The field that a definition's message calls so.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.as_str() == text)
    }
}

impl UpdateFlag {
    pub(crate) fn decide(&self, state: &State) -> Result<Vec<Event>, Rejection> {
        let project = project(state, &self.project)?;
        let flag = open_flag(project, &self.flag)?;
        let kind = flag.definition.kind;
        if self.kind.is_some_and(|wanted| wanted != kind) {
            return Err(Rejection::KindFixed { kind });
        }
        let definition = Definition { kind, ..self.merged(&flag.definition) };
        check_texts(&definition)?;
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

    /// `before` with the fields that are set.
    fn merged(&self, before: &Definition) -> Definition {
        if self.only.is_empty() {
            return self.definition.clone();
        }
        let mut merged = before.clone();
        let given = &self.definition;
        for field in &self.only {
            match field {
                DefinitionField::Name => merged.name.clone_from(&given.name),
                DefinitionField::Description => merged.description.clone_from(&given.description),
                DefinitionField::Tags => merged.tags.clone_from(&given.tags),
                DefinitionField::Variants => merged.variants.clone_from(&given.variants),
                DefinitionField::DefaultVariant => {
                    merged.default_variant.clone_from(&given.default_variant);
                }
                DefinitionField::OffVariant => merged.off_variant.clone_from(&given.off_variant),
            }
        }
        merged
    }
}
