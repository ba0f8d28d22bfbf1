//! The provider's application says how much of a feature the tenant uses now.

use exchequer_types::Slug;

use crate::amount::UNITS_MAX;
use crate::state::FEATURES_IN_USE_MAX;
use crate::{Event, Rejection, State};

/// Replaces the use reported before; 0 forgets it. A use beyond the limit is taken as it
/// is: it is what it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReportUse {
    pub feature: Slug,
    pub used: u64,
}

impl ReportUse {
    /// Nothing happens when the use is what it was.
    pub(crate) fn decide(&self, state: &State) -> Result<Vec<Event>, Rejection> {
        if self.used > UNITS_MAX {
            return Err(Rejection::UseOutOfRange);
        }
        let before = state.used.get(&self.feature).copied().unwrap_or(0);
        if before == self.used {
            return Ok(Vec::new());
        }
        if before == 0 && state.used.len() >= FEATURES_IN_USE_MAX {
            return Err(Rejection::FeaturesInUseTooMany);
        }
        Ok(vec![Event::UseReported { feature: self.feature.clone(), used: self.used }])
    }
}
