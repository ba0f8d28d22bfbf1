//! The embedded key store: one append-only file of checksummed rows in a folder
//! of its own, with a backup of its own, and the file of master keys. A file is
//! written anew without what was erased, soon after it was.

mod backup;
mod entropy;
mod error;
mod file;
mod format;
mod master;
mod queue;
mod store;
#[cfg(test)]
mod tests;
mod writer;

pub use backup::{BackedUp, backup, peek, peek_file, restore};
pub use entropy::OsEntropy;
pub use error::OpenError;
pub use master::{LocalKms, MASTER_FILE};
pub use store::{IfMissing, LocalKeys, Opened, Options, ROWS_FILE};
