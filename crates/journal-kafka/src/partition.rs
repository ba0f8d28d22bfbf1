//! One partition of an open topic: its newest records, how far it is known to go, and
//! whether anybody waits for more of it.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use exchequer_journal::{Fault, FaultKind};
use exchequer_types::Offset;
use tokio::sync::Notify;

use crate::ring::{Gap, Limit, Ring, Stored};

#[derive(Debug)]
pub(crate) struct Partition {
    state: Mutex<State>,
    /// Whatever may be news to who waits.
    pub grown: Notify,
}

#[derive(Debug)]
struct State {
    ring: Ring,
    /// Records below are known to be there: acknowledged, or below an end that was asked for.
    known_end: Offset,
    /// What is stored is not what was written.
    damage: Option<String>,
    followed: Followed,
    waiting: usize,
    /// When somebody last waited, or read what memory holds.
    used_at: Instant,
}

/// Does what is appended come into memory?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Followed {
    No,
    /// It soon does.
    Wanted,
    Yes,
}

/// What of a partition can be read.
pub(crate) enum Look {
    Found(Vec<Stored>),
    /// They are older than what memory holds.
    Older {
        until: Offset,
    },
    /// They are on their way.
    Soon,
}

/// What whoever waits does next.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum News {
    /// Read.
    There,
    /// Wait.
    Soon,
    /// See that the partition is followed. Nobody else was told to.
    Follow,
}

/// Somebody waits, until it is dropped.
pub(crate) struct Waiting<'a>(&'a Partition);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.waiting -= 1;
        state.used_at = Instant::now();
    }
}

impl Partition {
    /// One that ends at `end`, of which nothing is in memory.
    pub(crate) fn new(end: Offset, bytes_max: usize) -> Self {
        let state = State {
            ring: Ring::new(end, bytes_max),
            known_end: end,
            damage: None,
            followed: Followed::No,
            waiting: 0,
            used_at: Instant::now(),
        };
        Self { state: Mutex::new(state), grown: Notify::new() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn known_end(&self) -> Offset {
        let state = self.lock();
        state.known_end.max(state.ring.end())
    }

    /// Where the tail goes on, if the partition is followed.
    pub(crate) fn tail(&self) -> Option<Offset> {
        let state = self.lock();
        (state.followed == Followed::Yes).then(|| state.ring.end())
    }

    /// Records from `from` on, of those below `until`.
    pub(crate) fn look(&self, from: Offset, until: Offset, limit: Limit) -> Result<Look, Fault> {
        let mut state = self.lock();
        if let Some(damage) = &state.damage {
            return Err(Fault::new(FaultKind::Damaged, damage.clone()));
        }
        if state.followed != Followed::Yes {
            let is_there = from < until;
            return Ok(if is_there { Look::Older { until } } else { Look::Found(Vec::new()) });
        }
        if from < state.ring.begin() {
            return Ok(Look::Older { until: until.max(from + 1) });
        }
        if from >= until {
            return Ok(Look::Found(Vec::new()));
        }
        state.used_at = Instant::now();
        if from >= state.ring.end() {
            return Ok(Look::Soon);
        }
        let read = state.ring.read(from, limit);
        let is_whole = read.is_full || state.ring.end() >= until;
        Ok(if is_whole { Look::Found(read.records) } else { Look::Soon })
    }

    pub(crate) fn begin_wait(&self) -> Waiting<'_> {
        self.lock().waiting += 1;
        Waiting(self)
    }

    /// For whoever waits for the record at `offset`.
    pub(crate) fn news(&self, offset: Offset) -> News {
        let mut state = self.lock();
        if state.damage.is_some() {
            return News::There;
        }
        match state.followed {
            Followed::Yes if state.ring.end() > offset => News::There,
            Followed::Yes | Followed::Wanted => News::Soon,
            Followed::No => {
                state.followed = Followed::Wanted;
                News::Follow
            }
        }
    }

    /// What comes from now on is held: from where?
    pub(crate) fn follow(&self) -> Offset {
        let mut state = self.lock();
        let begin = state.known_end.max(state.ring.end());
        state.ring.restart(begin);
        state.followed = Followed::Yes;
        drop(state);
        self.grown.notify_waiters();
        begin
    }

    /// Nothing more comes, until somebody waits again.
    pub(crate) fn let_go(&self) {
        let mut state = self.lock();
        state.known_end = state.known_end.max(state.ring.end());
        let begin = state.known_end;
        state.ring.restart(begin);
        state.followed = Followed::No;
        drop(state);
        self.grown.notify_waiters();
    }

    /// Is it followed, and did nobody want it for so long?
    pub(crate) fn is_idle(&self, idle: Duration) -> bool {
        let state = self.lock();
        let is_followed = state.followed == Followed::Yes;
        is_followed && state.waiting == 0 && state.used_at.elapsed() >= idle
    }

    /// Everything below `end` is there.
    pub(crate) fn saw_end(&self, end: Offset) {
        let mut state = self.lock();
        state.known_end = state.known_end.max(end);
    }

    pub(crate) fn damaged(&self, message: String) -> Fault {
        tracing::error!(message, "the log is not what was written");
        self.lock().damage = Some(message.clone());
        self.grown.notify_waiters();
        Fault::new(FaultKind::Damaged, message)
    }

    /// The next record has come. One that comes after the partition was let go is passed over.
    pub(crate) fn push(&self, topic: &str, partition: u32, record: Stored) {
        let pushed = {
            let mut state = self.lock();
            if state.followed != Followed::Yes {
                return;
            }
            state.ring.push(record)
        };
        match pushed {
            Ok(()) => self.grown.notify_waiters(),
            Err(gap) => {
                self.damaged(gap_text(topic, partition, &gap));
            }
        }
    }

    /// The topic begins above what was to be read next.
    pub(crate) fn restart(&self, begin: Offset) {
        self.lock().ring.restart(begin);
        self.grown.notify_waiters();
    }
}

pub(crate) fn gap_text(topic: &str, partition: u32, gap: &Gap) -> String {
    let Gap { expected, found } = gap;
    format!(
        "{topic}/{partition} goes from {expected} to {found}: it was compacted, or written to by \
         a transaction; this topic must have cleanup.policy=delete and no transactional producer"
    )
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use exchequer_types::Timestamp;

    use super::*;

    const ALL: Limit = Limit { records_max: 100, bytes_max: 1 << 20 };

    fn push(partition: &Partition, offset: Offset) {
        let appended_at = Timestamp::saturating_from_micros(0);
        let bytes = Bytes::from(offset.to_string());
        partition.push("journal", 0, Stored { offset, appended_at, bytes });
    }

    /// Offsets in memory; None where the brokers have to be asked.
    fn in_memory(partition: &Partition, from: Offset, until: Offset) -> Option<Vec<Offset>> {
        match partition.look(from, until, ALL).expect("no damage") {
            Look::Found(records) => Some(records.iter().map(|it| it.offset).collect()),
            Look::Older { .. } | Look::Soon => None,
        }
    }

    // REQ: KER-08
    #[test]
    fn one_of_many_who_wait_has_the_partition_followed() {
        let partition = Partition::new(5, 1 << 20);
        assert_eq!(partition.tail(), None, "nobody waits");
        assert_eq!(partition.news(5), News::Follow);
        assert_eq!(partition.news(5), News::Soon);
        partition.saw_end(7);
        assert_eq!(partition.follow(), 7);
        assert_eq!(partition.news(6), News::There, "to be read from the brokers");
        assert_eq!(in_memory(&partition, 6, 7), None);
        assert_eq!(partition.news(7), News::Soon);
        push(&partition, 7);
        assert_eq!(partition.news(7), News::There);
        assert_eq!(in_memory(&partition, 7, 8), Some(vec![7]));
    }

    #[test]
    fn a_partition_is_let_go_when_nobody_wants_it() {
        let partition = Partition::new(5, 1 << 20);
        partition.follow();
        let waits = partition.begin_wait();
        assert!(!partition.is_idle(Duration::ZERO), "somebody waits");
        drop(waits);
        assert!(!partition.is_idle(Duration::from_secs(60)), "somebody just did");
        assert!(partition.is_idle(Duration::ZERO));
        push(&partition, 5);
        partition.let_go();
        assert!(!partition.is_idle(Duration::ZERO), "it is let go");
        assert_eq!((partition.known_end(), partition.tail()), (6, None));
        assert_eq!(in_memory(&partition, 5, 6), None, "it is read from the brokers");
        push(&partition, 6);
        assert_eq!(partition.known_end(), 6, "what was on its way comes too late");
        assert_eq!(partition.news(6), News::Follow);
        partition.saw_end(9);
        assert_eq!(partition.follow(), 9, "and no gap is taken for damage");
        push(&partition, 7);
        push(&partition, 9);
        assert_eq!(in_memory(&partition, 9, 10), Some(vec![9]));
    }

    // REQ: KER-07
    #[test]
    fn damage_is_told_to_whoever_waits_or_reads() {
        let partition = Partition::new(5, 1 << 20);
        partition.follow();
        push(&partition, 6);
        assert_eq!(partition.news(5), News::There);
        let told = partition.look(5, 6, ALL).err().map(|fault| fault.kind);
        assert_eq!(told, Some(FaultKind::Damaged));
        partition.let_go();
        assert!(partition.look(5, 6, ALL).is_err(), "for good");
    }
}
