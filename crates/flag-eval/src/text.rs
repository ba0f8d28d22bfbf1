//! Texts with a hash of their own beside them, so that a search compares numbers
//! and only a hit compares bytes. The hash orders nothing that can be seen.

/// 64 bits of `text`, the same in every process of this version.
pub(crate) fn hash(text: &str) -> u64 {
    const FACTOR: u64 = 0x9E37_79B9_7F4A_7C15;
    let bytes = text.as_bytes();
    let mix = |state: u64, word: u64| {
        let mixed = (state ^ word).wrapping_mul(FACTOR);
        mixed ^ (mixed >> 29)
    };
    let mut state = mix(FACTOR, u64::try_from(bytes.len()).unwrap_or(u64::MAX));
    let (words, rest) = bytes.as_chunks::<8>();
    for word in words {
        state = mix(state, u64::from_le_bytes(*word));
    }
    if !rest.is_empty() {
        state = mix(state, rest.iter().rfold(0, |word, byte| (word << 8) | u64::from(*byte)));
    }
    state
}

/// A text of a definition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Text {
    pub(crate) hash: u64,
    pub(crate) text: Box<str>,
}

impl Text {
    pub(crate) fn new(text: &str) -> Self {
        Self { hash: hash(text), text: text.into() }
    }

    pub(crate) fn is(&self, other: TextRef<'_>) -> bool {
        self.hash == other.hash && *self.text == *other.text
    }
}

/// A text of a context.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TextRef<'a> {
    pub(crate) hash: u64,
    pub(crate) text: &'a str,
}

impl<'a> TextRef<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        Self { hash: hash(text), text }
    }
}
