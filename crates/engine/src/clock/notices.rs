//! Timers that are set while the clock runs: told by the fold of the view of
//! timers, so that the clock reads rows only when one may be due.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use exchequer_codec::{Entry, TIMER_SET, decode_event};
use exchequer_readstore::{Key, RowSet, Table};
use exchequer_tenant::Event;
use exchequer_types::{PartitionId, Timestamp};

use crate::view::View;

const NONE: i64 = i64::MAX;

/// The earliest timer that was set, by partition, since the clock last took it. Its
/// row is there at the view's next progress at the latest.
#[derive(Debug)]
pub(crate) struct Notices(Vec<AtomicI64>);

impl Notices {
    pub(crate) fn new(partitions: u32) -> Self {
        Self((0..partitions).map(|_| AtomicI64::new(NONE)).collect())
    }

    fn note(&self, partition: PartitionId, due: Timestamp) {
        self.0[partition.index()].fetch_min(due.micros(), Ordering::AcqRel);
    }

    pub(super) fn take(&self, partition: PartitionId) -> Option<Timestamp> {
        let cell = &self.0[partition.index()];
        if cell.load(Ordering::Acquire) == NONE {
            return None;
        }
        let due = cell.swap(NONE, Ordering::AcqRel);
        (due != NONE).then(|| Timestamp::saturating_from_micros(due))
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
                self.notices.note(entry.partition, due);
            }
        }
        self.view.fold(entry, rows);
    }
}
