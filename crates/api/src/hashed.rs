//! Keys of 64 bits for what is looked up on every call: made once, with a secret of the
//! process, so that nobody can aim at another's place; and maps that take them as they are.

use core::hash::{BuildHasherDefault, Hash, Hasher};
use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::OnceLock;

static HASHES: OnceLock<RandomState> = OnceLock::new();

/// The key of `it`, as long as the process runs.
pub(crate) fn hashed(it: impl Hash) -> u64 {
    HASHES.get_or_init(RandomState::new).hash_one(it)
}

/// By keys that are hashes already.
pub(crate) type ByHash<T> = HashMap<u64, T, BuildHasherDefault<AsItIs>>;

/// By words of our own, of which nobody can add one.
pub(crate) type ByWord<T> = HashMap<&'static str, T, BuildHasherDefault<Words>>;

/// Hashes a hash.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct AsItIs(u64);

impl Hasher for AsItIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

/// Hashes eight bytes at a time. Without a secret: for closed sets alone.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Words(u64);

const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;

impl Words {
    fn mix(&mut self, word: u64) {
        self.0 = (self.0.rotate_left(23) ^ word).wrapping_mul(FACTOR);
    }
}

impl Hasher for Words {
    fn finish(&self) -> u64 {
        self.0 ^ (self.0 >> 32)
    }

    fn write(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<8>();
        for word in words {
            self.mix(u64::from_le_bytes(*word));
        }
        let last = rest.iter().fold(0, |last, byte| (last << 8) | u64::from(*byte));
        self.mix(last);
    }

    fn write_u8(&mut self, byte: u8) {
        self.mix(u64::from(byte));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_the_same_for_the_same_and_words_are_told_apart() {
        assert_eq!(hashed(("acme", "crd_1")), hashed(("acme", "crd_1")));
        assert_ne!(hashed(("acme", "crd_1")), hashed(("acme", "crd_2")));
        let hash = |word: &str| {
            let mut words = Words::default();
            word.hash(&mut words);
            words.finish()
        };
        let paths: Vec<u64> =
            exchequer_proto::METHODS.iter().map(|method| hash(method.path)).collect();
        let distinct: std::collections::BTreeSet<u64> = paths.iter().copied().collect();
        assert_eq!(distinct.len(), paths.len());
    }
}
