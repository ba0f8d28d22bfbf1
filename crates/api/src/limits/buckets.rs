//! Buckets by whom they are of, in bounded memory: full ones are forgotten, because
//! one that is not there counts as full.

use std::sync::{Mutex, PoisonError};

use super::bucket::{Bucket, Exceeded, Limit, Taken};
use crate::hashed::ByHash;

/// Buckets of a process. Beyond it the fullest are forgotten.
pub const BUCKETS_MAX: usize = 65_536;
/// Callers of different shards do not wait for each other.
const SHARDS: usize = 64;
const SHARD_BUCKETS_MAX: usize = BUCKETS_MAX / SHARDS;
/// Forgotten at once when none is full, so that looking for them is seldom.
const EVICTED: usize = SHARD_BUCKETS_MAX / 8;

#[derive(Debug)]
pub(super) struct Buckets {
    shards: Vec<Mutex<ByHash<Bucket>>>,
}

impl Default for Buckets {
    fn default() -> Self {
        let shards = (0..SHARDS).map(|_| Mutex::default()).collect();
        Self { shards }
    }
}

impl Buckets {
    /// Takes one request out of the bucket of `whose`, a key as [`hashed`] makes them, at
    /// `now` in nanoseconds.
    ///
    /// [`hashed`]: crate::hashed::hashed
    pub(super) fn take(&self, whose: u64, limit: Limit, now: i64) -> Result<Taken, Exceeded> {
        self.with(whose, now, |bucket| bucket.take(limit, now))
    }

    /// Gives back what [`Self::take`] took just now.
    pub(super) fn give_back(&self, whose: u64, limit: Limit, now: i64) {
        self.with(whose, now, |bucket| bucket.give_back(limit));
    }

    fn with<T>(&self, key: u64, now: i64, change: impl FnOnce(&mut Bucket) -> T) -> T {
        // Other bits than those by which the map itself spreads.
        let shard = &self.shards[(key >> 32) as usize % SHARDS];
        let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
        if shard.len() >= SHARD_BUCKETS_MAX && !shard.contains_key(&key) {
            make_room(&mut shard, now);
        }
        change(shard.entry(key).or_insert(Bucket::FULL))
    }

    /// Buckets in memory.
    #[cfg(test)]
    fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().unwrap().len()).sum()
    }
}

/// Forgets all full buckets; when there are none, those that soonest will be.
fn make_room(shard: &mut ByHash<Bucket>, now: i64) {
    shard.retain(|_, bucket| !bucket.is_full(now));
    if shard.len() < SHARD_BUCKETS_MAX {
        return;
    }
    let mut all: Vec<Bucket> = shard.values().copied().collect();
    let (_, fullest, _) = all.select_nth_unstable(EVICTED - 1);
    let (fullest, mut left) = (*fullest, EVICTED);
    shard.retain(|_, bucket| {
        let goes = left > 0 && *bucket <= fullest;
        left -= usize::from(goes);
        !goes
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hashed::hashed;

    const NOW: i64 = 1_790_000_000_000_000_000;

    // REQ: USE-09
    #[test]
    fn callers_have_buckets_of_their_own() {
        let buckets = Buckets::default();
        let limit = Limit::per_minute(1);
        assert!(buckets.take(hashed("one"), limit, NOW).is_ok());
        assert!(buckets.take(hashed("one"), limit, NOW).is_err());
        assert!(buckets.take(hashed("other"), limit, NOW).is_ok());
        buckets.give_back(hashed("one"), limit, NOW);
        assert!(buckets.take(hashed("one"), limit, NOW).is_ok());
    }

    // REQ: USE-09
    #[test]
    fn a_flood_of_callers_is_bounded_and_leaves_the_busiest_alone() {
        let buckets = Buckets::default();
        let busy = Limit::per_minute(10);
        for _ in 0..10 {
            buckets.take(hashed("busy"), busy, NOW).unwrap();
        }
        for caller in 0..4 * BUCKETS_MAX {
            buckets.take(hashed(caller), Limit::per_minute(1_000), NOW).unwrap();
        }
        assert!(buckets.len() <= BUCKETS_MAX, "{}", buckets.len());
        assert!(buckets.take(hashed("busy"), busy, NOW).is_err());
    }

    // REQ: USE-09
    #[test]
    fn full_buckets_are_forgotten() {
        let buckets = Buckets::default();
        for caller in 0..4 * BUCKETS_MAX {
            buckets.take(hashed(caller), Limit::per_minute(60), NOW).unwrap();
        }
        let later = NOW + 2_000_000_000;
        for caller in 0..SHARDS * 256 {
            buckets.take(hashed(("later", caller)), Limit::per_minute(60), later).unwrap();
        }
        assert!(buckets.len() < BUCKETS_MAX / 2, "{}", buckets.len());
    }
}
