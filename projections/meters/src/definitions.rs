//! A provider's definitions as the view knows them, and how events change them: the same
//! for a row and for a snapshot in memory.

use core::time::Duration;
use std::collections::BTreeMap;

use exchequer_domain_tenants as tenants;
use exchequer_domain_usage::{Backfill, Event, Meter, Schema, State, Usage};
use exchequer_kernel::Decider as _;
use exchequer_metering::Terms;
use exchequer_tenant::Event as Any;
use exchequer_types::Timestamp;

/// Settings that the view takes in.
const SETTINGS: &str = "usage.";

/// What a provider counts. Of one that has nothing, nothing.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Definitions {
    /// Without corrections.
    pub state: State,
    /// Those of the provider's own that begin with `usage.`.
    pub settings: BTreeMap<String, String>,
    /// Counts changes of these settings.
    pub settings_version: u64,
}

impl Definitions {
    /// Counts every change of what is in force; 0 when there never was anything.
    pub fn version(&self) -> u64 {
        self.state.version + self.settings_version
    }

    /// How far the times of events may lie from their receipt, and how long windows wait.
    pub fn terms(&self) -> Terms {
        let default = Terms::default();
        let setting = |key: &str, unit: u64, default: Duration| {
            let value = self.settings.get(key).and_then(|value| value.parse::<u64>().ok());
            value.map_or(default, |value| Duration::from_secs(value.saturating_mul(unit)))
        };
        Terms {
            ahead_max: setting(tenants::USAGE_AHEAD, 60, default.ahead_max),
            behind_max: setting(tenants::USAGE_BEHIND, 86_400, default.behind_max),
            lateness: setting(tenants::USAGE_LATENESS, 60, default.lateness),
        }
    }

    /// Meters that count, by key.
    pub fn meters(&self) -> impl Iterator<Item = &Meter> {
        self.state.meters.values().map(|it| &**it).filter(|it| !it.retired)
    }

    /// Schemas that events are checked against, by type.
    pub fn schemas(&self) -> impl Iterator<Item = &Schema> {
        self.state.schemas.values().map(|it| &**it).filter(|it| !it.retired)
    }

    /// The schema of a type of events, when there is one in force.
    pub fn schema(&self, kind: &str) -> Option<&Schema> {
        self.state.schemas.get(kind).map(|it| &**it).filter(|it| !it.retired)
    }

    /// Backfills of meters that count, by meter, in the order in which they were asked for.
    pub fn backfills(&self) -> impl Iterator<Item = (&Meter, &Backfill)> {
        self.meters().flat_map(|meter| meter.backfills.iter().map(move |it| (meter, it)))
    }

    /// Takes an event of the provider's stream over. False when it changes nothing here.
    pub(crate) fn take(&mut self, event: &Any, at: Timestamp) -> bool {
        match event {
            Any::Usage(event) if event.is_of_definitions() => self.take_definition(event, at),
            Any::Tenants(tenants::Event::Created { settings, .. }) => self.set(settings, &[]),
            Any::Tenants(tenants::Event::SettingsChanged { set, unset }) => self.set(set, unset),
            _ => false,
        }
    }

    fn take_definition(&mut self, event: &Event, at: Timestamp) -> bool {
        Usage::evolve(&mut self.state, event, at);
        true
    }

    fn set(&mut self, set: &BTreeMap<String, String>, unset: &[String]) -> bool {
        let before = self.settings.clone();
        let wanted = set.iter().filter(|(key, _)| key.starts_with(SETTINGS));
        self.settings.extend(wanted.map(|(key, value)| (key.clone(), value.clone())));
        for key in unset {
            self.settings.remove(key);
        }
        let is_changed = before != self.settings;
        self.settings_version += u64::from(is_changed);
        is_changed
    }
}
