//! A token bucket as one instant: when it would be full again. What is in it at any
//! time follows from that instant and the limit, so a bucket needs no refilling, and
//! one that is full is the same as none.

use core::time::Duration;

/// The fastest limit: beyond it one request takes less than a microsecond.
pub const REQUESTS_PER_MINUTE_MAX: u32 = 60_000_000;

const MINUTE_NANOS: i64 = 60_000_000_000;

/// How fast a bucket refills, and how much it holds. Both are at least 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    per_minute: u32,
    burst: u32,
}

/// What a caller is told of its bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taken {
    /// Requests per minute.
    pub limit: u32,
    /// Requests that would be let through now.
    pub remaining: u32,
    /// Until the bucket is full again.
    pub reset: Duration,
}

/// The bucket is empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exceeded {
    /// Requests per minute.
    pub limit: u32,
    /// Until one request would be let through.
    pub retry: Duration,
    /// Until the bucket is full again.
    pub reset: Duration,
}

/// The instant at which a bucket is full, in nanoseconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Bucket {
    full_at: i64,
}

impl Limit {
    /// A minute's worth may come at once.
    pub fn per_minute(requests: u32) -> Self {
        Self::with_burst(requests, requests)
    }

    /// At most `burst` requests come at once.
    pub fn with_burst(requests: u32, burst: u32) -> Self {
        let within = |count: u32| count.clamp(1, REQUESTS_PER_MINUTE_MAX);
        Self { per_minute: within(requests), burst: within(burst) }
    }

    /// Nanoseconds in which one request comes back.
    fn interval(self) -> i64 {
        MINUTE_NANOS / i64::from(self.per_minute)
    }

    fn capacity(self) -> i64 {
        self.interval() * i64::from(self.burst)
    }
}

impl Bucket {
    /// Full: as good as none.
    pub(super) const FULL: Self = Self { full_at: i64::MIN };

    pub(super) fn is_full(self, now: i64) -> bool {
        self.full_at <= now
    }

    /// Lets one request through, or says when it will.
    pub(super) fn take(&mut self, limit: Limit, now: i64) -> Result<Taken, Exceeded> {
        // A limit that shrank counts at once, also for what was taken before.
        let full_at = self.full_at.clamp(now, now + limit.capacity());
        let after = full_at + limit.interval();
        let over = after - (now + limit.capacity());
        if over > 0 {
            self.full_at = full_at;
            return Err(Exceeded {
                limit: limit.per_minute,
                retry: nanos(over),
                reset: nanos(full_at - now),
            });
        }
        self.full_at = after;
        let remaining = -over / limit.interval();
        Ok(Taken {
            limit: limit.per_minute,
            remaining: u32::try_from(remaining).unwrap_or(u32::MAX),
            reset: nanos(after - now),
        })
    }

    /// Gives back what was taken just now.
    pub(super) fn give_back(&mut self, limit: Limit) {
        self.full_at -= limit.interval();
    }
}

fn nanos(count: i64) -> Duration {
    Duration::from_nanos(count.unsigned_abs())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const START: i64 = 1_790_000_000_000_000_000;

    fn limits() -> impl Strategy<Value = Limit> {
        (1..100_000u32, 1..500u32).prop_map(|(rate, burst)| Limit::with_burst(rate, burst))
    }

    // REQ: USE-13
    #[test]
    fn a_hundred_pass_and_the_next_waits_its_share_of_a_minute() {
        let limit = Limit::per_minute(100);
        let mut bucket = Bucket::FULL;
        for left in (0..100).rev() {
            let taken = bucket.take(limit, START).unwrap();
            assert_eq!((taken.limit, taken.remaining), (100, left));
        }
        let refused = bucket.take(limit, START).unwrap_err();
        assert_eq!(refused.retry, Duration::from_millis(600));
        assert_eq!(refused.reset, Duration::from_secs(60));
        let soon = START + 599_999_999;
        assert!(bucket.take(limit, soon).is_err());
        assert_eq!(bucket.take(limit, soon + 1).unwrap().remaining, 0);
        assert!(bucket.take(limit, soon + 1).is_err());
        assert_eq!(bucket.take(limit, START + 120 * 1_000_000_000).unwrap().remaining, 99);
    }

    proptest! {
        // REQ: USE-09
        #[test]
        fn no_window_lets_more_through_than_the_burst_and_its_refill(
            limit in limits(),
            steps in proptest::collection::vec(0..2_000_000_000i64, 1..60),
        ) {
            let mut bucket = Bucket::FULL;
            let mut now = START;
            let mut passed = Vec::new();
            for step in steps {
                now += step;
                if bucket.take(limit, now).is_ok() {
                    passed.push(now);
                }
            }
            for (first, from) in passed.iter().enumerate() {
                for (last, to) in passed.iter().enumerate().skip(first) {
                    let refilled = (to - from) / limit.interval();
                    let between = i64::try_from(last - first).unwrap();
                    prop_assert!(between <= i64::from(limit.burst) + refilled);
                }
            }
        }

        // REQ: USE-09
        #[test]
        fn a_retry_after_the_hint_passes_and_one_before_it_does_not(
            limit in limits(), steps in proptest::collection::vec(0..100_000_000i64, 1..200),
        ) {
            let mut bucket = Bucket::FULL;
            let mut now = START;
            for step in steps {
                now += step;
                if let Err(refused) = bucket.take(limit, now) {
                    let retry = refused.retry.as_nanos() as i64;
                    let (mut early, mut then) = (bucket, bucket);
                    prop_assert!(early.take(limit, now + retry - 1).is_err());
                    prop_assert!(then.take(limit, now + retry).is_ok());
                }
            }
        }

        // REQ: USE-09
        #[test]
        fn what_remains_does_pass(limit in limits(), before in 0..600u32) {
            let mut bucket = Bucket::FULL;
            let mut remaining = limit.burst;
            for _ in 0..before {
                remaining = bucket.take(limit, START).map_or(0, |taken| taken.remaining);
            }
            for _ in 0..remaining {
                prop_assert!(bucket.take(limit, START).is_ok());
            }
            prop_assert!(bucket.take(limit, START).is_err());
        }

        // REQ: USE-09
        #[test]
        fn a_bucket_is_full_when_it_said(limit in limits(), taken in 1..200u32) {
            let mut bucket = Bucket::FULL;
            let mut reset = Duration::ZERO;
            for _ in 0..taken {
                reset = match bucket.take(limit, START) {
                    Ok(taken) => taken.reset,
                    Err(refused) => refused.reset,
                };
            }
            let full_at = START + reset.as_nanos() as i64;
            prop_assert!(bucket.is_full(full_at) && !bucket.is_full(full_at - 1));
        }
    }
}
