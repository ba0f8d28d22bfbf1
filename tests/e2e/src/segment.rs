//! The journal's files from outside: where the last record stands, and how to
//! damage it.

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use exchequer_journal_local::{JournalReader, LogName, PhysicalRecord};

use crate::{Failure, Res};

/// Bytes of a frame before its record.
const FRAME_EXTRA_BYTES: u64 = 10;

/// The last record of a folder.
#[derive(Debug)]
pub struct Last {
    pub file: PathBuf,
    pub record: PhysicalRecord,
    /// Bytes of the file.
    pub length: u64,
}

impl Last {
    /// Finds it in the journal, walking all records.
    pub fn find(data: &Path) -> Res<Self> {
        Self::find_in(data, LogName::Journal)
    }

    /// The same in another log.
    pub fn find_in(data: &Path, name: LogName) -> Res<Self> {
        let reader = JournalReader::open_named(data, name)?;
        let mut last = None;
        for record in reader.records() {
            last = Some(record?);
        }
        let record = last.ok_or("the log is empty")?;
        let file = reader.file(record.segment).ok_or("a record without a file")?;
        let length = file.metadata()?.len();
        Ok(Self { file, record, length })
    }

    /// Where its frame ends.
    pub fn end(&self) -> u64 {
        self.record.position + FRAME_EXTRA_BYTES + self.record.bytes.len() as u64
    }

    /// Does a mark of the synced length stand behind it?
    pub fn is_marked(&self) -> bool {
        self.length > self.end()
    }

    /// The frame's exact bytes.
    pub fn frame(&self) -> Res<Vec<u8>> {
        let file = std::fs::File::open(&self.file)?;
        let mut bytes = vec![0; (self.end() - self.record.position) as usize];
        file.read_exact_at(&mut bytes, self.record.position)?;
        Ok(bytes)
    }

    /// Flips one bit in the middle of the record.
    pub fn flip_a_bit(&self) -> Res<()> {
        let file = OpenOptions::new().read(true).write(true).open(&self.file)?;
        let at = self.record.position + FRAME_EXTRA_BYTES + self.record.bytes.len() as u64 / 2;
        let mut byte = [0];
        file.read_exact_at(&mut byte, at)?;
        file.write_all_at(&[byte[0] ^ 4], at).map_err(Failure::from)
    }

    /// Cuts the file in the middle of the record.
    pub fn cut(&self) -> Res<()> {
        let file = OpenOptions::new().write(true).open(&self.file)?;
        Ok(file.set_len(self.record.position + (self.end() - self.record.position) / 2)?)
    }

    /// Writes bytes at the end of the file.
    pub fn append(&self, bytes: &[u8]) -> Res<()> {
        let file = OpenOptions::new().write(true).open(&self.file)?;
        Ok(file.write_all_at(bytes, self.length)?)
    }
}
