//! What is written is read again: events, timings, and the state of every step of a life.

use exchequer_domain_subscriptions::{
    Activate, Amend, Cancel, Change, Command, DropReason, EndReason, Event, Pause, PeriodKind,
    Refusal, Reschedule, Resume, ScheduleAt, SetZone, State, Subscribe, Subscriptions, When, reply,
    timer_command,
};
use exchequer_kernel::{Ctx, Decider as _};
use exchequer_tenant::ChangeSubscription;
use exchequer_types::{
    ActorId, AddOnHolding, AddOnOffer, Asked, CommandId, Component, ComponentKind, Currency, Cycle,
    Downgrade, Holding, Identity, Offer, PlanRef, Proration, SelectionChange, Slug, TenantId,
    Timestamp, Zone,
};
use prost::Message as _;

use super::*;

fn slug(text: &str) -> Slug {
    Slug::parse(text).unwrap()
}

fn at(text: &str) -> Timestamp {
    Timestamp::parse(text).unwrap()
}

fn holding(amount: i64, proration: Proration) -> Holding {
    Holding {
        offer: Offer {
            plan: PlanRef {
                provider: TenantId::platform(),
                catalog: slug("main"),
                version: 1,
                plan: slug("pro"),
            },
            price: slug("monthly"),
            currency: Currency::parse("VND").unwrap(),
            cycle: Cycle::MONTH,
            components: vec![Component { kind: ComponentKind::PerSeat, amount }],
            proration,
            trial_days_max: 30,
            seats_min: 0,
            seats_max: None,
            downgrade: Downgrade::Accept,
            fallback: None,
        },
        seats: 3,
        add_ons: vec![AddOnHolding {
            offer: AddOnOffer { add_on: slug("storage"), amount: 7 },
            quantity: 2,
        }],
    }
}

fn check_event(event: &Event) {
    let (kind, payload) = encode_event(event);
    assert!(EVENTS.contains(&kind), "{kind}");
    assert_eq!(decode_event("acme", kind, &payload).as_ref(), Ok(event));
}

fn check_state(state: &State) {
    let bytes = state_to_proto(state).encode_to_vec();
    let read = state_from_proto(pb::State::decode(&bytes[..]).unwrap());
    assert_eq!(read.as_ref(), Ok(state));
}

/// Decides `command` and checks everything on the way.
fn decide(state: &mut State, command: &Command, now: Timestamp, id: &str) -> pb::SubscriptionReply {
    let ctx = Ctx {
        now,
        recorded_at: now,
        claimed_at: now,
        tenant: TenantId::platform(),
        actor: ActorId::parse("u-1").unwrap(),
        home: None,
        command_id: CommandId::parse(id).unwrap(),
        identity: Identity::of("acme", "api", id),
    };
    let events = Subscriptions::decide(state, command, &ctx).unwrap();
    for event in &events {
        check_event(event);
        Subscriptions::evolve(state, event, now);
        check_state(state);
    }
    let bytes = encode_reply(&reply(state, command, &events));
    pb::SubscriptionReply::decode(&bytes[..]).unwrap()
}

// REQ: KER-10 KER-14
#[test]
fn every_step_of_a_life_is_read_as_it_was_written() {
    let mut state = State::default();
    check_state(&state);
    let zone = Zone::parse("America/New_York").unwrap();
    let subscribe = Subscribe { holding: holding(10, Proration::None), trial_days: Some(7), zone };
    let change = |amount, policy, when| {
        Command::Change(Change {
            asked: Asked::ALL,
            holding: holding(amount, policy),
            when,
            exceeded: Vec::new(),
        })
    };
    let later = When::At(at("2026-04-10T00:00:00Z"));
    let cancel = |when| Command::Cancel(Cancel { when, reason: "r".to_owned() });
    let steps = [
        ("03-01", Command::Subscribe(subscribe)),
        ("03-02", change(20, Proration::ByDay, later)),
        ("03-02", change(30, Proration::Full, When::PeriodEnd)),
        ("03-03", Command::Activate(Activate)),
        ("03-04", change(40, Proration::BySecond, When::Now)),
        ("03-05", Command::SetZone(SetZone { zone: Zone::UTC })),
        ("03-06", Command::Pause(Pause { resume_at: None })),
        ("03-06", Command::Pause(Pause { resume_at: Some(at("2026-03-09T00:00:00Z")) })),
        ("03-07", Command::Resume(Resume)),
        ("03-08", cancel(When::PeriodEnd)),
        ("03-09", cancel(When::Now)),
    ];
    for (index, (day, command)) in steps.iter().enumerate() {
        let now = at(&format!("2026-{day}T10:00:00Z"));
        let shown = decide(&mut state, command, now, &format!("c-{index}"));
        let subscription = shown.subscription.unwrap();
        assert_eq!(subscription.version, state.current.as_ref().unwrap().version);
        if *day == "03-04" {
            let lines: Vec<i64> = shown.charges[0].lines.iter().map(|it| it.amount).collect();
            // Packs stay what they are, the seats are given back and charged anew.
            assert_eq!(lines.len(), 2, "{:?}", shown.charges);
            assert_eq!(subscription.schedule.len(), 2);
            assert!(subscription.schedule[1].at_period_end);
        }
    }
    assert_eq!(state.current.unwrap().word(), "ended");
}

// REQ: KER-10
#[test]
fn renewals_by_timer_and_every_reason_are_read_again() {
    let mut state = State::default();
    let subscribe =
        Subscribe { holding: holding(10, Proration::BySecond), trial_days: None, zone: Zone::UTC };
    decide(&mut state, &Command::Subscribe(subscribe), at("2026-01-31T00:00:00Z"), "c-1");
    for _ in 0..3 {
        let timer = state.current.as_ref().unwrap().timer.clone().unwrap();
        decide(&mut state, &timer_command(&timer.id), timer.due, &timer.id);
    }
    assert_eq!(state.current.as_ref().unwrap().period.kind, PeriodKind::Paid);
    let reasons =
        [DropReason::Asked, DropReason::Cancelled, DropReason::Impossible, DropReason::Exceeded];
    for why in reasons {
        let refusal = Refusal { code: "SEATS_TOO_FEW".to_owned(), message: "too few".to_owned() };
        for refusal in [None, Some(refusal)] {
            check_event(&Event::ScheduleDropped { id: "sch_1".to_owned(), why, refusal });
        }
    }
    for reason in [EndReason::TenantClosed, EndReason::OutOfTime] {
        check_event(&Event::Ended { reason, cut: None, fallback: None });
    }
    for resume_at in [None, Some(at("2026-05-01T00:00:00Z"))] {
        check_event(&Event::PauseMoved { resume_at });
    }
    check_event(&Event::HeldChanged { held: None });
    check_event(&Event::DueMoved { cleared: None, timer: None });
    check_event(&Event::ScheduleMoved { id: "sch_1".to_owned(), at: ScheduleAt::PeriodEnd });
}

// REQ: KER-10
#[test]
fn commands_are_read_as_they_were_sent() {
    for when in [When::Now, When::PeriodEnd, When::At(at("2026-05-01T00:00:00Z"))] {
        let cancel = Command::Cancel(Cancel { when, reason: String::new() });
        let (kind, payload) = encode_command(&cancel).unwrap();
        let read = decode_command(kind, &payload).unwrap();
        assert_eq!(read, exchequer_tenant::Command::Subscriptions(cancel));
        let change = ChangeSubscription { to: SelectionChange::default(), when };
        let (kind, payload) = encode_change(&change);
        let read = decode_command(kind, &payload).unwrap();
        assert_eq!(read, exchequer_tenant::Command::ChangeSubscription(change));
    }
    let id = || "sch_1".to_owned();
    let resolved = Amend {
        asked: Asked::ALL,
        id: id(),
        holding: holding(1, Proration::None),
        exceeded: Vec::new(),
    };
    assert_eq!(encode_command(&Command::Amend(resolved)), None);
    assert_eq!(encode_command(&timer_command("tms_1")), None);
    let reschedule = Command::Reschedule(Reschedule { id: id(), at: ScheduleAt::PeriodEnd });
    let (kind, payload) = encode_command(&reschedule).unwrap();
    assert!(COMMANDS.contains(&kind));
    assert!(decode_command(kind, &payload).is_ok());
}

#[test]
fn what_cannot_have_been_written_is_an_error() {
    assert!(decode_event("acme", "subscriptions.unheard-of.v1", &[]).is_err());
    assert!(decode_command("subscriptions.unheard-of.v1", &[]).is_err());
    for kind in EVENTS.iter().filter(|kind| **kind != REACTIVATED && **kind != HELD_CHANGED) {
        let is_empty_allowed = [DUE_MOVED, PAUSE_MOVED].contains(kind);
        assert_eq!(decode_event("acme", kind, &[]).is_ok(), is_empty_allowed, "{kind}");
    }
    let twice = vec![pb::AddOnQuantity { add_on: "storage".to_owned(), quantity: 1 }; 2];
    assert!(values::packs_from_proto(twice).is_err());
    let zone = pb::SetZone { zone: "Mars/Olympus".to_owned() }.encode_to_vec();
    assert!(decode_command("subscriptions.set-zone.v1", &zone).is_err());
}
