//! Bucketing, dialect `fractional-v2`: a unit hashes to one of 100,000 slots, and
//! variants own fixed ranges of slots. When weights change, a variant that grows
//! keeps all it has, and one that shrinks gives back what it was given last, so that
//! nobody moves who does not have to.

use core::fmt;
use core::fmt::Write as _;

/// Slots of a split: a weight is so many of them, a thousandth of a percent each.
pub const SLOTS: u32 = 100_000;

/// The slot of `unit`: `(h * 100,000) >> 32`, where `h` is MurmurHash3 x86 32-bit,
/// seed 0, of the UTF-8 bytes of `salt:unit`.
pub fn slot(salt: &str, unit: &str) -> u32 {
    let mut hash = Murmur::salted(salt);
    hash.write(unit.as_bytes());
    hash.slot()
}

/// A share of contexts for each of several variants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Split {
    pub salt: String,
    /// The attribute whose value is the unit: usually `targeting_key` or `tenant`.
    pub by: String,
    /// By distinct variants. Weights sum to [`SLOTS`].
    pub shares: Vec<Share>,
}

/// What a variant has of a split.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Share {
    pub variant: String,
    pub weight: u32,
    /// In the order in which they were given to it; as many slots as it weighs. Empty in
    /// all shares of a split that [`Split::lay_out`] has not seen.
    pub slots: Vec<SlotRange>,
}

/// Slots `start` to `end - 1`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SlotRange {
    pub start: u32,
    pub end: u32,
}

/// Why a split cannot be laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SplitError {
    /// Weights sum to this instead of [`SLOTS`].
    Weights { sum: u64 },
    /// A variant has two shares.
    Repeated { share: usize },
}

impl fmt::Display for SplitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Weights { sum } => {
                write!(f, "must sum to {SLOTS} (100 %), not {sum}")
            }
            Self::Repeated { .. } => f.write_str("must name each variant once"),
        }
    }
}

impl core::error::Error for SplitError {}

impl Split {
    /// With these weights and no slots yet.
    pub fn weighted<'a>(
        salt: impl Into<String>,
        by: impl Into<String>,
        weights: impl IntoIterator<Item = (&'a str, u32)>,
    ) -> Self {
        let share = |(variant, weight): (&str, u32)| Share {
            variant: variant.to_owned(),
            weight,
            slots: Vec::new(),
        };
        let shares = weights.into_iter().map(share).collect();
        Self { salt: salt.into(), by: by.into(), shares }
    }

    /// The split with slots for its weights, from what stood `before` if that has the
    /// same salt and unit, else anew. A variant that weighs more than before keeps all
    /// its slots, one that weighs less gets no other ones.
    pub fn lay_out(&self, before: Option<&Self>) -> Result<Self, SplitError> {
        self.check_weights()?;
        let before = before.filter(|it| it.salt == self.salt && it.by == self.by);
        let weight = |variant: &str| {
            self.shares.iter().find(|it| it.variant == variant).map_or(0, |it| it.weight)
        };
        let mut kept: Vec<Share> = before.map_or_else(Vec::new, |it| it.shares.clone());
        let mut free = Vec::new();
        if kept.is_empty() {
            free.push(SlotRange { start: 0, end: SLOTS });
        }
        for share in &mut kept {
            shrink(&mut share.slots, weight(&share.variant), &mut free);
        }
        // What is freed first is given first.
        free.reverse();
        let shares = self.shares.iter().map(|share| {
            let found = kept.iter().find(|it| it.variant == share.variant);
            let mut slots = found.map_or_else(Vec::new, |it| it.slots.clone());
            grow(&mut slots, share.weight, &mut free);
            Share { slots, ..share.clone() }
        });
        Ok(Self { shares: shares.collect(), ..self.clone() })
    }

    fn check_weights(&self) -> Result<(), SplitError> {
        let sum: u64 = self.shares.iter().map(|it| u64::from(it.weight)).sum();
        if sum != u64::from(SLOTS) {
            return Err(SplitError::Weights { sum });
        }
        for (index, share) in self.shares.iter().enumerate() {
            if self.shares[..index].iter().any(|it| it.variant == share.variant) {
                return Err(SplitError::Repeated { share: index });
            }
        }
        Ok(())
    }

    /// Has any share slots?
    pub(crate) fn is_laid_out(&self) -> bool {
        self.shares.iter().any(|share| !share.slots.is_empty())
    }
}

impl SlotRange {
    pub fn count(self) -> u32 {
        self.end.saturating_sub(self.start)
    }
}

fn count(slots: &[SlotRange]) -> u32 {
    slots.iter().map(|range| range.count()).sum()
}

/// Gives back the last slots beyond `weight`.
fn shrink(slots: &mut Vec<SlotRange>, weight: u32, free: &mut Vec<SlotRange>) {
    let mut excess = count(slots).saturating_sub(weight);
    while excess > 0
        && let Some(last) = slots.last_mut()
    {
        let taken = excess.min(last.count());
        let start = last.end - taken;
        free.push(SlotRange { start, end: last.end });
        last.end = start;
        if last.count() == 0 {
            slots.pop();
        }
        excess -= taken;
    }
}

/// Takes from the end of `free` until there are `weight` slots.
fn grow(slots: &mut Vec<SlotRange>, weight: u32, free: &mut Vec<SlotRange>) {
    let mut missing = weight.saturating_sub(count(slots));
    while missing > 0
        && let Some(next) = free.last_mut()
    {
        let end = next.start + missing.min(next.count());
        let range = SlotRange { start: next.start, end };
        next.start = end;
        if next.count() == 0 {
            free.pop();
        }
        missing -= range.count();
        match slots.last_mut() {
            Some(last) if last.end == range.start => last.end = range.end,
            _ => slots.push(range),
        }
    }
}

/// MurmurHash3 x86 32-bit with seed 0, of bytes that come in parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Murmur {
    state: u32,
    /// The bytes behind the last whole block, little endian.
    rest: u32,
    rest_bytes: u32,
    bytes: u32,
}

impl Murmur {
    /// Of `salt:`.
    pub(crate) fn salted(salt: &str) -> Self {
        let mut hash = Self { state: 0, rest: 0, rest_bytes: 0, bytes: 0 };
        hash.write(salt.as_bytes());
        hash.write(b":");
        hash
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) {
        self.bytes = self.bytes.wrapping_add(u32::try_from(bytes.len()).unwrap_or(u32::MAX));
        let shift = self.rest_bytes * 8;
        let (blocks, rest) = bytes.as_chunks::<4>();
        if shift == 0 {
            for block in blocks {
                self.block(u32::from_le_bytes(*block));
            }
        } else {
            for block in blocks {
                let block = u32::from_le_bytes(*block);
                self.block(self.rest | (block << shift));
                self.rest = block >> (32 - shift);
            }
        }
        for byte in rest {
            self.rest |= u32::from(*byte) << (self.rest_bytes * 8);
            self.rest_bytes += 1;
            if self.rest_bytes == 4 {
                self.block(self.rest);
                self.rest = 0;
                self.rest_bytes = 0;
            }
        }
    }

    fn block(&mut self, block: u32) {
        self.state = (self.state ^ scramble(block)).rotate_left(13);
        self.state = self.state.wrapping_mul(5).wrapping_add(0xE654_6B64);
    }

    fn finish(self) -> u32 {
        let mut hash = self.state;
        if self.rest_bytes > 0 {
            hash ^= scramble(self.rest);
        }
        hash ^= self.bytes;
        hash ^= hash >> 16;
        hash = hash.wrapping_mul(0x85EB_CA6B);
        hash ^= hash >> 13;
        hash = hash.wrapping_mul(0xC2B2_AE35);
        hash ^ (hash >> 16)
    }

    pub(crate) fn slot(self) -> u32 {
        let slot = (u64::from(self.finish()) * u64::from(SLOTS)) >> 32;
        // Below SLOTS, as the hash is below 2^32.
        u32::try_from(slot).unwrap_or(0)
    }
}

/// So that a number can be hashed as it is written.
impl fmt::Write for Murmur {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.write(text.as_bytes());
        Ok(())
    }
}

impl Murmur {
    /// Hashes `value` as it is written.
    pub(crate) fn write_display(&mut self, value: impl fmt::Display) {
        // Writing to a hash cannot fail.
        let _ = write!(self, "{value}");
    }
}

fn scramble(block: u32) -> u32 {
    block.wrapping_mul(0xCC9E_2D51).rotate_left(15).wrapping_mul(0x1B87_3593)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn murmur(text: &[u8]) -> u32 {
        let mut hash = Murmur { state: 0, rest: 0, rest_bytes: 0, bytes: 0 };
        hash.write(text);
        hash.finish()
    }

    // Vectors of the algorithm's author, as they are published, with seed 0.
    // REQ: FLG-05
    #[test]
    fn hashes_as_the_published_algorithm() {
        let cases: [(&[u8], u32); 9] = [
            (b"", 0),
            (b"\0", 0x514E_28B7),
            (b"\0\0", 0x30F4_C306),
            (b"\0\0\0", 0x85F0_B427),
            (b"\0\0\0\0", 0x2362_F9DE),
            (b"\x21\x43\x65\x87", 0xF55B_516B),
            (b"\x21\x43\x65", 0x7E4A_8634),
            (b"\xff\xff\xff\xff", 0x7629_3B50),
            (b"The quick brown fox jumps over the lazy dog", 0x2E4F_F723),
        ];
        for (bytes, expected) in cases {
            assert_eq!(murmur(bytes), expected, "{bytes:?}");
        }
    }

    #[test]
    fn parts_hash_as_the_whole() {
        let text = b"checkout.new-button:user-4711-\xc3\xa9\xe2\x82\xac";
        for one in 0..=text.len() {
            for two in one..=text.len() {
                let mut hash = Murmur { state: 0, rest: 0, rest_bytes: 0, bytes: 0 };
                for part in [&text[..one], &text[one..two], &text[two..]] {
                    hash.write(part);
                }
                assert_eq!(hash.finish(), murmur(text), "{one} {two}");
            }
        }
    }

    // REQ: FLG-05
    #[test]
    fn slots_of_known_units_never_change() {
        let found: Vec<u32> =
            ["a", "b", "user-1", "é"].map(|unit| slot("env.checkout", unit)).to_vec();
        assert_eq!(found, KNOWN);
    }

    // Computed apart from this code, by the published algorithm.
    const KNOWN: [u32; 4] = [32_470, 42_913, 50_459, 68_111];

    fn laid_out(weights: &[(&str, u32)], before: Option<&Split>) -> Split {
        let split = Split::weighted("s", "targeting_key", weights.iter().copied());
        split.lay_out(before).unwrap()
    }

    fn slots_of(split: &Split, variant: &str) -> Vec<(u32, u32)> {
        let share = split.shares.iter().find(|it| it.variant == variant).unwrap();
        share.slots.iter().map(|it| (it.start, it.end)).collect()
    }

    // REQ: FLG-05
    #[test]
    fn growing_moves_nobody_who_is_in() {
        let ten = laid_out(&[("on", 10_000), ("off", 90_000)], None);
        assert_eq!(slots_of(&ten, "on"), [(0, 10_000)]);
        assert_eq!(slots_of(&ten, "off"), [(10_000, 100_000)]);
        let fifty = laid_out(&[("on", 50_000), ("off", 50_000)], Some(&ten));
        assert_eq!(slots_of(&fifty, "on"), [(0, 10_000), (60_000, 100_000)]);
        assert_eq!(slots_of(&fifty, "off"), [(10_000, 60_000)]);
        let back = laid_out(&[("on", 10_000), ("off", 90_000)], Some(&fifty));
        assert_eq!(back, ten);
        let third = [("new", 5_000), ("on", 50_000), ("off", 45_000)];
        let third = laid_out(&third, Some(&fifty));
        assert_eq!(slots_of(&third, "on"), slots_of(&fifty, "on"));
        assert_eq!(slots_of(&third, "new"), [(55_000, 60_000)]);
        let gone = laid_out(&[("off", 100_000)], Some(&third));
        assert_eq!(gone.shares[0].slots.iter().map(|it| it.count()).sum::<u32>(), SLOTS);
    }

    #[test]
    fn another_salt_or_unit_is_another_split() {
        let ten = laid_out(&[("on", 10_000), ("off", 90_000)], None);
        let mut other = Split::weighted("t", "targeting_key", [("off", 90_000), ("on", 10_000)]);
        assert_eq!(slots_of(&other.lay_out(Some(&ten)).unwrap(), "off"), [(0, 90_000)]);
        other.salt = "s".to_owned();
        assert_eq!(slots_of(&other.lay_out(Some(&ten)).unwrap(), "off"), [(10_000, 100_000)]);
    }

    #[test]
    fn weights_must_make_a_whole() {
        let refused = |weights: &[(&str, u32)]| {
            Split::weighted("s", "t", weights.iter().copied()).lay_out(None).unwrap_err()
        };
        assert_eq!(refused(&[]), SplitError::Weights { sum: 0 });
        assert_eq!(refused(&[("a", 99_999)]), SplitError::Weights { sum: 99_999 });
        let large = [("a", u32::MAX), ("b", u32::MAX)];
        assert_eq!(refused(&large), SplitError::Weights { sum: 2 * u64::from(u32::MAX) });
        let twice = [("a", 50_000), ("b", 0), ("a", 50_000)];
        assert_eq!(refused(&twice), SplitError::Repeated { share: 2 });
    }
}
