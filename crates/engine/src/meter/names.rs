//! Shared texts of subjects and groups: one that was seen lately is found without
//! allocating. A fixed number of slots, so that memory is bounded whatever comes.

use std::borrow::Cow;
use std::sync::Arc;

use exchequer_metering::Names;

/// Slots of single texts, which subjects are, and of groups: powers of two.
const TEXT_SLOTS: usize = 32 * 1024;
const GROUP_SLOTS: usize = 4 * 1024;
const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const PRIME: u64 = 0x9e37_79b9_7f4a_7c15;

/// The texts of one partition.
#[derive(Debug)]
pub(super) struct SharedNames {
    texts: Vec<Option<Arc<str>>>,
    groups: Vec<Option<Arc<[Arc<str>]>>>,
    none: Arc<[Arc<str>]>,
}

impl Default for SharedNames {
    fn default() -> Self {
        let (texts, groups) = (vec![None; TEXT_SLOTS], vec![None; GROUP_SLOTS]);
        Self { texts, groups, none: Arc::from([]) }
    }
}

impl Names for SharedNames {
    fn text(&mut self, text: &str) -> Arc<str> {
        let slot = &mut self.texts[slot_of(mix(OFFSET, text), TEXT_SLOTS)];
        match slot {
            Some(known) if known.as_ref() == text => Arc::clone(known),
            _ => Arc::clone(slot.insert(Arc::from(text))),
        }
    }

    fn texts(&mut self, texts: &[Cow<'_, str>]) -> Arc<[Arc<str>]> {
        if texts.is_empty() {
            return Arc::clone(&self.none);
        }
        let hash = texts.iter().fold(OFFSET, |hash, text| mix(hash, text));
        let slot = slot_of(hash, GROUP_SLOTS);
        if let Some(known) = &self.groups[slot]
            && known.len() == texts.len()
            && known.iter().zip(texts).all(|(known, text)| known.as_ref() == text.as_ref())
        {
            return Arc::clone(known);
        }
        let shared: Arc<[Arc<str>]> = texts.iter().map(|text| self.text(text)).collect();
        self.groups[slot] = Some(Arc::clone(&shared));
        shared
    }
}

/// Eight bytes at a time: what collides only takes another's slot.
fn mix(hash: u64, text: &str) -> u64 {
    let (words, rest) = text.as_bytes().as_chunks::<8>();
    let add = |hash: u64, word: u64| (hash ^ word).wrapping_mul(PRIME).rotate_left(29);
    let hash = words.iter().fold(hash, |hash, word| add(hash, u64::from_le_bytes(*word)));
    let rest = rest.iter().fold(0_u64, |word, byte| (word << 8) | u64::from(*byte));
    add(add(hash, rest), text.len() as u64)
}

fn slot_of(hash: u64, slots: usize) -> usize {
    (hash ^ (hash >> 32)) as usize & (slots - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_that_was_seen_is_shared_and_others_are_themselves() {
        let mut names = SharedNames::default();
        let first = names.text("customer-1");
        assert!(Arc::ptr_eq(&first, &names.text("customer-1")));
        for n in 0..100_000 {
            assert_eq!(names.text(&n.to_string()).as_ref(), n.to_string());
        }
        let groups = |texts: [&'static str; 2]| texts.map(Cow::Borrowed);
        let two = names.texts(&groups(["large", "eu"]));
        assert!(Arc::ptr_eq(&two, &names.texts(&groups(["large", "eu"]))));
        assert_ne!(two, names.texts(&groups(["larg", "eeu"])));
        assert!(names.texts(&[]).is_empty());
    }
}
