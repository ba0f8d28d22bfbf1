//! What is wrong with a definition, and where.

use core::fmt;

/// The codes, which never change.
pub mod codes {
    pub const FLAGS_TOO_MANY: &str = "FLAGS_TOO_MANY";
    pub const FLAG_KEY_INVALID: &str = "FLAG_KEY_INVALID";
    pub const FLAG_KEY_REPEATED: &str = "FLAG_KEY_REPEATED";
    pub const FLAG_VARIANTS_INVALID: &str = "FLAG_VARIANTS_INVALID";
    pub const FLAG_VARIANT_UNKNOWN: &str = "FLAG_VARIANT_UNKNOWN";
    pub const FLAG_VALUE_INVALID: &str = "FLAG_VALUE_INVALID";
    pub const FLAG_LIST_INVALID: &str = "FLAG_LIST_INVALID";
    pub const FLAG_TARGETS_TOO_MANY: &str = "FLAG_TARGETS_TOO_MANY";
    pub const FLAG_TARGET_REPEATED: &str = "FLAG_TARGET_REPEATED";
    pub const FLAG_RULES_TOO_MANY: &str = "FLAG_RULES_TOO_MANY";
    pub const FLAG_CONDITION_TOO_DEEP: &str = "FLAG_CONDITION_TOO_DEEP";
    pub const FLAG_CONDITIONS_TOO_MANY: &str = "FLAG_CONDITIONS_TOO_MANY";
    pub const FLAG_ATTRIBUTE_INVALID: &str = "FLAG_ATTRIBUTE_INVALID";
    pub const FLAG_SALT_INVALID: &str = "FLAG_SALT_INVALID";
    pub const FLAG_WEIGHTS_INVALID: &str = "FLAG_WEIGHTS_INVALID";
    pub const FLAG_SLOTS_INVALID: &str = "FLAG_SLOTS_INVALID";
    pub const FLAG_RANGES_TOO_MANY: &str = "FLAG_RANGES_TOO_MANY";

    /// All of them.
    pub const ALL: &[&str] = &[
        FLAGS_TOO_MANY,
        FLAG_KEY_INVALID,
        FLAG_KEY_REPEATED,
        FLAG_VARIANTS_INVALID,
        FLAG_VARIANT_UNKNOWN,
        FLAG_VALUE_INVALID,
        FLAG_LIST_INVALID,
        FLAG_TARGETS_TOO_MANY,
        FLAG_TARGET_REPEATED,
        FLAG_RULES_TOO_MANY,
        FLAG_CONDITION_TOO_DEEP,
        FLAG_CONDITIONS_TOO_MANY,
        FLAG_ATTRIBUTE_INVALID,
        FLAG_SALT_INVALID,
        FLAG_WEIGHTS_INVALID,
        FLAG_SLOTS_INVALID,
        FLAG_RANGES_TOO_MANY,
    ];
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Where, as `rules[2].condition.all[0].not`; from the flag, or `flags[i].` before it
    /// where there are many.
    pub path: String,
    /// Upper snake case.
    pub code: &'static str,
    /// For people: what it must be.
    pub message: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.path, self.message)
    }
}

/// Further violations are not told.
const VIOLATIONS_MAX: usize = 32;

/// Violations in the order in which they are found, and where the check is now.
#[derive(Debug, Default)]
pub(crate) struct Found {
    path: String,
    pub(crate) violations: Vec<Violation>,
}

impl Found {
    /// Is wrong at `at`, below where the check is.
    pub(crate) fn refuse(&mut self, at: &str, code: &'static str, message: impl Into<String>) {
        if self.violations.len() < VIOLATIONS_MAX {
            self.within(at, |found| {
                let path = found.path.clone();
                found.violations.push(Violation { path, code, message: message.into() });
            });
        }
    }

    /// Checks what stands at `at`: a name, or `[i]`.
    pub(crate) fn within<T>(&mut self, at: &str, check: impl FnOnce(&mut Self) -> T) -> T {
        let length = self.path.len();
        if length > 0 && !at.is_empty() && !at.starts_with('[') {
            self.path.push('.');
        }
        self.path.push_str(at);
        let result = check(self);
        self.path.truncate(length);
        result
    }
}
