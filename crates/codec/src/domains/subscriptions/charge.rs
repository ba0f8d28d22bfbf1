//! Charges with their lines, as the log keeps them.

use exchequer_domain_subscriptions::{Cause, Charge, Line, LineComponent, LineKind, PriceRef};
use exchequer_proto::subscriptions::v1 as pb;
use exchequer_types::{Period, Rounding};

use super::values::{
    currency, plan_from_proto, plan_to_proto, proration_from_proto, proration_to_proto,
};
use crate::DecodeError;
use crate::convert::{slug, timestamp};

/// A charge as the log and views keep it.
pub fn charge_to_proto(it: &Charge) -> pb::ChargeRecorded {
    pb::ChargeRecorded {
        id: it.id.clone(),
        subscription: it.subscription.clone(),
        at: it.at.micros(),
        cause: cause_to_proto(it.cause).into(),
        period_index: it.period_index,
        period_start: it.period.start.micros(),
        period_end: it.period.end.micros(),
        credited: it.credited.as_ref().map(price_to_proto),
        charged: it.charged.as_ref().map(price_to_proto),
        currency: it.currency.code().to_owned(),
        lines: it.lines.iter().map(line_to_proto).collect(),
        total: it.total,
    }
}

/// An error when it cannot be what was written.
pub fn charge_from_proto(it: pb::ChargeRecorded) -> Result<Charge, DecodeError> {
    Ok(Charge {
        id: it.id,
        subscription: it.subscription,
        at: timestamp(it.at, "at")?,
        cause: cause_from_proto(it.cause)?,
        period_index: it.period_index,
        period: Period {
            start: timestamp(it.period_start, "period_start")?,
            end: timestamp(it.period_end, "period_end")?,
        },
        credited: it.credited.map(price_from_proto).transpose()?,
        charged: it.charged.map(price_from_proto).transpose()?,
        currency: currency(&it.currency)?,
        lines: it.lines.into_iter().map(line_from_proto).collect::<Result<_, _>>()?,
        total: it.total,
    })
}

fn line_to_proto(it: &Line) -> pb::LineRecorded {
    let (component, add_on) = component_to_proto(&it.component);
    pb::LineRecorded {
        kind: line_kind_to_proto(it.kind).into(),
        component: component.into(),
        add_on,
        quantity: it.quantity,
        unit_amount: it.unit_amount,
        full_amount: it.full_amount,
        from: it.from.micros(),
        to: it.to.micros(),
        proration: proration_to_proto(it.policy).into(),
        rounding: rounding_to_proto(it.rounding).into(),
        num: it.num,
        den: it.den,
        amount: it.amount,
    }
}

fn line_from_proto(it: pb::LineRecorded) -> Result<Line, DecodeError> {
    let kind = match pb::LineKind::try_from(it.kind) {
        Ok(pb::LineKind::Charge) => LineKind::Charge,
        Ok(pb::LineKind::Credit) => LineKind::Credit,
        Ok(pb::LineKind::Unspecified) | Err(_) => {
            return Err(DecodeError::Field { field: "lines.kind" });
        }
    };
    let component = match pb::LineComponent::try_from(it.component) {
        Ok(pb::LineComponent::Flat) => LineComponent::Flat,
        Ok(pb::LineComponent::PerSeat) => LineComponent::PerSeat,
        Ok(pb::LineComponent::AddOn) => LineComponent::AddOn(slug(it.add_on, "lines.add_on")?),
        Ok(pb::LineComponent::Unspecified) | Err(_) => {
            return Err(DecodeError::Field { field: "lines.component" });
        }
    };
    Ok(Line {
        kind,
        component,
        quantity: it.quantity,
        unit_amount: it.unit_amount,
        full_amount: it.full_amount,
        from: timestamp(it.from, "lines.from")?,
        to: timestamp(it.to, "lines.to")?,
        policy: proration_from_proto(it.proration)?,
        rounding: rounding_from_proto(it.rounding)?,
        num: it.num,
        den: it.den,
        amount: it.amount,
    })
}

pub(super) fn price_to_proto(it: &PriceRef) -> pb::PriceRef {
    pb::PriceRef { plan: Some(plan_to_proto(&it.plan)), price: it.price.to_string() }
}

fn price_from_proto(it: pb::PriceRef) -> Result<PriceRef, DecodeError> {
    Ok(PriceRef { plan: plan_from_proto(it.plan)?, price: slug(it.price, "price")? })
}

pub(super) fn line_kind_to_proto(kind: LineKind) -> pb::LineKind {
    match kind {
        LineKind::Charge => pb::LineKind::Charge,
        LineKind::Credit => pb::LineKind::Credit,
    }
}

/// The add-on is empty for the others.
pub(super) fn component_to_proto(component: &LineComponent) -> (pb::LineComponent, String) {
    match component {
        LineComponent::Flat => (pb::LineComponent::Flat, String::new()),
        LineComponent::PerSeat => (pb::LineComponent::PerSeat, String::new()),
        LineComponent::AddOn(add_on) => (pb::LineComponent::AddOn, add_on.to_string()),
    }
}

pub(super) fn cause_to_proto(cause: Cause) -> pb::ChargeCause {
    match cause {
        Cause::Subscribed => pb::ChargeCause::Subscribed,
        Cause::Activated => pb::ChargeCause::Activated,
        Cause::Renewed => pb::ChargeCause::Renewed,
        Cause::Changed => pb::ChargeCause::Changed,
        Cause::Paused => pb::ChargeCause::Paused,
        Cause::Resumed => pb::ChargeCause::Resumed,
        Cause::Ended => pb::ChargeCause::Ended,
    }
}

fn cause_from_proto(cause: i32) -> Result<Cause, DecodeError> {
    let known = pb::ChargeCause::try_from(cause).ok();
    let ours = known.and_then(|it| Cause::ALL.into_iter().find(|our| cause_to_proto(*our) == it));
    ours.ok_or(DecodeError::Field { field: "cause" })
}

pub(super) fn rounding_to_proto(rounding: Rounding) -> pb::Rounding {
    match rounding {
        Rounding::HalfAwayFromZero => pb::Rounding::HalfAwayFromZero,
        Rounding::HalfEven => pb::Rounding::HalfEven,
        Rounding::TowardZero => pb::Rounding::TowardZero,
        Rounding::AwayFromZero => pb::Rounding::AwayFromZero,
        Rounding::Floor => pb::Rounding::Floor,
        Rounding::Ceiling => pb::Rounding::Ceiling,
    }
}

fn rounding_from_proto(rounding: i32) -> Result<Rounding, DecodeError> {
    let known = pb::Rounding::try_from(rounding).ok();
    let ours =
        known.and_then(|it| Rounding::ALL.into_iter().find(|our| rounding_to_proto(*our) == it));
    ours.ok_or(DecodeError::Field { field: "lines.rounding" })
}
