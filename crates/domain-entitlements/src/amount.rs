//! How much of a feature is given, and how amounts add up.

use core::fmt;

use exchequer_types::Allowance;

/// Units that one grant gives, or that are reported as used, at most: what JSON
/// can tell exactly.
pub const UNITS_MAX: u64 = 9_007_199_254_740_991;

/// How much of a feature is given. Ordered from least to most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Amount {
    /// So many units; nothing when 0.
    Units(u64),
    /// The feature, without a number.
    On,
    Unlimited,
}

impl Amount {
    pub const NOTHING: Self = Self::Units(0);

    /// Both together. Units are added, up to `u64::MAX`; what has no number lifts it.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        match (self, other) {
            (Self::Units(one), Self::Units(two)) => Self::Units(one.saturating_add(two)),
            (one, two) => one.max(two),
        }
    }

    /// So many packs of it.
    #[must_use]
    pub fn times(self, packs: u64) -> Self {
        match self {
            Self::Units(units) => Self::Units(units.saturating_mul(packs)),
            _ if packs == 0 => Self::NOTHING,
            unnumbered => unnumbered,
        }
    }

    /// What `allowance` is for a subscription of so many seats.
    pub fn of(allowance: Allowance, seats: u64) -> Self {
        match allowance {
            Allowance::On => Self::On,
            Allowance::Limit(units) => Self::Units(units),
            Allowance::Unlimited => Self::Unlimited,
            Allowance::Seats => Self::Units(seats),
        }
    }

    /// The number of units, when there is one.
    pub fn units(self) -> Option<u64> {
        match self {
            Self::Units(units) => Some(units),
            Self::On | Self::Unlimited => None,
        }
    }
}

/// `on`, `unlimited` or the number.
impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Units(units) => write!(f, "{units}"),
            Self::On => f.write_str("on"),
            Self::Unlimited => f.write_str("unlimited"),
        }
    }
}
