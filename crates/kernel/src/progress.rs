//! How far an input log is decided: `low`, below which everything is, and the
//! ranges decided above it.

use std::collections::BTreeMap;

use exchequer_types::Offset;

use crate::mutation::{self, Mutation};

/// The set of decided offsets of one input log. Ranges are half open,
/// disjoint and not adjacent, all above `low`.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Progress {
    low: Offset,
    /// from → to, `to` excluded.
    above: BTreeMap<Offset, Offset>,
}

impl Progress {
    /// The set as a commit states it. Ranges that touch are joined.
    pub fn new(low: Offset, ranges: impl IntoIterator<Item = (Offset, Offset)>) -> Self {
        let mut it = Self { low, above: BTreeMap::new() };
        if mutation::active(Mutation::ResumeLow) {
            it.low = ranges.into_iter().map(|(_, to)| to).fold(low, Offset::max);
            return it;
        }
        for (from, to) in ranges {
            it.insert_range(from, to);
        }
        it
    }

    /// Every offset below is decided.
    pub fn low(&self) -> Offset {
        self.low
    }

    /// The decided ranges above `low`, ascending.
    pub fn ranges(&self) -> impl Iterator<Item = (Offset, Offset)> + '_ {
        self.above.iter().map(|(from, to)| (*from, *to))
    }

    pub fn contains(&self, offset: Offset) -> bool {
        offset < self.low
            || self.above.range(..=offset).next_back().is_some_and(|(_, to)| offset < *to)
    }

    /// Marks `offset` as decided.
    pub fn insert(&mut self, offset: Offset) {
        self.insert_range(offset, offset + 1);
    }

    fn insert_range(&mut self, from: Offset, to: Offset) {
        let (mut from, mut to) = (from.max(self.low), to);
        if from >= to {
            return;
        }
        while let Some((start, end)) =
            self.above.range(..=to).next_back().map(|(start, end)| (*start, *end))
        {
            if end < from {
                break;
            }
            from = from.min(start);
            to = to.max(end);
            self.above.remove(&start);
        }
        if from == self.low {
            self.low = to;
        } else {
            self.above.insert(from, to);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn any_order_ends_the_same() {
        // Every permutation of six offsets, by repeated rotation of a fixed shuffle.
        let orders =
            [[0, 1, 2, 3, 4, 5], [5, 4, 3, 2, 1, 0], [3, 0, 5, 1, 4, 2], [2, 4, 0, 5, 3, 1]];
        for order in orders {
            let mut progress = Progress::default();
            let mut model = BTreeSet::new();
            for offset in order {
                progress.insert(offset);
                model.insert(offset);
                for probe in 0..8 {
                    assert_eq!(
                        progress.contains(probe),
                        model.contains(&probe),
                        "{order:?} {probe}"
                    );
                }
                let ranges: Vec<_> = progress.ranges().collect();
                assert!(ranges.windows(2).all(|pair| pair[0].1 < pair[1].0), "{ranges:?}");
                let stated = Progress::new(progress.low(), ranges);
                assert_eq!(stated, progress);
            }
            assert_eq!(progress.low(), 6);
            assert_eq!(progress.ranges().count(), 0);
        }
    }
}
