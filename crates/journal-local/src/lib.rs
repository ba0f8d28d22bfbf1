//! The embedded journal: all partitions in one crash-safe log of segment files,
//! written by one thread with one fdatasync for everything that is queued. The
//! byte format is in this crate's README.

mod backup;
mod disk;
mod error;
mod folder;
mod format;
mod index;
mod journal;
mod lock;
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

pub use backup::{BackupError, BackupReport, backup, restore};
pub use error::{Damage, FileError, OpenError};
pub use format::FORMAT_VERSION;
pub use journal::LocalJournal;
pub use open::{Opened, Torn};
pub use options::Options;
pub use reader::{JournalReader, PhysicalRecord, Records, TornTail};
