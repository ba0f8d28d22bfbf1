//! Examples of the subscriptions domain's types.

use std::collections::BTreeMap;
use std::sync::Arc;

use exchequer_domain_subscriptions as subscriptions;
use exchequer_tenant::{AmendChange, ChangeSubscription, Command, Event, Subscribe};
use exchequer_types::{
    AddOnHolding, AddOnOffer, Anchor, Asked, Component, ComponentKind, Currency, Cycle, Downgrade,
    HeldBy, HeldPlan, Holding, Offer, Period, PlanRef, Proration, Rounding, Selection,
    SelectionChange, Slug, TenantId, Timestamp, Zone,
};
use subscriptions::{
    Cause, Charge, Counted, DropReason, EndReason, LifePeriod, Line, LineComponent, LineKind,
    PeriodKind, PriceRef, ScheduleAt, When,
};

use crate::tenants::at;

const ID: &str = "sub_abcdefghijklmnopqrstuvwxyz";
const ENTRY: &str = "sch_abcdefghijklmnopqrstuvwxyz";
const TIMER: &str = "tms_abcdefghijklmnopqrstuvwxyz";

fn slug(text: &str) -> Slug {
    Slug::parse(text).unwrap()
}

fn later() -> Timestamp {
    Timestamp::parse("2027-03-28T12:30:00.000001Z").unwrap()
}

fn zone() -> Zone {
    Zone::parse("Asia/Kathmandu").unwrap()
}

fn plan() -> PlanRef {
    PlanRef {
        provider: TenantId::parse("reseller").unwrap(),
        catalog: slug("main"),
        version: 3,
        plan: slug("pro"),
    }
}

fn price() -> PriceRef {
    PriceRef { plan: plan(), price: slug("monthly") }
}

fn holding() -> Arc<Holding> {
    Arc::new(Holding {
        offer: Offer {
            plan: plan(),
            price: slug("monthly"),
            currency: Currency::parse("JOD").unwrap(),
            cycle: Cycle::parse("3 months").unwrap(),
            components: vec![
                Component { kind: ComponentKind::Flat, amount: 9_900 },
                Component { kind: ComponentKind::PerSeat, amount: 1_250 },
            ],
            proration: Proration::ByDay,
            trial_days_max: 14,
            seats_min: 2,
            seats_max: Some(50),
            downgrade: Downgrade::Refuse,
            fallback: Some(slug("free")),
        },
        seats: 7,
        add_ons: vec![AddOnHolding {
            offer: AddOnOffer { add_on: slug("storage"), amount: 500 },
            quantity: 2,
        }],
    })
}

fn packs() -> BTreeMap<Slug, u64> {
    BTreeMap::from([(slug("storage"), 2), (slug("users"), 1)])
}

fn paid() -> LifePeriod {
    let anchor = Anchor::of(at(), zone());
    let cycle = Cycle::parse("3 months").unwrap();
    LifePeriod {
        index: 4,
        kind: PeriodKind::Paid,
        start: at(),
        end: Some(later()),
        counted: Some(Counted { anchor, cycle, boundary: 3 }),
    }
}

fn trial() -> LifePeriod {
    let (kind, end) = (PeriodKind::Trial, Some(later()));
    LifePeriod { index: 0, kind, start: at(), end, counted: None }
}

fn paused() -> LifePeriod {
    LifePeriod { index: 5, kind: PeriodKind::Paused, start: at(), end: None, counted: None }
}

fn line(kind: LineKind, component: LineComponent, amount: i64) -> Line {
    Line {
        kind,
        component,
        quantity: 7,
        unit_amount: 1_250,
        full_amount: 8_750,
        from: at(),
        to: later(),
        policy: Proration::ByDay,
        rounding: Rounding::HalfAwayFromZero,
        num: 15,
        den: 28,
        amount,
    }
}

fn charge() -> Charge {
    Charge {
        id: "chg_abcdefghijklmnopqrstuvwxyz".to_owned(),
        subscription: ID.to_owned(),
        at: at(),
        cause: Cause::Changed,
        period_index: 4,
        period: Period { start: at(), end: later() },
        credited: Some(price()),
        charged: Some(price()),
        currency: Currency::parse("JOD").unwrap(),
        lines: vec![
            line(LineKind::Credit, LineComponent::Flat, -4_688),
            line(LineKind::Charge, LineComponent::PerSeat, 4_688),
            line(LineKind::Charge, LineComponent::AddOn(slug("storage")), 4_688),
        ],
        total: 4_688,
    }
}

/// One event of each type, every field filled.
pub(crate) fn events() -> Vec<Event> {
    use subscriptions::Event as E;
    let (id, entry, cut) = (ID.to_owned(), ENTRY.to_owned(), Some(at()));
    let held = HeldPlan {
        plan: plan(),
        by: HeldBy::Subscription,
        seats: 7,
        add_ons: packs(),
        since: at(),
    };
    let timer = |id: &str| subscriptions::Timer { id: id.to_owned(), due: later() };
    let events = [
        E::Subscribed { id, holding: holding(), zone: zone(), trial_days: 14, period: trial() },
        E::Activated { period: paid(), cut },
        E::Changed { entry: Some(entry.clone()), holding: holding(), period: Some(paid()) },
        E::ChangeScheduled {
            id: entry.clone(),
            at: ScheduleAt::Instant(later()),
            asked: Asked { plan: false, seats: true, add_ons: false },
            holding: holding(),
        },
        E::ScheduleAmended { id: entry.clone(), asked: Asked::ALL, holding: holding() },
        E::ScheduleMoved { id: entry.clone(), at: ScheduleAt::Instant(later()) },
        E::ScheduleDropped {
            id: entry,
            why: DropReason::Impossible,
            refusal: Some(subscriptions::Refusal {
                code: "SEATS_TOO_MANY".to_owned(),
                message: "must be at most 5".to_owned(),
            }),
        },
        E::CancellationScheduled { at: ScheduleAt::PeriodEnd, reason: "too dear".to_owned() },
        E::Reactivated,
        E::Paused { period: paused(), cut },
        E::PauseMoved { resume_at: Some(later()) },
        E::Resumed { period: paid(), cut },
        E::Renewed { period: paid() },
        E::ZoneChanged { zone: zone() },
        E::Ended {
            reason: EndReason::Cancelled { reason: "too dear".to_owned() },
            cut,
            fallback: Some(plan()),
        },
        E::ChargeRecorded(charge()),
        E::HeldChanged { held: Some(held) },
        E::DueMoved {
            cleared: Some(subscriptions::ClearedTimer { id: TIMER.to_owned(), fired: true }),
            timer: Some(timer("tms_zyxwvutsrqponmlkjihgfedcba")),
        },
    ];
    events.map(Event::Subscriptions).into()
}

/// One command of each type, every field filled.
pub(crate) fn commands() -> Vec<Command> {
    use subscriptions::Command as C;
    let selection = Selection {
        catalog: slug("main"),
        version: Some(3),
        plan: slug("pro"),
        price: slug("monthly"),
        currency: Currency::parse("JOD").unwrap(),
        seats: 7,
        add_ons: packs(),
    };
    let to = SelectionChange {
        catalog: Some(slug("main")),
        version: Some(3),
        plan: Some(slug("pro")),
        price: Some(slug("yearly")),
        seats: Some(9),
        add_ons: Some(packs()),
    };
    let of_domain = [
        C::Activate(subscriptions::Activate),
        C::Cancel(subscriptions::Cancel { when: When::PeriodEnd, reason: "too dear".to_owned() }),
        C::Reactivate(subscriptions::Reactivate),
        C::Pause(subscriptions::Pause { resume_at: Some(later()) }),
        C::Resume(subscriptions::Resume),
        C::SetZone(subscriptions::SetZone { zone: zone() }),
        C::Reschedule(subscriptions::Reschedule {
            id: ENTRY.to_owned(),
            at: ScheduleAt::Instant(later()),
        }),
        C::Drop(subscriptions::DropEntry { id: ENTRY.to_owned() }),
    ];
    let mut commands = vec![
        Command::Subscribe(Subscribe {
            selection,
            trial_days: Some(14),
            zone: Some("Asia/Kathmandu".to_owned()),
        }),
        Command::ChangeSubscription(ChangeSubscription { to: to.clone(), when: When::At(later()) }),
        Command::AmendChange(AmendChange { id: ENTRY.to_owned(), to }),
    ];
    commands.extend(of_domain.map(Command::Subscriptions));
    commands
}
