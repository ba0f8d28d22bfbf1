//! Exact decimals, so that 0.1 is 0.1: what a JSON text says, not the binary
//! fraction next to it. Holds 64-bit integers, and what other programs keep in binary
//! fractions as they write it shortest, which takes 17 digits at most.

use core::cmp::Ordering;
use core::fmt;
use core::fmt::Write as _;
use core::str::FromStr;

/// Of the power of ten of the last digit, up and down.
const EXPONENT_MAX: i32 = 400;
/// Digits that stand in front of the point before an exponent is written instead.
const PLAIN_DIGITS_MAX: i16 = 21;
/// Zeros that stand behind the point before an exponent is written instead.
const PLAIN_ZEROS_MAX: i16 = 6;

/// `mantissa` times ten to the power of `exponent`, with no zero at the mantissa's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct Number {
    mantissa: i64,
    exponent: i16,
    /// Digits in front of the point; not positive when there are none.
    magnitude: i16,
}

/// Why a text is no number here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NumberError {
    /// Not of the form `-12.5e3`. NaN and infinity are not.
    Malformed,
    /// Needs more than 18 digits (19 where they fit 64 bits).
    TooLong,
    /// Further from 1 than ten to the power of 400, either way.
    OutOfRange,
}

impl fmt::Display for NumberError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Malformed => "must be a decimal number such as -12.5 or 3e8, not NaN or infinity",
            Self::TooLong => "must have at most 18 digits, or 19 that fit 64 bits",
            Self::OutOfRange => "must have an exponent of at most 400",
        })
    }
}

impl core::error::Error for NumberError {}

impl Number {
    fn new(mantissa: i64, exponent: i32) -> Result<Self, NumberError> {
        if mantissa == 0 {
            return Ok(Self::default());
        }
        let digits = i32::try_from(mantissa.unsigned_abs().ilog10() + 1).unwrap_or(i32::MAX);
        let narrow = |value: i32| i16::try_from(value).map_err(|_| NumberError::OutOfRange);
        if exponent.abs() > EXPONENT_MAX {
            return Err(NumberError::OutOfRange);
        }
        Ok(Self { mantissa, exponent: narrow(exponent)?, magnitude: narrow(exponent + digits)? })
    }
}

impl From<i64> for Number {
    fn from(value: i64) -> Self {
        let (mut mantissa, mut exponent) = (value, 0);
        while mantissa != 0 && mantissa % 10 == 0 {
            mantissa /= 10;
            exponent += 1;
        }
        Self::new(mantissa, exponent).unwrap_or_default()
    }
}

impl FromStr for Number {
    type Err = NumberError;

    fn from_str(text: &str) -> Result<Self, NumberError> {
        let (negative, text) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (text, exponent) = match text.split_once(['e', 'E']) {
            Some((text, exponent)) => (text, parse_exponent(exponent)?),
            None => (text, 0),
        };
        let (whole, fraction) = match text.split_once('.') {
            Some((_, "")) => return Err(NumberError::Malformed),
            Some(parts) => parts,
            None => (text, ""),
        };
        if whole.is_empty() {
            return Err(NumberError::Malformed);
        }
        let mut mantissa = 0_i64;
        // Zeros that count only when another digit follows.
        let mut zeros = 0_i32;
        for digit in whole.bytes().chain(fraction.bytes()) {
            match digit {
                b'0' if mantissa == 0 => {}
                b'0' => zeros += 1,
                b'1'..=b'9' => {
                    mantissa = append(mantissa, zeros, digit - b'0')?;
                    zeros = 0;
                }
                _ => return Err(NumberError::Malformed),
            }
        }
        let fraction = i32::try_from(fraction.len()).map_err(|_| NumberError::TooLong)?;
        Self::new(if negative { -mantissa } else { mantissa }, exponent - fraction + zeros)
    }
}

/// Up to five digits, more are out of every range.
fn parse_exponent(text: &str) -> Result<i32, NumberError> {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|it| it.is_ascii_digit()) {
        return Err(NumberError::Malformed);
    }
    let size: i32 = if digits.len() > 5 { 99_999 } else { digits.parse().unwrap_or(99_999) };
    Ok(if text.starts_with('-') { -size } else { size })
}

/// `mantissa`, then `zeros`, then `digit`.
fn append(mantissa: i64, zeros: i32, digit: u8) -> Result<i64, NumberError> {
    if mantissa == 0 {
        return Ok(i64::from(digit));
    }
    let shift = u32::try_from(zeros + 1).ok().and_then(|shift| 10_i64.checked_pow(shift));
    let shifted = shift.and_then(|shift| mantissa.checked_mul(shift));
    shifted.and_then(|it| it.checked_add(i64::from(digit))).ok_or(NumberError::TooLong)
}

impl Ord for Number {
    fn cmp(&self, other: &Self) -> Ordering {
        if self.exponent == other.exponent || self.mantissa.signum() != other.mantissa.signum() {
            return self.mantissa.cmp(&other.mantissa);
        }
        // Of one sign, and neither is zero.
        let sizes = self.magnitude.cmp(&other.magnitude).then_with(|| {
            // As many digits in front of the point: 18 places apart at most.
            let shift = self.exponent.abs_diff(other.exponent);
            let factor = 10_u128.pow(u32::from(shift));
            let (one, two) = (self.mantissa.unsigned_abs(), other.mantissa.unsigned_abs());
            if self.exponent > other.exponent {
                (u128::from(one) * factor).cmp(&u128::from(two))
            } else {
                u128::from(one).cmp(&(u128::from(two) * factor))
            }
        });
        if self.mantissa < 0 { sizes.reverse() } else { sizes }
    }
}

impl PartialOrd for Number {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// One text for one number, as JavaScript would write it: `0.1`, `1500`, `1e21`.
impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut digits = Written { bytes: [0; 32], length: 0 };
        write!(digits, "{}", self.mantissa.unsigned_abs())?;
        let digits = digits.as_str();
        if self.mantissa < 0 {
            f.write_char('-')?;
        }
        match usize::try_from(self.magnitude) {
            _ if self.mantissa == 0 => f.write_char('0'),
            Ok(front) if self.magnitude > 0 && self.magnitude <= PLAIN_DIGITS_MAX => {
                if front >= digits.len() {
                    f.write_str(digits)?;
                    return zeros(f, self.exponent);
                }
                write!(f, "{}.{}", &digits[..front], &digits[front..])
            }
            _ if self.magnitude <= 0 && self.magnitude > -PLAIN_ZEROS_MAX => {
                f.write_str("0.")?;
                zeros(f, -self.magnitude)?;
                f.write_str(digits)
            }
            _ => {
                f.write_str(&digits[..1])?;
                if digits.len() > 1 {
                    write!(f, ".{}", &digits[1..])?;
                }
                write!(f, "e{}", self.magnitude - 1)
            }
        }
    }
}

fn zeros(f: &mut fmt::Formatter<'_>, count: i16) -> fmt::Result {
    (0..count).try_for_each(|_| f.write_char('0'))
}

/// A short text without an allocation.
struct Written {
    bytes: [u8; 32],
    length: usize,
}

impl Written {
    fn as_str(&self) -> &str {
        core::str::from_utf8(&self.bytes[..self.length]).unwrap_or_default()
    }
}

impl fmt::Write for Written {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let end = self.length + text.len();
        let room = self.bytes.get_mut(self.length..end).ok_or(fmt::Error)?;
        room.copy_from_slice(text.as_bytes());
        self.length = end;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(text: &str) -> Number {
        text.parse().unwrap()
    }

    #[test]
    fn is_written_as_it_is_read_whatever_its_zeros() {
        let cases = [
            ("0", "0"),
            ("-0.000", "0"),
            ("007", "7"),
            ("1500", "1500"),
            ("1.50e3", "1500"),
            ("-12.5", "-12.5"),
            ("0.000001", "0.000001"),
            ("0.00000012", "1.2e-7"),
            ("1E21", "1e21"),
            ("100000000000000000000", "100000000000000000000"),
            ("-9223372036854775807", "-9223372036854775807"),
            ("5e-324", "5e-324"),
        ];
        for (text, expected) in cases {
            assert_eq!(number(text).to_string(), expected, "{text}");
            assert_eq!(number(expected), number(text), "{text}");
        }
        assert_eq!(Number::from(-1_200), number("-1200"));
        assert_eq!(Number::from(i64::MAX), number("9223372036854775807"));
    }

    #[test]
    fn what_is_no_number_is_refused() {
        for bad in ["", "-", ".5", "5.", "1e", "1e+", "+1", "1 ", "0x1", "NaN", "inf", "1_0", "--1"]
        {
            assert_eq!(bad.parse::<Number>(), Err(NumberError::Malformed), "{bad}");
        }
        assert_eq!("9223372036854775809".parse::<Number>(), Err(NumberError::TooLong));
        assert_eq!("0.1234567890123456789012".parse::<Number>(), Err(NumberError::TooLong));
        assert_eq!("1e401".parse::<Number>(), Err(NumberError::OutOfRange));
        assert_eq!("1e-999999999".parse::<Number>(), Err(NumberError::OutOfRange));
        assert_eq!("0e999999999".parse::<Number>(), Ok(Number::default()));
    }

    #[test]
    fn order_is_that_of_the_values() {
        let sorted = [
            "-1e300",
            "-18.5",
            "-18",
            "-2",
            "-0.1",
            "-1e-300",
            "0",
            "1e-300",
            "0.09",
            "0.1",
            "0.123456789012345678",
            "1",
            "1.000000000000000001",
            "2",
            "17.99",
            "18",
            "18.000001",
            "100",
            "9223372036854775806",
            "9223372036854775807",
            "1e19",
            "1e300",
        ];
        for (one, left) in sorted.iter().enumerate() {
            for (two, right) in sorted.iter().enumerate() {
                assert_eq!(number(left).cmp(&number(right)), one.cmp(&two), "{left} {right}");
            }
        }
    }
}
