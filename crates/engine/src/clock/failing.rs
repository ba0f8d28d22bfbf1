//! Streams that could not be woken: each is tried again after a while, longer each
//! time. One that is parked may be so for days, and each try is a record.

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};

use exchequer_types::{StreamId, Timestamp};

const RETRY: Duration = Duration::from_secs(5);
const RETRY_MAX: Duration = Duration::from_secs(600);
/// Streams remembered.
const STREAMS_MAX: usize = 16_384;

#[derive(Debug, Default)]
pub(super) struct Failing {
    /// After how long each is tried again, and since when it is due.
    waits: BTreeMap<StreamId, (Duration, Timestamp)>,
    queue: BTreeSet<(Timestamp, StreamId)>,
}

impl Failing {
    pub(super) fn contains(&self, stream: &StreamId) -> bool {
        self.waits.contains_key(stream)
    }

    /// It failed, once more or for the first time. False when it is one too many.
    pub(super) fn failed(&mut self, stream: &StreamId, due: Timestamp, now: Timestamp) -> bool {
        let (wait, due) = match self.waits.get(stream) {
            Some((wait, first)) => ((*wait * 2).min(RETRY_MAX), due.min(*first)),
            None if self.waits.len() >= STREAMS_MAX => return false,
            None => (RETRY, due),
        };
        self.waits.insert(stream.clone(), (wait, due));
        self.queue.insert((now.saturating_add(wait), stream.clone()));
        true
    }

    /// Had it failed?
    pub(super) fn succeeded(&mut self, stream: &StreamId) -> bool {
        self.waits.remove(stream).is_some()
    }

    /// These are woken elsewhere.
    pub(super) fn forget(&mut self, is_gone: impl Fn(&StreamId) -> bool) {
        self.waits.retain(|stream, _| !is_gone(stream));
        self.queue.retain(|(_, stream)| !is_gone(stream));
    }

    /// One whose time has come, and since when it is due; the caller says how it went.
    pub(super) fn take(&mut self, now: Timestamp) -> Option<(StreamId, Timestamp)> {
        if self.next().is_none_or(|at| at > now) {
            return None;
        }
        let (_, stream) = self.queue.pop_first()?;
        let (_, due) = self.waits.get(&stream)?;
        let due = *due;
        Some((stream, due))
    }

    pub(super) fn next(&self) -> Option<Timestamp> {
        self.queue.first().map(|(at, _)| *at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // REQ: KER-09
    #[test]
    fn each_try_comes_later_than_the_one_before() {
        let stream = StreamId::parse("acme").unwrap();
        let mut failing = Failing::default();
        let mut now = Timestamp::MIN;
        let mut waits = Vec::new();
        for _ in 0..9 {
            assert!(failing.failed(&stream, now, now));
            let at = failing.next().unwrap();
            assert_eq!(failing.take(at.saturating_sub(Duration::from_micros(1))), None);
            assert_eq!(failing.take(at), Some((stream.clone(), Timestamp::MIN)));
            waits.push(at.since(now).as_secs());
            now = at;
        }
        assert_eq!(waits, [5, 10, 20, 40, 80, 160, 320, 600, 600]);
        assert!(failing.succeeded(&stream) && !failing.succeeded(&stream));
        assert!(!failing.contains(&stream) && failing.next().is_none());
    }

    #[test]
    fn memory_is_bounded() {
        let mut failing = Failing::default();
        let mut failed = |name: String| {
            let stream = StreamId::parse(&name).unwrap();
            failing.failed(&stream, Timestamp::MIN, Timestamp::MIN)
        };
        assert!((0..STREAMS_MAX).all(|n| failed(format!("t{n}"))));
        assert!(!failed("more".to_owned()));
        assert!(failed("t7".to_owned()));
    }
}
