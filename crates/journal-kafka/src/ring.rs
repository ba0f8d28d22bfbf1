//! The newest records of one partition in memory, bounded in bytes. Readers at the
//! tail find them here; older ones are fetched.

use std::collections::VecDeque;

use bytes::Bytes;
use exchequer_types::{Offset, Timestamp};

/// A record as the topic holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stored {
    pub offset: Offset,
    pub appended_at: Timestamp,
    pub bytes: Bytes,
}

#[derive(Debug)]
pub(crate) struct Ring {
    begin: Offset,
    records: VecDeque<Stored>,
    bytes: usize,
    bytes_max: usize,
}

/// A gap: where the next record was expected, and where it was found.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Gap {
    pub expected: Offset,
    pub found: Offset,
}

impl Ring {
    pub(crate) fn new(begin: Offset, bytes_max: usize) -> Self {
        Self { begin, records: VecDeque::new(), bytes: 0, bytes_max }
    }

    pub(crate) fn begin(&self) -> Offset {
        self.begin
    }

    pub(crate) fn end(&self) -> Offset {
        self.begin + self.records.len() as u64
    }

    /// Adds the next record. One that is held already is passed over.
    pub(crate) fn push(&mut self, record: Stored) -> Result<(), Gap> {
        let expected = self.end();
        if record.offset < expected {
            return Ok(());
        }
        if record.offset > expected {
            return Err(Gap { expected, found: record.offset });
        }
        self.bytes += record.bytes.len();
        self.records.push_back(record);
        while self.bytes > self.bytes_max && self.records.len() > 1 {
            if let Some(oldest) = self.records.pop_front() {
                self.bytes -= oldest.bytes.len();
                self.begin += 1;
            }
        }
        Ok(())
    }

    /// Forgets everything; the next record is the one at `begin`.
    pub(crate) fn restart(&mut self, begin: Offset) {
        *self = Self::new(begin, self.bytes_max);
    }

    /// Records from `from` on, which must not lie below [`Ring::begin`], within `limit`.
    pub(crate) fn read(&self, from: Offset, limit: Limit) -> Read {
        let skip = usize::try_from(from - self.begin).unwrap_or(usize::MAX);
        let mut taking = Taking::new(limit);
        for record in self.records.iter().skip(skip) {
            if !taking.take(record) {
                return Read { records: taking.records, is_full: true };
            }
        }
        Read { is_full: taking.is_full(), records: taking.records }
    }
}

/// What was found, and whether the limit is why it is not more.
#[derive(Debug)]
pub(crate) struct Read {
    pub records: Vec<Stored>,
    pub is_full: bool,
}

/// How much one call reads. At least one record comes, whatever its size.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limit {
    pub records_max: usize,
    pub bytes_max: usize,
}

/// Records being gathered up to a limit.
#[derive(Debug)]
pub(crate) struct Taking {
    pub records: Vec<Stored>,
    bytes: usize,
    limit: Limit,
}

impl Taking {
    pub(crate) fn new(limit: Limit) -> Self {
        Self { records: Vec::new(), bytes: 0, limit }
    }

    /// False, and not taken, when the record does not fit.
    pub(crate) fn take(&mut self, record: &Stored) -> bool {
        let bytes = self.bytes + record.bytes.len();
        if self.is_full() || (bytes > self.limit.bytes_max && !self.records.is_empty()) {
            return false;
        }
        self.bytes = bytes;
        self.records.push(record.clone());
        true
    }

    pub(crate) fn is_full(&self) -> bool {
        self.records.len() >= self.limit.records_max.max(1) || self.bytes >= self.limit.bytes_max
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(offset: Offset, size: usize) -> Stored {
        let bytes = Bytes::from(vec![0; size]);
        Stored { offset, appended_at: Timestamp::saturating_from_micros(0), bytes }
    }

    #[test]
    fn a_gap_is_told_and_a_repetition_is_not_held_twice() {
        let mut ring = Ring::new(5, 100);
        assert_eq!(ring.push(record(5, 1)), Ok(()));
        assert_eq!(ring.push(record(5, 1)), Ok(()));
        assert_eq!(ring.push(record(7, 1)), Err(Gap { expected: 6, found: 7 }));
        assert_eq!((ring.begin(), ring.end()), (5, 6));
    }

    #[test]
    fn the_oldest_go_when_memory_is_full() {
        let mut ring = Ring::new(0, 10);
        for offset in 0..5 {
            ring.push(record(offset, 4)).unwrap();
        }
        assert_eq!((ring.begin(), ring.end()), (3, 5));
        let read = ring.read(3, Limit { records_max: 9, bytes_max: 5 });
        assert_eq!(read.records.len(), 1);
        assert!(read.is_full);
        assert!(!ring.read(3, Limit { records_max: 9, bytes_max: 50 }).is_full);
    }

    #[test]
    fn one_large_record_is_held_and_read() {
        let mut ring = Ring::new(0, 10);
        ring.push(record(0, 50)).unwrap();
        assert_eq!(ring.read(0, Limit { records_max: 1, bytes_max: 1 }).records.len(), 1);
    }
}
