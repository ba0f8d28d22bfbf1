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
    fn refuses_what_lies_outside() {
        assert_eq!(Timestamp::from_micros(-1), Err(TimestampError::OutOfRange));
        assert_eq!(Timestamp::from_micros(i64::MAX), Err(TimestampError::OutOfRange));
        assert_eq!(Timestamp::parse("yesterday"), Err(TimestampError::Malformed));
        assert_eq!(Timestamp::MAX.saturating_add(Duration::from_secs(1)), Timestamp::MAX);
    }
}
