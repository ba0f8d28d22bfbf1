//! Bounds of definitions and contexts.

/// Names and values of one context together.
pub const CONTEXT_BYTES_MAX: usize = 64 * 1024;
/// Of one context, lists counted by their items.
pub const ATTRIBUTES_MAX: usize = 256;
pub(crate) const KEY_CHARS_MAX: usize = 63;
pub(crate) const ATTRIBUTE_CHARS_MAX: usize = 128;
pub(crate) const SALT_CHARS_MAX: usize = 255;

/// Bounds of definitions. What goes beyond is a [`Violation`](crate::Violation).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Of a snapshot.
    pub flags_max: usize,
    /// Of a flag.
    pub variants_max: usize,
    /// Of a text value.
    pub value_bytes_max: usize,
    /// Individuals of a flag, in all its targets.
    pub targets_max: usize,
    /// Of a flag.
    pub rules_max: usize,
    /// Conditions in each other.
    pub depth_max: usize,
    /// Of a rule.
    pub conditions_max: usize,
    /// Of one list in a condition or gate.
    pub values_max: usize,
    /// Ranges of slots of a split.
    pub ranges_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            flags_max: 2_000,
            variants_max: 64,
            value_bytes_max: 16 * 1024,
            targets_max: 2_000,
            rules_max: 100,
            depth_max: 16,
            conditions_max: 200,
            values_max: 1_000,
            ranges_max: 1_000,
        }
    }
}

const _: () = assert!(ATTRIBUTES_MAX < CONTEXT_BYTES_MAX);
