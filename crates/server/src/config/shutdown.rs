//! How the process ends.

use super::section::{section, within};

section! {
    /// How the process ends when it is asked to, by SIGTERM or SIGINT.
    Shutdown "shutdown" {
        /// After SIGTERM the process says that it is not ready, and serves on for this
        /// long, so that balancers notice before connections are told to go. Give it
        /// more than a balancer takes to notice.
        drain_delay_ms: u64 = 0, "milliseconds", within(0, 600_000);
        /// Requests under way have this long to end; then they are cut off.
        grace_ms: u64 = 10_000, "milliseconds", within(0, 600_000);
    }
}
