//! The one thread that writes: everything that waits becomes one frame, synced,
//! and only then is it seen and answered for. When keys were erased, the file is
//! written anew without them as soon as nothing waits.

use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use exchequer_types::KeyId;
use exchequer_vault::{Mark, MemoryKeys, Row, VaultError};

use crate::file::write_anew;
use crate::format::{self, Frame, HEADER_BYTES, Item};
use crate::queue::{Batch, Queue, Taken};

/// Erased keys' bytes are in the file no longer than this after the last write.
const IDLE: Duration = Duration::from_millis(200);
/// Marks and older wraps make the file grow: no further than this beyond twice
/// what it had.
const GROWTH_BYTES_MAX: u64 = 1024 * 1024;
/// When writing the file anew failed.
const RETRY: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub(crate) struct Writer {
    pub(crate) path: PathBuf,
    pub(crate) file: File,
    pub(crate) length: u64,
    /// When the file was last written anew, or opened.
    pub(crate) length_anew: u64,
    pub(crate) keys: Arc<MemoryKeys>,
    pub(crate) queue: Arc<Queue>,
    pub(crate) is_stale: bool,
    /// Why nothing is written any more: a failed sync is not tried again.
    pub(crate) broken: Option<String>,
}

impl Writer {
    /// Writes until the queue is closed and empty.
    pub(crate) fn run(mut self) {
        let mut idle = IDLE;
        loop {
            match self.queue.take(self.is_stale.then_some(idle)) {
                Taken::Batch(batch) => self.write(batch),
                Taken::Idle => idle = if self.compact() { IDLE } else { RETRY },
                Taken::Closed => break,
            }
        }
        if self.is_stale {
            // The next start does it, when it cannot be done now.
            self.compact();
        }
    }

    fn write(&mut self, batch: Batch) {
        let Batch { insertions, erased, marks, waiting } = batch;
        let (mut frames, mut accepted) = (vec![Frame::default()], Vec::new());
        let mut taken: BTreeSet<KeyId> = BTreeSet::new();
        for (row, reply) in insertions {
            let checked = self.keys.check(&row).and_then(|()| match &row {
                Row::Subject(it) if !taken.insert(it.key) => Err(VaultError::Exists(it.key)),
                row if !format::fits(row) => {
                    Err(VaultError::Unavailable("a row is too large".to_owned()))
                }
                _ => Ok(()),
            });
            match checked {
                Ok(()) => {
                    push(&mut frames, &Item::Row(row.clone()));
                    accepted.push((row, reply));
                }
                Err(error) => {
                    // Nobody may wait any more.
                    let _ = reply.send(Err(error));
                }
            }
        }
        for key in &erased {
            push(&mut frames, &Item::Erased(*key));
        }
        let marks: Vec<Mark> =
            marks.into_iter().map(|(partition, head)| Mark { partition, head }).collect();
        for mark in &marks {
            push(&mut frames, &Item::Mark(mark.clone()));
        }
        let written = self.append(frames);
        let is_written = written.is_ok();
        for (row, reply) in accepted {
            let result = written.clone().and_then(|()| {
                let is_tenant = matches!(row, Row::Tenant(_) | Row::Rewrap(_));
                self.keys.insert_now(row)?;
                self.is_stale |= is_tenant;
                Ok(())
            });
            let _ = reply.send(result);
        }
        if is_written {
            self.is_stale |= !erased.is_empty();
            self.is_stale |= self.length > 2 * self.length_anew + GROWTH_BYTES_MAX;
            self.keys.mark_now(marks);
        }
        for reply in waiting {
            let _ = reply.send(written.clone());
        }
    }

    /// One frame is all or nothing at a crash. Of several, the first may be there
    /// alone: they are of one batch only when it is large.
    fn append(&mut self, frames: Vec<Frame>) -> Result<(), VaultError> {
        for frame in frames.into_iter().filter(|frame| !frame.is_empty()) {
            self.append_frame(frame)?;
        }
        Ok(())
    }

    fn append_frame(&mut self, frame: Frame) -> Result<(), VaultError> {
        if let Some(reason) = &self.broken {
            return Err(VaultError::Unavailable(reason.clone()));
        }
        let bytes = frame.finish();
        if let Err(error) = self.file.write_all_at(&bytes, self.length) {
            return Err(self.give_up(&error));
        }
        if let Err(error) = self.file.sync_data() {
            self.broken = Some(format!("a sync of the keys failed: {error}"));
            return Err(VaultError::Unavailable(error.to_string()));
        }
        self.length += bytes.len() as u64;
        Ok(())
    }

    /// A write that did not land whole is cut off again, so that the next one may
    /// follow, as when there is space again.
    fn give_up(&mut self, error: &io::Error) -> VaultError {
        if let Err(error) = self.file.set_len(self.length) {
            self.broken = Some(format!("a failed write cannot be cut off: {error}"));
        }
        VaultError::Unavailable(error.to_string())
    }

    fn compact(&mut self) -> bool {
        if self.broken.is_some() {
            return false;
        }
        debug_assert!(self.length >= HEADER_BYTES as u64);
        match write_anew(&self.path, &self.keys) {
            Ok((file, length)) => {
                (self.file, self.is_stale) = (file, false);
                (self.length, self.length_anew) = (length, length);
                true
            }
            Err(_) => false,
        }
    }
}

fn push(frames: &mut Vec<Frame>, item: &Item) {
    if frames.last().is_none_or(|frame| !frame.has_room()) {
        frames.push(Frame::default());
    }
    if let Some(frame) = frames.last_mut() {
        frame.push(item);
    }
}
