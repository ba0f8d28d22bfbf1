//! Amounts of money: integer minor units of a currency, exact proportions, named
//! rounding, and splitting without loss. No floating point, and every overflow is an error.

mod currency;
mod ratio;
mod split;

pub use currency::Currency;
pub use ratio::{Ratio, Rounding};
pub use split::split;

use core::fmt;

/// The longest decimal text of an amount, with sign and point.
pub const MONEY_CHARS_MAX: usize = 32;

/// An amount in minor units of its currency: 1234 of USD is 12.34.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Money {
    pub minor: i64,
    pub currency: Currency,
}

/// Why an amount could not be read or computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MoneyError {
    /// Amounts of two currencies were put together.
    CurrencyMismatch { left: Currency, right: Currency },
    /// More than an amount can hold.
    Overflow,
    /// Not of the form 12.34.
    Malformed,
    /// More digits after the point than the currency has.
    TooManyDigits { digits_max: u32 },
    /// A proportion of nothing.
    ZeroDenominator,
    /// Nothing to split over: no weights, or all of them zero.
    NoWeight,
}

impl fmt::Display for MoneyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CurrencyMismatch { left, right } => {
                write!(f, "must be in one currency, not in {left} and {right}")
            }
            Self::Overflow => f.write_str("must lie within ±9223372036854775807 minor units"),
            Self::Malformed => f.write_str("must be a decimal of the form 12.34"),
            Self::TooManyDigits { digits_max: 0 } => {
                f.write_str("must have no digits after the point in this currency")
            }
            Self::TooManyDigits { digits_max } => {
                write!(f, "must have at most {digits_max} digits after the point in this currency")
            }
            Self::ZeroDenominator => f.write_str("must not be a proportion of zero"),
            Self::NoWeight => f.write_str("must have a weight above zero"),
        }
    }
}

impl core::error::Error for MoneyError {}

impl Money {
    pub const fn new(minor: i64, currency: Currency) -> Self {
        Self { minor, currency }
    }

    pub const fn zero(currency: Currency) -> Self {
        Self::new(0, currency)
    }

    /// Reads `12.34`, `-5` or `0.5`, exactly: digits, and after a point at most as many as the
    /// currency has.
    pub fn parse_decimal(text: &str, currency: Currency) -> Result<Self, MoneyError> {
        if text.len() > MONEY_CHARS_MAX {
            return Err(MoneyError::Malformed);
        }
        let (negative, digits) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (whole, part) = match digits.split_once('.') {
            Some((whole, part)) => (whole, Some(part)),
            None => (digits, None),
        };
        let is_number = |text: &str| !text.is_empty() && text.bytes().all(|it| it.is_ascii_digit());
        if !is_number(whole) || !part.is_none_or(is_number) {
            return Err(MoneyError::Malformed);
        }
        let part = part.unwrap_or("");
        let digits_max = currency.minor_digits();
        let digits = u32::try_from(part.len()).unwrap_or(u32::MAX);
        let Some(missing) = digits_max.checked_sub(digits) else {
            return Err(MoneyError::TooManyDigits { digits_max });
        };
        let minor = whole
            .bytes()
            .chain(part.bytes())
            .try_fold(0_i128, |sum, digit| {
                sum.checked_mul(10)?.checked_add(i128::from(digit - b'0'))
            })
            .and_then(|sum| sum.checked_mul(10_i128.pow(missing)))
            .map(|sum| if negative { -sum } else { sum })
            .and_then(|sum| i64::try_from(sum).ok())
            .ok_or(MoneyError::Overflow)?;
        Ok(Self { minor, currency })
    }

    /// The amount without its currency: `12.34`.
    pub fn decimal(&self) -> Decimal {
        Decimal(*self)
    }

    pub fn checked_add(self, other: Self) -> Result<Self, MoneyError> {
        self.with(other, i64::checked_add)
    }

    pub fn checked_sub(self, other: Self) -> Result<Self, MoneyError> {
        self.with(other, i64::checked_sub)
    }

    pub fn checked_mul(self, times: u64) -> Result<Self, MoneyError> {
        let minor = i128::from(self.minor)
            .checked_mul(i128::from(times))
            .and_then(|it| i64::try_from(it).ok())
            .ok_or(MoneyError::Overflow)?;
        Ok(Self { minor, ..self })
    }

    /// The same with the other sign.
    pub fn negated(self) -> Result<Self, MoneyError> {
        let minor = self.minor.checked_neg().ok_or(MoneyError::Overflow)?;
        Ok(Self { minor, ..self })
    }

    fn with(
        self,
        other: Self,
        sum: impl FnOnce(i64, i64) -> Option<i64>,
    ) -> Result<Self, MoneyError> {
        if self.currency != other.currency {
            let (left, right) = (self.currency, other.currency);
            return Err(MoneyError::CurrencyMismatch { left, right });
        }
        let minor = sum(self.minor, other.minor).ok_or(MoneyError::Overflow)?;
        Ok(Self { minor, ..self })
    }
}

/// `12.34 USD`
impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.decimal(), self.currency)
    }
}

/// An amount as decimal text with all digits of its currency.
#[derive(Clone, Copy, Debug)]
pub struct Decimal(Money);

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(Money { minor, currency }) = *self;
        let sign = if minor < 0 { "-" } else { "" };
        let digits = currency.minor_digits();
        let unit = 10_u64.pow(digits);
        let (whole, part) = (minor.unsigned_abs() / unit, minor.unsigned_abs() % unit);
        match usize::try_from(digits) {
            Ok(width) if width > 0 => write!(f, "{sign}{whole}.{part:0width$}"),
            _ => write!(f, "{sign}{whole}"),
        }
    }
}
