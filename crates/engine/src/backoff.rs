//! Pauses between tries of what fails for now.

use core::time::Duration;

use exchequer_runtime::Runtime;
use exchequer_types::Timestamp;

/// Each pause is about twice as long as the one before, up to a bound, and none as long as
/// another process's: they do not all come back at the same moment.
#[derive(Debug)]
pub(crate) struct Backoff {
    first: Duration,
    longest: Duration,
    failures: u32,
    failed_at: Option<Timestamp>,
}

const FIRST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(1);
/// What went well for so long begins anew.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(10);

impl Default for Backoff {
    fn default() -> Self {
        Self::between(FIRST, LONGEST)
    }
}

impl Backoff {
    /// The first pause is about `first`, and none much longer than `longest`.
    pub(crate) fn between(first: Duration, longest: Duration) -> Self {
        Self { first, longest, failures: 0, failed_at: None }
    }

    /// Waits, after a failure.
    pub(crate) async fn pause(&mut self, runtime: &dyn Runtime) {
        let now = runtime.now();
        let forgotten_after = FORGOTTEN_AFTER.max(self.longest);
        if self.failed_at.is_none_or(|at| now.since(at) > forgotten_after) {
            self.failures = 0;
        }
        let pause = self.first.saturating_mul(1 << self.failures.min(10)).min(self.longest);
        self.failures = self.failures.saturating_add(1);
        let nonce = f64::from(runtime.nonce()[0]);
        runtime.sleep(pause.mul_f64(0.5 + nonce / 256.0)).await;
        self.failed_at = Some(runtime.now());
    }
}
