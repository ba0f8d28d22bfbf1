//! Lets one round of a partition's appends go after the other: what comes while one is on its
//! way is the next one.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::settings::BATCH_BYTES_MAX;

/// A partition with more records on their way than these is handed the next ones when all of
/// them are acknowledged. The client sends five and then waits for the first; with others behind
/// those it looks at the time without a pause until then.
pub(super) const AT_ONCE_MAX: usize = 4;

/// Of one round: about what fits a request.
const ROUND_BYTES_MAX: usize = BATCH_BYTES_MAX / 2;

/// What a broker takes for a request is many times what it takes for a record. So where many
/// append at the same time the next round gathers for so long for each call of the one before,
/// but no longer than that: one call in so long is what a partition takes without a pause.
pub(super) const PAUSE_OF_CALL: Duration = Duration::from_micros(250);
pub(super) const PAUSE_MAX: Duration = Duration::from_millis(10);

/// Which of a lane's producers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pace {
    /// Sends each record when it is handed over, and as it is: packing a small one saves little
    /// and takes its time here, at the broker and at each reader.
    Alone,
    /// Packs what it sends, and gathers for a moment where many share it, so that a round is
    /// one request.
    Together,
}

/// What is appended with one call, as it stands before the gate.
pub(super) trait Load {
    fn records(&self) -> usize;
    fn bytes(&self) -> usize;
}

pub(super) struct Gate<L> {
    /// Records that were handed over and are not acknowledged yet.
    on_their_way: Arc<AtomicUsize>,
    gathered: VecDeque<L>,
    /// A call with more bytes is packed, even if it is the only one.
    plain_bytes_max: usize,
    /// The newest.
    round: Round,
    /// Will somebody ask again when the pause is over?
    is_pausing: bool,
}

/// What goes while nothing else is on its way.
struct Round {
    began: Instant,
    pace: Pace,
    calls: u32,
    bytes: usize,
    /// May more join it?
    is_open: bool,
}

/// What goes next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next<L> {
    Load(L, Pace),
    /// Nothing: there is none, or what went is to be acknowledged first.
    Nothing,
    /// Nothing for so long.
    After(Duration),
}

impl Round {
    fn begin(pace: Pace) -> Self {
        Self { began: Instant::now(), pace, calls: 0, bytes: 0, is_open: true }
    }

    /// Until the next one may begin.
    fn pause(&self) -> Option<Duration> {
        let apart = PAUSE_MAX.min(PAUSE_OF_CALL * self.calls);
        let left = apart.saturating_sub(self.began.elapsed());
        (self.pace == Pace::Together && !left.is_zero()).then_some(left)
    }
}

impl<L: Load> Gate<L> {
    pub(super) fn new(plain_bytes_max: usize) -> Self {
        Self {
            on_their_way: Arc::default(),
            gathered: VecDeque::new(),
            plain_bytes_max,
            round: Round { is_open: false, ..Round::begin(Pace::Alone) },
            is_pausing: false,
        }
    }

    pub(super) fn push(&mut self, load: L) {
        self.gathered.push_back(load);
    }

    /// What is taken goes: its records are counted, until whoever has the count takes them off.
    pub(super) fn next(&mut self) -> Next<L> {
        let next = self.take();
        if !matches!(next, Next::Load(..)) {
            self.round.is_open = false;
        }
        next
    }

    fn take(&mut self) -> Next<L> {
        let Some(first) = self.gathered.front() else { return Next::Nothing };
        let (records, bytes) = (first.records(), first.bytes());
        let is_large = bytes > self.plain_bytes_max;
        let on_their_way = self.on_their_way.load(Ordering::Acquire);
        if on_their_way == 0 {
            if let Some(pause) = self.round.pause() {
                return Next::After(pause);
            }
            let are_many = self.gathered.len() > AT_ONCE_MAX;
            let pace = if are_many || is_large { Pace::Together } else { Pace::Alone };
            self.round = Round::begin(pace);
        }
        let round = &mut self.round;
        let joins = round.is_open
            && (round.calls == 0 || round.bytes.saturating_add(bytes) <= ROUND_BYTES_MAX);
        let follows = round.pace == Pace::Alone && on_their_way + records <= AT_ONCE_MAX;
        // What one producer sends may come before what another one had sent.
        let is_others = is_large && round.pace == Pace::Alone;
        if is_others || (!joins && !follows) {
            return Next::Nothing;
        }
        let Some(load) = self.gathered.pop_front() else { return Next::Nothing };
        round.calls += 1;
        round.bytes += bytes;
        self.on_their_way.fetch_add(records, Ordering::AcqRel);
        Next::Load(load, round.pace)
    }

    pub(super) fn on_their_way(&self) -> &Arc<AtomicUsize> {
        &self.on_their_way
    }

    /// Of the newest round.
    pub(super) fn pace(&self) -> Pace {
        self.round.pace
    }

    /// Whoever asks after a pause is one, however many are told of it.
    pub(super) fn begins_pause(&mut self) -> bool {
        !core::mem::replace(&mut self.is_pausing, true)
    }

    pub(super) fn ends_pause(&mut self) {
        self.is_pausing = false;
    }

    /// Forgets what is on its way: whether a producer that is to be dropped still tells of its
    /// records is not waited for. Gives what has gathered.
    pub(super) fn start_over(&mut self) -> impl Iterator<Item = L> {
        self.on_their_way = Arc::default();
        self.round = Round { is_open: false, ..Round::begin(Pace::Alone) };
        self.gathered.drain(..)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN_BYTES_MAX: usize = 1_000;

    /// A call of one record.
    #[derive(Debug, PartialEq, Eq)]
    struct Bytes(usize);

    impl Load for Bytes {
        fn records(&self) -> usize {
            1
        }

        fn bytes(&self) -> usize {
            self.0
        }
    }

    fn gate(loads: usize, bytes: usize) -> Gate<Bytes> {
        let mut gate = Gate::new(PLAIN_BYTES_MAX);
        for _ in 0..loads {
            gate.push(Bytes(bytes));
        }
        gate
    }

    fn goes(gate: &mut Gate<Bytes>) -> Vec<Pace> {
        let next = || match gate.next() {
            Next::Load(_, pace) => Some(pace),
            Next::Nothing | Next::After(_) => None,
        };
        core::iter::from_fn(next).collect()
    }

    fn acknowledge(gate: &Gate<Bytes>) {
        gate.on_their_way().store(0, Ordering::Release);
    }

    // REQ: KER-13
    #[test]
    fn few_go_at_once_and_others_when_all_of_them_are_acknowledged() {
        let mut gate = gate(3, 100);
        assert_eq!(goes(&mut gate), [Pace::Alone; 3]);
        for _ in 0..9 {
            gate.push(Bytes(100));
        }
        assert_eq!(goes(&mut gate), [Pace::Alone], "there is room for one");
        assert_eq!(gate.on_their_way().load(Ordering::Acquire), AT_ONCE_MAX);
        acknowledge(&gate);
        assert_eq!(goes(&mut gate), [Pace::Together; 8]);
        gate.push(Bytes(100));
        gate.on_their_way().store(1, Ordering::Release);
        assert_eq!(goes(&mut gate), [], "it could come before the one that is left");
    }

    #[test]
    fn a_round_is_no_more_than_a_request_takes() {
        let mut gate = gate(12, ROUND_BYTES_MAX / 5);
        assert_eq!(goes(&mut gate).len(), 5);
        let mut many = self::gate(6, 2 * ROUND_BYTES_MAX);
        assert_eq!(goes(&mut many), [Pace::Together], "one at least");
    }

    // REQ: KER-08
    #[test]
    fn what_is_large_is_packed_and_passes_nothing_that_was_sent_before_it() {
        let mut gate = gate(1, PLAIN_BYTES_MAX);
        gate.push(Bytes(PLAIN_BYTES_MAX + 1));
        gate.push(Bytes(1));
        assert_eq!(goes(&mut gate), [Pace::Alone], "the large one has another producer");
        acknowledge(&gate);
        assert_eq!(goes(&mut gate), [Pace::Together; 2]);
        gate.push(Bytes(1));
        assert_eq!(goes(&mut gate), [], "a small one waits for what was packed");
        let mut all = Gate::new(0);
        all.push(Bytes(1));
        assert_eq!(goes(&mut all), [Pace::Together], "nothing is sent as it is");
    }

    #[test]
    fn the_more_there_were_in_a_round_the_longer_gathers_the_next() {
        let pause = |pace, calls| Round { calls, ..Round::begin(pace) }.pause();
        assert_eq!(pause(Pace::Alone, 4), None, "few callers never wait");
        let few = pause(Pace::Together, 8).expect("a pause");
        assert!(few <= 8 * PAUSE_OF_CALL, "{few:?}");
        let many = pause(Pace::Together, 1_000).expect("a pause");
        assert!(many <= PAUSE_MAX && many > few, "{many:?}");
        let began = Instant::now().checked_sub(PAUSE_MAX).expect("a clock that runs");
        let long_ago = Round { began, calls: 1_000, ..Round::begin(Pace::Together) };
        assert_eq!(long_ago.pause(), None, "it took that long itself");
    }

    // REQ: KER-13
    #[test]
    fn nothing_waits_for_what_a_broken_producer_had() {
        let mut gate = gate(9, 100);
        assert_eq!(goes(&mut gate).len(), 9);
        gate.push(Bytes(1));
        let before = Arc::clone(gate.on_their_way());
        assert_eq!(gate.start_over().collect::<Vec<_>>(), [Bytes(1)]);
        gate.push(Bytes(2));
        assert_eq!(goes(&mut gate), [Pace::Alone]);
        before.fetch_sub(9, Ordering::AcqRel);
        assert_eq!(gate.on_their_way().load(Ordering::Acquire), 1, "told late, counted apart");
    }

    #[test]
    fn one_asks_again_after_a_pause() {
        let mut gate = gate(40, 100);
        assert_eq!(goes(&mut gate).len(), 40);
        acknowledge(&gate);
        gate.push(Bytes(100));
        assert!(matches!(gate.next(), Next::After(_)));
        assert!(gate.begins_pause());
        assert!(!gate.begins_pause());
        gate.ends_pause();
        assert!(gate.begins_pause());
    }
}
