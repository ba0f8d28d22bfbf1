//! Walks the frames of one segment file in order, with large reads and without
//! copying, and tells a torn tail from damage.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use crate::disk::read_at;
use crate::error::FileError;
use crate::format::{FRAME_BYTES_MAX, FRAME_EXTRA_BYTES, Header, Parsed, find_mark, parse};

const CHUNK_BYTES: usize = 2 * 1024 * 1024;
const _: () = assert!(CHUNK_BYTES > FRAME_BYTES_MAX);

/// A walk over a segment.
#[derive(Debug)]
pub(crate) struct Scan {
    file: Arc<File>,
    path: PathBuf,
    header: Arc<Header>,
    chunk: Bytes,
    /// Place in the file of the chunk's first byte.
    chunk_at: u64,
    /// Place in the file of the next frame.
    at: u64,
    end: u64,
}

/// What the walk meets.
#[derive(Debug)]
pub(crate) enum Found {
    /// Its bytes are got with [`Scan::bytes`], until the next step.
    Record {
        partition: u16,
        at: u64,
        body: Range<usize>,
    },
    Mark {
        synced: u64,
    },
    /// No frame: the walk does not get past it.
    Bad {
        at: u64,
        what: &'static str,
    },
    End,
}

/// What bytes that are no frame mean in the last segment.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Nothing later says that they were ever synced.
    Torn { bytes: u64 },
    /// The mark at `marked_at` says that they were.
    Damaged { marked_at: u64 },
    /// They were being written, and are a frame now.
    Whole,
}

impl Scan {
    /// Walks the frames of `file` after its header and before `end`.
    pub(crate) fn new(file: Arc<File>, path: &Path, header: Arc<Header>, end: u64) -> Self {
        let at = Header::bytes(header.bases.len()) as u64;
        Self { file, path: path.to_owned(), header, chunk: Bytes::new(), chunk_at: at, at, end }
    }

    /// The next frame. After `Bad` it is the same again.
    pub(crate) fn step(&mut self) -> Result<Found, FileError> {
        let mut fresh = false;
        loop {
            let at = self.at;
            if at >= self.end {
                return Ok(Found::End);
            }
            let skip = (at - self.chunk_at) as usize;
            match parse(self.chunk.get(skip..).unwrap_or_default(), &self.header, at) {
                Parsed::Record { partition, bytes } => {
                    self.at += bytes as u64;
                    let body = skip + FRAME_EXTRA_BYTES..skip + bytes;
                    return Ok(Found::Record { partition, at, body });
                }
                Parsed::Mark { synced } => {
                    self.at += crate::format::MARK_BYTES as u64;
                    return Ok(Found::Mark { synced });
                }
                Parsed::Short(_) if !fresh => {
                    self.fill().map_err(|source| FileError::io("read", &self.path, source))?;
                    fresh = true;
                }
                Parsed::Short(_) => {
                    return Ok(Found::Bad { at, what: "the frame goes beyond the end" });
                }
                Parsed::Bad(what) => return Ok(Found::Bad { at, what }),
            }
        }
    }

    /// The bytes of the record found last.
    pub(crate) fn bytes(&self, body: Range<usize>) -> Bytes {
        self.chunk.slice(body)
    }

    /// Goes on at `at`, where a frame begins.
    pub(crate) fn seek(&mut self, at: u64) {
        let chunk_end = self.chunk_at + self.chunk.len() as u64;
        if !(self.chunk_at..chunk_end).contains(&at) {
            self.chunk = Bytes::new();
            self.chunk_at = at;
        }
        self.at = at;
    }

    /// Place in the file of the next frame.
    pub(crate) fn at(&self) -> u64 {
        self.at
    }

    /// Says what the bad bytes before which the walk stands mean, which must be in
    /// the last segment. When they are whole by now, the walk may go on.
    pub(crate) fn judge(&mut self) -> Result<Verdict, FileError> {
        let io = |source| FileError::io("read", &self.path, source);
        let tail = read_from(&self.file, self.at).map_err(io)?;
        let Some(marked_at) = find_mark(&tail, &self.header, self.at, self.at) else {
            return Ok(Verdict::Torn { bytes: tail.len() as u64 });
        };
        // Read again: a mark seen now may be younger than the bytes that were read.
        let tail = read_from(&self.file, self.at).map_err(io)?;
        match parse(&tail, &self.header, self.at) {
            Parsed::Record { .. } | Parsed::Mark { .. } => {
                self.chunk = Bytes::new();
                self.chunk_at = self.at;
                Ok(Verdict::Whole)
            }
            Parsed::Short(_) | Parsed::Bad(_) => Ok(Verdict::Damaged { marked_at }),
        }
    }

    /// Reads a chunk from the next frame on, into the same memory if nobody else has it.
    fn fill(&mut self) -> io::Result<()> {
        let want = (self.end - self.at).min(CHUNK_BYTES as u64) as usize;
        let mut chunk =
            core::mem::take(&mut self.chunk).try_into_mut().unwrap_or_else(|_| BytesMut::new());
        chunk.resize(want, 0);
        let filled = read_at(&self.file, &mut chunk, self.at)?;
        chunk.truncate(filled);
        self.chunk = chunk.freeze();
        self.chunk_at = self.at;
        Ok(())
    }
}

/// Everything of `file` from `at` on.
pub(crate) fn read_from(file: &File, at: u64) -> io::Result<Vec<u8>> {
    let length = file.metadata()?.len().saturating_sub(at);
    let mut bytes = vec![0; length as usize];
    let filled = read_at(file, &mut bytes, at)?;
    bytes.truncate(filled);
    Ok(bytes)
}
