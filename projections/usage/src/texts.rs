//! Names that lie behind each other as they are written, numbered in the order in which
//! they came and found again by their bytes. Clients choose them, so the hash is keyed.

use std::hash::{BuildHasher as _, Hasher as _};

use foldhash::fast::RandomState;

use crate::bytes::{Reader, Writer};
use crate::packed::{u32_of, usize_of};

/// Slots of the smallest table: a power of two, as all are.
const SLOTS_MIN: usize = 16;

/// A name as it is written: each of its values behind its length.
pub(crate) fn written<'n>(values: impl IntoIterator<Item = &'n str>) -> Vec<u8> {
    let mut out = Writer::default();
    values.into_iter().for_each(|it| out.text(it));
    out.bytes
}

/// Its values.
pub(crate) fn values(name: &[u8]) -> impl Iterator<Item = &str> {
    let mut input = Reader::new(name);
    core::iter::from_fn(move || input.text().ok())
}

/// Each text once.
#[derive(Debug, Default)]
pub(crate) struct Texts {
    bytes: Vec<u8>,
    /// Where each text ends, and its hash.
    ends: Vec<(u32, u32)>,
    /// Number of the text, and one more: 0 is free. At most half of them are taken.
    slots: Vec<u32>,
    state: RandomState,
}

impl Texts {
    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    /// All of them.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// There is room for so many texts.
    pub(crate) fn reserve(&mut self, count: usize) {
        self.ends.reserve(count);
        let slots = (count * 2).next_power_of_two().max(SLOTS_MIN);
        if slots > self.slots.len() {
            self.grow(slots);
        }
    }

    /// The number of `text`.
    pub(crate) fn find(&self, text: &[u8]) -> Option<u32> {
        if self.slots.is_empty() {
            return None;
        }
        let hash = self.hash(text);
        let mut slot = self.first_slot(hash);
        loop {
            let at = self.slots.get(slot)?.checked_sub(1)?;
            if self.ends.get(usize_of(at))?.1 == hash && self.text(at) == text {
                return Some(at);
            }
            slot = (slot + 1) & (self.slots.len() - 1);
        }
    }

    /// Adds `text`, which is not there yet, and returns its number.
    pub(crate) fn push(&mut self, text: &[u8]) -> u32 {
        if (self.ends.len() + 1) * 2 > self.slots.len() {
            self.grow((self.slots.len() * 2).max(SLOTS_MIN));
        }
        let (at, hash) = (u32_of(self.ends.len()), self.hash(text));
        self.bytes.extend_from_slice(text);
        self.ends.push((u32_of(self.bytes.len()), hash));
        self.place(at, hash);
        at
    }

    /// The text with this number; nothing for one that there is not.
    pub(crate) fn text(&self, at: u32) -> &[u8] {
        let end = |at: usize| self.ends.get(at).map_or(0, |(end, _)| usize_of(*end));
        let from = usize_of(at).checked_sub(1).map_or(0, end);
        self.bytes.get(from..end(usize_of(at))).unwrap_or_default()
    }

    /// Bytes that it takes, about.
    pub(crate) fn size(&self) -> usize {
        self.bytes.capacity() + self.ends.capacity() * 8 + self.slots.len() * 4
    }

    fn hash(&self, text: &[u8]) -> u32 {
        let mut hasher = self.state.build_hasher();
        hasher.write(text);
        let hash = hasher.finish();
        (hash ^ (hash >> 32)) as u32
    }

    fn first_slot(&self, hash: u32) -> usize {
        usize_of(hash) & (self.slots.len() - 1)
    }

    fn place(&mut self, at: u32, hash: u32) {
        let mut slot = self.first_slot(hash);
        while self.slots[slot] != 0 {
            slot = (slot + 1) & (self.slots.len() - 1);
        }
        self.slots[slot] = at + 1;
    }

    fn grow(&mut self, slots: usize) {
        self.slots = vec![0; slots];
        for at in 0..self.ends.len() {
            self.place(u32_of(at), self.ends[at].1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_found_by_their_bytes() {
        let mut texts = Texts::default();
        assert_eq!(texts.find(b""), None);
        let text = |n: u32| n.to_string().into_bytes();
        for n in 0..5_000 {
            assert_eq!(texts.find(&text(n)), None);
            assert_eq!(texts.push(&text(n)), n);
        }
        for n in 0..5_000 {
            assert_eq!(texts.find(&text(n)), Some(n));
        }
        assert_eq!((texts.len(), texts.find(b"5000")), (5_000, None));
        assert_eq!(texts.push(b""), 5_000);
        assert_eq!(texts.find(b""), Some(5_000));
    }
}
