//! Windows of time, in UTC. The billing period is a window of its own kind, whose
//! ends come from the subscription.

use chrono::{DateTime, Datelike as _, NaiveDate, NaiveTime};
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
        let micros = match self {
            Self::Minute => MINUTE_MICROS,
            Self::Hour => 60 * MINUTE_MICROS,
            Self::Day => 24 * 60 * MINUTE_MICROS,
            Self::Month => return month(at),
        };
        // Clocks in UTC go on evenly from the epoch.
        let start = at.micros() - at.micros().rem_euclid(micros);
        let instant = Timestamp::saturating_from_micros;
        Period { start: instant(start), end: instant(start.saturating_add(micros)) }
    }
}

const MINUTE_MICROS: i64 = 60_000_000;

fn month(at: Timestamp) -> Period {
    let Some(at) = DateTime::from_timestamp_micros(at.micros()) else {
        return Period { start: Timestamp::MIN, end: Timestamp::MAX };
    };
    let day = at.date_naive();
    let first = day.with_day(1).unwrap_or(day);
    let instant = |day: NaiveDate| {
        let midnight = day.and_time(NaiveTime::MIN).and_utc();
        Timestamp::saturating_from_micros(midnight.timestamp_micros())
    };
    Period { start: instant(first), end: instant(next_month(first)) }
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
    use chrono::{TimeDelta, Timelike as _};
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

    /// What the calendar's own arithmetic says.
    fn by_calendar(grain: Grain, at: Timestamp) -> (i64, i64) {
        let at = DateTime::from_timestamp_micros(at.micros()).unwrap();
        let (start, length) = match grain {
            Grain::Minute => {
                (at.with_second(0).unwrap().with_nanosecond(0).unwrap(), TimeDelta::minutes(1))
            }
            Grain::Hour => {
                let minute = at.with_minute(0).unwrap().with_second(0).unwrap();
                (minute.with_nanosecond(0).unwrap(), TimeDelta::hours(1))
            }
            Grain::Day | Grain::Month => {
                (at.date_naive().and_time(NaiveTime::MIN).and_utc(), TimeDelta::days(1))
            }
        };
        (start.timestamp_micros(), (start + length).timestamp_micros())
    }

    proptest! {
        // REQ: USE-04
        #[test]
        fn clocks_are_those_of_the_calendar(micros in 0..=Timestamp::MAX.micros()) {
            let at = Timestamp::from_micros(micros).unwrap();
            for grain in [Grain::Minute, Grain::Hour, Grain::Day] {
                let (start, end) = by_calendar(grain, at);
                let window = grain.window(at);
                prop_assert_eq!(window.start.micros(), start);
                prop_assert_eq!(window.end, Timestamp::saturating_from_micros(end));
            }
        }

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
