//! Work that fails, of tenants and of partitions: what an operator asks first.

use core::time::Duration;
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use exchequer_types::{PartitionId, StreamId, Timestamp};

mod told;

pub(crate) use told::{FAILURES, tell};
pub use told::{ToldFailure, failures_of};

/// More failures of tenants than this are counted in logs and metrics alone.
const FAILURES_MAX: usize = 10_000;
/// A partition that is worked on for so long without another failure is well. What fails
/// behind a claim fails again behind the next one, a moment later.
const WELL_AFTER: Duration = Duration::from_secs(10);

/// Deciding a partition, as work.
pub(crate) const DECIDER: &str = "decider";
/// Metering a partition of usage.
pub(crate) const METER: &str = "meter";

/// Work that is being tried again, or has stopped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Of the last one.
    pub message: String,
    pub attempts: u64,
    /// Of the first one.
    pub since: Timestamp,
}

#[derive(Debug)]
struct Present {
    failure: Failure,
    /// Of a partition: since when it is worked on again.
    resumed_at: Option<Timestamp>,
}

/// What fails at the moment, by stream and kind of work.
#[derive(Debug, Default)]
pub struct Failures {
    present: Mutex<BTreeMap<(StreamId, &'static str), Present>>,
}

impl Failures {
    /// What fails at the moment.
    pub fn present(&self, now: Timestamp) -> BTreeMap<(StreamId, &'static str), Failure> {
        let mut present = self.lock();
        // A clock that has gone back says nothing of how long it has been well.
        let is_well = |at: Timestamp| now < at || now.since(at) >= WELL_AFTER;
        present.retain(|_, it| it.resumed_at.is_none_or(|at| !is_well(at)));
        present.iter().map(|(of, it)| (of.clone(), it.failure.clone())).collect()
    }

    pub(crate) fn failed(
        &self,
        stream: &StreamId,
        work: &'static str,
        message: String,
        now: Timestamp,
    ) {
        let mut present = self.lock();
        let is_known = present.contains_key(&(stream.clone(), work));
        let is_of_partition = matches!(stream, StreamId::Partition(_));
        if present.len() >= FAILURES_MAX && !is_known && !is_of_partition {
            return;
        }
        let it = present.entry((stream.clone(), work)).or_insert_with(|| Present {
            failure: Failure { message: String::new(), attempts: 0, since: now },
            resumed_at: None,
        });
        it.failure.message = message;
        it.failure.attempts += 1;
        it.resumed_at = None;
    }

    /// What failed of this work is not tried here any more, or from its beginning.
    pub(crate) fn forget(&self, work: &str) {
        self.forget_of(work, |_| true);
    }

    /// The same of some streams.
    pub(crate) fn forget_of(&self, work: &str, is_gone: impl Fn(&StreamId) -> bool) {
        self.lock().retain(|(stream, of), _| *of != work || !is_gone(stream));
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

    /// The partition is worked on again.
    pub(crate) fn resumed(&self, partition: PartitionId, work: &'static str, now: Timestamp) {
        if let Some(it) = self.lock().get_mut(&(StreamId::Partition(partition), work)) {
            it.resumed_at.get_or_insert(now);
        }
    }

    /// It is another process's by now.
    pub(crate) fn given_up(&self, partition: PartitionId, work: &'static str) {
        self.succeeded(&StreamId::Partition(partition), work);
    }

    pub(crate) fn succeeded(&self, stream: &StreamId, work: &'static str) {
        let mut present = self.lock();
        if !present.is_empty() {
            present.remove(&(stream.clone(), work));
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<(StreamId, &'static str), Present>> {
        self.present.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::saturating_from_micros(seconds * 1_000_000)
    }

    // REQ: OPS-05
    #[test]
    fn a_partition_that_fails_behind_each_claim_fails_all_the_time() {
        let (failures, it) = (Failures::default(), PartitionId(3));
        for second in [10, 12, 14] {
            failures.resumed(it, METER, at(second));
            failures.stuck(it, METER, format!("at {second}"), at(second + 1));
        }
        failures.resumed(it, METER, at(16));
        let found = failures.present(at(20));
        let failure = Failure { message: "at 14".to_owned(), attempts: 3, since: at(11) };
        assert_eq!(found, [((StreamId::Partition(it), METER), failure)].into());
        assert!(failures.present(at(26)).is_empty());
    }
}
