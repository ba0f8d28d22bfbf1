//! Which meters of which tenants have counted something since it was last asked: whoever
//! compares figures with limits looks at those, and at no others.

use std::sync::Arc;

use exchequer_metering::Meter;
use exchequer_types::TenantId;

use crate::packed::u32_of;

/// A meter of a tenant.
pub type MeterOf = (Arc<TenantId>, Arc<Meter>);

/// Meters that are remembered from one flush to the next while nobody asks.
const CARRIED_MAX: usize = 65_536;

/// What has counted something.
#[derive(Debug, Default)]
pub struct Touched {
    /// More than can be told one by one: any may have.
    pub all: bool,
    pub meters: Vec<MeterOf>,
}

/// Series by number, each once until they are taken.
#[derive(Debug)]
pub(crate) struct TouchedSeries {
    round: u32,
    /// By series: the round in which it was touched last.
    rounds: Vec<u32>,
    touched: Vec<u32>,
}

impl Default for TouchedSeries {
    fn default() -> Self {
        Self { round: 1, rounds: Vec::new(), touched: Vec::new() }
    }
}

impl TouchedSeries {
    #[inline]
    pub(crate) fn note(&mut self, at: usize) {
        match self.rounds.get_mut(at) {
            Some(round) if *round == self.round => return,
            Some(round) => *round = self.round,
            None => {
                self.rounds.resize(at, 0);
                self.rounds.push(self.round);
            }
        }
        self.touched.push(u32_of(at));
    }

    /// Their numbers; none of them again until it is touched again.
    pub(crate) fn take(&mut self) -> Vec<u32> {
        self.round = self.round.wrapping_add(1);
        core::mem::take(&mut self.touched)
    }
}

impl Touched {
    pub(crate) fn add(&mut self, meters: impl Iterator<Item = MeterOf>) {
        for it in meters {
            if self.meters.len() >= CARRIED_MAX {
                self.all = true;
                self.meters.clear();
            }
            if self.all {
                return;
            }
            self.meters.push(it);
        }
    }
}

#[cfg(test)]
mod tests {
    use exchequer_metering::Aggregation;
    use exchequer_types::Slug;

    use super::*;

    // REQ: USE-06
    #[test]
    fn a_series_is_told_of_once_until_it_is_touched_again() {
        let mut series = TouchedSeries::default();
        for at in [3, 0, 3, 3, 1] {
            series.note(at);
        }
        assert_eq!(series.take(), [3, 0, 1]);
        assert!(series.take().is_empty());
        series.note(3);
        series.note(9);
        assert_eq!(series.take(), [3, 9]);
    }

    // REQ: USE-06
    #[test]
    fn more_than_is_kept_is_all() {
        let meter = Meter {
            key: Slug::parse("calls").unwrap(),
            version: 1,
            event_type: "call".to_owned(),
            aggregation: Aggregation::Count,
            value: None,
            group_by: Vec::new(),
            filters: Vec::new(),
            unit: String::new(),
            groups_max: 1,
        };
        let it: MeterOf = (Arc::new(TenantId::platform()), Arc::new(meter));
        let mut touched = Touched::default();
        touched.add((0..CARRIED_MAX).map(|_| it.clone()));
        assert!(!touched.all && touched.meters.len() == CARRIED_MAX);
        touched.add([it.clone()].into_iter());
        assert!(touched.all && touched.meters.is_empty());
        touched.add([it].into_iter());
        assert!(touched.meters.is_empty(), "all is all");
    }
}
