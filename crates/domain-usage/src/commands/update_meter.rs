//! Another version of a meter's rules, set whole or field by field. What the version before
//! has counted stays as it is.

use std::collections::BTreeSet;

use exchequer_metering::Meter as Rules;

use super::{check_room, check_rules, open_meter};
use crate::{Event, Rejection, State, rules_bytes};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpdateMeter {
    /// Their version counts for nothing.
    pub rules: Rules,
    /// The fields of `rules` that are set; all when empty.
    pub only: BTreeSet<RulesField>,
}

/// A field of a meter's rules that can be set by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RulesField {
    EventType,
    Aggregation,
    Value,
    GroupBy,
    Filters,
    Unit,
    GroupsMax,
}

impl RulesField {
    pub const ALL: [Self; 7] = [
        Self::EventType,
        Self::Aggregation,
        Self::Value,
        Self::GroupBy,
        Self::Filters,
        Self::Unit,
        Self::GroupsMax,
    ];

    /// As the rules' message calls it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::EventType => "event_type",
            Self::Aggregation => "aggregation",
            Self::Value => "value",
            Self::GroupBy => "group_by",
            Self::Filters => "filters",
            Self::Unit => "unit",
            Self::GroupsMax => "groups_max",
        }
    }

    /// The field that the rules' message calls so.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.as_str() == text)
    }
}

impl UpdateMeter {
    pub(crate) fn decide(&self, state: &State) -> Result<Vec<Event>, Rejection> {
        let before = &open_meter(state, &self.rules.key)?.rules;
        let mut rules = Rules { version: before.version, ..self.merged(before) };
        check_rules(&rules)?;
        if rules == *before {
            return Err(Rejection::MeterUnchanged);
        }
        check_room(state, rules_bytes(before), rules_bytes(&rules))?;
        rules.version += 1;
        Ok(vec![Event::MeterUpdated { rules }])
    }

    /// `before` with the fields that are set.
    fn merged(&self, before: &Rules) -> Rules {
        if self.only.is_empty() {
            return self.rules.clone();
        }
        let (mut merged, given) = (before.clone(), &self.rules);
        for field in &self.only {
            match field {
                RulesField::EventType => merged.event_type.clone_from(&given.event_type),
                RulesField::Aggregation => merged.aggregation = given.aggregation,
                RulesField::Value => merged.value.clone_from(&given.value),
                RulesField::GroupBy => merged.group_by.clone_from(&given.group_by),
                RulesField::Filters => merged.filters.clone_from(&given.filters),
                RulesField::Unit => merged.unit.clone_from(&given.unit),
                RulesField::GroupsMax => merged.groups_max = given.groups_max,
            }
        }
        merged
    }
}
