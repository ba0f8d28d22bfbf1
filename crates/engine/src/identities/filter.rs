//! A Bloom filter over identities, which are hashes already: k probes by double
//! hashing from their own bytes (Kirsch and Mitzenmacher, 2006).

use exchequer_types::Identity;

const PROBES: u64 = 7;
/// With ten bits an entry, about 0.8 % of the identities that are not in a filter pass all the
/// same; with twenty, 0.02 %.
pub(crate) const BITS_SMALL: usize = 10;
pub(crate) const BITS_EXACT: usize = 20;

/// A filter of one block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Filter {
    bits: Vec<u8>,
}

impl Filter {
    pub(crate) fn of<'a>(
        identities: impl ExactSizeIterator<Item = &'a Identity>,
        bits: usize,
    ) -> Self {
        let mut it = Self::with_capacity(identities.len(), bits);
        identities.for_each(|identity| it.insert(identity));
        it
    }

    /// An empty one for about `entries`, with `bits` for each.
    pub(crate) fn with_capacity(entries: usize, bits: usize) -> Self {
        Self { bits: vec![0; (entries * bits).div_ceil(8).max(8)] }
    }

    pub(crate) fn insert(&mut self, identity: &Identity) {
        for bit in self.probes(identity) {
            self.bits[bit / 8] |= 1 << (bit % 8);
        }
    }

    pub(crate) fn from_bytes(bits: Vec<u8>) -> Option<Self> {
        (!bits.is_empty()).then_some(Self { bits })
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.bits
    }

    /// False only for what is not in it.
    pub(crate) fn may_contain(&self, identity: &Identity) -> bool {
        self.probes(identity).all(|bit| self.bits[bit / 8] & (1 << (bit % 8)) != 0)
    }

    fn probes(&self, identity: &Identity) -> impl Iterator<Item = usize> + use<> {
        let half = |from: usize| {
            let mut bytes = [0; 8];
            bytes.copy_from_slice(&identity.0[from..from + 8]);
            u64::from_le_bytes(bytes)
        };
        let (first, second) = (half(0), half(8) | 1);
        let bits = self.bits.len() as u64 * 8;
        (0..PROBES).map(move |n| (first.wrapping_add(n.wrapping_mul(second)) % bits) as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_all_and_little_else() {
        let identity = |n: u32| Identity::of("t", "api", &n.to_string());
        let held: Vec<_> = (0..10_000).map(identity).collect();
        for (bits, wrong_max) in [(BITS_SMALL, 200), (BITS_EXACT, 8)] {
            let filter = Filter::of(held.iter(), bits);
            assert!(held.iter().all(|it| filter.may_contain(it)));
            let wrong = (10_000..20_000).filter(|n| filter.may_contain(&identity(*n))).count();
            assert!(wrong < wrong_max, "{wrong} of 10000 with {bits} bits");
        }
    }
}
