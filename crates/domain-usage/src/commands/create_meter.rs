//! A meter, in its first version.

use exchequer_metering::Meter as Rules;

use super::{check_room, check_rules};
use crate::state::METERS_MAX;
use crate::{Event, Rejection, State, rules_bytes};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreateMeter {
    /// Their version counts for nothing.
    pub rules: Rules,
}

impl CreateMeter {
    pub(crate) fn decide(&self, state: &State) -> Result<Vec<Event>, Rejection> {
        let rules = Rules { version: 1, ..self.rules.clone() };
        if state.meters.contains_key(&rules.key) {
            return Err(Rejection::MeterExists);
        }
        check_rules(&rules)?;
        if state.meters.len() >= METERS_MAX {
            return Err(Rejection::MetersTooMany);
        }
        check_room(state, 0, rules_bytes(&rules))?;
        Ok(vec![Event::MeterCreated { rules }])
    }
}
