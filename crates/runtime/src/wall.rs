//! The wall clock as a process tells it: never back. When the machine's clock is set back,
//! time goes on at half its speed until that clock has caught up, so that nothing which
//! waits for time to pass waits for as long as the clock was wrong.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// What was told so far. Times are microseconds.
#[derive(Debug, Default)]
pub(crate) struct Wall {
    latest: AtomicI64,
    behind: Mutex<Behind>,
}

/// A machine's clock that is behind what was told.
#[derive(Debug, Default)]
struct Behind {
    /// What was told when it fell behind, and when that was.
    told: i64,
    since: Option<Instant>,
    /// The last that was told since.
    last: i64,
}

/// By how much slower time goes while the machine's clock is behind.
const SLOWER: u128 = 2;

impl Wall {
    /// The time to tell when the machine's clock shows `wall`; `at` only goes forward.
    pub(crate) fn tell(&self, wall: i64, at: Instant) -> i64 {
        let before = self.latest.fetch_max(wall, Ordering::SeqCst);
        if wall >= before {
            return wall;
        }
        let mut behind = self.behind.lock().unwrap_or_else(PoisonError::into_inner);
        // It had caught up meanwhile, or was never behind.
        let since = behind.since.filter(|_| before <= behind.last).unwrap_or(at);
        if behind.since != Some(since) {
            *behind = Behind { told: before, since: Some(since), last: before };
        }
        let passed = at.saturating_duration_since(since).as_micros() / SLOWER;
        let slow = behind.told.saturating_add(i64::try_from(passed).unwrap_or(i64::MAX));
        behind.last = behind.last.max(slow);
        self.latest.fetch_max(behind.last, Ordering::SeqCst);
        behind.last
    }
}

#[cfg(test)]
mod tests {
    use core::time::Duration;

    use super::*;

    const HOUR: i64 = 3_600_000_000;

    // REQ: KER-08
    #[test]
    fn time_goes_on_when_the_clock_is_set_back_and_never_goes_back() {
        let (wall, start) = (Wall::default(), Instant::now());
        let after = |seconds: u64| start + Duration::from_secs(seconds);
        assert_eq!(wall.tell(HOUR, start), HOUR);
        assert_eq!(wall.tell(2 * HOUR, after(1)), 2 * HOUR);
        // Set back by an hour: ten seconds come to five.
        assert_eq!(wall.tell(HOUR + 2_000_000, after(2)), 2 * HOUR);
        assert_eq!(wall.tell(HOUR + 12_000_000, after(12)), 2 * HOUR + 5_000_000);
        assert_eq!(wall.tell(HOUR + 22_000_000, after(22)), 2 * HOUR + 10_000_000);
        // Caught up, and set back once more.
        assert_eq!(wall.tell(3 * HOUR, after(7_300)), 3 * HOUR);
        assert_eq!(wall.tell(HOUR, after(7_302)), 3 * HOUR);
        assert_eq!(wall.tell(HOUR, after(7_304)), 3 * HOUR + 1_000_000);
    }
}
