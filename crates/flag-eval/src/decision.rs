//! What was decided, and why.

use crate::Value;

/// The answer for one flag. It borrows from the snapshot that gave it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision<'s> {
    /// None when the reason is an error: the caller's own default counts.
    pub value: Option<&'s Value>,
    /// Its key.
    pub variant: Option<&'s str>,
    pub reason: Reason,
    pub by: DecidedBy<'s>,
}

/// Why the value is what it is; the names are those of OpenFeature where it has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The flag has neither targets nor rules, and one value for all.
    Static,
    /// No target and no rule matched.
    Default,
    /// A target or rule matched.
    TargetingMatch,
    /// The unit's slot decided.
    Split,
    /// The flag is off.
    Disabled,
    /// The customer's plan does not include what the flag requires.
    PlanRestriction,
    Error(ErrorCode),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorCode {
    FlagNotFound,
    /// The flag's values are of another type than asked for.
    TypeMismatch,
    /// The context lacks the attribute by which the flag splits.
    TargetingKeyMissing,
}

/// The part of the definition that decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DecidedBy<'s> {
    /// There was nothing to decide with, or the flag is off.
    Nothing,
    Gate,
    /// From 0, as in the definition.
    Target {
        index: usize,
    },
    /// From 0, as in the definition.
    Rule {
        index: usize,
        id: &'s str,
    },
    Fallthrough,
}

impl Decision<'_> {
    pub(crate) fn error(code: ErrorCode, by: DecidedBy<'_>) -> Decision<'_> {
        Decision { value: None, variant: None, reason: Reason::Error(code), by }
    }
}
