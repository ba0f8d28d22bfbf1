//! How many requests are let through.

use exchequer_api::limits::{Defaults, REQUESTS_PER_MINUTE_DEFAULT, REQUESTS_PER_MINUTE_MAX};

use super::section::{section, within};

section! {
    /// How many requests are let through, where neither the credential nor the tenant's plan
    /// or settings say so.
    Limits "limits" {
        /// Requests of one credential.
        requests_per_minute: u32 = REQUESTS_PER_MINUTE_DEFAULT => "100", "requests a minute", within(1, REQUESTS_PER_MINUTE_MAX);
        /// Requests that may come at once, at most a minute's worth; that without it.
        burst: Option<u32> = None, "requests", burst;
    }
}

#[expect(
    clippy::ref_option,
    clippy::trivially_copy_pass_by_ref,
    reason = "a check is given the setting as it is"
)]
fn burst(burst: &Option<u32>) -> Option<String> {
    let max = REQUESTS_PER_MINUTE_MAX;
    burst.is_some_and(|it| it == 0 || it > max).then(|| format!("1 to {max}"))
}

impl Limits {
    /// As the edge takes them.
    pub(crate) fn defaults(&self) -> Defaults {
        Defaults { requests_per_minute: self.requests_per_minute, burst: self.burst }
    }
}
