//! What a process does: every role where it is alone, some of them on a cluster.

use core::fmt;
use std::collections::BTreeSet;

use clap::ValueEnum;

/// Work that the processes of a deployment share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Role {
    /// Answers calls.
    Gateway,
    /// Decides commands.
    Decider,
    /// Counts events of use.
    Meter,
    /// Folds views, and wakes what is due.
    Projector,
    /// Runs processes: what follows from events by itself.
    Consumer,
    /// Publishes accepted audit entries for others to read.
    Sealer,
}

/// At least one role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Roles(BTreeSet<Role>);

impl Default for Roles {
    fn default() -> Self {
        Self(Role::value_variants().iter().copied().collect())
    }
}

impl Roles {
    /// Those that are named; all when none is.
    pub(crate) fn named(roles: &[Role]) -> Self {
        if roles.is_empty() { Self::default() } else { Self(roles.iter().copied().collect()) }
    }

    pub(crate) fn has(&self, role: Role) -> bool {
        self.0.contains(&role)
    }

    pub(crate) fn is_all(&self) -> bool {
        *self == Self::default()
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Gateway => "gateway",
            Self::Decider => "decider",
            Self::Meter => "meter",
            Self::Projector => "projector",
            Self::Consumer => "consumer",
            Self::Sealer => "sealer",
        })
    }
}

impl fmt::Display for Roles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words: Vec<String> = self.0.iter().map(ToString::to_string).collect();
        f.write_str(&words.join(", "))
    }
}
