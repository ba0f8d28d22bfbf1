//! Windows of time, in UTC. The billing period is a window of its own kind, whose
//! ends come from the subscription.

use chrono::{DateTime, Datelike as _, NaiveDate, NaiveTime, TimeDelta, Timelike as _};
use exchequer_types::{Period, Timestamp};

/// How long windows are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Grain {
    Minute,
    Hour,
    Day,
    Month,
}

impl Grain {
    pub const ALL: [Self; 4] = [Self::Minute, Self::Hour, Self::Day, Self::Month];

    /// The window that `at` lies in.
    pub fn window(self, at: Timestamp) -> Period {
        let Some(start) = DateTime::from_timestamp_micros(at.micros()) else {
            return Period { start: Timestamp::MIN, end: Timestamp::MAX };
        };
        let day = start.date_naive();
        let time = match self {
            Self::Minute => NaiveTime::from_hms_opt(start.hour(), start.minute(), 0),
            Self::Hour => NaiveTime::from_hms_opt(start.hour(), 0, 0),
            Self::Day | Self::Month => Some(NaiveTime::MIN),
        };
        let day = if self == Self::Month { day.with_day(1).unwrap_or(day) } else { day };
        let start = day.and_time(time.unwrap_or(NaiveTime::MIN));
        let end = match self {
            Self::Minute => start + TimeDelta::minutes(1),
            Self::Hour => start + TimeDelta::hours(1),
            Self::Day => start + TimeDelta::days(1),
            Self::Month => next_month(day).and_time(NaiveTime::MIN),
        };
        let micros = |at: chrono::NaiveDateTime| {
            Timestamp::saturating_from_micros(at.and_utc().timestamp_micros())
        };
        Period { start: micros(start), end: micros(end) }
    }
}

fn next_month(first: NaiveDate) -> NaiveDate {
    let (year, month) = match first.month() {
        12 => (first.year() + 1, 1),
        month => (first.year(), month + 1),
    };
    NaiveDate::from_ymd_opt(year, month, 1).unwrap_or(first)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    // REQ: USE-04
    #[test]
    fn windows_begin_where_clocks_and_calendars_do() {
        let at = Timestamp::parse("2024-02-29T23:59:59.999999Z").unwrap();
        for (grain, start, end) in [
            (Grain::Minute, "2024-02-29T23:59:00Z", "2024-03-01T00:00:00Z"),
            (Grain::Hour, "2024-02-29T23:00:00Z", "2024-03-01T00:00:00Z"),
            (Grain::Day, "2024-02-29T00:00:00Z", "2024-03-01T00:00:00Z"),
            (Grain::Month, "2024-02-01T00:00:00Z", "2024-03-01T00:00:00Z"),
        ] {
            let window = grain.window(at);
            assert_eq!(
                (window.start.to_string(), window.end.to_string()),
                (start.into(), end.into())
            );
        }
        let new_year = Grain::Month.window(Timestamp::parse("2025-12-31T00:00:00Z").unwrap());
        assert_eq!(new_year.end.to_string(), "2026-01-01T00:00:00Z");
    }

    proptest! {
        // REQ: USE-04
        #[test]
        fn windows_join_without_a_gap(micros in 0..=Timestamp::MAX.micros()) {
            let at = Timestamp::from_micros(micros).unwrap();
            for grain in Grain::ALL {
                let window = grain.window(at);
                prop_assert!(window.start <= at && at <= window.end);
                prop_assert_eq!(grain.window(window.start), window);
                if window.end < Timestamp::MAX {
                    prop_assert!(at < window.end);
                    prop_assert_eq!(grain.window(window.end).start, window.end);
                }
            }
        }
    }
}
