//! The one thread that writes: it takes what is queued as one batch, writes it
//! with one call and one fdatasync, and only then publishes and answers.

use std::collections::VecDeque;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use exchequer_journal::{Fault, FaultKind};

use crate::disk::{self, Disk, is_full};
use crate::folder::{Segment, segment_path};
use crate::format::{Header, MARK_BYTES, push_frame, push_mark};
use crate::index::{Index, Sealed};
use crate::options::Options;
use crate::queue::{Request, Taken};
use crate::shared::{ActiveFile, Shared};

/// Memory of a record besides its bytes, when it is held for tailing readers.
const RECENT_EXTRA_BYTES: usize = 96;
/// A buffer that one huge batch made larger than this is not kept.
const BUFFER_KEPT_BYTES_MAX: usize = 4 * 1024 * 1024;

pub(crate) struct Writer {
    pub disk: Arc<dyn Disk>,
    pub shared: Arc<Shared>,
    pub options: Options,
    pub active: Arc<ActiveFile>,
    /// Synced bytes of the active segment; nothing stands after them.
    pub length: u64,
    /// Are records synced that no mark speaks of?
    pub unmarked: bool,
    pub recent: Recent,
    pub buffer: Vec<u8>,
}

/// Which records are held in memory, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Recent {
    order: VecDeque<(u16, u32)>,
    bytes: usize,
}

/// Why a batch was not written.
enum Failure {
    /// No space. The file is as it was.
    Full(String),
    /// The file's state is unknown, or cannot be made known.
    Broken(String),
}

/// Tells everybody when the thread ends, even by a panic.
struct Ending(Arc<Shared>);

impl Drop for Ending {
    fn drop(&mut self) {
        let why = if std::thread::panicking() { "its writer panicked" } else { "it was closed" };
        self.0.stop(why.to_owned());
    }
}

impl Writer {
    /// Runs until the queue is closed and empty, or the disk fails.
    pub(crate) fn run(mut self) {
        let _ending = Ending(Arc::clone(&self.shared));
        let mark_idle = Duration::from_millis(self.options.mark_idle_ms);
        let mut mark_due = self.unmarked;
        while !self.shared.is_stopped() {
            let idle = mark_due.then_some(mark_idle);
            match self.shared.queue.take(idle, self.options.batch_bytes_max) {
                Taken::Batch(batch) => {
                    self.commit(batch);
                    mark_due = self.unmarked;
                }
                Taken::Idle => {
                    self.mark();
                    // On a full disk the next batch carries the mark.
                    mark_due = false;
                }
                Taken::Closed => {
                    self.mark();
                    return;
                }
            }
        }
    }

    /// Writes, syncs, publishes and answers one batch.
    fn commit(&mut self, batch: VecDeque<Request>) {
        let frames: usize = batch.iter().map(Request::frame_bytes).sum();
        let length = self.length + (MARK_BYTES + frames) as u64;
        let mut outcome = Ok(());
        if length > self.options.segment_bytes_max && self.length > self.header_bytes() {
            outcome = self.roll();
        }
        let positions = self.encode(&batch);
        let outcome = outcome.and_then(|()| self.write());
        match outcome {
            Ok(()) => self.publish(batch, &positions),
            Err(failure) => self.refuse(batch, failure),
        }
    }

    /// Fills the buffer with a mark if one is due, and the batch; returns where each
    /// record will stand.
    fn encode(&mut self, batch: &VecDeque<Request>) -> Vec<u32> {
        self.buffer.clear();
        if self.buffer.capacity() > BUFFER_KEPT_BYTES_MAX {
            self.buffer.shrink_to(BUFFER_KEPT_BYTES_MAX);
        }
        if self.unmarked {
            push_mark(&mut self.buffer, &self.active.segment.header.nonce, self.length);
        }
        let mut positions = Vec::with_capacity(batch.len());
        for (partition, record) in
            batch.iter().flat_map(|it| it.records.iter().map(|record| (it.partition, record)))
        {
            positions.push((self.length + self.buffer.len() as u64) as u32);
            push_frame(&mut self.buffer, partition, &[record]);
        }
        positions
    }

    /// Writes the buffer at the end and syncs it. Without space, the file is as before.
    fn write(&mut self) -> Result<(), Failure> {
        let file = &self.active.file;
        match self.disk.write_all_at(file, &self.buffer, self.length) {
            Ok(()) => {}
            Err(error) if is_full(&error) => {
                // Synced, lest a part comes back after power loss that was refused.
                let cut = self.disk.set_len(file, self.length);
                return match cut.and_then(|()| self.disk.sync(file)) {
                    Ok(()) => Err(Failure::Full(error.to_string())),
                    Err(error) => Err(self.broken("cutting a half-written batch off", &error)),
                };
            }
            Err(error) => return Err(self.broken("writing", &error)),
        }
        // After a failed sync nobody knows which pages are on disk: it is not tried again.
        self.disk.sync(file).map_err(|error| self.broken("syncing", &error))?;
        self.length += self.buffer.len() as u64;
        Ok(())
    }

    /// Writes a mark of its own, if one is due.
    fn mark(&mut self) {
        if !self.unmarked {
            return;
        }
        self.encode(&VecDeque::new());
        match self.write() {
            Ok(()) => self.unmarked = false,
            Err(Failure::Full(_)) => {}
            Err(Failure::Broken(why)) => self.shared.stop(why),
        }
    }

    /// Makes the batch visible, then answers it.
    fn publish(&mut self, batch: VecDeque<Request>, positions: &[u32]) {
        let mut grown = vec![false; self.shared.partitions.len()];
        let mut answers = Vec::with_capacity(batch.len());
        let mut positions = positions;
        for Request { partition, records, reply } in batch {
            let it = &self.shared.partitions[usize::from(partition)];
            let mut state = it.lock();
            answers.push((reply, state.end));
            let (taken, rest) = positions.split_at(records.len());
            positions = rest;
            state.end += records.len() as u64;
            state.active_positions.extend_from_slice(taken);
            for record in records {
                self.recent.push(partition, record.len());
                state.recent.push_back(record);
            }
            grown[usize::from(partition)] = true;
        }
        self.recent.evict(&self.shared, self.options.recent_bytes_max);
        self.unmarked = true;
        for (partition, _) in self.shared.partitions.iter().zip(&grown).filter(|(_, grown)| **grown)
        {
            partition.grown.notify_waiters();
        }
        for (reply, offset) in answers {
            // A caller that went away does not care.
            let _ = reply.send(Ok(offset));
        }
    }

    fn refuse(&self, batch: VecDeque<Request>, failure: Failure) {
        let fault = match failure {
            Failure::Full(why) => {
                let dir = self.shared.journal_dir.display();
                let message = format!("no space for the journal in {dir}: {why}; free some");
                Fault::new(FaultKind::Full, message)
            }
            Failure::Broken(why) => {
                self.shared.stop(why);
                self.shared.stopped_fault()
            }
        };
        for request in batch {
            let _ = request.reply.send(Err(fault.clone()));
        }
    }

    /// Begins the next segment. Everything of the active one is synced; the next one's
    /// header says how long it is.
    fn roll(&mut self) -> Result<(), Failure> {
        let ends: Vec<u64> =
            self.shared.partitions.iter().map(|partition| partition.lock().end).collect();
        let last = &self.active.segment.header;
        let header = Header {
            folder: last.folder,
            nonce: disk::random_id().map_err(|error| self.broken("/dev/urandom", &error))?,
            number: last.number + 1,
            previous_length: self.length,
            bases: ends.clone(),
        };
        let next = match create_segment(&*self.disk, &self.shared.journal_dir, header) {
            Ok(next) => Arc::new(next),
            Err(error) if is_full(&error) => return Err(Failure::Full(error.to_string())),
            Err(error) => return Err(self.broken("beginning a segment", &error)),
        };
        // From here the active segment must not grow: another one follows it.
        disk::sync_dir(&self.shared.journal_dir)
            .map_err(|error| self.broken("beginning a segment", &error))?;
        self.seal(ends);
        for partition in &self.shared.partitions {
            let mut state = partition.lock();
            state.active = Arc::clone(&next);
            state.active_base = state.end;
            state.active_positions = Vec::new();
        }
        self.length = next.segment.length;
        self.unmarked = false;
        self.active = next;
        Ok(())
    }

    /// Hands the active segment over to the sealed ones.
    fn seal(&self, ends: Vec<u64>) {
        let positions: Vec<Vec<u32>> = self
            .shared
            .partitions
            .iter()
            .map(|partition| partition.lock().active_positions.clone())
            .collect();
        let segment = Segment { length: self.length, ..self.active.segment.clone() };
        let file = Arc::clone(&self.active.file);
        let sealed = Sealed { segment, file, index: Index::new(&positions) };
        self.shared.sealed.push(&*self.disk, sealed, ends);
    }

    fn header_bytes(&self) -> u64 {
        Header::bytes(self.shared.partitions.len()) as u64
    }

    fn broken(&self, doing: &str, error: &io::Error) -> Failure {
        let path = self.active.segment.path.display();
        Failure::Broken(format!("{doing} failed ({path}): {error}; check the disk, then restart"))
    }
}

impl Recent {
    fn push(&mut self, partition: u16, bytes: usize) {
        self.order.push_back((partition, bytes as u32));
        self.bytes += RECENT_EXTRA_BYTES + bytes;
    }

    /// Lets the oldest records go until what is held fits `bytes_max`.
    fn evict(&mut self, shared: &Shared, bytes_max: usize) {
        while self.bytes > bytes_max
            && let Some((partition, bytes)) = self.order.pop_front()
        {
            self.bytes -= RECENT_EXTRA_BYTES + bytes as usize;
            shared.partitions[usize::from(partition)].lock().recent.pop_front();
        }
    }
}

/// Creates the segment of this header, and nothing else in it.
pub(crate) fn create_segment(
    disk: &dyn Disk,
    journal_dir: &Path,
    header: Header,
) -> io::Result<ActiveFile> {
    let path = segment_path(journal_dir, header.number);
    let bytes = header.encode();
    let file = disk::write_whole(disk, &path, &bytes)?;
    let segment = Segment { path, header: Arc::new(header), length: bytes.len() as u64 };
    Ok(ActiveFile { segment, file: Arc::new(file) })
}
