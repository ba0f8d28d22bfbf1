//! Instants. Microseconds are what every store and wire here keeps whole.

use core::fmt;
use core::time::Duration;

use chrono::{DateTime, SecondsFormat};

/// An instant: microseconds since the Unix epoch, UTC.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(i64);

/// Why an instant was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimestampError {
    /// Before 1970-01-01 or after 9999-12-31.
    OutOfRange,
    /// Not of the form 2026-01-31T12:00:00Z.
    Malformed,
}

impl fmt::Display for TimestampError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::OutOfRange => "must lie between 1970-01-01 and 9999-12-31",
            Self::Malformed => "must be of the form 2026-01-31T12:00:00Z",
        })
    }
}

impl core::error::Error for TimestampError {}

impl Timestamp {
    pub const MIN: Self = Self(0);
    /// 9999-12-31T23:59:59.999999Z
    pub const MAX: Self = Self(253_402_300_799_999_999);

    /// The instant `micros` after the Unix epoch.
    pub fn from_micros(micros: i64) -> Result<Self, TimestampError> {
        let it = Self(micros);
        if (Self::MIN..=Self::MAX).contains(&it) { Ok(it) } else { Err(TimestampError::OutOfRange) }
    }

    /// The instant `micros` after the Unix epoch, at most `MAX` and at least `MIN`.
    pub fn saturating_from_micros(micros: i64) -> Self {
        Self(micros.clamp(Self::MIN.0, Self::MAX.0))
    }

    pub const fn micros(self) -> i64 {
        self.0
    }

    /// Parses RFC 3339.
    pub fn parse(text: &str) -> Result<Self, TimestampError> {
        // Events bring theirs by the hundred thousand a second, nearly all in this form.
        if let Some(at) = utc(text.as_bytes()) {
            return Self::from_micros(at);
        }
        let parsed = DateTime::parse_from_rfc3339(text).map_err(|_| TimestampError::Malformed)?;
        Self::from_micros(parsed.timestamp_micros())
    }

    /// The instant `duration` later, at most `MAX`.
    #[must_use]
    pub fn saturating_add(self, duration: Duration) -> Self {
        let micros = i64::try_from(duration.as_micros()).unwrap_or(i64::MAX);
        Self::saturating_from_micros(self.0.saturating_add(micros))
    }

    /// The instant `duration` earlier, at least `MIN`.
    #[must_use]
    pub fn saturating_sub(self, duration: Duration) -> Self {
        let micros = i64::try_from(duration.as_micros()).unwrap_or(i64::MAX);
        Self::saturating_from_micros(self.0.saturating_sub(micros))
    }

    /// How long it is since `earlier`; nothing when it is later.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

/// Micros of `2026-01-31T12:00:00Z`, with or without a fraction of a second. None: it has
/// another form, or is no time.
fn utc(text: &[u8]) -> Option<i64> {
    let (seconds, rest) = text.split_first_chunk::<19>()?;
    let [y0, y1, y2, y3, b'-', m0, m1, b'-', d0, d1, b'T', h0, h1, b':', i0, i1, b':', s0, s1] =
        *seconds
    else {
        return None;
    };
    let year = two(y0, y1)? * 100 + two(y2, y3)?;
    let (month, day) = (two(m0, m1)?, two(d0, d1)?);
    let (hour, minute, second) = (two(h0, h1)?, two(i0, i1)?, two(s0, s1)?);
    let micros = match rest {
        [b'Z'] => 0,
        [b'.', digits @ .., b'Z'] if (1..=9).contains(&digits.len()) => fraction(digits)?,
        _ => return None,
    };
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        2 if is_leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        _ => return None,
    };
    // A leap second has another form as well.
    if !(1..=days).contains(&day) || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let day = days_before(year, month) + day - 1;
    Some((((day * 24 + hour) * 60 + minute) * 60 + second) * 1_000_000 + micros)
}

/// Days from 1970-01-01 to the first of a month; a year is counted from its March.
fn days_before(year: i64, month: i64) -> i64 {
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let leap_days = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    year * 365 + leap_days + (month * 153 + 2) / 5 - 719_468
}

/// Two decimal digits.
fn two(tens: u8, ones: u8) -> Option<i64> {
    let digit = |byte: u8| byte.checked_sub(b'0').filter(|it| *it < 10).map(i64::from);
    Some(digit(tens)? * 10 + digit(ones)?)
}

/// Micros of the digits behind the point; what is smaller is left out.
fn fraction(digits: &[u8]) -> Option<i64> {
    if !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let places = digits.iter().chain(core::iter::repeat(&b'0')).take(6);
    Some(places.fold(0, |micros, digit| micros * 10 + i64::from(digit - b'0')))
}

/// RFC 3339 in UTC, with as many of 0, 3 or 6 fractional digits as are needed.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match DateTime::from_timestamp_micros(self.0) {
            Some(at) => f.write_str(&at.to_rfc3339_opts(SecondsFormat::AutoSi, true)),
            None => write!(f, "{}us", self.0),
        }
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_writes() {
        for text in
            ["1970-01-01T00:00:00Z", "2026-11-21T08:30:00.250Z", "9999-12-31T23:59:59.999999Z"]
        {
            assert_eq!(Timestamp::parse(text).map(|at| at.to_string()), Ok(text.to_owned()));
        }
    }

    #[test]
    fn reads_the_usual_form_as_all_others() {
        let texts = [
            "2024-02-29T23:59:59.1Z",
            "2023-02-29T00:00:00Z",
            "2000-02-29T00:00:00Z",
            "1900-02-28T00:00:00Z",
            "2100-02-29T00:00:00Z",
            "1969-12-31T23:59:59.999999Z",
            "0000-01-01T00:00:00Z",
            "2026-03-01T00:00:00.123456789Z",
            "2026-03-01T00:00:00.1234567899Z",
            "2026-12-31T23:59:60Z",
            "2026-12-31T24:00:00Z",
            "2026-13-01T00:00:00Z",
            "2026-00-10T00:00:00Z",
            "2026-04-31T00:00:00Z",
            "2026-04-00T00:00:00Z",
            "2026-04-30T00:60:00Z",
            "2026-04-30t00:00:00z",
            "2026-04-30 00:00:00Z",
            "2026-04-30T00:00:00.Z",
            "2026-04-30T00:00:00.12x4Z",
            "2026-04-30T00:00:00+02:00",
            "2026-04-3\u{661}T00:00:00Z",
        ];
        for text in texts {
            let whole = DateTime::parse_from_rfc3339(text)
                .map_err(|_| TimestampError::Malformed)
                .and_then(|at| Timestamp::from_micros(at.timestamp_micros()));
            assert_eq!(Timestamp::parse(text), whole, "{text}");
        }
        let mut at = 0_i64;
        while at < Timestamp::MAX.micros() {
            let text = Timestamp(at).to_string();
            assert_eq!(utc(text.as_bytes()), Some(at), "{text}");
            at += 86_399_123_457 * 17;
        }
    }

    #[test]
    fn refuses_what_lies_outside() {
        assert_eq!(Timestamp::from_micros(-1), Err(TimestampError::OutOfRange));
        assert_eq!(Timestamp::from_micros(i64::MAX), Err(TimestampError::OutOfRange));
        assert_eq!(Timestamp::parse("yesterday"), Err(TimestampError::Malformed));
        assert_eq!(Timestamp::MAX.saturating_add(Duration::from_secs(1)), Timestamp::MAX);
    }
}
