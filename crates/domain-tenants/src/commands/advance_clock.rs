//! A sandbox's own time, moved forward. What falls due on the way is decided
//! before, each at its instant; the tenant root sees to that.

use exchequer_types::Timestamp;

use crate::{Event, Rejection, Tenant};

/// A sandbox's clock stands before it: 2200-01-01, in microseconds since the Unix epoch.
pub const CLOCK_END_MICROS: i64 = 7_258_118_400_000_000;

/// A closed sandbox's clock can be advanced too: the closing may have been due on the way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdvanceClock {
    pub to: Timestamp,
}

impl AdvanceClock {
    pub(crate) fn decide(&self, tenant: Option<&Tenant>) -> Result<Vec<Event>, Rejection> {
        let clock = tenant.ok_or(Rejection::NotFound)?.clock.ok_or(Rejection::NotSandbox)?;
        if self.to <= clock {
            return Err(Rejection::ClockBackwards { clock });
        }
        check_clock("to", self.to)?;
        Ok(vec![Event::ClockAdvanced { to: self.to }])
    }
}

pub(crate) fn check_clock(field: &'static str, clock: Timestamp) -> Result<(), Rejection> {
    if clock.micros() < CLOCK_END_MICROS {
        Ok(())
    } else {
        Err(Rejection::ClockOutOfRange { field })
    }
}
