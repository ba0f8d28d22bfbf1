//! Exact proportions, and the one place where they are rounded.

use core::cmp::Ordering;
use core::fmt;

use super::MoneyError;

/// An exact fraction in lowest terms with a positive denominator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ratio {
    num: i128,
    den: i128,
}

/// To which whole number a fraction is rounded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Rounding {
    /// To the nearest; halves away from zero. 2.5 is 3, -2.5 is -3.
    #[default]
    HalfAwayFromZero,
    /// To the nearest; halves to the even neighbour. 2.5 is 2, 3.5 is 4.
    HalfEven,
    /// 2.9 is 2, -2.9 is -2.
    TowardZero,
    /// 2.1 is 3, -2.1 is -3.
    AwayFromZero,
    /// 2.9 is 2, -2.1 is -3.
    Floor,
    /// 2.1 is 3, -2.9 is -2.
    Ceiling,
}

impl Rounding {
    pub const ALL: [Self; 6] = [
        Self::HalfAwayFromZero,
        Self::HalfEven,
        Self::TowardZero,
        Self::AwayFromZero,
        Self::Floor,
        Self::Ceiling,
    ];

    /// Its name, which is stored and never changes.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::HalfAwayFromZero => "half_away_from_zero",
            Self::HalfEven => "half_even",
            Self::TowardZero => "toward_zero",
            Self::AwayFromZero => "away_from_zero",
            Self::Floor => "floor",
            Self::Ceiling => "ceiling",
        }
    }

    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.as_str() == name)
    }

    /// `amount` times `num`/`den`, rounded. The same as with a `Ratio`, but without looking for
    /// lowest terms, so that a line costs nanoseconds.
    pub fn scale(self, amount: i64, num: u64, den: u64) -> Result<i64, MoneyError> {
        if den == 0 {
            return Err(MoneyError::ZeroDenominator);
        }
        let product = u128::from(amount.unsigned_abs()) * u128::from(num);
        let (whole, rest) = if let Ok(product) = u64::try_from(product) {
            (product / den, product % den)
        } else {
            let (whole, rest) = (product / u128::from(den), product % u128::from(den));
            let narrow = |it| u64::try_from(it).map_err(|_| MoneyError::Overflow);
            (narrow(whole)?, narrow(rest)?)
        };
        let negative = amount < 0;
        let up = rest != 0 && self.goes_up(negative, whole % 2 == 1, rest.cmp(&(den - rest)));
        let size = whole.checked_add(u64::from(up)).ok_or(MoneyError::Overflow)?;
        let size = i128::from(size);
        i64::try_from(if negative { -size } else { size }).map_err(|_| MoneyError::Overflow)
    }

    /// Whether the whole number below the magnitude `whole + rest/den`, where `rest` is not
    /// zero, gives way to the one above it. `half` is how `rest/den` compares with 1/2.
    const fn goes_up(self, negative: bool, whole_is_odd: bool, half: Ordering) -> bool {
        match self {
            Self::HalfAwayFromZero => !matches!(half, Ordering::Less),
            Self::HalfEven => match half {
                Ordering::Less => false,
                Ordering::Equal => whole_is_odd,
                Ordering::Greater => true,
            },
            Self::TowardZero => false,
            Self::AwayFromZero => true,
            Self::Floor => negative,
            Self::Ceiling => !negative,
        }
    }
}

impl fmt::Display for Rounding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Ratio {
    pub const ZERO: Self = Self { num: 0, den: 1 };
    pub const ONE: Self = Self { num: 1, den: 1 };

    pub fn new(num: i128, den: i128) -> Result<Self, MoneyError> {
        if den == 0 {
            return Err(MoneyError::ZeroDenominator);
        }
        let negative = (num < 0) != (den < 0);
        let common = gcd(num.unsigned_abs(), den.unsigned_abs());
        let part = |it: i128| i128::try_from(it.unsigned_abs() / common);
        let num = part(num).map_err(|_| MoneyError::Overflow)?;
        let den = part(den).map_err(|_| MoneyError::Overflow)?;
        Ok(Self { num: if negative { -num } else { num }, den })
    }

    /// The whole number `amount`.
    pub fn of(amount: i64) -> Self {
        Self { num: i128::from(amount), den: 1 }
    }

    pub const fn num(self) -> i128 {
        self.num
    }

    /// Above zero.
    pub const fn den(self) -> i128 {
        self.den
    }

    pub fn checked_mul(self, other: Self) -> Result<Self, MoneyError> {
        // Shortened crosswise first, so that it overflows only when the result does.
        let left = Self::new(self.num, other.den)?;
        let right = Self::new(other.num, self.den)?;
        let num = left.num.checked_mul(right.num).ok_or(MoneyError::Overflow)?;
        let den = left.den.checked_mul(right.den).ok_or(MoneyError::Overflow)?;
        Ok(Self { num, den })
    }

    pub fn checked_add(self, other: Self) -> Result<Self, MoneyError> {
        let common = i128::try_from(gcd(self.den.unsigned_abs(), other.den.unsigned_abs()))
            .map_err(|_| MoneyError::Overflow)?;
        let (mine, its) = (other.den / common, self.den / common);
        let sum = |it: Self| {
            let left = it.num.checked_mul(mine)?;
            left.checked_add(other.num.checked_mul(its)?)
        };
        let num = sum(self).ok_or(MoneyError::Overflow)?;
        Self::new(num, self.den.checked_mul(mine).ok_or(MoneyError::Overflow)?)
    }

    pub fn checked_sub(self, other: Self) -> Result<Self, MoneyError> {
        let num = other.num.checked_neg().ok_or(MoneyError::Overflow)?;
        self.checked_add(Self { num, den: other.den })
    }

    /// The whole number that `rounding` takes it to. None: more than i128 holds.
    pub fn round(self, rounding: Rounding) -> Option<i128> {
        let (num, den) = (self.num.unsigned_abs(), self.den.unsigned_abs());
        let (whole, rest) = (num / den, num % den);
        let negative = self.num < 0;
        // den - rest instead of 2 * rest, which might not fit.
        let up = rest != 0 && rounding.goes_up(negative, whole % 2 == 1, rest.cmp(&(den - rest)));
        let size = i128::try_from(whole.checked_add(u128::from(up))?).ok()?;
        if negative { size.checked_neg() } else { Some(size) }
    }
}

/// `3/4`
impl fmt::Display for Ratio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.num, self.den)
    }
}

/// The greatest common divisor; of zero and `b` it is `b`. Never zero when one of them is not.
fn gcd(mut a: u128, mut b: u128) -> u128 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}
