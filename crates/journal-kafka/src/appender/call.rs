//! One append, from when it is handed over to the last of its delivery reports.

use std::marker::PhantomData;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, Weak};
use std::time::{Duration, Instant};

use exchequer_journal::{Fault, FaultKind};
use exchequer_types::{Offset, PartitionId};
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError;
use rdkafka::message::Message as _;
use rdkafka::producer::{DeliveryResult, ProducerContext};
use rdkafka::statistics::Statistics;
use rdkafka::{ClientContext, Timestamp};
use tokio::sync::oneshot;

use super::{Core, Sent, lock};
use crate::client::Reporter;
use crate::error::append_fault;
use crate::topic::Shared;

/// What took longer may have waited in this process: it tells nothing of clocks.
const COMPARED_WITHIN: Duration = Duration::from_secs(30);

/// Room in the queue, given back when it is dropped.
pub(super) struct Reserved {
    waiting: Arc<AtomicUsize>,
    bytes: usize,
}

impl Reserved {
    /// `waiting` are the bytes that are handed over and not yet acknowledged.
    pub(super) fn take(
        waiting: &Arc<AtomicUsize>,
        bytes: usize,
        bytes_max: usize,
    ) -> Result<Self, Fault> {
        let before = waiting.fetch_add(bytes, Ordering::AcqRel);
        let reserved = Self { waiting: Arc::clone(waiting), bytes };
        if before + bytes > bytes_max {
            let message = "too many records wait for the brokers; try again soon";
            return Err(Fault::new(FaultKind::Overloaded, message));
        }
        Ok(reserved)
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        self.waiting.fetch_sub(self.bytes, Ordering::AcqRel);
    }
}

pub(super) struct Call<R: Sent> {
    core: Weak<Core<R>>,
    shared: Arc<Shared>,
    pub(super) partition: PartitionId,
    since: Instant,
    /// Set when a producer is handed it.
    way: OnceLock<Way>,
    state: Mutex<CallState>,
}

struct Way {
    /// Records of the partition that are not acknowledged yet.
    records: Arc<AtomicUsize>,
    /// Of the producer: is it to be dropped?
    is_broken: Arc<AtomicBool>,
}

struct CallState {
    count: usize,
    left: usize,
    places: Places,
    fault: Option<Fault>,
    reply: Option<oneshot::Sender<Result<Option<Offset>, Fault>>>,
    reserved: Option<Reserved>,
}

/// Where the records of one call were put, as far as the brokers told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Places {
    told: usize,
    lowest: Offset,
    highest: Offset,
}

impl Places {
    fn add(&mut self, offset: Offset) {
        self.lowest = if self.told == 0 { offset } else { self.lowest.min(offset) };
        self.highest = self.highest.max(offset);
        self.told += 1;
    }

    /// The offset of the first of `count` records that stand together.
    fn first(&self, count: usize) -> Option<Offset> {
        let stand_together = self.highest - self.lowest + 1 == count as u64;
        (self.told == count && stand_together).then_some(self.lowest)
    }
}

impl CallState {
    fn new(
        count: usize,
        reply: oneshot::Sender<Result<Option<Offset>, Fault>>,
        reserved: Reserved,
    ) -> Self {
        Self {
            count,
            left: count,
            places: Places::default(),
            fault: None,
            reply: Some(reply),
            reserved: Some(reserved),
        }
    }
}

impl<R: Sent> Call<R> {
    pub(super) fn new(
        (core, partition): (&Arc<Core<R>>, PartitionId),
        count: usize,
        reply: oneshot::Sender<Result<Option<Offset>, Fault>>,
        reserved: Reserved,
    ) -> Self {
        Self {
            core: Arc::downgrade(core),
            shared: Arc::clone(&core.shared),
            partition,
            since: Instant::now(),
            way: OnceLock::new(),
            state: Mutex::new(CallState::new(count, reply, reserved)),
        }
    }

    /// A producer is about to be handed its records.
    pub(super) fn goes(&self, records: Arc<AtomicUsize>, is_broken: Arc<AtomicBool>) {
        // A call goes once.
        let _ = self.way.set(Way { records, is_broken });
    }

    fn delivered(&self, offset: i64, at: Timestamp) {
        let mut state = lock(&self.state);
        if let (0, Timestamp::LogAppendTime(at)) = (state.places.told, at)
            && self.since.elapsed() < COMPARED_WITHIN
        {
            let Shared { reporter, settings, .. } = self.shared.as_ref();
            reporter.compare_clocks(&settings.bootstrap, at);
        }
        // A repetition that the broker had already is acknowledged without a place.
        if let Ok(offset) = u64::try_from(offset) {
            state.places.add(offset);
            self.shared.partitions[self.partition.index()].saw_end(offset + 1);
        }
        self.settle_one(state);
    }

    fn failed(&self, error: &KafkaError) {
        let was_broken = |way: &Way| way.is_broken.swap(true, Ordering::AcqRel);
        let is_news = self.way.get().is_some_and(|way| !was_broken(way));
        if is_news && let Some(core) = self.core.upgrade() {
            core.broke(self.partition);
        }
        let mut state = lock(&self.state);
        state.fault.get_or_insert_with(|| append_fault(error));
        self.settle_one(state);
    }

    /// Does nobody wait for it any more?
    pub(super) fn is_abandoned(&self) -> bool {
        lock(&self.state).reply.as_ref().is_none_or(oneshot::Sender::is_closed)
    }

    fn settle_one(&self, mut state: MutexGuard<'_, CallState>) {
        let was_last = self.settle(&mut state, 1);
        drop(state);
        if was_last && let Some(core) = self.core.upgrade() {
            core.go_on(self.partition);
        }
    }

    /// The last `count` records were not taken by the client's queue.
    pub(super) fn give_up(&self, count: usize, mut fault: Fault) {
        let mut state = lock(&self.state);
        if count < state.count {
            fault.kind = FaultKind::Unavailable;
        }
        state.fault = Some(fault);
        self.settle(&mut state, count);
    }

    /// So many records are told of. Is nothing on its way any more?
    fn settle(&self, state: &mut CallState, count: usize) -> bool {
        state.left = state.left.saturating_sub(count);
        if state.left > 0 {
            return false;
        }
        state.reserved = None;
        let answer = match state.fault.take() {
            Some(fault) => Err(fault),
            None => Ok(state.places.first(state.count)),
        };
        let Some(reply) = state.reply.take() else { return false };
        // Nobody waits when the caller gave up.
        let _ = reply.send(answer);
        let before = self.way.get().map(|way| way.records.fetch_sub(state.count, Ordering::AcqRel));
        before == Some(state.count)
    }
}

/// Takes the brokers' answers.
pub(super) struct Deliveries<R> {
    pub(super) reporter: Reporter,
    pub(super) of: PhantomData<fn(R)>,
}

impl<R> ClientContext for Deliveries<R> {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        self.reporter.log(level, facility, line);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.reporter.error(error, reason);
    }

    fn stats(&self, statistics: Statistics) {
        self.reporter.stats(statistics);
    }
}

impl<R: Sent> ProducerContext for Deliveries<R> {
    type DeliveryOpaque = Arc<Call<R>>;

    fn delivery(&self, result: &DeliveryResult<'_>, call: Arc<Call<R>>) {
        match result {
            Ok(message) => call.delivered(message.offset(), message.timestamp()),
            Err((error, _)) => call.failed(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(offsets: &[Offset]) -> Places {
        let mut places = Places::default();
        for offset in offsets {
            places.add(*offset);
        }
        places
    }

    // REQ: KER-08
    #[test]
    fn a_place_is_told_only_when_all_stand_together() {
        assert_eq!(places(&[7]).first(1), Some(7));
        assert_eq!(places(&[9, 7, 8]).first(3), Some(7));
        assert_eq!(places(&[7, 9]).first(2), None, "another's record stands between them");
        assert_eq!(places(&[7]).first(2), None, "one place was not told");
    }

    #[test]
    fn room_is_given_back() {
        let waiting = Arc::default();
        let one = Reserved::take(&waiting, 6, 10).ok();
        let refused = Reserved::take(&waiting, 6, 10).err().map(|fault| fault.kind);
        assert_eq!(refused, Some(FaultKind::Overloaded));
        drop(one);
        assert!(Reserved::take(&waiting, 6, 10).is_ok());
    }
}
