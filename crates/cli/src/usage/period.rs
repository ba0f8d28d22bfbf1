//! The stretch of event time that is asked for, as people write it.

use exchequer_metering::Grain;
use exchequer_types::{Period, Timestamp};

/// `2026-11`, `2026-11-21`, `2026-11-21T10`, `2026-11-21T10:30`, or two instants with `/`
/// between them; always UTC.
pub(crate) fn parse(text: &str) -> Result<Period, String> {
    let refused = || {
        format!(
            "{text:?} is no period: write 2026-11, 2026-11-21, 2026-11-21T10, or \
             2026-11-01T00:00:00Z/2026-12-01T00:00:00Z"
        )
    };
    let instant = |text: &str| Timestamp::parse(text).map_err(|_| refused());
    if let Some((start, end)) = text.split_once('/') {
        let period = Period { start: instant(start)?, end: instant(end)? };
        return if period.start < period.end { Ok(period) } else { Err(refused()) };
    }
    let (grain, rest) = match text.len() {
        7 => (Grain::Month, "-01T00:00:00Z"),
        10 => (Grain::Day, "T00:00:00Z"),
        13 => (Grain::Hour, ":00:00Z"),
        16 => (Grain::Minute, ":00Z"),
        _ => return Err(refused()),
    };
    Ok(grain.window(instant(&format!("{text}{rest}"))?))
}

#[cfg(test)]
mod tests {
    use super::*;

    // REQ: USE-12
    #[test]
    fn periods_are_read_as_people_write_them() {
        for (text, start, end) in [
            ("2026-11", "2026-11-01T00:00:00Z", "2026-12-01T00:00:00Z"),
            ("2026-12-31", "2026-12-31T00:00:00Z", "2027-01-01T00:00:00Z"),
            ("2026-11-21T10", "2026-11-21T10:00:00Z", "2026-11-21T11:00:00Z"),
            ("2026-11-21T10:30", "2026-11-21T10:30:00Z", "2026-11-21T10:31:00Z"),
            (
                "2026-11-05T09:30:00Z/2026-12-05T09:30:00Z",
                "2026-11-05T09:30:00Z",
                "2026-12-05T09:30:00Z",
            ),
        ] {
            let period = parse(text).unwrap();
            assert_eq!(
                (period.start.to_string(), period.end.to_string()),
                (start.into(), end.into())
            );
        }
        for text in [
            "",
            "2026",
            "2026-13",
            "2026-11-31",
            "now",
            "2026-11/2026-12",
            "2026-12-01T00:00:00Z/2026-11-01T00:00:00Z",
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains("2026-11-21"), "{error}");
        }
    }
}
