//! A meter counts nothing more, for ever.

use exchequer_types::Slug;

use super::open_meter;
use crate::{Event, Rejection, State};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetireMeter {
    pub meter: Slug,
}

impl RetireMeter {
    pub(crate) fn decide(&self, state: &State) -> Result<Vec<Event>, Rejection> {
        open_meter(state, &self.meter)?;
        Ok(vec![Event::MeterRetired { meter: self.meter.clone() }])
    }
}
