//! Subscriptions and charges as the API shows them.

use exchequer_domain_subscriptions::{
    Charge, Dropped, EndReason, Entry, Line, PeriodKind, Reply, ScheduleAt, Subscription,
};
use exchequer_proto::subscriptions::v1 as pb;
use exchequer_types::Exceeded;

use super::charge::{
    cause_to_proto, component_to_proto, line_kind_to_proto, price_to_proto, rounding_to_proto,
};
use super::values::{
    drop_reason_to_proto, end_reason_to_proto, holding_to_proto, period_kind_to_proto,
    plan_to_proto, proration_to_proto, refusal_to_proto,
};
use crate::convert::instant;

/// What a write is answered with.
pub(super) fn reply_message(it: &Reply) -> pb::SubscriptionReply {
    let exceeded = |it: &Exceeded| pb::ExceededLimit {
        feature: it.feature.to_string(),
        limit: it.limit,
        used: it.used,
    };
    pb::SubscriptionReply {
        subscription: it.subscription.as_ref().map(subscription_message),
        charges: it.charges.iter().map(charge_message).collect(),
        exceeded: it.exceeded.iter().map(exceeded).collect(),
    }
}

/// The subscription as the API shows it.
pub fn subscription_message(it: &Subscription) -> pb::Subscription {
    let reason = match (&it.cancellation, it.end.as_ref().map(|end| &end.reason)) {
        (Some(cancellation), _) => cancellation.reason.clone(),
        (None, Some(EndReason::Cancelled { reason })) => reason.clone(),
        _ => String::new(),
    };
    let counted = it.period.counted;
    let anchor = counted.map(|it| it.anchor.local.format("%Y-%m-%dT%H:%M:%S%.f").to_string());
    let end_cause = it.end.as_ref().map_or(0, |end| end_reason_to_proto(&end.reason).cause);
    pb::Subscription {
        id: it.id.clone(),
        state: state_of(it.word()).into(),
        holding: Some(holding_to_proto(&it.holding)),
        time_zone: it.zone.name().to_owned(),
        anchor: anchor.unwrap_or_default(),
        period: Some(pb::ServicePeriod {
            index: it.period.index,
            kind: period_kind_to_proto(it.period.kind).into(),
            start: Some(instant(it.period.start)),
            end: it.period.end.map(instant),
        }),
        trial_ends_at: it.trial_ends_at.map(instant),
        cancels_at: it.cancels_at().map(instant),
        cancel_reason: reason,
        resumes_at: it.resumes_at().map(instant),
        schedule: scheduled_changes(it),
        next_due: it.next_due().map(instant),
        version: it.version,
        started_at: Some(instant(it.started_at)),
        updated_at: Some(instant(it.updated_at)),
        ended_at: it.end.as_ref().map(|end| instant(end.at)),
        end_cause,
        fallback: it.end.as_ref().and_then(|end| end.fallback.as_ref()).map(plan_to_proto),
        dropped_changes: dropped_changes(it),
    }
}

/// The changes to come, in the order of entry.
pub fn scheduled_changes(it: &Subscription) -> Vec<pb::ScheduledChange> {
    let one = |entry: &Entry| pb::ScheduledChange {
        id: entry.id.clone(),
        at: it.due_of(entry.at).map(instant),
        at_period_end: entry.at == ScheduleAt::PeriodEnd,
        holding: Some(holding_to_proto(&entry.holding)),
    };
    it.schedule.iter().map(one).collect()
}

/// Changes that did not take place, oldest first.
pub fn dropped_changes(it: &Subscription) -> Vec<pb::DroppedChange> {
    let one = |it: &Dropped| pb::DroppedChange {
        id: it.id.clone(),
        at: Some(instant(it.at)),
        reason: drop_reason_to_proto(it.why).into(),
        refusal: it.refusal.as_ref().map(refusal_to_proto),
        holding: Some(holding_to_proto(&it.holding)),
    };
    it.dropped.iter().map(one).collect()
}

/// A charge as the API shows it.
pub fn charge_message(it: &Charge) -> pb::Charge {
    pb::Charge {
        id: it.id.clone(),
        subscription: it.subscription.clone(),
        at: Some(instant(it.at)),
        cause: cause_to_proto(it.cause).into(),
        period: Some(pb::ServicePeriod {
            index: it.period_index,
            kind: period_kind_to_proto(PeriodKind::Paid).into(),
            start: Some(instant(it.period.start)),
            end: Some(instant(it.period.end)),
        }),
        credited: it.credited.as_ref().map(price_to_proto),
        charged: it.charged.as_ref().map(price_to_proto),
        currency: it.currency.code().to_owned(),
        lines: it.lines.iter().map(line_message).collect(),
        total: it.total,
    }
}

fn line_message(it: &Line) -> pb::ChargeLine {
    let (component, add_on) = component_to_proto(&it.component);
    pb::ChargeLine {
        kind: line_kind_to_proto(it.kind).into(),
        component: component.into(),
        add_on,
        quantity: it.quantity,
        unit_amount: it.unit_amount,
        full_amount: it.full_amount,
        from: Some(instant(it.from)),
        to: Some(instant(it.to)),
        proration: proration_to_proto(it.policy).into(),
        rounding: rounding_to_proto(it.rounding).into(),
        num: it.num,
        den: it.den,
        amount: it.amount,
    }
}

fn state_of(word: &str) -> pb::SubscriptionState {
    match word {
        "trialing" => pb::SubscriptionState::Trialing,
        "active" => pb::SubscriptionState::Active,
        "cancelled" => pb::SubscriptionState::Cancelled,
        "paused" => pb::SubscriptionState::Paused,
        "ended" => pb::SubscriptionState::Ended,
        _ => pb::SubscriptionState::Unspecified,
    }
}
