//! What a decider has read and not yet decided: bounded, and taken round robin
//! over streams, so that one tenant's flood delays nobody else by more than a batch.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use exchequer_codec::{Opened, Unopened, UnopenedReason, open};
use exchequer_journal::{InputRecord, Lane};
use exchequer_kernel::{Progress, SealKey};
use exchequer_types::{Offset, StreamId, Timestamp};

use crate::settings::COMMAND_BYTES_MAX;

/// One input, opened.
#[derive(Debug)]
pub(crate) struct Pending {
    pub(crate) lane: Lane,
    pub(crate) offset: Offset,
    pub(crate) appended_at: Timestamp,
    pub(crate) bytes: Bytes,
    pub(crate) opened: Result<Opened, Unopened>,
}

/// The read-ahead of one lane.
#[derive(Debug, Default)]
pub(crate) struct Intake {
    /// Of the next record to read.
    next: Offset,
    /// Whose turn it is.
    turns: VecDeque<Turn>,
    waiting: BTreeMap<Turn, VecDeque<Pending>>,
    held: usize,
    /// Inputs taken in the present turn.
    taken: u32,
}

/// A stream, or None for what did not open.
type Turn = Option<StreamId>;

impl Intake {
    pub(crate) fn starting_at(low: Offset) -> Self {
        Self { next: low, ..Self::default() }
    }

    pub(crate) fn next(&self) -> Offset {
        self.next
    }

    pub(crate) fn held(&self) -> usize {
        self.held
    }

    /// Takes a record in, unless it is decided already.
    pub(crate) fn push(
        &mut self,
        lane: Lane,
        record: InputRecord,
        decided: &Progress,
        key: &SealKey,
        partitions: u32,
    ) {
        debug_assert!(record.offset >= self.next);
        self.next = record.offset + 1;
        if decided.contains(record.offset) {
            return;
        }
        let opened = if record.bytes.len() > COMMAND_BYTES_MAX {
            let message = format!("a command has at most {COMMAND_BYTES_MAX} bytes");
            Err(Unopened { reason: UnopenedReason::Malformed, message })
        } else {
            open(key, &record.bytes, partitions)
        };
        let pending = Pending {
            lane,
            offset: record.offset,
            appended_at: record.appended_at,
            bytes: record.bytes,
            opened,
        };
        let turn = turn_of(&pending);
        self.held += 1;
        if let Some(queue) = self.waiting.get_mut(&turn) {
            queue.push_back(pending);
            return;
        }
        self.turns.push_back(turn.clone());
        self.waiting.insert(turn, VecDeque::from([pending]));
    }

    /// The next input, of the stream whose turn it is. `share` says how many
    /// inputs a stream's turn has.
    pub(crate) fn take(&mut self, share: impl Fn(&StreamId) -> u32) -> Option<Pending> {
        let turn = self.turns.pop_front()?;
        let queue = self.waiting.get_mut(&turn)?;
        let pending = queue.pop_front();
        self.taken += 1;
        if queue.is_empty() {
            self.waiting.remove(&turn);
            self.taken = 0;
        } else if self.taken < turn.as_ref().map_or(1, share) {
            self.turns.push_front(turn);
        } else {
            self.turns.push_back(turn);
            self.taken = 0;
        }
        self.held -= usize::from(pending.is_some());
        pending
    }

    /// Gives back what was taken and did not fit: it comes first again.
    pub(crate) fn give_back(&mut self, pending: Pending) {
        let turn = turn_of(&pending);
        let queue = self.waiting.entry(turn.clone()).or_default();
        if !queue.is_empty() {
            self.turns.retain(|it| *it != turn);
        }
        queue.push_front(pending);
        self.turns.push_front(turn);
        self.held += 1;
    }
}

fn turn_of(pending: &Pending) -> Turn {
    pending.opened.as_ref().ok().map(|opened| opened.request.stream.clone())
}

#[cfg(test)]
mod tests {
    use exchequer_codec::seal;
    use exchequer_proto::journal::v1 as pb;

    use super::*;

    fn record(key: &SealKey, offset: Offset, stream: &str) -> InputRecord {
        let envelope = pb::Envelope {
            stream: stream.to_owned(),
            issuer: "api".to_owned(),
            id: format!("c-{offset}"),
            r#type: "kernel.wake.v1".to_owned(),
            actor: "u".to_owned(),
            ..pb::Envelope::default()
        };
        InputRecord { offset, appended_at: Timestamp::MIN, bytes: seal(key, envelope) }
    }

    // REQ: KER-17
    #[test]
    fn a_flood_waits_its_turn() {
        let key = SealKey::new(&[1; 32]);
        let mut intake = Intake::default();
        let streams = ["flood", "flood", "flood", "flood", "quiet", "flood", "calm"];
        for (offset, stream) in (0..).zip(streams) {
            let record = record(&key, offset, stream);
            intake.push(Lane::Commands, record, &Progress::default(), &key, 1);
        }
        let first = intake.take(|_| 1).unwrap();
        assert_eq!(first.offset, 0);
        intake.give_back(first);
        let order: Vec<_> = std::iter::from_fn(|| intake.take(|_| 1)).map(|it| it.offset).collect();
        assert_eq!(order, [0, 4, 6, 1, 2, 3, 5]);
        assert_eq!(intake.held(), 0);
    }

    // REQ: KER-18
    #[test]
    fn a_share_is_that_many_inputs_a_turn() {
        let key = SealKey::new(&[1; 32]);
        let mut intake = Intake::default();
        for (offset, stream) in (0..).zip(["high", "low", "high", "low", "high", "high", "low"]) {
            let record = record(&key, offset, stream);
            intake.push(Lane::Internal, record, &Progress::default(), &key, 1);
        }
        let share = |stream: &StreamId| if stream.to_string() == "high" { 3 } else { 1 };
        let order: Vec<_> = std::iter::from_fn(|| intake.take(share)).map(|it| it.offset).collect();
        assert_eq!(order, [0, 2, 4, 1, 5, 3, 6]);
    }

    #[test]
    fn what_is_decided_is_not_taken_in() {
        let key = SealKey::new(&[1; 32]);
        let mut intake = Intake::default();
        let decided = Progress::new(1, [(2, 3)]);
        for offset in 0..4 {
            intake.push(Lane::Commands, record(&key, offset, "a"), &decided, &key, 1);
        }
        let order: Vec<_> = std::iter::from_fn(|| intake.take(|_| 1)).map(|it| it.offset).collect();
        assert_eq!(order, [1, 3]);
    }
}
