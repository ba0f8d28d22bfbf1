//! The contract of a live snapshot: what is asked thousands of times a second is
//! kept in memory as an immutable value, and folded from the journal on the path
//! of the reply, so that the next question sees what the reply told of.

use core::fmt;

use exchequer_types::StreamId;

/// A kind of snapshots, each named by a key and fed by one stream. Folding the same
/// entries onto the same snapshot, in whatever portions, gives the same snapshot.
pub trait Live {
    /// A commit's part that is folded.
    type Entry;
    /// Names a snapshot: a tenant, or a part of one that is asked for by itself.
    type Key: Clone + Ord + core::hash::Hash + fmt::Debug + Send + Sync + 'static;
    /// Immutable: swapped whole, and shared by everyone who asks.
    type Snapshot: fmt::Debug + Send + Sync + 'static;

    /// Never changes.
    const NAME: &'static str;
    /// The view that snapshots are loaded from.
    const VIEW: &'static str;

    /// The stream whose events make the snapshot of `key`: all of them, and no other's.
    fn stream(&self, key: &Self::Key) -> StreamId;

    /// Keys whose snapshots `entry` changes, each once. Called for every commit:
    /// an event of no interest costs a look at its type.
    fn keys(&self, entry: &Self::Entry) -> Vec<Self::Key>;

    /// The snapshot of `key` after `entry`. It runs before the entry's commands are
    /// answered, so it does only what the entry changes: what takes longer is left
    /// to the first who asks (`OnceLock`). The message of what cannot be folded is
    /// for logs; the snapshot is then dropped, never served without the entry.
    fn fold(
        &self,
        key: &Self::Key,
        snapshot: &Self::Snapshot,
        entry: &Self::Entry,
    ) -> Result<Self::Snapshot, String>;

    /// Roughly, in bytes: what it takes of the memory that snapshots may use.
    fn weight(&self, snapshot: &Self::Snapshot) -> usize;
}
