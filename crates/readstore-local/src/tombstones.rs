//! A deleted row stays as its timestamp, so that an older write of it stays
//! without effect. Compaction removes it when it is old enough that no such write
//! can be on its way.

use std::time::{SystemTime, UNIX_EPOCH};

use exchequer_readstore::deletion_trailer;
use fjall::compaction::filter::{
    CompactionFilter, CompactionFilterResult, Context, Factory, ItemAccessor, Verdict,
};

/// What is appended to an encoded deleted row: when it was deleted.
pub(crate) fn trailer() -> [u8; 8] {
    seconds_now().to_be_bytes()
}

/// Removes tombstones that are at least this old.
pub(crate) struct Tombstones {
    seconds_min: u64,
}

impl Tombstones {
    pub(crate) fn new(seconds_min: u64) -> Self {
        Self { seconds_min }
    }
}

impl Factory for Tombstones {
    fn name(&self) -> &'static str {
        "tombstones"
    }

    fn make_filter(&self, _: &Context) -> Box<dyn CompactionFilter> {
        let deleted_before = seconds_now().saturating_sub(self.seconds_min);
        Box::new(Filter { deleted_before })
    }
}

/// For one compaction.
struct Filter {
    deleted_before: u64,
}

impl CompactionFilter for Filter {
    fn filter_item(&mut self, item: ItemAccessor<'_>, _: &Context) -> CompactionFilterResult {
        // It would be read from another file, and what is deleted is small.
        if item.is_indirection() {
            return Ok(Verdict::Keep);
        }
        let value = item.value()?;
        let deleted_at = deletion_trailer(&value).and_then(|trailer| trailer.try_into().ok());
        Ok(match deleted_at.map(u64::from_be_bytes) {
            Some(deleted_at) if deleted_at <= self.deleted_before => Verdict::Remove,
            _ => Verdict::Keep,
        })
    }
}

fn seconds_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use exchequer_readstore::conformance::example::{TABLE, delete, key, put};
    use exchequer_readstore::{Batch, ReadStore as _};

    use crate::{LocalReadStore, Settings};

    async fn write(store: &LocalReadStore, row: exchequer_readstore::Write) {
        store.write(Batch { rows: vec![row], last: Vec::new() }).await.unwrap();
    }

    /// Number of stored keys, and whether a put older than the delete stands, after
    /// a delete and a compaction of everything.
    async fn after_compaction(tombstone_seconds_min: u64) -> (usize, bool) {
        let folder = tempfile::tempdir().unwrap();
        let settings = Settings { tombstone_seconds_min, ..Settings::default() };
        let store = LocalReadStore::open(folder.path(), &settings).unwrap();
        for title in ["a", "b"] {
            write(&store, put("t", 1, title, 5)).await;
            store.shared.database().unwrap().rows.rotate_memtable_and_wait().unwrap();
        }
        write(&store, delete("t", 1, 6)).await;
        let rows = store.shared.database().unwrap().rows;
        rows.rotate_memtable_and_wait().unwrap();
        rows.major_compact().unwrap();
        let stored = rows.iter().count();
        write(&store, put("t", 1, "old", 5)).await;
        (stored, store.get(TABLE, 0, key("t", 1)).await.unwrap().is_some())
    }

    // REQ: KER-06
    #[tokio::test]
    async fn a_young_tombstone_stays() {
        assert_eq!(after_compaction(3_600).await, (1, false));
    }

    #[tokio::test]
    async fn an_old_tombstone_takes_no_space() {
        assert_eq!(after_compaction(0).await, (0, true));
    }
}
