//! Every business "no" of the domain, with its stable code.

use exchequer_kernel::{FieldFault, Reason};

/// The codes, which never change.
pub mod codes {
    pub const ENTRIES_COUNT_INVALID: &str = "ENTRIES_COUNT_INVALID";
    pub const ENTRY_INVALID: &str = "ENTRY_INVALID";
}

/// Why an entry was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rejection {
    Count {
        entries_max: usize,
    },
    /// The first entry at fault, and which part of it.
    Entry {
        index: usize,
        field: &'static str,
        expected: &'static str,
    },
}

impl Reason for Rejection {
    fn code(&self) -> &'static str {
        match self {
            Self::Count { .. } => codes::ENTRIES_COUNT_INVALID,
            Self::Entry { .. } => codes::ENTRY_INVALID,
        }
    }

    fn field(&self) -> Option<&'static str> {
        Some("entries")
    }

    fn message(&self) -> String {
        match self {
            Self::Count { entries_max } => format!("must be 1 to {entries_max} entries"),
            Self::Entry { index, field, expected } => {
                format!("entries[{index}].{field} must be {expected}")
            }
        }
    }

    fn faults(&self) -> Vec<FieldFault> {
        match self {
            Self::Count { .. } => Vec::new(),
            Self::Entry { index, field, expected } => vec![FieldFault {
                field: format!("entries[{index}].{field}"),
                message: format!("must be {expected}"),
            }],
        }
    }
}
