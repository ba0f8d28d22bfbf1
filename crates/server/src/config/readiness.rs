//! When the process says that it is ready.

use super::section::{anything, section};

section! {
    /// When the process says that it is ready.
    Readiness "readiness" {
        /// A view that is further behind the journal, in any partition, makes the process
        /// not ready. What was in the journal at the start must be folded entirely.
        view_lag_commits_max: u64 = 1_000, "commits", anything;
    }
}
