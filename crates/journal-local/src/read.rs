//! Reads of one partition: from memory while the records are recent, else by
//! `pread`, many records with one call where they stand close together.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use exchequer_journal::{Fault, Record};
use exchequer_types::Offset;

use crate::disk::read_at;
use crate::error::FileError;
use crate::format::{FRAME_EXTRA_BYTES, Header, Parsed, parse};
use crate::shared::Shared;

/// Records of one partition that are further apart are not read with one call.
const GAP_BYTES_MAX: u64 = 16 * 1024;
/// Bytes read with one call, unless a single frame is larger.
const WINDOW_BYTES_MAX: u64 = 256 * 1024;
/// What the last frame of a window is guessed to have.
const GUESS_BYTES: u64 = 4 * 1024;
/// Positions looked up at once.
const POSITIONS_MAX: usize = 512;

/// What a read has gathered.
#[derive(Debug)]
struct Gathered {
    records: Vec<Record>,
    next: Offset,
    bytes: usize,
    bytes_max: usize,
}

impl Gathered {
    /// Takes the record at `next`, unless it is one too many.
    fn push(&mut self, bytes: Bytes) -> bool {
        let total = self.bytes + bytes.len();
        if total > self.bytes_max && !self.records.is_empty() {
            return false;
        }
        self.bytes = total;
        self.records.push(Record { offset: self.next, bytes });
        self.next += 1;
        true
    }
}

/// Where records from some offset on stand.
enum Located {
    End,
    /// All that are wanted were taken from memory.
    Taken,
    File(Run),
}

/// Consecutive records of one partition in one segment.
struct Run {
    partition: u16,
    file: Arc<File>,
    path: PathBuf,
    header: Arc<Header>,
    positions: Vec<u32>,
}

/// At least one record from `from` on, and as many more as fit `bytes_max`.
pub(crate) fn read(
    shared: &Shared,
    partition: usize,
    from: Offset,
    bytes_max: usize,
) -> Result<Vec<Record>, Fault> {
    shared.check()?;
    let mut gathered = Gathered { records: Vec::new(), next: from, bytes: 0, bytes_max };
    loop {
        match locate(shared, partition, &mut gathered)? {
            Located::End | Located::Taken => return Ok(gathered.records),
            Located::File(run) => {
                if !run.read(&mut gathered)? {
                    return Ok(gathered.records);
                }
            }
        }
    }
}

fn locate(shared: &Shared, partition: usize, gathered: &mut Gathered) -> Result<Located, Fault> {
    let from = gathered.next;
    {
        let state = shared.partitions[partition].lock();
        if from >= state.end {
            return Ok(Located::End);
        }
        let recent_base = state.recent_base();
        if from >= recent_base {
            let records = state.recent.range((from - recent_base) as usize..);
            let _all_fit = records.cloned().all(|bytes| gathered.push(bytes));
            return Ok(Located::Taken);
        }
        if from >= state.active_base {
            let positions = &state.active_positions[(from - state.active_base) as usize..];
            return Ok(Located::File(Run {
                partition: partition as u16,
                file: Arc::clone(&state.active.file),
                path: state.active.segment.path.clone(),
                header: Arc::clone(&state.active.segment.header),
                positions: positions[..positions.len().min(POSITIONS_MAX)].to_vec(),
            }));
        }
    }
    let sealed = shared.sealed.find(partition, from)?;
    let skip = (from - sealed.segment.header.bases[partition]) as usize;
    let positions = &sealed.index.of(partition)[skip..];
    Ok(Located::File(Run {
        partition: partition as u16,
        file: Arc::clone(&sealed.file),
        path: sealed.segment.path.clone(),
        header: Arc::clone(&sealed.segment.header),
        positions: positions[..positions.len().min(POSITIONS_MAX)].to_vec(),
    }))
}

impl Run {
    /// Reads until `gathered` is full, which gives `false`, or the positions are through.
    fn read(&self, gathered: &mut Gathered) -> Result<bool, FileError> {
        let mut positions = self.positions.as_slice();
        while let Some(first) = positions.first() {
            let at = u64::from(*first);
            let left = gathered.bytes_max.saturating_sub(gathered.bytes) as u64;
            let (count, length) = window(positions, left);
            let window = self.pread(at, length)?;
            let (done, full) = self.parse(&window, &positions[..count], gathered)?;
            if full {
                return Ok(false);
            }
            positions = &positions[done..];
        }
        Ok(true)
    }

    /// Takes the records at these positions, the first of which is where `window` begins.
    /// Says how many there were, and whether no more fit.
    fn parse(
        &self,
        window: &Bytes,
        positions: &[u32],
        gathered: &mut Gathered,
    ) -> Result<(usize, bool), FileError> {
        let first = positions[0];
        for (done, position) in positions.iter().enumerate() {
            let at = u64::from(*position);
            let skip = (position - first) as usize;
            let body = match parse(window.get(skip..).unwrap_or_default(), &self.header, at) {
                Parsed::Record { partition, bytes } if partition == self.partition => {
                    let body = skip + FRAME_EXTRA_BYTES..skip + bytes;
                    // A slice keeps the whole window in memory: only where it is a good part.
                    if body.len() * 4 < window.len() {
                        Bytes::copy_from_slice(&window[body])
                    } else {
                        window.slice(body)
                    }
                }
                Parsed::Short(needed) if done == 0 => self.whole(at, needed)?,
                Parsed::Short(_) => return Ok((done, false)),
                Parsed::Bad(what) => return Err(self.damaged(at, what)),
                Parsed::Record { .. } | Parsed::Mark { .. } => {
                    return Err(self.damaged(at, "another frame stands here"));
                }
            };
            if !gathered.push(body) {
                return Ok((done, true));
            }
        }
        Ok((positions.len(), false))
    }

    /// A record whose frame is larger than the window was.
    fn whole(&self, at: u64, frame_bytes: usize) -> Result<Bytes, FileError> {
        let frame = self.pread(at, frame_bytes as u64)?;
        match parse(&frame, &self.header, at) {
            Parsed::Record { partition, bytes } if partition == self.partition => {
                Ok(frame.slice(FRAME_EXTRA_BYTES..bytes))
            }
            Parsed::Bad(what) => Err(self.damaged(at, what)),
            _ => Err(self.damaged(at, "the file ends, or another frame stands here")),
        }
    }

    fn pread(&self, at: u64, length: u64) -> Result<Bytes, FileError> {
        let mut bytes = BytesMut::zeroed(length as usize);
        let filled = read_at(&self.file, &mut bytes, at)
            .map_err(|source| FileError::io("read", &self.path, source))?;
        bytes.truncate(filled);
        Ok(bytes.freeze())
    }

    fn damaged(&self, at: u64, what: &str) -> FileError {
        let path: &Path = &self.path;
        FileError::damaged(path, at, what)
    }
}

/// How many of the positions are read with the next call, and how many bytes, if about
/// `bytes_wanted` are.
fn window(positions: &[u32], bytes_wanted: u64) -> (usize, u64) {
    let span_max = bytes_wanted.saturating_mul(2).clamp(GUESS_BYTES, WINDOW_BYTES_MAX);
    let first = u64::from(positions[0]);
    let near = positions.windows(2).take_while(|pair| {
        u64::from(pair[1] - pair[0]) <= GAP_BYTES_MAX && u64::from(pair[1]) - first <= span_max
    });
    let count = 1 + near.count();
    (count, u64::from(positions[count - 1]) - first + GUESS_BYTES)
}
