//! Charges and credits, each with everything that is needed to compute it again.
//! Invoices collect them later and compute nothing.

use exchequer_rating::Line;
use exchequer_types::{Currency, Holding, Period, PlanRef, Slug, Timestamp};

/// What one decision charged and credited in one period.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Charge {
    pub id: String,
    pub subscription: String,
    /// When it was decided.
    pub at: Timestamp,
    pub cause: Cause,
    /// Of the period that it belongs to.
    pub period_index: u32,
    /// As planned when the period began: the denominators of the lines.
    pub period: Period,
    /// What the credit lines give back; None when there are none.
    pub credited: Option<PriceRef>,
    /// What the charge lines pay for; None when there are none.
    pub charged: Option<PriceRef>,
    pub currency: Currency,
    /// At least one.
    pub lines: Vec<Line>,
    /// Of all lines, in minor units; negative when more is given back than charged.
    pub total: i64,
}

/// Why something was charged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    Subscribed,
    Activated,
    Renewed,
    Changed,
    Paused,
    Resumed,
    Ended,
}

impl Cause {
    pub const ALL: [Self; 7] = [
        Self::Subscribed,
        Self::Activated,
        Self::Renewed,
        Self::Changed,
        Self::Paused,
        Self::Resumed,
        Self::Ended,
    ];

    /// Its name, which is stored and never changes.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Subscribed => "subscribed",
            Self::Activated => "activated",
            Self::Renewed => "renewed",
            Self::Changed => "changed",
            Self::Paused => "paused",
            Self::Resumed => "resumed",
            Self::Ended => "ended",
        }
    }

    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.as_str() == name)
    }
}

/// A price of a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PriceRef {
    pub plan: PlanRef,
    pub price: Slug,
}

impl PriceRef {
    pub(crate) fn of(holding: &Holding) -> Self {
        Self { plan: holding.offer.plan.clone(), price: holding.offer.price.clone() }
    }
}
