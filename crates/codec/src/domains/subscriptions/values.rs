//! What the messages of the domain share: holdings, parts of a life, and the state as a
//! decider's cell keeps it.

use std::collections::BTreeMap;
use std::sync::Arc;

use exchequer_domain_subscriptions::{
    Cancellation, Counted, DropReason, Dropped, End, EndReason, Entry, LifePeriod, PeriodKind,
    Refusal, ScheduleAt, State, Status, Subscription, Timer,
};
use exchequer_proto::catalog::v1 as pbc;
use exchequer_proto::subscriptions::v1 as pb;
use exchequer_types::{
    AddOnHolding, AddOnOffer, Anchor, Asked, Component, ComponentKind, Currency, Cycle, CycleUnit,
    Downgrade, HeldBy, HeldPlan, Holding, Offer, PlanRef, Proration, Slug, Timestamp, Zone,
};

use crate::DecodeError;
use crate::convert::{optional_timestamp, slug, tenant_id, timestamp};

/// The state as the decider's cell keeps it.
pub(crate) fn state_to_proto(state: &State) -> pb::State {
    let current = state.current.as_ref().map(subscription_to_proto);
    pb::State { current, trial_used: state.trial_used }
}

pub(crate) fn state_from_proto(it: pb::State) -> Result<State, DecodeError> {
    let current = it.current.map(subscription_from_proto).transpose()?;
    Ok(State { current, trial_used: it.trial_used })
}

/// A subscription as cells and views keep it.
pub fn subscription_to_proto(it: &Subscription) -> pb::SubscriptionRecord {
    let entry = |it: &Entry| pb::EntryState {
        id: it.id.clone(),
        at: Some(at_to_proto(it.at)),
        holding: Some(holding_to_proto(&it.holding)),
        asked: Some(asked_to_proto(it.asked)),
    };
    pb::SubscriptionRecord {
        id: it.id.clone(),
        status: status_to_proto(it.status).into(),
        holding: Some(holding_to_proto(&it.holding)),
        zone: it.zone.name().to_owned(),
        period: Some(period_to_proto(&it.period)),
        trial_days: it.trial_days,
        trial_ends_at: it.trial_ends_at.map(Timestamp::micros),
        cancellation: it.cancellation.as_ref().map(|it| pb::CancellationState {
            at: Some(at_to_proto(it.at)),
            reason: it.reason.clone(),
        }),
        schedule: it.schedule.iter().map(entry).collect(),
        dropped: it.dropped.iter().map(dropped_to_proto).collect(),
        timer: it.timer.as_ref().map(|it| pb::Timer { id: it.id.clone(), due: it.due.micros() }),
        version: it.version,
        started_at: it.started_at.micros(),
        updated_at: it.updated_at.micros(),
        end: it.end.as_ref().map(|it| pb::EndState {
            at: it.at.micros(),
            reason: Some(end_reason_to_proto(&it.reason)),
            fallback: it.fallback.as_ref().map(plan_to_proto),
        }),
    }
}

fn dropped_to_proto(it: &Dropped) -> pb::DroppedState {
    pb::DroppedState {
        id: it.id.clone(),
        at: it.at.micros(),
        reason: drop_reason_to_proto(it.why).into(),
        refusal: it.refusal.as_ref().map(refusal_to_proto),
        holding: Some(holding_to_proto(&it.holding)),
    }
}

fn dropped_from_proto(it: pb::DroppedState) -> Result<Dropped, DecodeError> {
    Ok(Dropped {
        id: it.id,
        at: timestamp(it.at, "dropped.at")?,
        why: drop_reason_from_proto(it.reason)?,
        refusal: it.refusal.map(refusal_from_proto),
        holding: Arc::new(holding_from_proto(it.holding)?),
    })
}

pub(super) fn refusal_to_proto(it: &Refusal) -> pb::Refusal {
    pb::Refusal { code: it.code.clone(), message: it.message.clone() }
}

pub(super) fn refusal_from_proto(it: pb::Refusal) -> Refusal {
    Refusal { code: it.code, message: it.message }
}

/// An error when it cannot be what was written.
pub fn subscription_from_proto(it: pb::SubscriptionRecord) -> Result<Subscription, DecodeError> {
    let cancellation = it.cancellation.map(|it| {
        Ok::<_, DecodeError>(Cancellation { at: at_from_proto(it.at)?, reason: it.reason })
    });
    let entry = |it: pb::EntryState| {
        let holding = Arc::new(holding_from_proto(it.holding)?);
        let (at, asked) = (at_from_proto(it.at)?, asked_from_proto(it.asked));
        Ok(Entry { id: it.id, at, asked, holding })
    };
    let timer = it
        .timer
        .map(|it| Ok::<_, DecodeError>(Timer { id: it.id, due: timestamp(it.due, "timer.due")? }));
    let end = it.end.map(|it| {
        Ok::<_, DecodeError>(End {
            at: timestamp(it.at, "end.at")?,
            reason: end_reason_from_proto(it.reason)?,
            fallback: optional_plan(it.fallback)?,
        })
    });
    Ok(Subscription {
        id: it.id,
        status: status_from_proto(it.status)?,
        holding: Arc::new(holding_from_proto(it.holding)?),
        zone: zone(&it.zone)?,
        period: period_from_proto(it.period)?,
        trial_days: it.trial_days,
        trial_ends_at: optional_timestamp(it.trial_ends_at, "trial_ends_at")?,
        cancellation: cancellation.transpose()?,
        schedule: it.schedule.into_iter().map(entry).collect::<Result<_, DecodeError>>()?,
        dropped: it.dropped.into_iter().map(dropped_from_proto).collect::<Result<_, _>>()?,
        timer: timer.transpose()?,
        version: it.version,
        started_at: timestamp(it.started_at, "started_at")?,
        updated_at: timestamp(it.updated_at, "updated_at")?,
        end: end.transpose()?,
    })
}

pub(super) fn holding_to_proto(it: &Holding) -> pb::Holding {
    let offer = &it.offer;
    let component = |it: &Component| pbc::Component {
        kind: component_kind_to_proto(it.kind).into(),
        amount: it.amount,
    };
    let add_on = |it: &AddOnHolding| pb::HeldAddOn {
        add_on: it.offer.add_on.to_string(),
        amount: it.offer.amount,
        quantity: it.quantity,
    };
    pb::Holding {
        plan: Some(plan_to_proto(&offer.plan)),
        price: offer.price.to_string(),
        currency: offer.currency.code().to_owned(),
        cycle: Some(cycle_to_proto(offer.cycle)),
        components: offer.components.iter().map(component).collect(),
        proration: proration_to_proto(offer.proration).into(),
        trial_days_max: offer.trial_days_max,
        seats_min: offer.seats_min,
        seats_max: offer.seats_max,
        downgrade: downgrade_to_proto(offer.downgrade).into(),
        fallback: offer.fallback.as_ref().map(ToString::to_string).unwrap_or_default(),
        seats: it.seats,
        add_ons: it.add_ons.iter().map(add_on).collect(),
    }
}

pub(super) fn holding_from_proto(it: Option<pb::Holding>) -> Result<Holding, DecodeError> {
    let it = it.ok_or(DecodeError::Field { field: "holding" })?;
    let component = |it: pbc::Component| {
        Ok(Component { kind: component_kind_from_proto(it.kind)?, amount: it.amount })
    };
    let add_on = |it: pb::HeldAddOn| {
        let add_on = slug(it.add_on, "holding.add_ons.add_on")?;
        let offer = AddOnOffer { add_on, amount: it.amount };
        Ok(AddOnHolding { offer, quantity: it.quantity })
    };
    let components: Result<_, DecodeError> = it.components.into_iter().map(component).collect();
    let add_ons: Result<_, DecodeError> = it.add_ons.into_iter().map(add_on).collect();
    Ok(Holding {
        offer: Offer {
            plan: plan_from_proto(it.plan)?,
            price: slug(it.price, "holding.price")?,
            currency: currency(&it.currency)?,
            cycle: cycle_from_proto(it.cycle)?,
            components: components?,
            proration: proration_from_proto(it.proration)?,
            trial_days_max: it.trial_days_max,
            seats_min: it.seats_min,
            seats_max: it.seats_max,
            downgrade: downgrade_from_proto(it.downgrade)?,
            fallback: optional_slug(it.fallback, "holding.fallback")?,
        },
        seats: it.seats,
        add_ons: add_ons?,
    })
}

pub(super) fn period_to_proto(it: &LifePeriod) -> pb::LifePeriod {
    pb::LifePeriod {
        index: it.index,
        kind: period_kind_to_proto(it.kind).into(),
        start: it.start.micros(),
        end: it.end.map(Timestamp::micros),
        counted: it.counted.map(|it| pb::Counted {
            anchor_local: it.anchor.local_micros(),
            zone: it.anchor.zone.name().to_owned(),
            cycle: Some(cycle_to_proto(it.cycle)),
            boundary: it.boundary,
        }),
    }
}

pub(super) fn period_from_proto(it: Option<pb::LifePeriod>) -> Result<LifePeriod, DecodeError> {
    let it = it.ok_or(DecodeError::Field { field: "period" })?;
    let counted = it.counted.map(|it| {
        let anchor = Anchor::from_local_micros(it.anchor_local, zone(&it.zone)?)
            .ok_or(DecodeError::Field { field: "period.counted.anchor_local" })?;
        let cycle = cycle_from_proto(it.cycle)?;
        Ok::<_, DecodeError>(Counted { anchor, cycle, boundary: it.boundary })
    });
    Ok(LifePeriod {
        index: it.index,
        kind: period_kind_from_proto(it.kind)?,
        start: timestamp(it.start, "period.start")?,
        end: optional_timestamp(it.end, "period.end")?,
        counted: counted.transpose()?,
    })
}

pub(super) fn plan_to_proto(it: &PlanRef) -> pb::PlanRef {
    pb::PlanRef {
        provider: it.provider.to_string(),
        catalog: it.catalog.to_string(),
        version: it.version,
        plan: it.plan.to_string(),
    }
}

pub(super) fn plan_from_proto(it: Option<pb::PlanRef>) -> Result<PlanRef, DecodeError> {
    let it = it.ok_or(DecodeError::Field { field: "plan" })?;
    Ok(PlanRef {
        provider: tenant_id(it.provider, "plan.provider")?,
        catalog: slug(it.catalog, "plan.catalog")?,
        version: it.version,
        plan: slug(it.plan, "plan.plan")?,
    })
}

pub(super) fn optional_plan(it: Option<pb::PlanRef>) -> Result<Option<PlanRef>, DecodeError> {
    it.map(|it| plan_from_proto(Some(it))).transpose()
}

pub(super) fn held_to_proto(it: &HeldPlan) -> pb::HeldPlan {
    let by = match it.by {
        HeldBy::Trial => pb::HeldBy::Trial,
        HeldBy::Subscription => pb::HeldBy::Subscription,
        HeldBy::Fallback => pb::HeldBy::Fallback,
    };
    pb::HeldPlan {
        plan: Some(plan_to_proto(&it.plan)),
        by: by.into(),
        seats: it.seats,
        add_ons: packs_to_proto(&it.add_ons),
        since: it.since.micros(),
    }
}

pub(super) fn held_from_proto(it: pb::HeldPlan) -> Result<HeldPlan, DecodeError> {
    let by = match pb::HeldBy::try_from(it.by) {
        Ok(pb::HeldBy::Trial) => HeldBy::Trial,
        Ok(pb::HeldBy::Subscription) => HeldBy::Subscription,
        Ok(pb::HeldBy::Fallback) => HeldBy::Fallback,
        Ok(pb::HeldBy::Unspecified) | Err(_) => {
            return Err(DecodeError::Field { field: "held.by" });
        }
    };
    Ok(HeldPlan {
        plan: plan_from_proto(it.plan)?,
        by,
        seats: it.seats,
        add_ons: packs_from_proto(it.add_ons)?,
        since: timestamp(it.since, "held.since")?,
    })
}

pub(super) fn packs_to_proto(packs: &BTreeMap<Slug, u64>) -> Vec<pb::AddOnQuantity> {
    let one = |(add_on, quantity): (&Slug, &u64)| pb::AddOnQuantity {
        add_on: add_on.to_string(),
        quantity: *quantity,
    };
    packs.iter().map(one).collect()
}

/// An add-on that stands twice is refused.
pub(super) fn packs_from_proto(
    packs: Vec<pb::AddOnQuantity>,
) -> Result<BTreeMap<Slug, u64>, DecodeError> {
    let count = packs.len();
    let one = |it: pb::AddOnQuantity| Ok((slug(it.add_on, "add_ons.add_on")?, it.quantity));
    let map: BTreeMap<_, _> = packs.into_iter().map(one).collect::<Result<_, DecodeError>>()?;
    if map.len() == count { Ok(map) } else { Err(DecodeError::Field { field: "add_ons" }) }
}

pub(super) fn at_to_proto(at: ScheduleAt) -> pb::ScheduleAt {
    let instant = match at {
        ScheduleAt::PeriodEnd => None,
        ScheduleAt::Instant(at) => Some(at.micros()),
    };
    pb::ScheduleAt { instant }
}

pub(super) fn at_from_proto(it: Option<pb::ScheduleAt>) -> Result<ScheduleAt, DecodeError> {
    let it = it.ok_or(DecodeError::Field { field: "at" })?;
    let instant = optional_timestamp(it.instant, "at.instant")?;
    Ok(instant.map_or(ScheduleAt::PeriodEnd, ScheduleAt::Instant))
}

pub(super) fn end_reason_to_proto(reason: &EndReason) -> pb::EndReason {
    let (cause, text) = match reason {
        EndReason::Cancelled { reason } => (pb::EndCause::Cancelled, reason.clone()),
        EndReason::TenantClosed => (pb::EndCause::TenantClosed, String::new()),
        EndReason::OutOfTime => (pb::EndCause::OutOfTime, String::new()),
    };
    pb::EndReason { cause: cause.into(), text }
}

pub(super) fn end_reason_from_proto(it: Option<pb::EndReason>) -> Result<EndReason, DecodeError> {
    let it = it.ok_or(DecodeError::Field { field: "reason" })?;
    Ok(match pb::EndCause::try_from(it.cause) {
        Ok(pb::EndCause::Cancelled) => EndReason::Cancelled { reason: it.text },
        Ok(pb::EndCause::TenantClosed) => EndReason::TenantClosed,
        Ok(pb::EndCause::OutOfTime) => EndReason::OutOfTime,
        Ok(pb::EndCause::Unspecified) | Err(_) => {
            return Err(DecodeError::Field { field: "reason.cause" });
        }
    })
}

pub(super) fn zone(name: &str) -> Result<Zone, DecodeError> {
    Zone::parse(name).ok_or(DecodeError::Field { field: "zone" })
}

pub(super) fn currency(code: &str) -> Result<Currency, DecodeError> {
    Currency::parse(code).ok_or(DecodeError::Field { field: "currency" })
}

fn optional_slug(text: String, field: &'static str) -> Result<Option<Slug>, DecodeError> {
    if text.is_empty() { Ok(None) } else { slug(text, field).map(Some) }
}

fn cycle_to_proto(cycle: Cycle) -> pbc::Cycle {
    let unit = match cycle.unit() {
        CycleUnit::Day => pbc::CycleUnit::Day,
        CycleUnit::Week => pbc::CycleUnit::Week,
        CycleUnit::Month => pbc::CycleUnit::Month,
        CycleUnit::Year => pbc::CycleUnit::Year,
    };
    pbc::Cycle { unit: unit.into(), count: cycle.count() }
}

fn cycle_from_proto(it: Option<pbc::Cycle>) -> Result<Cycle, DecodeError> {
    const BAD: DecodeError = DecodeError::Field { field: "cycle" };
    let it = it.ok_or(BAD)?;
    let unit = match pbc::CycleUnit::try_from(it.unit) {
        Ok(pbc::CycleUnit::Day) => CycleUnit::Day,
        Ok(pbc::CycleUnit::Week) => CycleUnit::Week,
        Ok(pbc::CycleUnit::Month) => CycleUnit::Month,
        Ok(pbc::CycleUnit::Year) => CycleUnit::Year,
        Ok(_) | Err(_) => return Err(BAD),
    };
    Cycle::new(unit, it.count).map_err(|_| BAD)
}

/// Two enums that stand for each other, value by value.
macro_rules! pairs {
    ($to:ident, $from:ident, $field:literal, $ours:ident, $proto:path { $($name:ident),+ $(,)? }) => {
        pub(super) fn $to(it: $ours) -> $proto {
            use $proto as Proto;
            match it {
                $($ours::$name => Proto::$name,)+
            }
        }

        pub(super) fn $from(it: i32) -> Result<$ours, DecodeError> {
            use $proto as Proto;
            match Proto::try_from(it) {
                $(Ok(Proto::$name) => Ok($ours::$name),)+
                Ok(Proto::Unspecified) | Err(_) => Err(DecodeError::Field { field: $field }),
            }
        }
    };
}

pairs!(
    proration_to_proto,
    proration_from_proto,
    "proration",
    Proration,
    pbc::Proration { BySecond, ByDay, None, Full }
);
pairs!(
    downgrade_to_proto,
    downgrade_from_proto,
    "downgrade",
    Downgrade,
    pbc::Downgrade { Accept, Refuse }
);
pairs!(
    component_kind_to_proto,
    component_kind_from_proto,
    "components.kind",
    ComponentKind,
    pbc::ComponentKind { Flat, PerSeat }
);
pairs!(
    period_kind_to_proto,
    period_kind_from_proto,
    "period.kind",
    PeriodKind,
    pb::PeriodKind { Trial, Paid, Paused }
);
pairs!(
    status_to_proto,
    status_from_proto,
    "status",
    Status,
    pb::SubscriptionStatus { Trialing, Active, Paused, Ended }
);
pairs!(
    drop_reason_to_proto,
    drop_reason_from_proto,
    "reason",
    DropReason,
    pb::DropReason { Asked, Cancelled, Impossible, Exceeded }
);

pub(crate) fn asked_to_proto(it: Asked) -> pb::Asked {
    pb::Asked { plan: it.plan, seats: it.seats, add_ons: it.add_ons }
}

pub(crate) fn asked_from_proto(it: Option<pb::Asked>) -> Asked {
    it.map_or(Asked::ALL, |it| Asked { plan: it.plan, seats: it.seats, add_ons: it.add_ons })
}
