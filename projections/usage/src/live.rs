//! What is sealed and not written yet, of all source partitions: meters add to it,
//! queries add it to what is in the store.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use exchequer_types::{Offset, PartitionId, Timestamp};

use crate::part::{Part, Segment, Series};
use crate::touched::Touched;

/// Shared between the meters and the queries of a process.
#[derive(Debug)]
pub struct LiveUsage {
    partitions: Vec<Mutex<Source>>,
}

/// One source partition, as far as this process knows.
#[derive(Debug)]
pub struct Source {
    partition: PartitionId,
    /// Seal up to which everything is in the store; none before the meter has begun.
    written: Option<u64>,
    frozen: Vec<Arc<Segment>>,
    open: Part,
    position: Position,
    /// See [`Source::settle`].
    settles: bool,
    /// How often something was added, since the process began.
    changes: u64,
    /// Of what was frozen.
    touched: Touched,
}

/// How far a source partition is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Position {
    pub seal: u64,
    /// Offset of the usage log up to which records are counted.
    pub offset: Offset,
    /// Everything received before it is counted.
    pub through: Timestamp,
}

impl LiveUsage {
    pub fn new(partitions: u32) -> Self {
        let source = |at| Mutex::new(Source::new(PartitionId(at)));
        Self { partitions: (0..partitions).map(source).collect() }
    }

    pub fn partitions(&self) -> u32 {
        u32::try_from(self.partitions.len()).unwrap_or(u32::MAX)
    }

    /// The meter of `partition` begins, or begins anew, behind what is written. What was
    /// in memory is dropped.
    pub fn begin(&self, partition: PartitionId, written: Position) {
        if let Some(mut source) = self.source(partition) {
            let changes = source.changes + 1;
            *source = Source::new(partition);
            source.written = Some(written.seal);
            source.open = Part::new(partition, written.seal);
            source.position = written;
            source.changes = changes;
        }
    }

    /// The meter of `partition` is another process's from now on: what it has not written
    /// is read again there.
    pub fn forget(&self, partition: PartitionId) {
        if let Some(mut source) = self.source(partition) {
            let changes = source.changes + 1;
            *source = Source::new(partition);
            source.changes = changes;
        }
    }

    /// The partition, for as long as it is held: for a batch, not longer. None for one
    /// that there is not.
    pub fn source(&self, partition: PartitionId) -> Option<MutexGuard<'_, Source>> {
        let source = self.partitions.get(partition.index())?;
        Some(source.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// About how much memory all of it takes.
    pub fn bytes(&self) -> usize {
        self.each().map(|source| source.bytes()).sum()
    }

    /// How often something was added to any partition: the same as before when no figure
    /// has changed.
    pub fn changes(&self) -> u64 {
        self.each().map(|source| source.changes).sum()
    }

    pub(crate) fn each(&self) -> impl Iterator<Item = MutexGuard<'_, Source>> {
        self.partitions.iter().map(|it| it.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Source {
    fn new(partition: PartitionId) -> Self {
        Self {
            partition,
            written: None,
            frozen: Vec::new(),
            open: Part::new(partition, 0),
            position: Position::default(),
            settles: false,
            changes: 0,
            touched: Touched { all: true, ..Touched::default() },
        }
    }

    /// Where the meter adds what it seals.
    pub fn open(&mut self) -> &mut Part {
        self.changes += 1;
        &mut self.open
    }

    /// Which meters have counted something since this was last asked: all of them the first
    /// time, and when the meter has begun anew.
    pub fn take_touched(&mut self) -> Touched {
        let mut touched = core::mem::take(&mut self.touched);
        touched.add(self.open.take_touched());
        touched
    }

    /// Everything up to here is in it.
    pub fn advance(&mut self, position: Position) {
        self.position = position;
    }

    pub fn position(&self) -> Position {
        self.position
    }

    /// The meter knows all seals. Rows may be further than the checkpoint it began with, as
    /// another one left them, up to any of these seals: the next segment is written, be
    /// there nothing in it, or they would wait for the next event.
    pub fn settle(&mut self) {
        self.settles = true;
    }

    /// Is there anything that the store does not have yet?
    pub fn has_unwritten(&self) -> bool {
        let settles = self.settles && self.open.to() > self.open.from();
        settles || !self.open.is_empty() || !self.frozen.is_empty()
    }

    /// What is open from now on no longer changes: to be written. None when there is
    /// nothing in it, or when an earlier one is not written yet.
    pub fn freeze(&mut self) -> Option<Arc<Segment>> {
        if !self.frozen.is_empty() || !self.has_unwritten() {
            return None;
        }
        self.settles = false;
        self.touched.add(self.open.take_touched());
        let next = Part::new(self.partition, self.open.to());
        let segment = Arc::new(core::mem::replace(&mut self.open, next));
        self.frozen.push(Arc::clone(&segment));
        Some(segment)
    }

    /// What comes from here on stands on rows of the last seal, be there nothing to write
    /// since those before it: they were written by another one, up to there.
    pub fn stand_on_rows(&mut self) {
        if self.open.is_empty() && self.frozen.is_empty() {
            self.open = Part::new(self.partition, self.open.to());
        }
    }

    /// Everything up to seal `seq` is in the store, with its checkpoint.
    pub fn written(&mut self, seq: u64) {
        self.written = Some(seq.max(self.written.unwrap_or(0)));
        self.frozen.retain(|segment| segment.to() > seq);
    }

    /// The same, where other processes read what is written: the meters in it are touched once
    /// more. Whoever compares their figures with limits did not see what another process held
    /// in its memory; the one whose part is written last sees all.
    pub fn written_for_others(&mut self, seq: u64) {
        let of = |it: &Series| (Arc::clone(&it.tenant), Arc::clone(&it.meter));
        for segment in self.frozen.iter().filter(|it| it.to() <= seq) {
            self.touched.add(segment.series().iter().map(of));
        }
        self.written(seq);
    }

    pub(crate) fn partition(&self) -> PartitionId {
        self.partition
    }

    /// All that is in memory, the oldest first.
    pub(crate) fn parts(&self) -> impl Iterator<Item = &Part> {
        self.frozen.iter().map(AsRef::as_ref).chain([&self.open])
    }

    pub fn bytes(&self) -> usize {
        self.open.bytes() + self.frozen.iter().map(|it| it.bytes()).sum::<usize>()
    }

    /// What is not in the store, where that tells of seal `stored`; None when it tells of
    /// more or less than this process knows.
    pub(crate) fn behind(&self, stored: u64) -> Option<impl Iterator<Item = &Part>> {
        let known = self.written.unwrap_or(stored);
        let is_known = known == stored || self.frozen.iter().any(|it| it.to() == stored);
        is_known.then(|| self.parts().filter(move |it| it.from() >= stored))
    }
}
