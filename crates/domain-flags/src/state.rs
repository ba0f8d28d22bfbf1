//! What a provider has: projects with environments and flags.

use std::collections::BTreeMap;

use exchequer_flag_eval::{Flag as Evaluated, Gate, Kind, Limits, Outcome, Rule, Target, Variant};
use exchequer_types::{Slug, Timestamp};

use crate::table::{Keyed, Table};

/// The bounds that every stored flag keeps.
pub const LIMITS: Limits = Limits {
    flags_max: 2_000,
    variants_max: 64,
    value_bytes_max: 16 * 1024,
    targets_max: 2_000,
    rules_max: 100,
    depth_max: 16,
    conditions_max: 200,
    values_max: 1_000,
    ranges_max: 1_000,
};

/// State of a provider's stream.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct State {
    pub projects: Table<Project>,
    /// Of all flags together, as [`flag_bytes`](crate::flag_bytes) counts them.
    pub bytes: usize,
}

/// Flags that are evaluated together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Project {
    pub key: Slug,
    pub name: String,
    /// Counts its creation and its environments.
    pub version: u64,
    /// Changes of flags that concern every environment.
    pub changes: u64,
    pub created_at: Timestamp,
    pub environments: Table<Environment>,
    /// Archived ones too.
    pub flags: Table<Flag>,
}

/// Where flags are evaluated: production, staging and the like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Environment {
    pub key: Slug,
    pub name: String,
    pub dialect: Dialect,
    /// Of splits that name none: this, a point, and the flag's key.
    pub salt: String,
    /// What is served to customers. Never changed for an environment.
    pub production: bool,
    /// Changes that concern this environment alone, its creation among them.
    pub changes: u64,
    pub created_at: Timestamp,
}

/// How units come into slots. Never changed for an environment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Dialect {
    /// See [`exchequer_flag_eval::slot`].
    #[default]
    FractionalV2,
}

/// A flag, with what each environment makes of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flag {
    pub key: Slug,
    pub definition: Definition,
    /// Not evaluated any more.
    pub archived: bool,
    /// Counts the flag's own events.
    pub version: u64,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    /// By environment. One that is not here has the flag off.
    pub targeting: BTreeMap<Slug, Targeting>,
}

/// What is the same in all environments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Definition {
    pub name: String,
    /// Markdown.
    pub description: String,
    pub tags: Vec<String>,
    /// Never changes.
    pub kind: Kind,
    pub variants: Vec<Variant>,
    /// Where an environment names no fallthrough.
    pub default_variant: String,
    /// Where an environment names no off variant.
    pub off_variant: String,
}

/// What one environment makes of a flag.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Targeting {
    pub enabled: bool,
    /// None: the flag's.
    pub off_variant: Option<String>,
    pub gate: Option<Gate>,
    pub targets: Vec<Target>,
    /// In order.
    pub rules: Vec<Rule>,
    /// None: the flag's default variant.
    pub fallthrough: Option<Outcome>,
}

impl Keyed for Project {
    fn key(&self) -> &Slug {
        &self.key
    }
}

impl Keyed for Environment {
    fn key(&self) -> &Slug {
        &self.key
    }
}

impl Keyed for Flag {
    fn key(&self) -> &Slug {
        &self.key
    }
}

impl Project {
    /// The project by itself, as a list shows it.
    #[must_use]
    pub fn without_parts(&self) -> Self {
        Self { environments: Table::default(), flags: Table::default(), ..self.clone() }
    }
}

/// Version of the snapshot of an environment: counts every change that any of its
/// flags may answer differently by. None when there is no such environment.
pub fn snapshot_version(project: &Project, environment: &Slug) -> Option<u64> {
    project.environments.get(environment).map(|it| project.changes + it.changes)
}

impl Flag {
    /// As `environment` evaluates it. An archived flag is not evaluated.
    pub fn in_environment(&self, environment: &Slug) -> Evaluated {
        match self.targeting.get(environment) {
            Some(targeting) => self.definition.evaluated(&self.key, targeting),
            None => self.definition.evaluated(&self.key, &Targeting::default()),
        }
    }
}

impl Definition {
    /// The flag `key` as an environment with `targeting` evaluates it.
    pub(crate) fn evaluated(&self, key: &Slug, targeting: &Targeting) -> Evaluated {
        let off = targeting.off_variant.as_ref().unwrap_or(&self.off_variant);
        let fallthrough = targeting
            .fallthrough
            .clone()
            .unwrap_or_else(|| Outcome::Variant(self.default_variant.clone()));
        Evaluated {
            key: key.to_string(),
            kind: self.kind,
            variants: self.variants.clone(),
            enabled: targeting.enabled,
            off_variant: off.clone(),
            gate: targeting.gate.clone(),
            targets: targeting.targets.clone(),
            rules: targeting.rules.clone(),
            fallthrough,
        }
    }
}
