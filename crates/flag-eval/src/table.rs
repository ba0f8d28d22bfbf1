//! Places of texts by their hash: an open table of a power of two of slots, at
//! most half full, so that a search takes one or two steps.

/// Marks a slot that is free.
const FREE: u32 = u32::MAX;

#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub(crate) struct Table {
    /// Hash and place.
    slots: Box<[(u64, u32)]>,
}

impl Table {
    /// Of `hashes` in their places.
    pub(crate) fn of(hashes: impl ExactSizeIterator<Item = u64>) -> Self {
        if hashes.len() == 0 {
            return Self::default();
        }
        let size = (hashes.len() * 2).next_power_of_two();
        let mut slots = vec![(0, FREE); size];
        for (place, hash) in (0_u32..).zip(hashes) {
            let mut at = start(hash, size);
            while slots[at].1 != FREE {
                at = (at + 1) & (size - 1);
            }
            slots[at] = (hash, place);
        }
        Self { slots: slots.into() }
    }

    /// The place of `hash` for which `is_it` holds.
    pub(crate) fn find(&self, hash: u64, is_it: impl Fn(usize) -> bool) -> Option<usize> {
        let size = self.slots.len();
        if size == 0 {
            return None;
        }
        let mut at = start(hash, size);
        loop {
            let (found, place) = self.slots[at];
            if place == FREE {
                return None;
            }
            let place = usize::try_from(place).unwrap_or(usize::MAX);
            if found == hash && is_it(place) {
                return Some(place);
            }
            at = (at + 1) & (size - 1);
        }
    }
}

/// `size` is a power of two.
fn start(hash: u64, size: usize) -> usize {
    // Truncated on purpose: the low bits are as good as any.
    usize::try_from(hash & 0xFFFF_FFFF).unwrap_or(0) & (size - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_all_and_nothing_else_also_when_hashes_collide() {
        let hashes = [7_u64, 7, 7, 15, 23, 7 + (1 << 40), 0];
        let table = Table::of(hashes.iter().copied());
        for (place, hash) in hashes.iter().enumerate() {
            assert_eq!(table.find(*hash, |it| it == place), Some(place));
        }
        assert_eq!(table.find(7, |_| false), None);
        assert_eq!(table.find(8, |_| true), None);
        assert_eq!(Table::of([].into_iter()).find(1, |_| true), None);
    }
}
