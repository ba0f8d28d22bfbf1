//! What stands in `DATA/journal/`: the meta file and the heads of all segments,
//! read and checked against each other, without a lock and without a change.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::disk::{self, Disk, read_at};
use crate::error::{FileError, OpenError};
use crate::format::{FORMAT_VERSION, Header, Id, PARTITIONS_MAX};

pub(crate) const META: &str = "meta";

/// The folder's own facts, fixed at its creation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Meta {
    pub partitions: u32,
    pub id: Id,
}

/// One segment file.
#[derive(Clone, Debug)]
pub(crate) struct Segment {
    pub path: PathBuf,
    pub header: Arc<Header>,
    /// Bytes of a sealed segment, as the next one's header says; of the last one what it
    /// has now, with any torn tail.
    pub length: u64,
}

/// A journal's folder as found.
#[derive(Debug)]
pub(crate) struct Folder {
    pub meta: Meta,
    /// Ascending without gaps; never empty. All but the last are sealed.
    pub segments: Vec<Segment>,
}

impl Meta {
    fn encode(self) -> String {
        let id = u128::from_be_bytes(self.id);
        let text =
            format!("format {FORMAT_VERSION}\npartitions {}\nfolder {id:032x}\n", self.partitions);
        let crc = crc32c::crc32c(text.as_bytes());
        format!("{text}crc32c {crc:08x}\n")
    }

    pub(crate) fn write(self, disk: &dyn Disk, journal_dir: &Path) -> io::Result<()> {
        disk::write_whole(disk, &journal_dir.join(META), self.encode().as_bytes())?;
        disk::sync_dir(journal_dir)
    }

    /// `None` when there is no such file.
    pub(crate) fn read(journal_dir: &Path) -> Result<Option<Self>, OpenError> {
        let file = journal_dir.join(META);
        let bytes = match std::fs::read(&file) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(FileError::io("read", &file, source).into()),
        };
        let text = String::from_utf8_lossy(&bytes);
        let mut words = text.split_ascii_whitespace();
        let format = words.next().zip(words.next().and_then(|word| word.parse().ok()));
        if let Some(("format", found)) = format
            && found != FORMAT_VERSION
        {
            return Err(OpenError::Version { file, found });
        }
        let meta = (|| {
            let partitions = words.nth(1)?.parse().ok()?;
            let id = u128::from_str_radix(words.nth(1)?, 16).ok()?.to_be_bytes();
            let meta = Self { partitions, id };
            let known = meta.encode() == text && (1..=PARTITIONS_MAX).contains(&partitions);
            known.then_some(meta)
        })();
        let what = "this is not what was written when the folder was created";
        meta.map(Some).ok_or_else(|| FileError::damaged(&file, 0, what).into())
    }
}

impl Folder {
    /// Reads and checks meta and heads. `Ok(None)` where no journal was finished being
    /// created.
    pub(crate) fn read(journal_dir: &Path) -> Result<Option<Self>, OpenError> {
        let mut numbers = segment_numbers(journal_dir)?;
        let Some(meta) = Meta::read(journal_dir)? else {
            return match numbers.as_slice() {
                [] => Ok(None),
                [0] if is_bare(&segment_path(journal_dir, 0))? => Ok(None),
                _ => {
                    let what = "the file is missing, and there are segments";
                    Err(FileError::damaged(&journal_dir.join(META), 0, what).into())
                }
            };
        };
        numbers.sort_unstable();
        let mut segments: Vec<Segment> = Vec::with_capacity(numbers.len());
        for number in numbers {
            let path = segment_path(journal_dir, segments.len() as u64);
            if number != segments.len() as u64 {
                return Err(FileError::damaged(&path, 0, "the segment is missing").into());
            }
            let segment = read_head(&path, meta)?;
            if let Some(before) = segments.last_mut() {
                check_successor(before, &segment)?;
            }
            segments.push(segment);
        }
        if segments.is_empty() {
            let path = segment_path(journal_dir, 0);
            return Err(FileError::damaged(&path, 0, "the segment is missing").into());
        }
        Ok(Some(Self { meta, segments }))
    }
}

/// `DATA/journal/00000000000000000000.seg`
pub(crate) fn segment_path(journal_dir: &Path, number: u64) -> PathBuf {
    journal_dir.join(format!("{number:020}.seg"))
}

fn segment_numbers(journal_dir: &Path) -> Result<Vec<u64>, OpenError> {
    let io = |source| FileError::io("list", journal_dir, source);
    let mut numbers = Vec::new();
    for entry in journal_dir.read_dir().map_err(io)? {
        let name = entry.map_err(io)?.file_name();
        let name = name.to_string_lossy();
        let number = name.strip_suffix(".seg").filter(|stem| stem.len() == 20);
        numbers.extend(number.and_then(|stem| stem.parse::<u64>().ok()));
    }
    Ok(numbers)
}

/// Has the first segment nothing but its header? Then the folder's creation was cut short.
fn is_bare(path: &Path) -> Result<bool, FileError> {
    let io = |source| FileError::io("read", path, source);
    let file = File::open(path).map_err(io)?;
    let mut head = [0; 16];
    let filled = read_at(&file, &mut head, 0).map_err(io)?;
    let [.., p0, p1, p2, p3] = head;
    let partitions = u32::from_le_bytes([p0, p1, p2, p3]);
    let bare = Header::bytes(partitions.min(PARTITIONS_MAX) as usize) as u64;
    Ok(filled == head.len() && file.metadata().map_err(io)?.len() == bare)
}

fn read_head(path: &Path, meta: Meta) -> Result<Segment, FileError> {
    let io = |source| FileError::io("read", path, source);
    let file = File::open(path).map_err(io)?;
    let mut bytes = vec![0; Header::bytes(meta.partitions as usize)];
    let filled = read_at(&file, &mut bytes, 0).map_err(io)?;
    let header = Header::decode(&bytes[..filled], meta.partitions)
        .map_err(|what| FileError::damaged(path, 0, what))?;
    if header.folder != meta.id {
        return Err(FileError::damaged(path, 0, "the segment is of another journal"));
    }
    let length = file.metadata().map_err(io)?.len();
    Ok(Segment { path: path.to_owned(), header: Arc::new(header), length })
}

/// Checks that `next` continues `before`, of which the length is then known.
fn check_successor(before: &mut Segment, next: &Segment) -> Result<(), FileError> {
    let expected = next.header.previous_length;
    if before.length != expected {
        let what = format!("the segment has {} bytes and had {expected}", before.length);
        return Err(FileError::damaged(&before.path, before.length.min(expected), what));
    }
    let follows = next.header.number == before.header.number + 1
        && next.header.bases.iter().zip(&before.header.bases).all(|(next, base)| next >= base);
    if !follows {
        let what = "the segment does not continue the one before";
        return Err(FileError::damaged(&next.path, 0, what));
    }
    Ok(())
}
