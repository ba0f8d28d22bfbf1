//! Invariants by number: one pure predicate each, used by the decider (which
//! refuses the command and parks the tenant), by tests and by the simulation.

use core::fmt;

/// A broken invariant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// For instance `KERNEL-1`.
    pub name: &'static str,
    pub detail: String,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name, self.detail)
    }
}

/// KERNEL-1: a timer that was decided is not pending any more.
pub fn timer_is_gone(pending: Option<&str>, decided: &str) -> Result<(), Broken> {
    if pending == Some(decided) {
        return Err(Broken {
            name: "KERNEL-1",
            detail: format!("timer {decided} is still pending after it was decided"),
        });
    }
    Ok(())
}

/// KERNEL-2: one command makes at most as many events as a commit holds.
pub fn events_fit(events: usize, events_max: usize) -> Result<(), Broken> {
    if events > events_max {
        return Err(Broken {
            name: "KERNEL-2",
            detail: format!("{events} events from one command, at most {events_max} fit"),
        });
    }
    Ok(())
}
