//! The embedded logs: the journal, and those of usage and its seals. Of each, all
//! partitions are in one crash-safe log of segment files, written by one thread with one
//! fdatasync for everything that is queued. `docs/reference/journal-format.md` describes
//! the bytes.

mod backup;
mod disk;
mod error;
mod folder;
mod format;
mod index;
mod journal;
mod level;
mod lock;
mod moved;
mod name;
mod open;
mod options;
mod queue;
mod read;
mod reader;
mod scan;
mod shared;
#[cfg(test)]
mod tests;
mod writer;

pub use backup::{BackupError, BackupReport, backup, check_backup, restore};
pub use error::{Damage, FileError, OpenError};
pub use format::FORMAT_VERSION;
pub use journal::LocalJournal;
pub use level::{check_level, write_level};
pub use lock::{Held, hold};
pub use moved::{check_moved, moved_to, write_moved};
pub use name::LogName;
pub use open::{Opened, Torn};
pub use options::Options;
pub use reader::{Cursor, JournalReader, PhysicalRecord, Records, TornTail};
