//! Reads a journal's files without its lock, for verification and backup: every
//! record in physical order, while a process may be writing.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use exchequer_types::{LogId, Offset, PartitionId};

use crate::error::{FileError, OpenError};
use crate::folder::{Folder, Segment};
use crate::name::LogName;
use crate::scan::{Found, Scan, Verdict};

/// A journal's folder, opened for reading only. Sees the segments there were then.
#[derive(Debug)]
pub struct JournalReader {
    pub(crate) folder: Folder,
}

/// A record and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PhysicalRecord {
    pub partition: PartitionId,
    pub offset: Offset,
    /// Shares the memory of its neighbours: copy what is kept for long.
    pub bytes: Bytes,
    /// Number of the segment; [`JournalReader::file`] names it.
    pub segment: u64,
    /// Where its frame begins in the segment's file, in bytes.
    pub position: u64,
}

/// What stands after the last whole frame, which nothing says was synced: a write that
/// a crash cut short, or one that is going on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TornTail {
    pub segment: u64,
    pub at: u64,
    pub bytes: u64,
}

impl JournalReader {
    /// Reads the heads of the journal in `data_dir` and checks them.
    pub fn open(data_dir: &Path) -> Result<Self, OpenError> {
        Self::open_named(data_dir, LogName::Journal)
    }

    /// The same with another log.
    pub fn open_named(data_dir: &Path, name: LogName) -> Result<Self, OpenError> {
        let journal_dir = name.dir(data_dir);
        let absent = || OpenError::Absent { dir: journal_dir.clone() };
        if !journal_dir.is_dir() {
            return Err(absent());
        }
        let folder = Folder::read(&journal_dir)?.ok_or_else(absent)?;
        Ok(Self { folder })
    }

    pub fn partitions(&self) -> u32 {
        self.folder.meta.partitions
    }

    /// Made with the folder, and copied with it.
    pub fn id(&self) -> LogId {
        LogId(self.folder.meta.id)
    }

    /// Bytes of all segments.
    pub fn bytes(&self) -> u64 {
        self.folder.segments.iter().map(|segment| segment.length).sum()
    }

    /// The file of a segment.
    pub fn file(&self, segment: u64) -> Option<PathBuf> {
        self.folder.segments.get(usize::try_from(segment).ok()?).map(|found| found.path.clone())
    }

    /// Reads single records again.
    pub fn cursor(&self) -> Cursor<'_> {
        Cursor { reader: self, scan: None }
    }

    /// All records, in the order they were written in, up to the last whole frame. Ends
    /// after an error.
    pub fn records(&self) -> Records {
        Records {
            ends: vec![0; self.folder.meta.partitions as usize],
            segments: self.folder.segments.clone(),
            next: 0,
            scan: None,
            torn: None,
        }
    }
}

/// Reads records whose places the walk over all of them told: cheap when they stand close
/// together.
#[derive(Debug)]
pub struct Cursor<'r> {
    reader: &'r JournalReader,
    scan: Option<(u64, Scan)>,
}

impl Cursor<'_> {
    /// The bytes of the record whose frame begins at `position` of a segment. They share
    /// the memory of their neighbours.
    pub fn record(&mut self, segment: u64, position: u64) -> Result<Bytes, FileError> {
        let scan = match &mut self.scan {
            Some((open, scan)) if *open == segment => scan,
            _ => {
                let found = usize::try_from(segment).ok();
                let found = found.and_then(|it| self.reader.folder.segments.get(it));
                let absent = || FileError::damaged(Path::new(""), position, "no such segment");
                let found = found.ok_or_else(absent)?;
                let file = File::open(&found.path)
                    .map_err(|source| FileError::io("open", &found.path, source))?;
                let header = Arc::clone(&found.header);
                let scan = Scan::new(Arc::new(file), &found.path, header, found.length);
                &mut self.scan.insert((segment, scan)).1
            }
        };
        scan.seek(position);
        if let Found::Record { body, .. } = scan.step()? {
            return Ok(scan.bytes(body));
        }
        let path = self.reader.file(segment).unwrap_or_default();
        Err(FileError::damaged(&path, position, "no record stands there any more"))
    }
}

/// Iterator over [`JournalReader::records`].
#[derive(Debug)]
pub struct Records {
    segments: Vec<Segment>,
    /// Of the segment after the one being walked.
    next: usize,
    scan: Option<Scan>,
    /// Per partition the offset that its next record has.
    ends: Vec<u64>,
    torn: Option<TornTail>,
}

impl Iterator for Records {
    type Item = Result<PhysicalRecord, FileError>;

    fn next(&mut self) -> Option<Self::Item> {
        match self.advance() {
            Ok(record) => record.map(Ok),
            Err(error) => {
                self.scan = None;
                self.next = self.segments.len();
                Some(Err(error))
            }
        }
    }
}

impl Records {
    /// What the walk ended before. Known when there are no more records.
    pub fn torn(&self) -> Option<TornTail> {
        self.torn
    }

    fn advance(&mut self) -> Result<Option<PhysicalRecord>, FileError> {
        loop {
            let Some(scan) = &mut self.scan else {
                if self.next >= self.segments.len() {
                    return Ok(None);
                }
                self.begin()?;
                continue;
            };
            match scan.step()? {
                Found::Record { partition, at, body } => {
                    let end = &mut self.ends[usize::from(partition)];
                    *end += 1;
                    return Ok(Some(PhysicalRecord {
                        partition: PartitionId(u32::from(partition)),
                        offset: *end - 1,
                        bytes: scan.bytes(body),
                        segment: self.next as u64 - 1,
                        position: at,
                    }));
                }
                Found::Mark { .. } => {}
                Found::Bad { at, what } => {
                    if self.is_over(at, what)? {
                        return Ok(None);
                    }
                }
                Found::End if self.next == self.segments.len() => return Ok(None),
                Found::End => self.scan = None,
            }
        }
    }

    /// Begins the next segment.
    fn begin(&mut self) -> Result<(), FileError> {
        let segment = &self.segments[self.next];
        if segment.header.bases != self.ends {
            let what = "its first offsets do not follow the records before";
            return Err(FileError::damaged(&segment.path, 0, what));
        }
        let file = File::open(&segment.path)
            .map_err(|source| FileError::io("open", &segment.path, source))?;
        let header = Arc::clone(&segment.header);
        self.scan = Some(Scan::new(Arc::new(file), &segment.path, header, segment.length));
        self.next += 1;
        Ok(())
    }

    /// Do the bad bytes at `at` end the log? Else they are damage, or were being written.
    fn is_over(&mut self, at: u64, what: &str) -> Result<bool, FileError> {
        let segment = &self.segments[self.next - 1];
        let damaged = |what: String| FileError::damaged(&segment.path, at, what);
        let Some(scan) = self.scan.as_mut().filter(|_| self.next == self.segments.len()) else {
            return Err(damaged(what.to_owned()));
        };
        match scan.judge()? {
            Verdict::Whole => Ok(false),
            Verdict::Torn { bytes } => {
                self.torn = Some(TornTail { segment: segment.header.number, at, bytes });
                Ok(true)
            }
            Verdict::Damaged { marked_at } => {
                Err(damaged(format!("{what}, and the mark at byte {marked_at} says it was synced")))
            }
        }
    }
}
