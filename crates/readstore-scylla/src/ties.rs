//! From positions to the store's timestamps. Of two writes with one timestamp the store lets
//! the greater value of each column stand, and a deletion always, whichever came later; the
//! port promises the later one. So the lowest bits of a timestamp count how often this process
//! wrote something else to a row at one position, which hardly ever happens.

use std::collections::VecDeque;
use std::collections::hash_map::{Entry, HashMap};
use std::hash::{BuildHasher as _, RandomState};

use exchequer_readstore::{Value, Write};

/// Bits of a timestamp below the position.
const TIE_BITS: u32 = 4;
/// Further writes at one position are left to the store's own rule.
const TIE_MAX: i64 = (1 << TIE_BITS) - 1;
/// Positions from here on are written with one and the same timestamp. Far above any:
/// 2^43 commits of a partition, or 2^19 claims in a checkpoint's.
const POSITION_MAX: i64 = i64::MAX >> TIE_BITS;
/// Rows whose last write is remembered.
const ROWS_MAX: usize = 65_536;

/// Behind everything: what is deleted for good.
pub(crate) const LATEST: i64 = i64::MAX;

/// What was last written to the rows that were written last.
#[derive(Debug, Default)]
pub(crate) struct Ties {
    hasher: RandomState,
    rows: HashMap<u64, Written>,
    /// The same rows, the oldest first.
    order: VecDeque<u64>,
}

#[derive(Debug)]
struct Written {
    position: i64,
    content: u64,
    tie: i64,
}

impl Ties {
    /// The timestamp to write it with.
    pub(crate) fn stamp(&mut self, write: &Write) -> i64 {
        let position = i64::try_from(write.timestamp).unwrap_or(i64::MAX).min(POSITION_MAX);
        let content = self.hasher.hash_one(content_of(write));
        let row = self.hasher.hash_one(row_of(write));
        let tie = match self.rows.entry(row) {
            Entry::Occupied(entry) if entry.get().position > position => 0,
            Entry::Occupied(mut entry) if entry.get().position == position => {
                let written = entry.get_mut();
                if written.content != content {
                    written.content = content;
                    written.tie = (written.tie + 1).min(TIE_MAX);
                }
                written.tie
            }
            Entry::Occupied(mut entry) => {
                entry.insert(Written { position, content, tie: 0 });
                0
            }
            Entry::Vacant(entry) => {
                entry.insert(Written { position, content, tie: 0 });
                self.order.push_back(row);
                0
            }
        };
        if self.order.len() > ROWS_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.rows.remove(&oldest);
        }
        (position << TIE_BITS) | tie
    }
}

fn content_of(write: &Write) -> impl std::hash::Hash + '_ {
    (write.timestamp, write.values.as_deref().map(hashable))
}

fn row_of(write: &Write) -> impl std::hash::Hash + '_ {
    let key = (hashable(&write.key.partition), hashable(&write.key.clustering));
    (write.table.name, write.generation, key)
}

fn hashable(values: &[Value]) -> Vec<Hashable<'_>> {
    let hashable = |value| match value {
        &Value::Int(int) => Hashable::Int(int),
        Value::Text(text) => Hashable::Text(text),
        Value::Bytes(bytes) => Hashable::Bytes(bytes),
    };
    values.iter().map(hashable).collect()
}

#[derive(Hash)]
enum Hashable<'a> {
    Int(i64),
    Text(&'a str),
    Bytes(&'a [u8]),
}

#[cfg(test)]
mod tests {
    use exchequer_readstore::conformance::example::{delete, put};

    use super::*;

    // REQ: KER-07
    #[test]
    fn timestamps_follow_positions() {
        let mut ties = Ties::default();
        let stamps: Vec<_> = [0, 1, 1 << 16, (1 << 16) | 1, POSITION_MAX.cast_unsigned() - 1]
            .into_iter()
            .map(|position| ties.stamp(&put("t", 1, "a", position)))
            .collect();
        assert!(stamps.is_sorted_by(|a, b| a < b), "{stamps:?}");
        assert_eq!(stamps[..3], [0, 1 << 4, 1 << 20]);
    }

    // REQ: KER-07
    #[test]
    fn of_two_at_one_position_the_later_is_higher() {
        let mut ties = Ties::default();
        let first = ties.stamp(&put("t", 1, "b", 5));
        assert_eq!(ties.stamp(&put("t", 1, "b", 5)), first, "the same again is the same");
        let second = ties.stamp(&put("t", 1, "a", 5));
        let third = ties.stamp(&delete("t", 1, 5));
        let fourth = ties.stamp(&put("t", 1, "a", 5));
        assert!(first < second && second < third && third < fourth);
        assert!(fourth < ties.stamp(&put("t", 2, "a", 6)));
        assert!(ties.stamp(&put("t", 1, "late", 4)) < first);
        for number in 0..40 {
            ties.stamp(&put("t", 1, &number.to_string(), 5));
        }
        assert!(ties.stamp(&put("t", 1, "x", 5)) < ties.stamp(&put("t", 1, "a", 6)));
    }

    // REQ: KER-13
    #[test]
    fn what_is_remembered_is_bounded() {
        let mut ties = Ties::default();
        for number in 0..70_000 {
            ties.stamp(&put("t", number, "a", 1));
        }
        assert_eq!((ties.rows.len(), ties.order.len()), (ROWS_MAX, ROWS_MAX));
    }

    #[test]
    fn the_highest_positions_still_fit() {
        let mut ties = Ties::default();
        let below = ties.stamp(&put("t", 1, "a", 1 << 58));
        let retired = ties.stamp(&delete("t", 1, i64::MAX.cast_unsigned()));
        let highest = ties.stamp(&put("t", 1, "a", u64::MAX));
        assert!(below < retired && retired < highest);
    }
}
