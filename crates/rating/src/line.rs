//! A line: one amount with everything needed to compute it again by hand.

use exchequer_types::{ComponentKind, Period, Proration, Rounding, Slug, Timestamp};

use crate::{LINE_ROUNDING, RatingError};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LineKind {
    Charge,
    Credit,
}

/// What a line is for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LineComponent {
    Flat,
    PerSeat,
    AddOn(Slug),
}

impl From<ComponentKind> for LineComponent {
    fn from(kind: ComponentKind) -> Self {
        match kind {
            ComponentKind::Flat => Self::Flat,
            ComponentKind::PerSeat => Self::PerSeat,
        }
    }
}

/// `amount` = ± `quantity` x `unit_amount` x `num` / `den`, rounded once; minus for a credit.
/// All amounts are minor units of the subscription's currency.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    pub kind: LineKind,
    pub component: LineComponent,
    pub quantity: u64,
    /// Of one unit for one whole period.
    pub unit_amount: i64,
    /// `quantity` x `unit_amount`.
    pub full_amount: i64,
    /// The service period: what is paid for, or given back.
    pub from: Timestamp,
    pub to: Timestamp,
    pub policy: Proration,
    pub rounding: Rounding,
    /// Seconds or, by day, days that are left of the period. As `den` when all is charged.
    pub num: u64,
    /// Seconds or days of the whole period; 1 when all is charged.
    pub den: u64,
    /// Negative for a credit.
    pub amount: i64,
}

/// One part of a holding's price.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Part<'a> {
    pub(crate) of: PartOf<'a>,
    pub(crate) quantity: u64,
    pub(crate) unit_amount: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PartOf<'a> {
    /// By its place among the price's components, which may be of one kind.
    Component(usize, ComponentKind),
    AddOn(&'a Slug),
}

/// How much of a period a line is for, and by which policy.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Share {
    pub(crate) policy: Proration,
    pub(crate) num: u64,
    pub(crate) den: u64,
}

impl Part<'_> {
    pub(crate) fn full_amount(&self) -> Result<i64, RatingError> {
        i128::from(self.unit_amount)
            .checked_mul(i128::from(self.quantity))
            .and_then(|it| i64::try_from(it).ok())
            .ok_or(RatingError::Overflow)
    }

    /// Its line; None when there is nothing to pay for.
    pub(crate) fn line(
        &self,
        kind: LineKind,
        service: Period,
        share: Share,
    ) -> Result<Option<Line>, RatingError> {
        let full_amount = self.full_amount()?;
        if full_amount == 0 {
            return Ok(None);
        }
        let Share { policy, num, den } = share;
        let size = LINE_ROUNDING.scale(full_amount, num, den)?;
        let amount = match kind {
            LineKind::Charge => size,
            LineKind::Credit => size.checked_neg().ok_or(RatingError::Overflow)?,
        };
        let component = match self.of {
            PartOf::Component(_, kind) => kind.into(),
            PartOf::AddOn(id) => LineComponent::AddOn(id.clone()),
        };
        let (quantity, unit_amount) = (self.quantity, self.unit_amount);
        let Period { start: from, end: to } = service;
        let rounding = LINE_ROUNDING;
        Ok(Some(Line {
            kind,
            component,
            quantity,
            unit_amount,
            full_amount,
            from,
            to,
            policy,
            rounding,
            num,
            den,
            amount,
        }))
    }
}

impl Line {
    /// Whether the amount is what the working gives.
    pub fn adds_up(&self) -> bool {
        let full = i128::from(self.unit_amount).checked_mul(i128::from(self.quantity));
        let size = self.rounding.scale(self.full_amount, self.num, self.den);
        let signed = size.ok().and_then(|size| match self.kind {
            LineKind::Charge => Some(size),
            LineKind::Credit => size.checked_neg(),
        });
        full == Some(i128::from(self.full_amount))
            && signed == Some(self.amount)
            && self.num <= self.den
            && self.from <= self.to
    }
}
