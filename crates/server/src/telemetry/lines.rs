//! Where lines of the log go. Lines of the access log wait in a bounded buffer for a
//! thread that writes them, many at once under load: a slow reader of the log costs
//! lines, never a call. All others are written at once, by whoever has them.

use core::time::Duration;
use std::io::{self, Stderr, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use exchequer_api::ACCESS_LOG;
use exchequer_runtime::Metric;
use tracing::Metadata;
use tracing_subscriber::fmt::MakeWriter;

/// Lines that wait; more are dropped, and counted.
const WAITING_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Lines that come within this are written together: under load a thread that is woken
/// for each line costs more than the line.
const GATHER: Duration = Duration::from_millis(2);
/// At the end a slow reader has this long.
const FLUSH_MAX: Duration = Duration::from_secs(2);

/// The writers of all lines. Cloning shares it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Lines {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    waiting: Mutex<Waiting>,
    /// There is something to write, or nothing any more.
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Waiting {
    bytes: Vec<u8>,
    /// Is the thread writing what it took?
    is_writing: bool,
}

impl Lines {
    /// Starts the thread, which lives as long as the process.
    pub(crate) fn start() -> io::Result<Self> {
        let lines = Self::default();
        let shared = Arc::clone(&lines.shared);
        std::thread::Builder::new().name("log".to_owned()).spawn(move || shared.write_on())?;
        Ok(lines)
    }

    /// Waits until everything that was logged so far is written, unless nobody reads it.
    pub(crate) fn flush(&self) {
        let waiting = self.shared.lock();
        let is_left = |it: &mut Waiting| it.is_writing || !it.bytes.is_empty();
        // What is left after this is lost.
        drop(self.shared.changed.wait_timeout_while(waiting, FLUSH_MAX, is_left));
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write_on(&self) {
        let mut taken = Vec::new();
        loop {
            let mut waiting = self.lock();
            while waiting.bytes.is_empty() {
                let changed = self.changed.wait(waiting);
                waiting = changed.unwrap_or_else(PoisonError::into_inner);
            }
            drop(waiting);
            std::thread::sleep(GATHER);
            let mut waiting = self.lock();
            core::mem::swap(&mut taken, &mut waiting.bytes);
            waiting.is_writing = true;
            drop(waiting);
            // There is nobody else to tell.
            let _ = io::stderr().write_all(&taken);
            taken.clear();
            self.lock().is_writing = false;
            self.changed.notify_all();
        }
    }

    fn add(&self, line: &[u8]) {
        let mut waiting = self.lock();
        if waiting.bytes.len() + line.len() > WAITING_BYTES_MAX {
            drop(waiting);
            Metric::LogLinesDropped.counter(&[]).increment(1);
            return;
        }
        let is_first = waiting.bytes.is_empty();
        waiting.bytes.extend_from_slice(line);
        drop(waiting);
        if is_first {
            self.changed.notify_all();
        }
    }
}

/// Takes one line at a time.
#[derive(Debug)]
pub(crate) enum LineWriter {
    Waiting(Lines),
    AtOnce(Stderr),
}

impl Write for LineWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Waiting(lines) => {
                lines.shared.add(bytes);
                Ok(bytes.len())
            }
            Self::AtOnce(stderr) => stderr.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Waiting(_) => Ok(()),
            Self::AtOnce(stderr) => stderr.flush(),
        }
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = LineWriter;

    fn make_writer(&'a self) -> LineWriter {
        LineWriter::AtOnce(io::stderr())
    }

    fn make_writer_for(&'a self, metadata: &Metadata<'_>) -> LineWriter {
        if metadata.target() == ACCESS_LOG {
            return LineWriter::Waiting(self.clone());
        }
        self.make_writer()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // REQ: OPS-02
    #[test]
    fn a_full_buffer_drops_whole_lines_and_waits_for_nobody() {
        let lines = Lines::default();
        let line = vec![b'x'; 1024];
        for _ in 0..WAITING_BYTES_MAX / line.len() + 10 {
            lines.shared.add(&line);
        }
        assert_eq!(lines.shared.lock().bytes.len(), WAITING_BYTES_MAX);
    }
}
