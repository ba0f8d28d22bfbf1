//! Exact calculation of charges: what a whole period costs, what a change inside it credits
//! and charges, and whether the lines of a period net to the price of what was held. Every
//! line carries its whole working.

#![deny(clippy::as_conversions, clippy::float_arithmetic)]

mod check;
mod error;
mod line;
mod prorate;
mod rate;

pub use check::{Held, Net, held_price, net};
pub use error::RatingError;
pub use line::{Line, LineComponent, LineKind};
pub use prorate::{Prorated, prorate};
pub use rate::{change, full, price, unused};

use exchequer_types::Rounding;

/// How a line is rounded to the minor unit of its currency: once.
pub const LINE_ROUNDING: Rounding = Rounding::HalfAwayFromZero;
