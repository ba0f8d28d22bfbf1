//! All events of the domain.

use exchequer_flag_eval::Split;
use exchequer_types::Slug;

use crate::{Definition, Dialect, Targeting};

/// What happened to a project, an environment or a flag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    ProjectCreated {
        project: Slug,
        name: String,
    },
    EnvironmentCreated {
        project: Slug,
        environment: Slug,
        name: String,
        dialect: Dialect,
        salt: String,
        production: bool,
    },
    FlagCreated {
        project: Slug,
        flag: Slug,
        definition: Definition,
    },
    FlagUpdated {
        project: Slug,
        flag: Slug,
        definition: Definition,
    },
    /// Whole, with the slots of its splits.
    TargetingSet {
        project: Slug,
        flag: Slug,
        environment: Slug,
        targeting: Targeting,
    },
    FlagToggled {
        project: Slug,
        flag: Slug,
        environment: Slug,
        enabled: bool,
    },
    /// A split has other weights, and the slots that follow from them.
    RolloutGrown {
        project: Slug,
        flag: Slug,
        environment: Slug,
        /// None: of the fallthrough.
        rule: Option<String>,
        split: Split,
    },
    FlagArchived {
        project: Slug,
        flag: Slug,
    },
    FlagRestored {
        project: Slug,
        flag: Slug,
    },
}

impl Event {
    pub fn project(&self) -> &Slug {
        match self {
            Self::ProjectCreated { project, .. }
            | Self::EnvironmentCreated { project, .. }
            | Self::FlagCreated { project, .. }
            | Self::FlagUpdated { project, .. }
            | Self::TargetingSet { project, .. }
            | Self::FlagToggled { project, .. }
            | Self::RolloutGrown { project, .. }
            | Self::FlagArchived { project, .. }
            | Self::FlagRestored { project, .. } => project,
        }
    }

    /// The flag that it is about, if it is about one.
    pub fn flag(&self) -> Option<&Slug> {
        match self {
            Self::ProjectCreated { .. } | Self::EnvironmentCreated { .. } => None,
            Self::FlagCreated { flag, .. }
            | Self::FlagUpdated { flag, .. }
            | Self::TargetingSet { flag, .. }
            | Self::FlagToggled { flag, .. }
            | Self::RolloutGrown { flag, .. }
            | Self::FlagArchived { flag, .. }
            | Self::FlagRestored { flag, .. } => Some(flag),
        }
    }

    /// The only environment that it concerns. None: the project, and so all of them.
    pub fn environment(&self) -> Option<&Slug> {
        match self {
            Self::EnvironmentCreated { environment, .. }
            | Self::TargetingSet { environment, .. }
            | Self::FlagToggled { environment, .. }
            | Self::RolloutGrown { environment, .. } => Some(environment),
            _ => None,
        }
    }
}
