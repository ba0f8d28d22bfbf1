//! Time zones of the tz database, and the first instant at which a local time is reached.

use core::cmp::Ordering;
use core::fmt;

use chrono::{LocalResult, NaiveDateTime, Offset, TimeZone};
use chrono_tz::Tz;

use crate::Timestamp;

const MICROS_PER_SECOND: i64 = 1_000_000;
/// More than any zone has ever been away from UTC.
const OFFSET_MICROS_MAX: i64 = 30 * 3_600 * MICROS_PER_SECOND;

/// A time zone of the tz database.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Zone(Tz);

impl Zone {
    pub const UTC: Self = Self(Tz::UTC);
    /// The edition of the tz database that is compiled in. Another edition may place later
    /// boundaries elsewhere; what was decided keeps the instants that were recorded.
    pub const EDITION: &'static str = chrono_tz::IANA_TZDB_VERSION;

    /// The zone with this name, such as `Asia/Ho_Chi_Minh`, if there is one.
    pub fn parse(name: &str) -> Option<Self> {
        name.parse().ok().map(Self)
    }

    pub fn name(self) -> &'static str {
        self.0.name()
    }

    /// All of them, by name.
    pub fn all() -> impl Iterator<Item = Self> {
        chrono_tz::TZ_VARIANTS.iter().copied().map(Self)
    }

    /// What the zone's clocks show at `at`.
    pub fn local(self, at: Timestamp) -> NaiveDateTime {
        naive(self.local_micros(at.micros()))
    }

    /// The number of the local date on which `at` falls. Dates that follow each other have
    /// numbers that follow each other.
    pub fn day_number(self, at: Timestamp) -> i64 {
        self.local_micros(at.micros()).div_euclid(86_400 * MICROS_PER_SECOND)
    }

    /// The first instant at which the zone's clocks show `local` or later: in a gap the
    /// instant after it, in an overlap the earlier of the two. None: outside of what a
    /// `Timestamp` holds.
    pub fn first_instant(self, local: NaiveDateTime) -> Option<Timestamp> {
        let wanted = local.and_utc().timestamp_micros();
        let micros = match self.0.offset_from_local_datetime(&local) {
            LocalResult::Single(offset) => wanted - offset_micros(&offset),
            LocalResult::Ambiguous(one, other) => {
                wanted - offset_micros(&one).max(offset_micros(&other))
            }
            LocalResult::None => self.end_of_gap(wanted),
        };
        Timestamp::from_micros(micros).ok()
    }

    /// The first instant at which the clocks have passed `wanted`, which they never show.
    fn end_of_gap(self, wanted: i64) -> i64 {
        let mut before = wanted - OFFSET_MICROS_MAX;
        let mut after = wanted + OFFSET_MICROS_MAX;
        while before + 1 < after {
            let middle = before + (after - before) / 2;
            if self.local_micros(middle) < wanted {
                before = middle;
            } else {
                after = middle;
            }
        }
        after
    }

    fn local_micros(self, micros: i64) -> i64 {
        micros + offset_micros(&self.0.offset_from_utc_datetime(&naive(micros)))
    }
}

impl Default for Zone {
    fn default() -> Self {
        Self::UTC
    }
}

impl Ord for Zone {
    fn cmp(&self, other: &Self) -> Ordering {
        self.name().cmp(other.name())
    }
}

impl PartialOrd for Zone {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Debug for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

fn offset_micros(offset: &impl Offset) -> i64 {
    i64::from(offset.fix().local_minus_utc()) * MICROS_PER_SECOND
}

/// The date and time that is `micros` after 1970-01-01T00:00, on no particular clock.
fn naive(micros: i64) -> NaiveDateTime {
    // chrono's range is wider than that of any caller here.
    chrono::DateTime::from_timestamp_micros(micros).unwrap_or_default().naive_utc()
}
