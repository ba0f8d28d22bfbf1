//! Timers that are set while the clock runs: told by the fold of the view of
//! timers, so that the clock reads rows only when one may be due.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use exchequer_codec::{Entry, TIMER_SET, decode_event};
use exchequer_readstore::{Key, RowSet, Table};
use exchequer_tenant::Event;
use exchequer_types::{Offset, PartitionId, Timestamp};

use crate::view::View;

/// Timers that were set since the clock last asked, by partition.
#[derive(Debug)]
pub(crate) struct Notices(Vec<Mutex<Option<Notice>>>);

/// Timers of one partition that were folded, and may not be written yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Notice {
    /// Of the earliest one.
    pub(super) due: Timestamp,
    /// Of the last commit that set one: all of them are in the view that has passed it.
    pub(super) offset: Offset,
}

impl Notice {
    pub(super) fn and(self, other: Self) -> Self {
        Self { due: self.due.min(other.due), offset: self.offset.max(other.offset) }
    }
}

impl Notices {
    pub(crate) fn new(partitions: u32) -> Self {
        Self((0..partitions).map(|_| Mutex::default()).collect())
    }

    fn note(&self, partition: PartitionId, notice: Notice) {
        let mut noted = self.of(partition);
        *noted = Some(noted.map_or(notice, |earlier| earlier.and(notice)));
    }

    pub(super) fn take(&self, partition: PartitionId) -> Option<Notice> {
        self.of(partition).take()
    }

    fn of(&self, partition: PartitionId) -> MutexGuard<'_, Option<Notice>> {
        self.0[partition.index()].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The view of timers, which notes what it folds.
#[derive(Debug)]
pub(crate) struct Noting {
    pub(crate) view: Arc<dyn View>,
    pub(crate) notices: Arc<Notices>,
}

impl View for Noting {
    fn name(&self) -> &'static str {
        self.view.name()
    }

    fn version(&self) -> u32 {
        self.view.version()
    }

    fn tables(&self) -> &'static [&'static Table] {
        self.view.tables()
    }

    fn reads(&self, entry: &Entry, rows: &RowSet) -> Vec<(&'static Table, Key)> {
        self.view.reads(entry, rows)
    }

    fn fold(&self, entry: &Entry, rows: &mut RowSet) {
        for event in entry.commit.events.iter().filter(|event| event.r#type == TIMER_SET) {
            // What does not decode stops the view itself.
            if let Ok(Event::TimerSet { due, .. }) =
                decode_event(&event.stream, &event.r#type, &event.payload)
            {
                self.notices.note(entry.partition, Notice { due, offset: entry.offset });
            }
        }
        self.view.fold(entry, rows);
    }
}
