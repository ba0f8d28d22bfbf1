//! Where the records of a sealed segment stand: read from its index file, made
//! anew from the segment when that is missing or wrong.

use std::fs::File;
use std::ops::Range;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use crate::disk::{Disk, RealDisk};
use crate::error::FileError;
use crate::folder::Segment;
use crate::format::{FORMAT_VERSION, Id, seal, take, unseal};
use crate::scan::{Found, Scan};

const INDEX_MAGIC: [u8; 8] = *b"EXCHJIDX";

/// Positions of a segment's records, partition by partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Index {
    /// Where each partition's positions begin, and where the last one's end.
    starts: Vec<u32>,
    positions: Vec<u32>,
}

impl Index {
    pub(crate) fn new(partitions: &[Vec<u32>]) -> Self {
        let mut starts = vec![0];
        let mut positions = Vec::with_capacity(partitions.iter().map(Vec::len).sum());
        for partition in partitions {
            positions.extend_from_slice(partition);
            starts.push(positions.len() as u32);
        }
        Self { starts, positions }
    }

    /// Positions of the records of a partition, in bytes from the segment's begin.
    pub(crate) fn of(&self, partition: usize) -> &[u32] {
        self.positions.get(self.range(partition)).unwrap_or_default()
    }

    fn range(&self, partition: usize) -> Range<usize> {
        self.starts[partition] as usize..self.starts[partition + 1] as usize
    }

    fn encode(&self, nonce: &Id, length: u64) -> Vec<u8> {
        let mut out = Vec::with_capacity(48 + 4 * (self.starts.len() + self.positions.len()));
        out.extend(INDEX_MAGIC);
        out.extend(FORMAT_VERSION.to_le_bytes());
        out.extend((self.starts.len() as u32 - 1).to_le_bytes());
        out.extend(nonce);
        out.extend(length.to_le_bytes());
        let numbers = self.starts.iter().skip(1).chain(&self.positions);
        for number in numbers {
            out.extend_from_slice(&number.to_le_bytes());
        }
        seal(&mut out);
        out
    }

    /// `None` unless these are the bytes of just that segment's index.
    fn decode(bytes: &[u8], segment: &Segment) -> Option<Self> {
        let mut rest = unseal(bytes)?;
        let partitions = segment.header.bases.len();
        let known = take(&mut rest)? == INDEX_MAGIC
            && u32::from_le_bytes(take(&mut rest)?) == FORMAT_VERSION
            && u32::from_le_bytes(take(&mut rest)?) as usize == partitions
            && take(&mut rest)? == segment.header.nonce
            && u64::from_le_bytes(take(&mut rest)?) == segment.length;
        if !known || !rest.len().is_multiple_of(4) {
            return None;
        }
        let mut numbers = rest.as_chunks::<4>().0.iter().map(|number| u32::from_le_bytes(*number));
        let mut starts = vec![0];
        starts.extend(numbers.by_ref().take(partitions));
        let positions: Vec<u32> = numbers.collect();
        let ordered = starts.is_sorted() && starts.len() == partitions + 1;
        (ordered && starts.last().copied()? as usize == positions.len())
            .then_some(Self { starts, positions })
    }

    /// Walks the whole of a sealed segment. `ends` are the offsets after its records.
    fn rebuild(file: &Arc<File>, segment: &Segment, ends: &[u64]) -> Result<Self, FileError> {
        let header = &segment.header;
        let mut scan =
            Scan::new(Arc::clone(file), &segment.path, Arc::clone(header), segment.length);
        let mut positions = vec![Vec::new(); header.bases.len()];
        loop {
            match scan.step()? {
                Found::Record { partition, at, .. } => {
                    positions[usize::from(partition)].push(at as u32);
                }
                Found::Mark { .. } => {}
                Found::Bad { at, what } => {
                    return Err(FileError::damaged(&segment.path, at, what));
                }
                Found::End => break,
            }
        }
        let index = Self::new(&positions);
        index.check(segment, ends)?;
        Ok(index)
    }

    /// Has it as many records as the offsets before and after the segment say?
    fn check(&self, segment: &Segment, ends: &[u64]) -> Result<(), FileError> {
        let fits = segment.header.bases.iter().zip(ends).enumerate();
        for (partition, (base, end)) in fits {
            if base + self.range(partition).len() as u64 != *end {
                let what = format!("records of partition {partition} are missing or too many");
                return Err(FileError::damaged(&segment.path, segment.length, what));
            }
        }
        Ok(())
    }
}

/// A sealed segment, open for reading.
#[derive(Debug)]
pub(crate) struct Sealed {
    pub segment: Segment,
    pub file: Arc<File>,
    pub index: Index,
}

impl Sealed {
    /// Opens the segment with its index file, or with one made anew.
    fn open(segment: &Segment, ends: &[u64]) -> Result<Self, FileError> {
        let io = |source| FileError::io("open", &segment.path, source);
        let file = Arc::new(File::open(&segment.path).map_err(io)?);
        let path = segment.path.with_extension("idx");
        let stored = std::fs::read(&path).ok();
        let stored = stored.and_then(|bytes| Index::decode(&bytes, segment));
        let stored = stored.filter(|index| index.check(segment, ends).is_ok());
        let index = if let Some(index) = stored {
            index
        } else {
            let index = Index::rebuild(&file, segment, ends)?;
            index.store(&RealDisk, &path, segment);
            index
        };
        Ok(Self { segment: segment.clone(), file, index })
    }
}

impl Index {
    /// Writes the index file. What goes wrong there is no loss: the index is made anew
    /// when it is needed.
    fn store(&self, disk: &dyn Disk, path: &Path, segment: &Segment) {
        let bytes = self.encode(&segment.header.nonce, segment.length);
        let written = disk.create(path).and_then(|file| disk.write_all_at(&file, &bytes, 0));
        if written.is_err() {
            // A part of an index does not match its checksum, so it may as well stay.
            let _ = std::fs::remove_file(path);
        }
    }
}

/// All sealed segments, of which the few read last are held open.
#[derive(Debug)]
pub(crate) struct SealedSegments {
    held_max: usize,
    all: Mutex<All>,
    /// Least recently used first.
    held: Mutex<Vec<(u64, Arc<Sealed>)>>,
}

#[derive(Debug)]
struct All {
    segments: Vec<Segment>,
    /// Offsets after the last of them.
    ends: Vec<u64>,
}

impl SealedSegments {
    /// `ends` are the offsets after the last segment.
    pub(crate) fn new(segments: Vec<Segment>, ends: Vec<u64>, held_max: usize) -> Self {
        Self { held_max, all: Mutex::new(All { segments, ends }), held: Mutex::default() }
    }

    /// Adds the segment that was the last until now. `ends` are the offsets after it.
    pub(crate) fn push(&self, disk: &dyn Disk, sealed: Sealed, ends: Vec<u64>) {
        let number = sealed.segment.header.number;
        sealed.index.store(disk, &sealed.segment.path.with_extension("idx"), &sealed.segment);
        let segment = sealed.segment.clone();
        self.hold(&mut lock(&self.held), number, Arc::new(sealed));
        let mut all = lock(&self.all);
        all.segments.push(segment);
        all.ends = ends;
    }

    /// The segment with the record at `offset` of `partition`, which must be in a
    /// sealed one.
    pub(crate) fn find(&self, partition: usize, offset: u64) -> Result<Arc<Sealed>, FileError> {
        let (segment, ends) = {
            let All { segments, ends } = &*lock(&self.all);
            let after =
                segments.partition_point(|segment| segment.header.bases[partition] <= offset);
            let ends = segments.get(after).map_or(ends, |next| &next.header.bases).clone();
            (segments[after - 1].clone(), ends)
        };
        let number = segment.header.number;
        let mut held = lock(&self.held);
        if let Some(place) = held.iter().position(|(found, _)| *found == number) {
            held[place..].rotate_left(1);
        } else {
            let sealed = Arc::new(Sealed::open(&segment, &ends)?);
            self.hold(&mut held, number, sealed);
        }
        // Both branches leave the one asked for at the end.
        Ok(Arc::clone(&held[held.len() - 1].1))
    }

    fn hold(&self, held: &mut Vec<(u64, Arc<Sealed>)>, number: u64, sealed: Arc<Sealed>) {
        if held.len() >= self.held_max {
            held.remove(0);
        }
        held.push((number, sealed));
    }

    #[cfg(test)]
    pub(crate) fn held(&self) -> usize {
        lock(&self.held).len()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
