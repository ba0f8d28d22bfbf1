//! What waits for the writer: bounded in bytes, taken as whole batches.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use exchequer_journal::Fault;
use exchequer_types::Offset;
use tokio::sync::oneshot;

use crate::format::FRAME_EXTRA_BYTES;

/// Records to append together, and who waits for them.
#[derive(Debug)]
pub(crate) struct Request {
    pub partition: u16,
    /// At least one.
    pub records: Vec<Bytes>,
    /// Gets the offset of the first.
    pub reply: oneshot::Sender<Result<Offset, Fault>>,
}

impl Request {
    /// Bytes in the segment.
    pub(crate) fn frame_bytes(&self) -> usize {
        self.records.iter().map(|record| FRAME_EXTRA_BYTES + record.len()).sum()
    }

    /// About what it takes in memory.
    fn held_bytes(&self) -> usize {
        let records = self.records.iter().map(|record| size_of::<Bytes>() + record.len());
        size_of::<Self>() + records.sum::<usize>()
    }
}

/// What the writer gets.
#[derive(Debug)]
pub(crate) enum Taken {
    /// At least one request.
    Batch(VecDeque<Request>),
    /// Nothing came in time.
    Idle,
    /// Nothing is left, and nothing will come.
    Closed,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    Full,
    Closed,
}

#[derive(Debug)]
pub(crate) struct Queue {
    bytes_max: usize,
    waiting: Mutex<Waiting>,
    filled: Condvar,
}

#[derive(Debug, Default)]
struct Waiting {
    requests: VecDeque<Request>,
    bytes: usize,
    closed: bool,
    /// The writer sleeps and must be woken.
    asleep: bool,
}

impl Queue {
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self { bytes_max, waiting: Mutex::default(), filled: Condvar::new() }
    }

    pub(crate) fn push(&self, request: Request) -> Result<(), Refused> {
        let mut waiting = self.lock();
        if waiting.closed {
            return Err(Refused::Closed);
        }
        let bytes = waiting.bytes + request.held_bytes();
        // One request always fits, whatever the setting.
        if bytes > self.bytes_max && !waiting.requests.is_empty() {
            return Err(Refused::Full);
        }
        waiting.bytes = bytes;
        waiting.requests.push_back(request);
        let wake = core::mem::take(&mut waiting.asleep);
        drop(waiting);
        if wake {
            self.filled.notify_one();
        }
        Ok(())
    }

    /// Waits for requests, for no longer than `idle` if that is given, and takes what is
    /// there: frames of at most `batch_bytes_max` in all, or a single larger one.
    pub(crate) fn take(&self, idle: Option<Duration>, batch_bytes_max: usize) -> Taken {
        let mut waiting = self.lock();
        while waiting.requests.is_empty() {
            if waiting.closed {
                return Taken::Closed;
            }
            waiting.asleep = true;
            let Some(idle) = idle else {
                waiting = self.filled.wait(waiting).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            let woken = self.filled.wait_timeout(waiting, idle);
            let (guard, timeout) = woken.unwrap_or_else(PoisonError::into_inner);
            waiting = guard;
            if timeout.timed_out() && waiting.requests.is_empty() {
                waiting.asleep = false;
                return if waiting.closed { Taken::Closed } else { Taken::Idle };
            }
        }
        waiting.asleep = false;
        Taken::Batch(waiting.split(batch_bytes_max))
    }

    /// Refuses what comes from now on. What waits can still be taken.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.filled.notify_all();
    }

    /// Drops what waits, after `close`: its callers learn that nobody answers.
    pub(crate) fn clear(&self) {
        let dropped = core::mem::take(&mut self.lock().requests);
        drop(dropped);
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    fn split(&mut self, batch_bytes_max: usize) -> VecDeque<Request> {
        let mut frames = 0;
        let count = self
            .requests
            .iter()
            .take_while(|request| {
                frames += request.frame_bytes();
                frames <= batch_bytes_max
            })
            .count()
            .max(1);
        if count == self.requests.len() {
            self.bytes = 0;
            return core::mem::take(&mut self.requests);
        }
        let rest = self.requests.split_off(count);
        let batch = core::mem::replace(&mut self.requests, rest);
        self.bytes -= batch.iter().map(Request::held_bytes).sum::<usize>();
        batch
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(bytes: usize) -> Request {
        let record = Bytes::from(vec![0; bytes]);
        Request { partition: 0, records: vec![record], reply: oneshot::channel().0 }
    }

    fn batch(queue: &Queue, batch_bytes_max: usize) -> usize {
        match queue.take(None, batch_bytes_max) {
            Taken::Batch(batch) => batch.len(),
            other => panic!("{other:?}"),
        }
    }

    // REQ: KER-13
    #[test]
    fn the_queue_is_bounded_and_gives_batches_of_bounded_size() {
        let queue = Queue::new(3 * request(100).held_bytes());
        for _ in 0..3 {
            assert_eq!(queue.push(request(100)), Ok(()));
        }
        assert_eq!(queue.push(request(0)), Err(Refused::Full));
        assert_eq!(batch(&queue, 220), 2);
        assert_eq!(queue.push(request(100)), Ok(()), "room again");
        assert_eq!(batch(&queue, 1), 1, "at least one");
        assert_eq!(batch(&queue, 1000), 1);
        assert_eq!(queue.push(request(100_000)), Ok(()), "one always fits");
    }

    // REQ: KER-13
    #[test]
    fn a_closed_queue_refuses_and_is_emptied_first() {
        let queue = Queue::new(1000);
        assert_eq!(queue.push(request(1)), Ok(()));
        queue.close();
        assert_eq!(queue.push(request(1)), Err(Refused::Closed));
        assert_eq!(batch(&queue, 1000), 1);
        assert!(matches!(queue.take(None, 1000), Taken::Closed));
    }
}
