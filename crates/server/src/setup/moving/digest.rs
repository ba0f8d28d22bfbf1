//! What tells the records of a partition from others: a hash over all of them in their
//! order, and how far two sequences are alike.

use exchequer_types::{Hash, Offset};

/// A difference is told to so many records.
const STEP: u64 = 256;

/// Over a partition's records from the first one on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Digest {
    records: u64,
    hash: Hash,
    /// What `hash` was at each multiple of the step.
    steps: Vec<Hash>,
}

impl Digest {
    /// With one record more.
    pub(super) fn add(&mut self, bytes: &[u8]) {
        self.hash = Hash::blake3(&[self.hash.0, Hash::blake3(bytes).0].concat());
        self.records += 1;
        if self.records.is_multiple_of(STEP) {
            self.steps.push(self.hash);
        }
    }

    pub(super) fn records(&self) -> u64 {
        self.records
    }

    /// The offset at which, or somewhere behind which, the two differ.
    pub(super) fn first_difference(&self, other: &Self) -> Option<Offset> {
        if self == other {
            return None;
        }
        let alike = self.steps.iter().zip(&other.steps).take_while(|(one, its)| one == its);
        Some(alike.count() as u64 * STEP)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(texts: impl IntoIterator<Item = u64>) -> Digest {
        let mut digest = Digest::default();
        for it in texts {
            digest.add(&it.to_le_bytes());
        }
        digest
    }

    #[test]
    fn a_difference_is_found_where_it_is() {
        assert_eq!(digest(0..600).first_difference(&digest(0..600)), None);
        assert_eq!(digest(0..600).first_difference(&digest(0..599)), Some(512));
        let changed = |at: u64| (0..600).map(move |it| if it == at { 9_999 } else { it });
        assert_eq!(digest(0..600).first_difference(&digest(changed(0))), Some(0));
        assert_eq!(digest(0..600).first_difference(&digest(changed(300))), Some(256));
        assert_eq!(digest([1, 2]).first_difference(&digest([2, 1])), Some(0), "their order counts");
    }
}
