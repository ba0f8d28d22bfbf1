//! Quantities of use: exact decimals with twelve digits after the point. What does
//! not fit is an error, never rounded.

use core::fmt;

/// Digits after the point.
pub const QUANTITY_DIGITS: u32 = 12;
/// The longest decimal text that is read, with sign, point and exponent.
pub const QUANTITY_CHARS_MAX: usize = 64;

const UNIT: i128 = 10_i128.pow(QUANTITY_DIGITS);

/// A decimal as a whole number of 10^-12. About ±1.7 × 10^26.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Quantity(i128);

/// Why a quantity could not be read or computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QuantityError {
    /// Not a JSON number.
    Malformed,
    /// More digits after the point than are kept.
    TooManyDigits,
    /// More than a quantity can hold.
    Overflow,
}

impl fmt::Display for QuantityError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed => write!(
                f,
                "must be a decimal number such as 12.5, of at most {QUANTITY_CHARS_MAX} characters"
            ),
            Self::TooManyDigits => {
                write!(f, "must have at most {QUANTITY_DIGITS} digits after the point")
            }
            Self::Overflow => f.write_str("must lie within ±10^26"),
        }
    }
}

impl core::error::Error for QuantityError {}

impl Quantity {
    pub const ZERO: Self = Self(0);
    pub const ONE: Self = Self(UNIT);

    /// `units` of 10^-12, above `i128::MIN`.
    pub const fn from_units(units: i128) -> Self {
        Self(units)
    }

    /// In units of 10^-12.
    pub const fn units(self) -> i128 {
        self.0
    }

    /// A whole number.
    pub fn whole(count: u64) -> Self {
        // 2^64 × 10^12 is below 2^127.
        Self(i128::from(count) * UNIT)
    }

    /// Reads a number as JSON writes it (RFC 8259, section 6), exactly: `12.5`, `-3`, `1.5e3`.
    pub fn parse(text: &str) -> Result<Self, QuantityError> {
        match short_units(text.as_bytes()) {
            Some(units) => Ok(Self(units)),
            None => Self::parse_long(text),
        }
    }

    fn parse_long(text: &str) -> Result<Self, QuantityError> {
        if text.len() > QUANTITY_CHARS_MAX {
            return Err(QuantityError::Malformed);
        }
        let (negative, rest) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (digits, exponent) = match rest.split_once(['e', 'E']) {
            Some((digits, exponent)) => (digits, parse_exponent(exponent)?),
            None => (rest, 0),
        };
        let (whole, part) = match digits.split_once('.') {
            Some((whole, part)) if !part.is_empty() => (whole, part),
            Some(_) => return Err(QuantityError::Malformed),
            None => (digits, ""),
        };
        let is_digits = |text: &str| text.bytes().all(|it| it.is_ascii_digit());
        let has_zero_ahead = whole.len() > 1 && whole.starts_with('0');
        if whole.is_empty() || has_zero_ahead || !is_digits(whole) || !is_digits(part) {
            return Err(QuantityError::Malformed);
        }
        let significand = whole.bytes().chain(part.bytes()).try_fold(0_i128, |sum, digit| {
            sum.checked_mul(10)?.checked_add(i128::from(digit - b'0'))
        });
        let part_digits = i32::try_from(part.len()).map_err(|_| QuantityError::Malformed)?;
        let shift = exponent - part_digits + i32::try_from(QUANTITY_DIGITS).unwrap_or(i32::MAX);
        let units = match significand {
            Some(significand) => shifted(significand, shift)?,
            None => long_shifted(whole, part, shift)?,
        };
        Ok(Self(if negative { -units } else { units }))
    }

    pub fn checked_add(self, other: Self) -> Result<Self, QuantityError> {
        self.0.checked_add(other.0).filter(is_held).map(Self).ok_or(QuantityError::Overflow)
    }

    pub fn checked_sub(self, other: Self) -> Result<Self, QuantityError> {
        self.0.checked_sub(other.0).filter(is_held).map(Self).ok_or(QuantityError::Overflow)
    }

    /// This over `count`, rounded half away from zero to the last digit kept. Of
    /// nothing there is no mean.
    pub fn mean(self, count: u64) -> Option<Self> {
        let count = i128::from(count);
        let (mean, rest) = (self.0.checked_div(count)?, self.0.checked_rem(count)?);
        let away =
            if rest.unsigned_abs() * 2 >= count.unsigned_abs() { self.0.signum() } else { 0 };
        Some(Self(mean + away))
    }
}

/// Digits that a machine word holds.
const SHORT_DIGITS_MAX: usize = 18;
/// Units of a digit by its place behind the point; of a whole number at 0.
const PLACES: [i128; 13] = {
    let (mut places, mut at) = ([UNIT; 13], 1);
    while at < 13 {
        places[at] = places[at - 1] / 10;
        at += 1;
    }
    places
};

/// The units of a number such as most are: a few digits, perhaps with a point in them. None
/// of any other text, which is read the long way.
fn short_units(text: &[u8]) -> Option<i128> {
    if text.len() > SHORT_DIGITS_MAX || matches!(text, [] | [b'0', b'0'..=b'9', ..]) {
        return None;
    }
    let (mut significand, mut point) = (0_u64, None);
    for (at, byte) in text.iter().enumerate() {
        match byte {
            b'0'..=b'9' => significand = significand * 10 + u64::from(byte - b'0'),
            b'.' if at > 0 && point.is_none() => point = Some(at),
            _ => return None,
        }
    }
    let part = point.map_or(Some(0), |at| Some(text.len() - at - 1).filter(|part| *part > 0))?;
    Some(i128::from(significand) * PLACES.get(part)?)
}

/// Each quantity has its negative.
fn is_held(units: &i128) -> bool {
    *units != i128::MIN
}

/// Sign and at most three digits: more could only overflow or vanish.
fn parse_exponent(text: &str) -> Result<i32, QuantityError> {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => (-1, digits),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    if digits.is_empty() || !digits.bytes().all(|it| it.is_ascii_digit()) {
        return Err(QuantityError::Malformed);
    }
    let digits = digits.trim_start_matches('0');
    if digits.len() > 3 {
        return Ok(sign * 1_000);
    }
    Ok(sign * digits.parse::<i32>().unwrap_or(0))
}

/// `significand` × 10^`shift`, exactly.
fn shifted(significand: i128, shift: i32) -> Result<i128, QuantityError> {
    if significand == 0 {
        return Ok(0);
    }
    let power = |exponent: u32| 10_i128.checked_pow(exponent);
    if shift >= 0 {
        let scaled = power(shift.unsigned_abs()).and_then(|by| significand.checked_mul(by));
        return scaled.ok_or(QuantityError::Overflow);
    }
    match power(shift.unsigned_abs()) {
        Some(by) if significand % by == 0 => Ok(significand / by),
        _ => Err(QuantityError::TooManyDigits),
    }
}

/// Of more digits than a significand holds: zeros at the end of the fraction count for
/// nothing.
fn long_shifted(whole: &str, part: &str, shift: i32) -> Result<i128, QuantityError> {
    let digits = format!("{whole}{part}");
    let trimmed = digits.trim_end_matches('0');
    let zeros = i32::try_from(digits.len() - trimmed.len()).unwrap_or(i32::MAX);
    let significand: i128 = trimmed.parse().map_err(|_| match shift {
        shift if shift < 0 && zeros + shift < 0 => QuantityError::TooManyDigits,
        _ => QuantityError::Overflow,
    })?;
    shifted(significand, shift.saturating_add(zeros))
}

/// The shortest decimal text: `12.5`, `-3`, `0`.
impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let (whole, part) = (self.0.unsigned_abs() / UNIT.unsigned_abs(), self.0 % UNIT);
        if part == 0 {
            return write!(f, "{sign}{whole}");
        }
        let part = format!("{:012}", part.unsigned_abs());
        write!(f, "{sign}{whole}.{}", part.trim_end_matches('0'))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(text: &str) -> Result<Quantity, QuantityError> {
        Quantity::parse(text)
    }

    // REQ: USE-01
    #[test]
    fn numbers_are_read_exactly() {
        for (text, shown) in [
            ("0", "0"),
            ("-0", "0"),
            ("12", "12"),
            ("12.50", "12.5"),
            ("-0.000000000001", "-0.000000000001"),
            ("1.5e3", "1500"),
            ("1E+2", "100"),
            ("25e-1", "2.5"),
            ("0e999", "0"),
            ("170000000000000000000000000", "170000000000000000000000000"),
            ("0.1000000000000000000000000000000000000000000000000000000000", "0.1"),
        ] {
            assert_eq!(parse(text).map(|it| it.to_string()), Ok(shown.to_owned()), "{text}");
        }
    }

    // REQ: USE-02
    #[test]
    fn what_does_not_fit_is_refused() {
        let long = "9".repeat(60);
        for (text, error) in [
            ("", QuantityError::Malformed),
            ("-", QuantityError::Malformed),
            ("+1", QuantityError::Malformed),
            ("01", QuantityError::Malformed),
            (".5", QuantityError::Malformed),
            ("1.", QuantityError::Malformed),
            ("1e", QuantityError::Malformed),
            ("1e+", QuantityError::Malformed),
            ("0x10", QuantityError::Malformed),
            ("NaN", QuantityError::Malformed),
            ("Infinity", QuantityError::Malformed),
            ("１", QuantityError::Malformed),
            ("0.0000000000001", QuantityError::TooManyDigits),
            ("1e-13", QuantityError::TooManyDigits),
            ("1e-999999999999", QuantityError::TooManyDigits),
            ("171000000000000000000000000", QuantityError::Overflow),
            ("1e27", QuantityError::Overflow),
            ("1e999999999", QuantityError::Overflow),
            (long.as_str(), QuantityError::Overflow),
        ] {
            assert_eq!(parse(text), Err(error), "{text}");
        }
        assert_eq!(parse(&"1".repeat(65)), Err(QuantityError::Malformed));
        let (most, least) = (Quantity::from_units(i128::MAX), Quantity::from_units(-i128::MAX));
        assert_eq!(most.checked_add(Quantity::from_units(1)), Err(QuantityError::Overflow));
        assert_eq!(least.checked_sub(Quantity::from_units(1)), Err(QuantityError::Overflow));
    }

    // REQ: USE-01
    #[test]
    fn a_mean_is_rounded_once() {
        let mean = |text: &str, count| parse(text).unwrap().mean(count).map(|it| it.to_string());
        assert_eq!(mean("10", 4), Some("2.5".to_owned()));
        assert_eq!(mean("1", 3), Some("0.333333333333".to_owned()));
        assert_eq!(mean("-2", 3), Some("-0.666666666667".to_owned()));
        assert_eq!(mean("5", 0), None);
    }

    proptest! {
        // REQ: USE-01
        #[test]
        fn short_numbers_are_read_as_the_long_way_reads_them(
            text in "-?[0-9]{0,4}[0-9.eE+a]{0,3}[0-9]{0,16}",
        ) {
            prop_assert_eq!(parse(&text), Quantity::parse_long(&text), "{}", text);
        }

        #[test]
        fn what_is_shown_is_read_back(units in -(i128::MAX)..=i128::MAX) {
            let it = Quantity::from_units(units);
            prop_assert_eq!(parse(&it.to_string()), Ok(it));
        }

        #[test]
        fn an_exponent_moves_the_point(significand in -1_000_000_i64..1_000_000, places in 0_i32..12) {
            let plain = Quantity::from_units(i128::from(significand) * 10_i128.pow(12 - places.unsigned_abs()));
            prop_assert_eq!(parse(&format!("{significand}e-{places}")), Ok(plain));
        }
    }
}
