//! Whether this process can answer. The rule: it decides every partition that is its own
//! and has followed the others to where they ended at its start, and each view that is
//! read has folded everything that was in the journal then, and is at most so many commits
//! behind it now. How far the
//! journal and the views are is asked at the moment of the question.

use core::fmt;
use core::sync::atomic::Ordering;

use exchequer_journal::FaultKind;
use exchequer_types::{Offset, PartitionId, StreamId, TenantId};

use crate::meter::Meters;
use crate::{Platform, Tail, ViewHandle};

/// Why a process is not ready.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unready {
    /// The process has been asked to end: what is under way ends well, new work goes
    /// elsewhere.
    Draining,
    /// The partition is not decided here yet, or not followed to its end.
    Starting { partition: PartitionId },
    /// Nobody here can decide the partition at the moment.
    Failed { partition: PartitionId, kind: FaultKind },
    /// The partition's usage is not metered here yet.
    MeterStarting { partition: PartitionId },
    /// Nobody here can meter the partition's usage at the moment; or ever again, when its
    /// seals are not those of its records.
    MeterFailed { partition: PartitionId, kind: FaultKind },
    /// The root tenant, to which everybody's first call goes, is not made yet.
    Unfounded,
    /// The view has still to fold `commits` in `partitions` before it may be read.
    Behind { view: &'static str, partitions: u32, commits: u64 },
}

impl fmt::Display for Unready {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Draining => f.write_str("shutting down"),
            Self::Starting { partition } => write!(f, "partition {partition}: starting"),
            Self::Failed { partition, kind } => {
                write!(f, "partition {partition}: {}", word(kind))
            }
            Self::MeterStarting { partition } => {
                write!(f, "usage partition {partition}: starting")
            }
            Self::MeterFailed { partition, kind } => {
                write!(f, "usage partition {partition}: {}", word(kind))
            }
            Self::Unfounded => f.write_str("the root tenant is not made yet"),
            Self::Behind { view, partitions, commits } => {
                write!(f, "view {view}: {commits} records behind in {partitions} partitions")
            }
        }
    }
}

/// A fault's text names files: it is for the log.
fn word(kind: &FaultKind) -> &'static str {
    match kind {
        FaultKind::Full => "no disk space",
        FaultKind::Overloaded => "the journal is overloaded",
        FaultKind::Unavailable => "unavailable",
        FaultKind::Damaged => "damaged",
        FaultKind::Expired { .. } | FaultKind::TooLarge | FaultKind::Stopped => "stopped",
    }
}

impl Platform {
    /// Says from now on that it is not ready. It works all the same.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Release);
    }

    /// Everything that stands in the way; empty when the process is ready.
    pub fn unready(&self) -> Vec<Unready> {
        let tail = &self.tail;
        let is_draining = self.draining.load(Ordering::Acquire);
        let mut reasons: Vec<Unready> =
            is_draining.then_some(Unready::Draining).into_iter().collect();
        let partitions = (0..tail.partitions()).map(PartitionId);
        reasons.extend(partitions.filter_map(|it| undecided(tail, it)));
        reasons.extend((!self.is_founded()).then_some(Unready::Unfounded));
        reasons.extend(self.meters.iter().flat_map(unmetered));
        let lag_max = self.ports.settings.ready_lag_max;
        reasons.extend(self.views.iter().filter_map(|view| behind(tail, view, lag_max)));
        reasons
    }

    /// Is there nothing in the way?
    pub fn is_ready(&self) -> bool {
        let tail = &self.tail;
        let lag_max = self.ports.settings.ready_lag_max;
        !self.draining.load(Ordering::Acquire)
            && (0..tail.partitions()).map(PartitionId).all(|it| undecided(tail, it).is_none())
            && self.is_founded()
            && self.views.iter().all(|view| behind(tail, view, lag_max).is_none())
            && self.meters.as_ref().is_none_or(|meters| unmetered(meters).is_empty())
    }

    /// Is there a root tenant? Whoever makes it asks: it is the first that is decided
    /// in its partition.
    fn is_founded(&self) -> bool {
        let root = StreamId::Tenant(TenantId::platform());
        !self.bootstraps || self.tail.state(self.tail.partition_of(&root)).head.seq > 0
    }
}

fn unmetered(meters: &Meters) -> Vec<Unready> {
    let states = (0..).map(PartitionId).zip(meters.states());
    states
        .filter_map(|(partition, state)| match state.fault {
            Some(fault) => Some(Unready::MeterFailed { partition, kind: fault.kind }),
            None if !state.leading && !state.followed => Some(Unready::MeterStarting { partition }),
            None => None,
        })
        .collect()
}

fn undecided(tail: &Tail, partition: PartitionId) -> Option<Unready> {
    let state = tail.state(partition);
    match state.fault {
        Some(fault) => Some(Unready::Failed { partition, kind: fault.kind }),
        None if state.leading || state.is_followed() => None,
        None => Some(Unready::Starting { partition }),
    }
}

fn behind(tail: &Tail, view: &ViewHandle, lag_max: u64) -> Option<Unready> {
    let progress = view.active().progress();
    let (mut partitions, mut commits) = (0, 0);
    for (partition, folded) in (0..).map(PartitionId).zip(&progress.offsets) {
        let required = required(tail.led_from(partition), tail.offset(partition), lag_max);
        if *folded < required || !progress.known {
            partitions += 1;
            commits += tail.offset(partition).saturating_sub(*folded);
        }
    }
    (partitions > 0).then(|| Unready::Behind { view: view.view.name(), partitions, commits })
}

/// What must be folded of a partition that was first decided at `led_from` and goes up
/// to `end` now.
fn required(led_from: Option<Offset>, end: Offset, lag_max: u64) -> Offset {
    led_from.unwrap_or(end).max(end.saturating_sub(lag_max)).min(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    // REQ: EDG-07
    #[test]
    fn what_was_there_at_the_start_counts_whole_and_later_only_a_long_lag_does() {
        assert_eq!(required(None, 50, 1_000), 50, "before the first claim: everything");
        assert_eq!(required(Some(50), 50, 1_000), 50);
        assert_eq!(required(Some(50), 60, 1_000), 50, "what came since may wait");
        assert_eq!(required(Some(50), 1_060, 1_000), 60, "but not this long");
        assert_eq!(required(Some(50), 60, 0), 60, "without slack, everything");
    }
}
