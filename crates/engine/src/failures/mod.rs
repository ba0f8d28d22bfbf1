//! Background work that fails, by tenant: what an operator asks first.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use exchequer_types::{PartitionId, StreamId, Timestamp};

mod told;

pub use told::failures_of;
pub(crate) use told::{FAILURES, tell};

/// More failures than this are counted in logs and metrics alone.
const FAILURES_MAX: usize = 10_000;

/// Deciding a partition, as work.
pub(crate) const DECIDER: &str = "decider";
/// Metering a partition of usage.
pub(crate) const METER: &str = "meter";

/// Work that is being tried again, or has stopped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    pub message: String,
    pub attempts: u64,
    pub since: Timestamp,
}

/// What fails at the moment, by stream and kind of work.
#[derive(Debug, Default)]
pub struct Failures {
    present: Mutex<BTreeMap<(StreamId, &'static str), Failure>>,
}

impl Failures {
    /// What fails at the moment.
    pub fn present(&self) -> BTreeMap<(StreamId, &'static str), Failure> {
        self.lock().clone()
    }

    pub(crate) fn failed(
        &self,
        stream: &StreamId,
        work: &'static str,
        message: String,
        now: Timestamp,
    ) {
        let mut present = self.lock();
        if present.len() >= FAILURES_MAX && !present.contains_key(&(stream.clone(), work)) {
            return;
        }
        let failure = present.entry((stream.clone(), work)).or_insert_with(|| Failure {
            message: String::new(),
            attempts: 0,
            since: now,
        });
        failure.message = message;
        failure.attempts += 1;
    }

    /// What failed of this work is not tried here any more, or from its beginning.
    pub(crate) fn forget(&self, work: &str) {
        self.lock().retain(|(_, of), _| *of != work);
    }

    /// As [`Self::failed`], of the work on a partition.
    pub(crate) fn stuck(
        &self,
        partition: PartitionId,
        work: &'static str,
        message: String,
        now: Timestamp,
    ) {
        self.failed(&StreamId::Partition(partition), work, message, now);
    }

    /// The work on a partition goes on, or is another process's.
    pub(crate) fn goes_on(&self, partition: PartitionId, work: &'static str) {
        self.succeeded(&StreamId::Partition(partition), work);
    }

    pub(crate) fn succeeded(&self, stream: &StreamId, work: &'static str) {
        let mut present = self.lock();
        if !present.is_empty() {
            present.remove(&(stream.clone(), work));
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<(StreamId, &'static str), Failure>> {
        self.present.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
